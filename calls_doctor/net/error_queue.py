"""A socket's error queue: what routers and hosts said with ICMP, and what this machine said itself (ip(7), IP_RECVERR).

Linux alone has it; elsewhere the queue is always empty.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from dataclasses import dataclass

from calls_doctor.errors import Icmp

HAS_ERROR_QUEUE = sys.platform == "linux"
_IP_RECVERR, _IPV6_RECVERR = 11, 25  # Python names them from 3.14 on
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
"""struct sock_extended_err: errno, origin, type, code, pad, info, data; the offender's sockaddr follows."""
_ORIGIN_LOCAL = 1
_ORIGINS = {2: 4, 3: 6}
"""ICMP and ICMPv6, with the version of IP."""


@dataclass(frozen=True)
class Queued:
    """One entry of the queue."""

    number: int
    """The errno."""
    icmp: Icmp | None
    """None: this machine said it."""
    info: int
    """With EMSGSIZE the MTU."""


def ask_for_errors(sock: socket.socket, wanted: bool) -> None:
    """Has the kernel queue ICMP errors with their senders; turning it off empties the queue."""
    if not HAS_ERROR_QUEUE:
        return
    if sock.family is socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, int(wanted))
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, int(wanted))


def queued_errors(sock: socket.socket) -> list[Queued]:
    """Empties it: as long as something lies in it, epoll reports the socket, and a core burns."""
    found: list[bytes] = []
    while HAS_ERROR_QUEUE:
        try:
            _, control, _, _ = sock.recvmsg(2048, 512, socket.MSG_ERRQUEUE)
        except OSError:  # most often BlockingIOError: the queue is empty
            break
        found += [data for _, _, data in control]
    return [queued for data in found if (queued := _parsed(data))]


def _parsed(data: bytes) -> Queued | None:
    """One sock_extended_err; None for what comes from elsewhere (time stamps)."""
    if len(data) < _EXTENDED_ERROR.size:
        return None
    number, origin, kind, code, _, info, _ = _EXTENDED_ERROR.unpack_from(data)
    if origin == _ORIGIN_LOCAL:
        return Queued(number, None, info)
    if origin not in _ORIGINS:
        return None
    return Queued(number, Icmp(_ORIGINS[origin], kind, code, _offender(data[_EXTENDED_ERROR.size :])), info)


def _offender(sockaddr: bytes) -> str:
    """Who sent the ICMP error: the host itself, or a router or firewall before it; "" where nobody says."""
    family = int.from_bytes(sockaddr[:2], sys.byteorder)
    if family == socket.AF_INET and len(sockaddr) >= 8:
        return str(ipaddress.IPv4Address(sockaddr[4:8]))
    if family == socket.AF_INET6 and len(sockaddr) >= 24:
        return str(ipaddress.IPv6Address(sockaddr[8:24]))
    return ""
