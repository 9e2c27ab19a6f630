"""A TURN server over a real TCP or TLS connection, message by message, and each way in which the connection ends."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from calls_doctor.errors import Cut, FramingError, NetworkError, Refused
from calls_doctor.model.flow import Transport
from calls_doctor.net.sockets import WRITE_BUFFER_MAX_BYTES
from calls_doctor.net.turn_stream import TurnStream, open_turn_stream
from calls_doctor.wire.stun import Message, MessageClass
from calls_doctor.wire.turn_stream import channel_data
from tests.servers.plain_sockets import WAIT_S, eventually
from tests.servers.scripted_tcp import HOST, Serve, served

BINDING = Message(1, MessageClass.REQUEST, bytes(range(12))).encode()
DATA = channel_data(0x4000, b"abcde", padded=True)


class Heard:
    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.ends: list[NetworkError | FramingError] = []

    def packet(self, data: bytes) -> None:
        self.packets.append(data)

    def trouble(self, error: NetworkError) -> None:
        self.ends.append(error)

    def broken(self, error: FramingError) -> None:
        self.ends.append(error)


@asynccontextmanager
async def connected(
    serve: Serve, tls: ssl.SSLContext | None = None, name: str = ""
) -> AsyncIterator[tuple[TurnStream, Heard]]:
    heard = Heard()
    async with served(serve, tls) as server:
        stream = await open_turn_stream((HOST, server.port), heard, WAIT_S, name)
        try:
            yield stream, heard
        finally:
            await stream.close()


def saying(*pieces: bytes) -> Serve:
    """A server that says this, with a turn of the loop between the pieces, and closes."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    return serve


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)


async def test_messages_come_one_by_one_without_their_padding() -> None:
    async with connected(echo) as (stream, heard):
        assert stream.path.transport is Transport.TCP and stream.path.remote[0] == HOST
        stream.send(BINDING)
        stream.send(DATA)
        await eventually(lambda: len(heard.packets) == 2)
        assert heard.packets == [BINDING, DATA[:9]] and heard.ends == []


async def test_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    async with connected(echo, context, "localhost") as (stream, heard):
        stream.send(DATA)
        await eventually(lambda: bool(heard.packets))
        assert heard.packets == [DATA[:9]]


@pytest.mark.parametrize("serve", [saying(BINDING), saying(BINDING[:7], BINDING[7:])])
async def test_the_end_is_a_cut_after_what_came_whole(serve: Serve) -> None:
    async with connected(serve) as (_, heard):
        await eventually(lambda: bool(heard.ends))
        (end,) = heard.ends
        assert heard.packets == [BINDING] and isinstance(end, Cut) and f"TURN server at {HOST}:" in str(end)


async def test_a_reset_is_a_cut_too() -> None:
    async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(BINDING))
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with connected(resets) as (stream, heard):
        stream.send(BINDING)
        await eventually(lambda: bool(heard.ends))
        assert isinstance(heard.ends[0], Cut) and "reset" in str(heard.ends[0])


@pytest.mark.parametrize("serve", [saying(BINDING + b"SSH-2.0\r\n"), saying(BINDING, b"SSH-2.0\r\n")])
async def test_what_is_not_turn_is_said_after_what_was(serve: Serve) -> None:
    """Also where both came in one piece and nothing follows."""
    async with connected(serve) as (_, heard):
        await eventually(lambda: bool(heard.ends))
        assert heard.packets == [BINDING] and isinstance(heard.ends[0], FramingError)


async def test_a_server_that_does_not_read_costs_no_memory() -> None:
    async def deaf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of a socket can
        await asyncio.Event().wait()

    async with connected(deaf) as (stream, _):
        piece = channel_data(0x4000, bytes(1200), padded=True)
        waiting = stream._stream.writer.transport.get_write_buffer_size
        for _ in range(20_000):  # 24 MB, more than the kernel takes
            stream.send(piece)
        assert 0 < waiting() <= WRITE_BUFFER_MAX_BYTES + len(piece)


async def test_after_its_end_nothing_is_sent_and_nothing_heard() -> None:
    async with connected(echo) as (stream, heard):
        await stream.close()
        stream.send(DATA)
        await stream.close()
        assert heard.packets == [] and heard.ends == []


async def test_cancelling_the_end_ends_the_connection_all_the_same() -> None:
    async with connected(echo) as (stream, _):
        closing = asyncio.create_task(stream.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert stream._stream.writer.transport.is_closing()


async def test_a_closed_port() -> None:
    async with served(echo) as server:
        port = server.port
    with pytest.raises(Refused):
        await open_turn_stream((HOST, port), Heard(), WAIT_S, "")
