"""UDP and TCP to one far end, as channels; and which ports and addresses this machine has.

What differs between platforms lives here, in error_queue.py, hops.py and local_ports.py alone: Linux tells an ICMP
error and its sender, other systems give ECONNREFUSED at most. A channel never opens a second socket, never uses
SO_REUSEPORT, and hands its owner packets and trouble; it knows nothing of what the packets say.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

from calls_doctor.errors import (
    Cut,
    Forbidden,
    FramingError,
    Icmp,
    NetworkError,
    NoRoute,
    NotSent,
    Refused,
    RefusedOnTheWay,
    Silence,
    Unreachable,
    Unresolved,
)
from calls_doctor.model.flow import Address, Path, Transport, shown
from calls_doctor.net import error_queue
from calls_doctor.net.error_queue import Queued, queued_errors
from calls_doctor.net.local_ports import PortOwner, can_bind, local_addresses, port_owner
from calls_doctor.net.resolver import has_route
from calls_doctor.wire.framing import Deframer, frame

__all__ = [
    "CAN_KEEP_WHOLE",
    "Channel",
    "ChannelOpener",
    "PortOwner",
    "Receiver",
    "WholeChannel",
    "can_bind",
    "local_addresses",
    "open_tcp",
    "open_udp",
    "open_whole_udp",
    "own_trouble",
    "port_owner",
    "shown",
    "trouble_row",
    "trouble_word",
]

DATAGRAM_MAX_BYTES = 65535
DRAIN_MAX = 64
"""How many datagrams one wake-up takes before others get their turn."""
WRITE_BUFFER_MAX_BYTES = 64 * 1024
"""What waits for a slow TCP connection beyond this is dropped: late media is lost media."""
CLOSE_S = 0.2
"""How long a closing TCP connection may take to hand its last bytes to the kernel."""

_PORT_UNREACHABLE = {4: (3, 3), 6: (1, 4)}
_HOST_UNREACHABLE = {4: (3, 1), 6: (1, 3)}
"""Which a machine says to itself where a neighbour does not answer (ARP, neighbour discovery)."""
_TOO_BIG = {4: (3, 4), 6: (2, 0)}
"""The kernel learns from it and sends smaller: no trouble."""
_MTU_DISCOVER = {socket.AF_INET: (socket.IPPROTO_IP, 10), socket.AF_INET6: (socket.IPPROTO_IPV6, 23)}
"""IP_MTU_DISCOVER and IPV6_MTU_DISCOVER (ip(7)), which Python does not name."""
_PMTUDISC_PROBE = 3
"""Don't Fragment always, whatever the kernel has learnt of the path."""
_SAID_BY_THE_NETWORK = frozenset(
    {
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.ETIMEDOUT,
        errno.EACCES,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPROTO,
        errno.EPIPE,
    }
)
"""What a reset or an ICMP error becomes (Linux, net/ipv4/icmp.c and net/ipv6/icmp.c); never EPERM."""
_NO_TROUBLE = (errno.ENOBUFS, errno.EMSGSIZE) if error_queue.HAS_ERROR_QUEUE else (errno.ENOBUFS,)
CAN_KEEP_WHOLE = error_queue.HAS_ERROR_QUEUE
"""Whether this platform sends datagrams that no router may cut, and tells who would have had to."""


class Receiver(Protocol):
    """Who takes what a channel brings. Both are called in the loop's thread and must not raise."""

    def packet(self, data: bytes) -> None:
        """One datagram, or one frame of a TCP connection."""

    def trouble(self, error: NetworkError) -> None:
        """The network said something; each kind comes once. Only after Cut is the channel of no more use."""


class Channel(Protocol):
    """One way to one far end: a connected UDP socket, a TCP connection, or a relay's."""

    @property
    def path(self) -> Path:
        """Its 5-tuple."""

    def send(self, data: bytes) -> None:
        """Sends one packet, or drops it where there is no room. Never raises; trouble goes to the receiver."""

    async def close(self) -> None:
        """Hands the last packets to the kernel and closes. May be called twice."""


class WholeChannel(Channel, Protocol):
    """A UDP channel whose datagrams are never cut."""

    @property
    def mtu_bytes(self) -> int | None:
        """The least MTU that this machine or a router on the path (ICMP 3/4, ICMPv6 2) has named; None: nobody did."""


ChannelOpener = Callable[[Receiver], Awaitable[Channel]]
"""Opens a channel for this receiver. Raises NetworkError."""


async def open_udp(remote: Address, receiver: Receiver, *, local: Address | None = None) -> Channel:
    """A connected UDP socket. Raises NotSent, also where `local` cannot be bound."""
    return _opened_udp(remote, receiver, local)


