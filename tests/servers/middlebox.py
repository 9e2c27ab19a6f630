"""A network in one object: between a client on 127.0.0.1 and a server there, it loses, delays, doubles and reorders
datagrams, and treats TCP as bad firewalls do. Rules may change while packets flow.

    async with Middlebox(server, drop(way=Way.BACK, kind=PacketKind.DTLS)) as box:
        ...                     # the client talks to ("127.0.0.1", box.port), over UDP and TCP
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from types import TracebackType

from calls_doctor.model.flow import Address
from calls_doctor.net.bound_sockets import bound_both
from calls_doctor.wire.framing import PacketKind, packet_kind

HOST = "127.0.0.1"


class Way(Enum):
    """Which way a packet goes."""

    OUT = "from the client"
    BACK = "to the client"


class Tcp(Enum):
    """What becomes of TCP connections."""

    PASS = "carried"
    MUTE = "accepted, and nothing is ever said"
    CUT = "accepted, and cut at the first byte"
    CLOSED = "nothing listens"


Rule = Callable[[Way, bytes], Sequence[float] | None]
"""When a datagram is to be delivered, in seconds from now: [] loses it, two entries double it; None: no opinion."""


def drop(way: Way | None = None, kind: PacketKind | None = None, first: int | None = None) -> Rule:
    """Loses datagrams of this way and kind (None: every); with `first` only so many."""
    left = first

    def rule(going: Way, data: bytes) -> Sequence[float] | None:
        nonlocal left
        if not _fits(way, kind, going, data) or left == 0:
            return None
        left = None if left is None else left - 1
        return []

    return rule


def lose(ratio: float, way: Way | None = None, kind: PacketKind | None = None, seed: int = 1) -> Rule:
    """Loses this share of them, at random and the same in every run."""
    chance = random.Random(seed)
    return lambda going, data: [] if _fits(way, kind, going, data) and chance.random() < ratio else None


def thin(bits_per_s: float, queue_bytes: int, way: Way | None = None) -> Rule:
    """A link that carries so much this way (None: on both together), and loses what finds its queue full."""
    clock, empty_at = time.monotonic, 0.0

    def rule(going: Way, data: bytes) -> Sequence[float] | None:
        nonlocal empty_at
        if not _fits(way, None, going, data):
            return None
        now = clock()
        waits_s = max(0.0, empty_at - now)
        if waits_s * bits_per_s / 8 + len(data) > queue_bytes:
            return []
        empty_at = now + waits_s + 8 * len(data) / bits_per_s
        return [empty_at - now]

    return rule


def delay(seconds: float, spread_s: float = 0.0, way: Way | None = None, kind: PacketKind | None = None) -> Rule:
    """Delivers them later, by up to `spread_s` more."""
    chance = random.Random(1)
    return lambda going, data: [seconds + spread_s * chance.random()] if _fits(way, kind, going, data) else None


def reorder(every: int, by_s: float, way: Way | None = None, kind: PacketKind | None = None) -> Rule:
    """Holds every n-th back, so that those after it overtake."""
    seen = 0

    def rule(going: Way, data: bytes) -> Sequence[float] | None:
        nonlocal seen
        if not _fits(way, kind, going, data):
            return None
        seen += 1
        return [by_s] if seen % every == 0 else None

    return rule


def dead_after(datagrams: int) -> Rule:
    """From the server nothing comes any more once it has sent so many datagrams of DTLS: it is dead, or cut off."""
    seen = 0

    def rule(way: Way, data: bytes) -> Sequence[float] | None:
        nonlocal seen
        seen += way is Way.BACK and packet_kind(data) is PacketKind.DTLS
        return [] if way is Way.BACK and seen > datagrams else None

    return rule


def double(way: Way | None = None, kind: PacketKind | None = None) -> Rule:
    """Delivers them twice."""
    return lambda going, data: [0.0, 0.0] if _fits(way, kind, going, data) else None


def _fits(way: Way | None, kind: PacketKind | None, going: Way, data: bytes) -> bool:
    return way in (None, going) and kind in (None, packet_kind(data))


class Middlebox:
    """One port, UDP and TCP; each client address gets a socket of its own towards the server. The first rule that has
    an opinion decides. With `cut_after_bytes` a TCP connection ends when the client has sent so many. A client address
    for which nothing went either way for `forgets_after_s` is forgotten: nothing comes back to it until it sends again,
    and then it has a new socket."""

    def __init__(
        self,
        server: Address,
        *rules: Rule,
        tcp: Tcp = Tcp.PASS,
        cut_after_bytes: int | None = None,
        forgets_after_s: float = math.inf,
    ) -> None:
        self.rules = list(rules)
        self.forgets_after_s = forgets_after_s
        self.tcp, self.cut_after_bytes = tcp, cut_after_bytes
        self.seen: Counter[tuple[Way, PacketKind]] = Counter()
        """Datagrams that came in, lost ones too."""
        self.port = 0
        self._server = server
        self._clients: dict[Address, socket.socket] = {}
        self._busy_at: dict[Address, float] = {}
        """When something last went for this client."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> Middlebox:
        self._loop = asyncio.get_running_loop()
        (self._udp,), (tcp,) = bound_both([HOST], 0)
        self.port = self._udp.getsockname()[1]
        self._loop.add_reader(self._udp, self._from_clients)
        if self.tcp is Tcp.CLOSED:
            tcp.close()
        else:
            self._listener = await asyncio.start_server(self._connected, sock=tcp)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for timer in self._timers:
            timer.cancel()
        for sock in (self._udp, *self._clients.values()):
            self._loop.remove_reader(sock)
            sock.close()
        if self._listener is not None:
            self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Ends every TCP connection that there is."""
        for writer in self._writers:
            writer.transport.abort()

    def _from_clients(self) -> None:
        while True:
            try:
                data, client = self._udp.recvfrom(65535)
            except BlockingIOError:
                return
            except OSError:  # a client that has gone
                continue
            if client not in self._clients or self._has_forgotten(client):
                self._map(client)
            self._busy_at[client] = self._loop.time()
            self._deliver(Way.OUT, data, partial(self._clients[client].send, data))

    def _map(self, client: Address) -> None:
        old = self._clients.pop(client, None)
        self._clients[client] = upstream = _bound_socket()
        upstream.connect(self._server)
        self._loop.add_reader(upstream, self._from_server, upstream, client)
        if old is not None:
            self._loop.remove_reader(old)
            old.close()

    def _has_forgotten(self, client: Address) -> bool:
        return self._loop.time() - self._busy_at[client] > self.forgets_after_s

    def _from_server(self, upstream: socket.socket, client: Address) -> None:
        while True:
            try:
                data = upstream.recv(65535)
            except BlockingIOError:
                return
            except OSError:  # the server's port is closed; a middlebox does not pass that on
                continue
            if not self._has_forgotten(client):
                self._busy_at[client] = self._loop.time()
                self._deliver(Way.BACK, data, partial(self._udp.sendto, data, client))

    def _deliver(self, way: Way, data: bytes, send: Callable[[], object]) -> None:
        self.seen[way, packet_kind(data)] += 1
        opinions = (rule(way, data) for rule in self.rules)
        for due_s in next((opinion for opinion in opinions if opinion is not None), [0.0]):
            if due_s:
                self._timers.add(self._loop.call_later(due_s, _quietly, send))
            else:
                _quietly(send)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            if self.tcp is Tcp.PASS:
                await self._carry(reader, writer)
            elif self.tcp is Tcp.CUT:
                await reader.read(1)
            else:
                await reader.read()
        except OSError:
            pass  # one side is gone, and with it the other
        finally:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._server)
        ways = [
            asyncio.create_task(_copy(reader, far_writer, self.cut_after_bytes)),
            asyncio.create_task(_copy(far_reader, writer, None)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            far_writer.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


def _bound_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    sock.setblocking(False)
    return sock


def _quietly(send: Callable[[], object]) -> None:
    with contextlib.suppress(OSError):  # full, or closed: lost
        send()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most_bytes: int | None) -> None:
    left = most_bytes
    while data := await reader.read(65536 if left is None else left):
        writer.write(data)
        await writer.drain()
        left = None if left is None else left - len(data)
