"""Bound sockets, for servers and for whoever hears everybody.

One UDP socket per local address: a wildcard bind answers from the wrong address on a multi-homed host. Never with
SO_REUSEPORT, which would share a port with whoever has it already. What a datagram means is nothing to this file.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Sequence

from calls_doctor.model.flow import Address

DATAGRAMS_PER_WAKE = 64
"""Read at most before others get a turn."""
DATAGRAM_BYTES = 65535
RECEIVE_BUFFER_BYTES = 1 << 20
SAME_PORT_TRIES = 16
"""How often another free port is tried where UDP and TCP cannot have the same."""


class DatagramSocket:
    """One bound UDP socket, read by a drain loop whenever the event loop finds it readable."""

    def __init__(self, sock: socket.socket, receive: Callable[[bytes, Address], None]) -> None:
        self._sock, self._receive = sock, receive
        host, port = sock.getsockname()[:2]
        self.address: Address = (host, port)
        asyncio.get_running_loop().add_reader(sock, self._drain)

    def send(self, data: bytes, to: Address) -> None:
        """Sends, or loses it: a full buffer and an unreachable address are what UDP promises."""
        try:  # noqa: SIM105 - once for every packet of an SFU, where suppress() costs more than all else here
            self._sock.sendto(data, to)
        except OSError:
            pass

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()

    def _drain(self) -> None:
        for _ in range(DATAGRAMS_PER_WAKE):
            try:
                data, sender = self._sock.recvfrom(DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error that belongs to an earlier send
                continue
            self._receive(data, (sender[0], sender[1]))
            if self._sock.fileno() < 0:  # what came led to the socket being closed
                return


def bound_udp(host: str, port: int) -> socket.socket:
    """A UDP socket on an address literal. Raises OSError where it cannot be had."""
    return _bound(host, port, socket.SOCK_DGRAM)


def bound_tcp(host: str, port: int) -> socket.socket:
    """A TCP socket on an address literal, not listening yet. Raises OSError where it cannot be had."""
    return _bound(host, port, socket.SOCK_STREAM)


def _bound(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    # Named, the protocol makes asyncio set TCP_NODELAY on what is accepted; it leaves a socket of protocol 0 alone.
    protocol = socket.IPPROTO_TCP if kind is socket.SOCK_STREAM else 0
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind, protocol)
    try:
        sock.setblocking(False)
        if kind is socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # TIME_WAIT of our own last run
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        if sock.family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def bound_both(addresses: Sequence[str], port: int) -> tuple[list[socket.socket], list[socket.socket]]:
    """UDP and TCP sockets on every address with the same port number; 0 finds one that is free everywhere.

    Raises OSError where a given port is taken, or no free one was found.
    """
    for left in reversed(range(SAME_PORT_TRIES)):
        with contextlib.ExitStack() as sockets:
            number = port
            bound: list[socket.socket] = []
            try:
                for kind in (bound_tcp, bound_udp):
                    for host in addresses:
                        sock = sockets.enter_context(kind(host, number))
                        number = sock.getsockname()[1]
                        bound.append(sock)
            except OSError as error:
                if port or not left or error.errno != errno.EADDRINUSE:
                    raise
                continue
            sockets.pop_all()
            return bound[len(addresses) :], bound[: len(addresses)]
    raise AssertionError("the last try returns or raises")