async def open_whole_udp(remote: Address, receiver: Receiver) -> WholeChannel:
    """The same where CAN_KEEP_WHOLE, with datagrams that are never cut into fragments: one that is too large for the
    path is lost, and `mtu_bytes` says whether anybody told. Raises NotSent."""
    channel = _opened_udp(remote, receiver, None)
    channel.keep_whole()
    return channel


def _opened_udp(remote: Address, receiver: Receiver, local: Address | None) -> _UdpChannel:
    what = f"UDP to {shown(remote)}"
    sock = _socket(remote, socket.SOCK_DGRAM, what)
    try:
        if local is not None:
            sock.bind(local)
        sock.connect(remote)
        return _UdpChannel(sock, remote, receiver, what)
    except OSError as error:
        sock.close()
        raise _trouble_of(error, what, remote) from None


async def open_tcp(remote: Address, receiver: Receiver, timeout_s: float) -> Channel:
    """A TCP connection whose packets are framed (RFC 4571). Raises Refused, Unreachable, NotSent, or Silence
    after `timeout_s` without an answer."""
    what = f"TCP to {shown(remote)}"
    loop = asyncio.get_running_loop()
    sock = _socket(remote, socket.SOCK_STREAM, what)
    try:
        async with asyncio.timeout(timeout_s):
            await loop.sock_connect(sock, remote)
        error_queue.ask_for_errors(sock, False)  # asyncio's transport would spin on a queue that it does not read
        channel = _TcpChannel(sock, remote, receiver, what)
        await loop.create_connection(lambda: channel, sock=sock)
        return channel
    except TimeoutError:
        sock.close()
        raise Silence(what, timeout_s) from None
    except OSError as error:
        queued = [trouble for one in queued_errors(sock) if (trouble := _trouble_from(one, what, remote))]
        sock.close()
        raise (queued[0] if queued else _trouble_of(error, what, remote)) from None
    except BaseException:
        sock.close()
        raise


def trouble_row(error: NetworkError) -> dict[str, str]:
    """The word, and who refused where that is another than was asked, for a row of evidence."""
    row = {"trouble": trouble_word(error)}
    return row | {"refused_by": error.icmp.sender} if isinstance(error, RefusedOnTheWay) and error.icmp else row


def trouble_word(error: NetworkError) -> str:
    """One word for the kind of trouble, for evidence: causes decide by it."""
    words = {
        Refused: "refused", Silence: "silent", Cut: "cut", Unresolved: "unresolved", NoRoute: "no-route",
        Forbidden: "forbidden", NotSent: "not-sent",
    }  # fmt: skip
    return next((word for kind, word in words.items() if isinstance(error, kind)), "unreachable")


def _socket(remote: Address, kind: socket.SocketKind, what: str) -> socket.socket:
    version = ipaddress.ip_address(remote[0].split("%")[0]).version
    try:
        # Named, the protocol makes asyncio set TCP_NODELAY; it leaves a socket of protocol 0 alone.
        protocol = socket.IPPROTO_TCP if kind is socket.SOCK_STREAM else 0
        sock = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, kind, protocol)
    except OSError as error:
        raise _trouble_of(error, what, remote) from None
    sock.setblocking(False)
    error_queue.ask_for_errors(sock, True)
    return sock


def _mtu_from(queued: Queued) -> int | None:
    """The MTU that an entry of the error queue names; None where it is about something else."""
    told = queued.icmp is None or _is(queued.icmp, _TOO_BIG)
    return queued.info if told and queued.number == errno.EMSGSIZE else None


def _trouble_from(queued: Queued, what: str, remote: Address) -> NetworkError | None:
    """What an entry of the error queue says; None for what is no trouble."""
    icmp = queued.icmp
    if icmp is None or _is(icmp, _TOO_BIG):
        return None
    elsewhere = icmp.sender != remote[0] and not _is(icmp, _HOST_UNREACHABLE)
    if elsewhere and icmp.sender in local_addresses():  # a rule that rejects says so to its own machine
        return Forbidden(what, detail=str(icmp), icmp=icmp)
    if _is(icmp, _PORT_UNREACHABLE):
        kind = RefusedOnTheWay if icmp.sender not in ("", remote[0]) else Refused
        return kind(what, detail=str(icmp), icmp=icmp)
    return Unreachable(what, detail=f"{os.strerror(queued.number)}, {icmp}", icmp=icmp)


def _told_by_the_queue(pending: OSError) -> bool:
    return error_queue.HAS_ERROR_QUEUE and pending.errno == errno.ECONNREFUSED


def _is(icmp: Icmp, kind: dict[int, tuple[int, int]]) -> bool:
    return kind[icmp.version] == (icmp.type, icmp.code)


