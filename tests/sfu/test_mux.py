"""UDP and TCP on one port number: what comes whole, who is let in, what is lost rather than kept."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from calls_doctor.model.flow import Path, Transport
from calls_doctor.sfu import mux as mux_module
from calls_doctor.sfu.mux import UNADMITTED_MAX, UNADMITTED_PER_SOURCE_MAX, UNSENT_BYTES_MAX, Mux
from calls_doctor.wire.framing import frame
from tests.servers.plain_sockets import WAIT_S, PlainUdp, eventually, rest_of

HOST, OTHER = "127.0.0.1", "127.0.0.2"
GOOD, BAD = b"\x80 one of ours", b"\x80 a stranger's"


class Service:
    """Admits GOOD, and sends it back by the way it came."""

    def __init__(self) -> None:
        self.mux = Mux(self)
        self.packets: list[tuple[bytes, Path]] = []
        self.lost: list[Path] = []

    def receive(self, packet: bytes, path: Path, _now: float) -> bool:
        self.packets.append((packet, path))
        if packet == GOOD:
            self.mux.send(path, packet)
        return packet == GOOD

    def connection_lost(self, path: Path, _now: float) -> None:
        self.lost.append(path)


@asynccontextmanager
async def serving(*addresses: str, port: int = 0) -> AsyncIterator[Service]:
    service = Service()
    await service.mux.start(addresses or (HOST,), port)
    try:
        yield service
    finally:
        await service.mux.close()


@asynccontextmanager
async def connected(
    service: Service, host: str = HOST, source: str = ""
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    local = (source, 0) if source else None
    reader, writer = await asyncio.open_connection(host, service.mux.port, local_addr=local)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def next_frame(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(WAIT_S):
        return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))


async def test_each_address_answers_from_itself_over_udp_and_tcp_on_one_port() -> None:
    async with serving(HOST, OTHER) as service, PlainUdp() as udp:
        port = service.mux.port
        for host in (HOST, OTHER):
            await udp.send(GOOD, (host, port))
            assert await udp.receive() == (GOOD, (host, port))
            assert service.packets[-1] == (GOOD, Path(Transport.UDP, (host, port), udp.address))
            async with connected(service, host) as (reader, writer):
                writer.write(frame(GOOD))
                assert await next_frame(reader) == GOOD
                path = Path(Transport.TCP, (host, port), writer.get_extra_info("sockname"))
                assert service.packets[-1] == (GOOD, path)


async def test_frames_come_whole_however_they_are_cut() -> None:
    async with serving() as service, connected(service) as (reader, writer):
        stream = frame(GOOD) + frame(BAD) + frame(b"") + frame(GOOD)
        for at in range(len(stream)):
            writer.write(stream[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0)
        assert [await next_frame(reader), await next_frame(reader)] == [GOOD, GOOD]
        assert [packet for packet, _ in service.packets] == [GOOD, BAD, GOOD], "who is admitted may send what it likes"
        writer.transport.abort()
        await eventually(lambda: service.lost == [service.packets[0][1]])


@pytest.mark.parametrize(
    "first",
    [frame(BAD) + frame(GOOD), frame(b"") + frame(GOOD), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00"],
    ids=["a stranger's frame", "an empty frame", "http", "tls"],
)
async def test_the_first_that_is_not_admitted_ends_the_connection_without_a_word(first: bytes) -> None:
    async with serving() as service, connected(service) as (reader, writer):
        writer.write(first[:2])
        await writer.drain()
        writer.write(first[2:])
        assert await rest_of(reader) == b""
        await eventually(lambda: not service.mux.streams)
        assert all(packet == BAD for packet, _ in service.packets)


async def test_a_slow_connection_loses_packets_and_its_buffer_is_bounded() -> None:
    async with serving() as service, connected(service) as (reader, writer):
        writer.write(frame(GOOD))
        assert await next_frame(reader) == GOOD
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport has it
        ((path, stream),) = service.mux.streams.items()
        transport = stream._transport
        assert transport is not None
        for _ in range(20_000):
            service.mux.send(path, bytes(1200))
        assert UNSENT_BYTES_MAX < transport.get_write_buffer_size() <= UNSENT_BYTES_MAX + 1202


async def test_a_way_that_is_gone_loses_what_is_sent() -> None:
    async with serving() as service, connected(service) as (reader, writer):
        writer.write(frame(GOOD))
        assert await next_frame(reader) == GOOD
        path = service.packets[0][1]
        service.mux.hang_up(path)
        assert await rest_of(reader) == b""
        await eventually(lambda: service.lost == [path])
        service.mux.hang_up(path)
        for gone in (path, Path(Transport.UDP, (OTHER, 9), (HOST, 9))):
            service.mux.send(gone, GOOD)


async def test_who_is_not_admitted_in_time_is_closed_and_who_is_stays() -> None:
    async with serving() as service:
        service.mux.unadmitted_s = 0.1
        async with connected(service) as (reader, writer), connected(service) as (idle, _):
            writer.write(frame(GOOD))
            assert await next_frame(reader) == GOOD
            assert await rest_of(idle) == b""
            writer.write(frame(GOOD))
            assert await next_frame(reader) == GOOD
            assert len(service.mux.streams) == 1 and len(service.lost) == 1


async def test_a_connection_that_is_gone_leaves_no_timer() -> None:
    async with serving() as service:
        async with connected(service):
            await eventually(lambda: bool(service.mux.streams))
            (stream,) = service.mux.streams.values()
        await eventually(lambda: bool(service.lost))
        assert stream._deadline is not None and stream._deadline.cancelled()


async def test_one_connection_too_many_is_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mux_module, "CONNECTIONS_MAX", 1)
    async with serving() as service, connected(service) as (reader, writer):
        writer.write(frame(GOOD))
        assert await next_frame(reader) == GOOD
        async with connected(service) as (late, _):
            assert await rest_of(late) == b""
        assert len(service.mux.streams) == 1 and service.lost == []


async def test_strangers_are_limited_by_source_and_in_all_and_leave_room_for_the_admitted() -> None:
    def open_for(source: str) -> int:
        return sum(path.remote[0] == source for path in service.mux.streams)

    async with serving() as service, AsyncExitStack() as clients:
        reader, writer = await clients.enter_async_context(connected(service))
        writer.write(frame(GOOD))
        assert await next_frame(reader) == GOOD
        for number in range(2, 8):
            for _ in range(UNADMITTED_PER_SOURCE_MAX + 1):
                await clients.enter_async_context(connected(service, source=f"127.0.0.{number}"))
        await eventually(lambda: len(service.mux.streams) == UNADMITTED_MAX + 1)
        assert [open_for(f"127.0.0.{number}") for number in range(2, 8)] == [0, 0] + [UNADMITTED_PER_SOURCE_MAX] * 4
        writer.write(frame(GOOD))
        assert await next_frame(reader) == GOOD, "who was admitted is not disturbed"
        late_reader, late_writer = await clients.enter_async_context(connected(service, source="127.0.0.7"))
        late_writer.write(frame(GOOD))
        assert await next_frame(late_reader) == GOOD, "who holds the key comes in though all waits are taken"
        await clients.aclose()
        await eventually(lambda: not service.mux.streams)


async def test_a_host_with_a_whole_ipv6_network_is_one_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mux_module, "UNADMITTED_PER_SOURCE_MAX", 1)
    async with serving() as service:
        stream = mux_module._Stream(service.mux)
        service.mux.streams[Path(Transport.TCP, ("2001:db8:1::1", 8443), ("2001:db8:7::1", 9))] = stream
        for source, gives_way in (("2001:db8:8::1", False), ("2001:db8:7::2", True)):
            assert service.mux.make_room(source)
            assert (not service.mux.streams) is gives_way


async def test_a_port_that_is_taken_for_either_is_refused_and_nothing_stays_open(
    free_port: Callable[[], int],
) -> None:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        port = free_port()
        with socket.socket(socket.AF_INET, kind) as owner:
            owner.bind((OTHER, port))
            if kind is socket.SOCK_STREAM:
                owner.listen()
            with pytest.raises(OSError, match="in use"):
                async with serving(HOST, OTHER, port=port):
                    pass
        async with serving(HOST, OTHER, port=port) as service:
            assert service.mux.port == port


async def test_whoever_is_second_to_listen_closes_all_that_it_had() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as rival:
        rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        rival.bind((OTHER, 0))
        port = rival.getsockname()[1]
        start = asyncio.create_task(Service().mux.start([HOST, OTHER], port))
        await asyncio.sleep(0)  # it has bound everything, and listens on the first address
        rival.listen()
        with pytest.raises(OSError, match="in use"):
            await start
    async with serving(HOST, OTHER, port=port):
        pass


async def test_what_is_sent_to_a_connection_that_is_closing_is_lost_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as service, connected(service) as (reader, writer):
        writer.write(frame(GOOD))
        assert await next_frame(reader) == GOOD
        path = service.packets[0][1]
        stream = service.mux.streams[path]
        stream.abort()
        for _ in range(20):  # asyncio says something from the fifth on
            stream.send(GOOD)
    assert caplog.records == []
