"""The last hop that answered: probes with a rising TTL, and the routers that say with ICMP that it ran out there.

No root: the socket's error queue brings ICMP's time exceeded with its sender (ip(7), IP_RECVERR); on other systems than
Linux nothing is sent. It has sockets of its own, since such an error says nothing of the media port.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from calls_doctor.model.flow import Address, AddressClass, Path, Transport, address_class
from calls_doctor.net.error_queue import HAS_ERROR_QUEUE, ask_for_errors, queued_errors
from calls_doctor.net.exchange import Exchange
from calls_doctor.wire import stun
from calls_doctor.wire.ice import IceCredentials

TTL_MAX = 24
ROUNDS = 2
"""A router answers so much and no more, and packets are lost: who was silent is asked again."""
PACKETS_MAX = ROUNDS * TTL_MAX
PACE_S = 0.03
"""Both rounds fit beside a silence that takes 2.55 s to decide, and all together stays below 100 packets/s."""
ROUND_S = 0.3
"""What the last router of a round has to answer."""
SIZE_BYTES = 200
_TIME_EXCEEDED = {4: (11, 0), 6: (3, 0)}
"""RFC 792 and RFC 4443 section 3.3: in transit."""


@dataclass(frozen=True, order=True)
class Hop:
    """A router on the way."""

    ttl: int
    address: str


class HopWatch:
    """Looks how far packets to the media port come while an echo is silent (`net.echo.Witness`)."""

    def __init__(self, remote: Callable[[], Awaitable[Address]], credentials: IceCredentials) -> None:
        self._remote, self._credentials = remote, credentials
        self._hops: dict[int, str] = {}

    @property
    def last(self) -> Hop | None:
        """The farthest that answered; None: none did."""
        return max((Hop(*row) for row in self._hops.items()), default=None)

    async def watch(self) -> None:
        """Asks every hop, and those once more that said nothing. Raises NetworkError where the name has no address,
        and OSError where there is no socket."""
        remote = await self._remote()
        if not HAS_ERROR_QUEUE or address_class(remote[0]) is AddressClass.LOOPBACK:
            return
        exchange = Exchange(secrets.token_bytes)
        channel = _RisingTtl(remote, self._told)
        exchange.begin(channel, self._credentials)
        try:
            for _ in range(ROUNDS):
                for channel.ttl in [ttl for ttl in range(1, TTL_MAX + 1) if ttl not in self._hops]:
                    exchange.ask(exchange.new_id(), (stun.PROBE_NUMBER, channel.ttl), SIZE_BYTES)
                    await asyncio.sleep(PACE_S)
                await asyncio.sleep(ROUND_S)
        finally:
            await channel.close()

    def _told(self, ttl: int, sock: socket.socket) -> None:
        for queued in queued_errors(sock):
            icmp = queued.icmp
            if icmp and icmp.sender and _TIME_EXCEEDED[icmp.version] == (icmp.type, icmp.code):
                self._hops.setdefault(ttl, icmp.sender)


class _RisingTtl:
    """A channel (`net.sockets.Channel`) that sends each packet by a socket of its own, whose errors then are about that
    packet: a router need not quote more of it than the ports."""

    def __init__(self, remote: Address, told: Callable[[int, socket.socket], None]) -> None:
        self.path = Path(Transport.UDP, ("", 0), remote)
        self.ttl = 1
        self._told = told
        self._sockets: list[socket.socket] = []
        self._loop = asyncio.get_running_loop()

    def send(self, data: bytes) -> None:
        family = socket.AF_INET6 if ":" in self.path.remote[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        self._sockets.append(sock)
        sock.setblocking(False)
        ask_for_errors(sock, True)
        if family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, self.ttl)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, self.ttl)
        sock.connect(self.path.remote)
        self._loop.add_reader(sock, self._readable, self.ttl, sock)
        sock.send(data)

    async def close(self) -> None:
        for sock in self._sockets:
            self._loop.remove_reader(sock)
            sock.close()

    def _readable(self, ttl: int, sock: socket.socket) -> None:
        """An answer of the far end's is of no interest here, but must not lie there: epoll would report it for ever."""
        try:
            sock.recv(SIZE_BYTES)
        except OSError:  # the pending error, of which the queue says more
            self._told(ttl, sock)