def own_trouble(error: OSError, what: str, remote: Address) -> NotSent | None:
    """What kept this machine itself from sending; None where the network said the error. A router's ICMP error that
    came in before gives the same errno as a missing route, so the routing table itself is asked."""
    number = error.errno
    if number in (errno.ENETUNREACH, errno.EHOSTUNREACH) and not has_route(remote[0]):
        return NoRoute(what, detail=remote[0])
    if number is None or number in _SAID_BY_THE_NETWORK:
        return None
    kind = Forbidden if number == errno.EPERM else NotSent
    return kind(what, detail=f"{errno.errorcode.get(number, number)}, {os.strerror(number)}")


def _trouble_of(error: OSError, what: str, remote: Address) -> NetworkError:
    """The error that an errno stands for."""
    if own := own_trouble(error, what, remote):
        return own
    if error.errno in (errno.ECONNREFUSED, errno.ECONNRESET):
        return Refused(what)
    if error.errno == errno.ETIMEDOUT:
        return Silence(what, detail="the system gave up")
    return Unreachable(what, detail=os.strerror(error.errno or 0))


class _UdpChannel:
    """A connected UDP socket of our own: asyncio's transport reads one datagram a turn and no error queue."""

    def __init__(self, sock: socket.socket, remote: Address, receiver: Receiver, what: str) -> None:
        self._sock, self._receiver, self._what = sock, receiver, what
        self.path = Path(Transport.UDP, sock.getsockname()[:2], remote)
        self._told: set[tuple[type, str]] = set()
        self._closed = False
        self.mtu_bytes: int | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._readable)

    def keep_whole(self) -> None:
        """Sets Don't Fragment for good."""
        level, option = _MTU_DISCOVER[self._sock.family]
        self._sock.setsockopt(level, option, _PMTUDISC_PROBE)

    def send(self, data: bytes) -> None:
        if self._closed:
            return
        for _ in range(2):  # the first attempt may only report an earlier packet's error
            try:
                self._sock.send(data)
                return
            except BlockingIOError:
                return  # no room: lost, as it might have been further on
            except OSError as error:
                pending = error
        # What is too large for a link of this machine's (EMSGSIZE) is in the queue too, with that link's MTU.
        if pending.errno not in _NO_TROUBLE and not (_told_by_the_queue(pending)):
            # Not from here: the receiver may be in the middle of what made it send.
            self._loop.call_soon(self._tell, _trouble_of(pending, self._what, self.path.remote))

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._sock)
            self._sock.close()

    def _readable(self) -> None:
        """What came first, then what was refused since."""
        for _ in range(DRAIN_MAX):
            if self._closed:  # by the receiver
                return
            try:
                data = self._sock.recv(DATAGRAM_MAX_BYTES)
            except BlockingIOError:
                break
            except OSError as error:  # with an error queue it only says that there is something in that
                if not error_queue.HAS_ERROR_QUEUE:
                    self._tell(_trouble_of(error, self._what, self.path.remote))
                continue
            self._receiver.packet(data)
        for queued in [] if self._closed else queued_errors(self._sock):
            if mtu := _mtu_from(queued):
                self.mtu_bytes = min(mtu, self.mtu_bytes or mtu)
            elif trouble := _trouble_from(queued, self._what, self.path.remote):
                self._tell(trouble)

    def _tell(self, error: NetworkError) -> None:
        if self._closed or (type(error), error.detail) in self._told:
            return
        self._told.add((type(error), error.detail))
        self._receiver.trouble(error)


class _TcpChannel(asyncio.Protocol):
    """A TCP connection on asyncio's own transport, which sets TCP_NODELAY."""

    def __init__(self, sock: socket.socket, remote: Address, receiver: Receiver, what: str) -> None:
        self.path = Path(Transport.TCP, sock.getsockname()[:2], remote)
        self._receiver, self._what = receiver, what
        self._deframer = Deframer()
        self._transport: asyncio.Transport | None = None
        self._lost = asyncio.get_running_loop().create_future()
        self._closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            while frames := self._deframer.feed(data):
                for packet in frames:
                    if not self._closed:
                        self._receiver.packet(packet)
                data = b""  # a bad frame behind good ones is told with the next call
        except FramingError as error:
            self._cut(str(error))
            if self._transport:
                self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost.set_result(None)
        said = os.strerror(error.errno or 0) if isinstance(error, OSError) else "the far end closed the connection"
        self._cut(said)

    def send(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() + len(data) <= WRITE_BUFFER_MAX_BYTES:
            self._transport.write(frame(data))

    async def close(self) -> None:
        self._closed = True
        if self._transport is None:
            return
        self._transport.close()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await asyncio.shield(self._lost)
        finally:
            self._transport.abort()

    def _cut(self, detail: str) -> None:
        if not self._closed:
            self._closed = True
            self._receiver.trouble(Cut(self._what, detail=detail))
