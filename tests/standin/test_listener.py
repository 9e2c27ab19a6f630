"""UDP and TCP on one port number: whole packets in, packets out by the same path, limits."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from calls_doctor.model.flow import Path, Transport
from calls_doctor.standin.connection_limit import ConnectionLimit
from calls_doctor.standin.listener import UNSENT_BYTES_MAX, PacketListener
from calls_doctor.wire.stun import Message, MessageClass, Method
from tests.servers.plain_sockets import WAIT_S, PlainUdp, eventually, rest_of

HOST = "127.0.0.1"
PACKET = Message(Method.BINDING, MessageClass.REQUEST, bytes(12)).encode()


class Echo:
    """Sends every packet back by the way it came, and needs no connection that brings none."""

    def __init__(self) -> None:
        self.listener = PacketListener(self, self.after, idle_s=WAIT_S, limit=ConnectionLimit(total=4, per_source=2))
        self.lost: list[Path] = []
        self.paths: list[Path] = []
        self.rounds = 0

    def receive(self, packet: bytes, path: Path, _now: float) -> None:
        self.paths.append(path)
        self.listener.send(path, packet)

    def connection_lost(self, path: Path, _now: float) -> None:
        self.lost.append(path)

    def needs(self, _path: Path) -> bool:
        return False

    def after(self) -> None:
        self.rounds += 1


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    service = Echo()
    await service.listener.start([HOST, "127.0.0.2"], 0)
    yield service
    await service.listener.close()


async def test_a_packet_goes_back_by_the_path_it_came(echo: Echo) -> None:
    port = echo.listener.port
    async with PlainUdp() as client:
        for host in (HOST, "127.0.0.2"):
            await client.send(b"any bytes", (host, port))
            assert await client.receive() == (b"any bytes", (host, port))
            assert echo.paths[-1] == Path(Transport.UDP, (host, port), client.address)
    reader, writer = await asyncio.open_connection("127.0.0.2", port)
    writer.write(PACKET[:5])
    writer.write(PACKET[5:] + PACKET)
    async with asyncio.timeout(WAIT_S):
        assert await reader.readexactly(2 * len(PACKET)) == PACKET + PACKET
    path = Path(Transport.TCP, ("127.0.0.2", port), writer.get_extra_info("sockname"))
    assert echo.paths[-1] == path and echo.rounds >= 3
    writer.close()
    await eventually(lambda: echo.lost == [path])
    echo.listener.send(path, PACKET)
    echo.listener.send(Path(Transport.UDP, ("127.0.0.3", port), (HOST, 9)), PACKET)  # ways that are not ours


async def test_a_source_has_so_many_connections_and_gets_them_back(echo: Echo) -> None:
    port = echo.listener.port
    opened = [await asyncio.open_connection(HOST, port) for _ in range(2)]
    reader, writer = await asyncio.open_connection(HOST, port)
    assert await rest_of(reader) == b""
    writer.close()
    for source in ("127.0.0.2", "127.0.0.3"):
        opened.append(await asyncio.open_connection(HOST, port, local_addr=(source, 0)))
    one_too_many, last = await asyncio.open_connection(HOST, port, local_addr=("127.0.0.4", 0))
    assert await rest_of(one_too_many) == b"", "four in all"
    last.close()
    assert echo.lost == [], "whoever was not let in was never there"
    for _, open_writer in opened:
        open_writer.close()
    await eventually(lambda: len(echo.lost) == 4 and not echo.listener.streams)
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(PACKET)
    async with asyncio.timeout(WAIT_S):
        assert await reader.readexactly(len(PACKET)) == PACKET
    writer.close()


async def test_a_client_that_does_not_read_loses_packets_and_costs_no_memory(echo: Echo) -> None:
    reader, writer = await asyncio.open_connection(HOST, echo.listener.port)
    writer.write(PACKET)
    async with asyncio.timeout(WAIT_S):
        await reader.readexactly(len(PACKET))
    ((path, stream),) = echo.listener.streams.items()
    transport = stream._transport
    assert transport is not None
    for _ in range(200):
        echo.listener.send(path, bytes(100_000))
    assert UNSENT_BYTES_MAX < transport.get_write_buffer_size() < 2 * UNSENT_BYTES_MAX
    writer.transport.abort()
    await eventually(lambda: echo.lost == [path])


async def test_whoever_is_second_to_listen_closes_all_that_it_had() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as rival:
        rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        rival.bind(("127.0.0.2", 0))
        port = rival.getsockname()[1]
        service = Echo()
        start = asyncio.create_task(service.listener.start([HOST, "127.0.0.2"], port))
        await asyncio.sleep(0)  # it has bound everything, and listens on the first address
        rival.listen()
        with pytest.raises(OSError, match="in use"):
            await start
    again = Echo()
    await again.listener.start([HOST, "127.0.0.2"], port)
    await again.listener.close()
