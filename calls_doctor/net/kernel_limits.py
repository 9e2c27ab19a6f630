"""How much this machine lets a program have: UDP socket buffers, open files, ephemeral ports; and what its sockets have
dropped for want of room. Reads the kernel's own accounts, and sends nothing.
"""

from __future__ import annotations

import contextlib
import re
import socket
import sys
from pathlib import Path

_PROC = Path("/proc")
_OPEN_FILES = re.compile(r"^Max open files\s+(?P<soft>\S+)\s+(?P<hard>\S+)", re.MULTILINE)
UNLIMITED = 2**63 - 1


def receive_buffer_max_bytes(wanted_bytes: int) -> int:
    """What a UDP socket is granted that asks for so much: at most net.core.rmem_max, without privileges."""
    return _granted_bytes(socket.SO_RCVBUF, wanted_bytes)


def send_buffer_max_bytes(wanted_bytes: int) -> int:
    """The same for sending: net.core.wmem_max."""
    return _granted_bytes(socket.SO_SNDBUF, wanted_bytes)


def _granted_bytes(option: int, wanted_bytes: int) -> int:
    """Linux answers with twice what it grants, for its own bookkeeping (socket(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with contextlib.suppress(OSError):  # other systems refuse instead of granting less
            sock.setsockopt(socket.SOL_SOCKET, option, wanted_bytes)
        granted = sock.getsockopt(socket.SOL_SOCKET, option)
    return granted // 2 if sys.platform == "linux" else granted


def socket_drops(port: int) -> int | None:
    """How many datagrams the UDP sockets on this port have dropped since they were opened; None where there is none, or
    nothing tells."""
    drops = []
    for table in ("udp", "udp6"):
        for line in _lines(f"net/{table}")[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port:
                drops.append(int(fields[-1]))
    return sum(drops) if drops else None


def receive_buffer_errors() -> int | None:
    """Datagrams that this machine has dropped since it started because some socket's buffer was full."""
    names, values = ([line.split() for line in _lines("net/snmp") if line.startswith("Udp:")] or [[], []])[:2]
    return int(values[names.index("RcvbufErrors")]) if "RcvbufErrors" in names else None


def ephemeral_ports() -> list[int]:
    """The first and the last port that the system picks from by itself; [] where nothing tells."""
    return [int(word) for line in _lines("sys/net/ipv4/ip_local_port_range")[:1] for word in line.split()]


def open_files(pid: int | None = None) -> tuple[int, int] | None:
    """How many files and sockets a process may have open, soft and hard; None where nothing tells. None: this one."""
    found = _OPEN_FILES.search("\n".join(_lines(f"{pid or 'self'}/limits")))
    return (_number(found["soft"]), _number(found["hard"])) if found else None


def _number(text: str) -> int:
    return UNLIMITED if text == "unlimited" else int(text)


def _lines(name: str) -> list[str]:
    try:
        return (_PROC / name).read_text().splitlines()
    except OSError:
        return []
