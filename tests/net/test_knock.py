"""A media port without a stand-in: what is closed says so, what is silent does not, and any answer is one."""

from __future__ import annotations

import asyncio
import socket

import pytest

from calls_doctor.errors import Refused, Silence
from calls_doctor.model.flow import Address, Transport
from calls_doctor.net.knock import knock, said_nothing
from tests.servers.plain_sockets import PlainUdp


def closed_port(kind: socket.SocketKind) -> Address:
    """A port of 127.0.0.1 on which nothing listens."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return "127.0.0.1", int(sock.getsockname()[1])


async def test_a_closed_port_refuses_over_both() -> None:
    for transport, kind in ((Transport.UDP, socket.SOCK_DGRAM), (Transport.TCP, socket.SOCK_STREAM)):
        trouble = await knock(closed_port(kind), transport)
        assert isinstance(trouble, Refused)
        assert not said_nothing(trouble)


@pytest.mark.usefixtures("short_silence")
async def test_one_who_listens_and_never_answers_is_silent_as_rtcd_is() -> None:
    async with PlainUdp() as rtcd:
        trouble = await knock(rtcd.address, Transport.UDP)
    assert isinstance(trouble, Silence)
    assert said_nothing(trouble)


async def test_any_answer_and_any_open_port_is_somebody() -> None:
    async with PlainUdp() as echo:
        assert await knock(echo.echo(), Transport.UDP) is None
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        assert await knock(server.sockets[0].getsockname()[:2], Transport.TCP) is None
