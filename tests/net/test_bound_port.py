"""A port over UDP and TCP at once, by one that echoes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from calls_doctor.model.flow import Path, Transport
from calls_doctor.net.bound_port import BoundPort, BoundStream
from calls_doctor.net.bound_sockets import bound_tcp, bound_udp
from tests.servers.middlebox import HOST
from tests.servers.plain_sockets import PlainUdp, eventually, rest_of

OTHER = "127.0.0.9"


class Stream(BoundStream):
    """Sends back what comes."""

    def __init__(self, port: BoundPort[Stream]) -> None:
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        local, remote = (transport.get_extra_info(name) for name in ("sockname", "peername"))
        self.path = Path(Transport.TCP, local, remote)
        self._port.streams[self.path] = self

    def data_received(self, data: bytes) -> None:
        self._port.send(self.path, data)

    def connection_lost(self, _error: Exception | None) -> None:
        del self._port.streams[self.path]

    def send(self, packet: bytes) -> None:
        self.transport.write(packet)

    def abort(self) -> None:
        self.transport.abort()


class Echo(BoundPort[Stream]):
    """Sends back what comes."""

    def received(self, packet: bytes, path: Path, now: float) -> None:
        assert now > 0
        self.send(path, packet)

    def accepted(self) -> Stream:
        return Stream(self)


async def test_udp_and_tcp_have_one_number_on_every_address_and_answer_from_where_they_were_asked() -> None:
    port = Echo()
    await port.start([HOST, OTHER], 0)
    async with PlainUdp() as udp:
        for host in (HOST, OTHER):
            await udp.send(b"datagram", (host, port.port))
            assert await udp.receive() == (b"datagram", (host, port.port))
            reader, writer = await asyncio.open_connection(host, port.port)
            writer.write(b"stream")
            assert await reader.readexactly(6) == b"stream"
            writer.close()
        await eventually(lambda: not port.streams)
    await port.close()


async def test_closing_ends_connections_and_frees_the_number() -> None:
    port = Echo()
    await port.start([HOST], 0)
    reader, writer = await asyncio.open_connection(HOST, port.port)
    await eventually(lambda: len(port.streams) == 1)
    path = next(iter(port.streams))
    await port.close()
    assert await rest_of(reader) == b""
    writer.transport.abort()
    port.send(path, b"to nobody")
    port.send(Path(Transport.UDP, (HOST, port.port), (HOST, 9)), b"to nobody")
    again = Echo()
    await again.start([HOST], port.port)
    await again.close()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_number_that_is_taken_for_either_leaves_nothing_open(
    transport: str, free_port: Callable[[], int]
) -> None:
    number = free_port()
    port = Echo()
    with bound_udp(HOST, number) if transport == "udp" else bound_tcp(HOST, number) as taken:
        if transport == "tcp":
            taken.listen()
        with pytest.raises(OSError, match="in use"):
            await port.start([HOST], number)
        assert not port.streams
    await port.start([HOST], number)
    await port.close()
