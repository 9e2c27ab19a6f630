"""Real sockets on 127.0.0.1 and ::1: what comes, what trouble is told, and that nothing is left open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from calls_doctor.errors import Cut, NetworkError, NoRoute, NotSent, Refused, Silence
from calls_doctor.model.flow import Address, Transport
from calls_doctor.net import error_queue, sockets
from calls_doctor.net.sockets import Channel, open_tcp, open_udp
from calls_doctor.wire.framing import frame

LOOPBACKS = ("127.0.0.1", "::1")
TIMEOUT_S = 2.0
DESCRIPTORS = Path("/proc/self/fd")


class Collector:
    """A receiver that keeps what comes, and can be waited for."""

    def __init__(self) -> None:
        self.packets: asyncio.Queue[bytes] = asyncio.Queue()
        self.troubles: asyncio.Queue[NetworkError] = asyncio.Queue()

    def packet(self, data: bytes) -> None:
        self.packets.put_nowait(data)

    def trouble(self, error: NetworkError) -> None:
        self.troubles.put_nowait(error)


@contextlib.asynccontextmanager
async def tcp_server(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object], host: str = "127.0.0.1"
) -> AsyncIterator[Address]:
    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)  # type: ignore[misc]  # a coroutine function, whatever it returns
        finally:
            writer.close()

    server = await asyncio.start_server(closing, host, 0)
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()


def udp_server(host: str = "127.0.0.1") -> socket.socket:
    server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((host, 0))
    server.setblocking(False)
    return server


@contextlib.asynccontextmanager
async def opened(channel: Channel) -> AsyncIterator[Channel]:
    try:
        yield channel
    finally:
        await channel.close()


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_a_datagram_goes_and_one_comes_back(host: str) -> None:
    loop = asyncio.get_running_loop()
    with udp_server(host) as server:
        collector = Collector()
        async with opened(await open_udp(server.getsockname()[:2], collector)) as channel:
            channel.send(b"there")
            data, sender = await loop.sock_recvfrom(server, 100)
            assert data == b"there" and sender[:2] == channel.path.local
            assert channel.path.remote == server.getsockname()[:2] and channel.path.transport is Transport.UDP
            for number in range(200):  # more than one wake-up takes
                server.sendto(b"%d" % number, sender)
            assert [await collector.packets.get() for _ in range(200)] == [b"%d" % n for n in range(200)]
            assert collector.troubles.empty()


async def test_the_local_address_may_be_chosen() -> None:
    async with opened(await open_udp(("127.0.0.1", 9), Collector(), local=("127.0.0.9", 0))) as channel:
        assert channel.path.local[0] == "127.0.0.9"


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_a_closed_udp_port_is_told_once_with_its_sender_and_burns_no_core(
    host: str, free_port: Callable[[], int]
) -> None:
    collector = Collector()
    async with opened(await open_udp((host, free_port()), collector)) as channel:
        channel.send(b"anybody?")
        error = await collector.troubles.get()
        assert isinstance(error, Refused)
        assert error.detail == {"127.0.0.1": "ICMP 3/3 from 127.0.0.1", "::1": "ICMPv6 1/4 from ::1"}[host]
        before_s = time.process_time()
        for _ in range(3):
            channel.send(b"anybody?")
            await asyncio.sleep(0.05)
        assert time.process_time() - before_s < 0.05
        assert collector.troubles.empty()


async def test_a_closed_udp_port_is_told_where_the_system_has_no_error_queue(
    monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    monkeypatch.setattr(error_queue, "HAS_ERROR_QUEUE", False)
    collector = Collector()
    async with opened(await open_udp(("127.0.0.1", free_port()), collector)) as channel:
        channel.send(b"anybody?")
        assert isinstance(await collector.troubles.get(), Refused)


async def test_an_error_that_is_pending_loses_no_packet(free_port: Callable[[], int]) -> None:
    port = free_port()
    collector = Collector()
    async with opened(await open_udp(("127.0.0.1", port), collector)) as channel:
        channel.send(b"too early")
        await collector.troubles.get()
        channel.send(b"still too early")  # its error is pending when the next is sent, and the loop has not run
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", port))
            server.setblocking(False)
            channel.send(b"now")
            assert await asyncio.get_running_loop().sock_recv(server, 100) == b"now"


async def test_an_address_that_this_machine_lacks_is_its_own_trouble() -> None:
    said = r"UDP to 192\.0\.2\.1:9 could not be sent from this machine \(EINVAL, Invalid argument\)"
    with pytest.raises(NotSent, match=said):
        await open_udp(("192.0.2.1", 9), Collector(), local=("127.0.0.1", 0))


async def test_a_closed_channel_sends_nothing_and_tells_nothing(free_port: Callable[[], int]) -> None:
    collector = Collector()
    channel = await open_udp(("127.0.0.1", free_port()), collector)
    channel.send(b"anybody?")
    await channel.close()
    await channel.close()
    channel.send(b"anybody?")
    await asyncio.sleep(0)
    assert collector.troubles.empty()


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_frames_cross_a_tcp_connection_in_any_pieces(host: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.readexactly(7)
        for at in range(len(data)):
            writer.write(data[at : at + 1])
            await writer.drain()
        await reader.read()

    collector = Collector()
    async with (
        tcp_server(handle, host) as address,
        opened(await open_tcp(address, collector, TIMEOUT_S)) as channel,
    ):
        assert channel.path.transport is Transport.TCP and channel.path.remote == address
        channel.send(b"hello")
        assert await collector.packets.get() == b"hello"
    assert collector.troubles.empty()


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="the channel's descriptor is found by Linux's /proc")
@pytest.mark.parametrize("host", LOOPBACKS)
async def test_a_packet_over_tcp_waits_for_no_acknowledgement(host: str) -> None:
    """A packet of voice must not be held until the one before it is acknowledged (TCP_NODELAY)."""

    async def quiet(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with tcp_server(quiet, host) as server, opened(await open_tcp(server, Collector(), TIMEOUT_S)) as channel:
        assert _at_once_by_local_address()[channel.path.local]


def _at_once_by_local_address() -> dict[Address, bool]:
    """TCP_NODELAY of every TCP socket of this process."""
    found: dict[Address, bool] = {}
    for one in DESCRIPTORS.iterdir():
        try:
            sock = socket.socket(fileno=os.dup(int(one.name)))
        except OSError:  # no socket, or the descriptor that listed them
            continue
        with sock:
            if sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type is socket.SOCK_STREAM:
                at_once = bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                found[sock.getsockname()[:2]] = at_once
    return found


async def test_a_closed_tcp_port_is_refused(free_port: Callable[[], int]) -> None:
    with pytest.raises(Refused):
        await open_tcp(("127.0.0.1", free_port()), Collector(), TIMEOUT_S)


async def test_a_tcp_port_that_never_answers_is_silent() -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):  # Linux drops a SYN for which the queue has no room
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        with pytest.raises(Silence) as caught:
            await open_tcp(listener.getsockname(), Collector(), 0.1)
        assert caught.value.after_s == 0.1


async def test_no_route_over_tcp_is_told_as_this_machines_own() -> None:
    with pytest.raises(NoRoute):
        await open_tcp(("255.255.255.255", 9), Collector(), TIMEOUT_S)


async def _say_bye(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(frame(b"bye"))


async def _reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _speak_http(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(frame(b"bye") + b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await _reader.read()


@pytest.mark.parametrize(
    ("handle", "said", "frames"),
    [
        (_say_bye, "the far end closed the connection", [b"bye"]),
        (_reset, "Connection reset by peer", []),
        (_speak_http, "a frame announces 18516 bytes: the stream is not RFC 4571", [b"bye"]),
    ],
)
async def test_the_end_of_a_tcp_connection_is_told_once(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object], said: str, frames: list[bytes]
) -> None:
    collector = Collector()
    async with tcp_server(handle) as address, opened(await open_tcp(address, collector, TIMEOUT_S)) as channel:
        error = await collector.troubles.get()
        assert isinstance(error, Cut) and error.detail == said
        assert [collector.packets.get_nowait() for _ in frames] == frames
        channel.send(b"into the void")
    assert collector.troubles.empty()


async def test_a_far_end_that_does_not_read_costs_no_memory_and_no_time() -> None:
    ended = asyncio.Event()

    async def handle(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await ended.wait()

    async with tcp_server(handle) as address:
        channel = await open_tcp(address, Collector(), TIMEOUT_S)
        transport = channel._transport  # type: ignore[attr-defined]  # the buffer cannot be seen from outside
        for _ in range(20_000):
            channel.send(bytes(1200))
        waiting_bytes = transport.get_write_buffer_size()
        assert 0 < waiting_bytes <= sockets.WRITE_BUFFER_MAX_BYTES
        began_s = time.monotonic()
        await channel.close()
        await channel.close()
        assert time.monotonic() - began_s < 2 * sockets.CLOSE_S
        ended.set()


async def test_what_was_sent_before_close_arrives() -> None:
    got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def handle(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        got.set_result(await reader.read())

    async with tcp_server(handle) as address:
        channel = await open_tcp(address, Collector(), TIMEOUT_S)
        channel.send(b"last words")
        await channel.close()
        assert await got == frame(b"last words")
