"""Which ports of this machine are taken, by whom, and which addresses it has. Sends nothing.

net/sockets.py passes these on; import them from there.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from calls_doctor.model.flow import Transport

_PROC = Path("/proc")
_LISTEN = "0A"
_KINDS = {Transport.UDP: socket.SOCK_DGRAM, Transport.TCP: socket.SOCK_STREAM}
_ELSEWHERE = (("192.0.2.1", socket.AF_INET), ("2001:db8::1", socket.AF_INET6))
"""Documentation addresses (RFC 5737, RFC 3849): connecting a UDP socket to them sends nothing."""


@dataclass(frozen=True)
class PortOwner:
    """Whose socket holds a port."""

    uid: int
    pid: int | None = None
    """None where the process is not ours to look into: that takes root."""
    command: str | None = None
    """The program's short name, never its arguments: those may hold secrets."""

    def __str__(self) -> str:
        if self.pid is None:
            return f"a program of uid {self.uid}"
        return f"{self.command or 'a program'} (pid {self.pid}, uid {self.uid})"


def can_bind(transport: Transport, host: str, port: int) -> OSError | None:
    """Binds the port plainly for a moment; the error where that fails."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, _KINDS[transport]) as sock:
            if transport is Transport.TCP and sys.platform != "win32":
                # As every server does: connections that linger from before (TIME_WAIT) take no port, listeners do.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
    except OSError as error:
        return error
    return None


def port_owner(transport: Transport, host: str, port: int) -> PortOwner | None:
    """Who holds the port; None where that cannot be told: not Linux, or nobody does."""
    wanted = ipaddress.ip_address(host)
    for version in ("", "6"):
        for address, local_port, uid, inode in _sockets(f"{transport}{version}"):
            same = address == wanted or address.is_unspecified or wanted.is_unspecified
            if local_port == port and same:
                pid = _process_with(inode)
                return PortOwner(uid, pid, _command(pid) if pid else None)
    return None


def _sockets(table: str) -> Iterator[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int, int, int]]:
    """The rows of /proc/net/TABLE that hold a port: local address, port, uid, inode. Connections hold none."""
    try:
        lines = (_PROC / "net" / table).read_text().splitlines()[1:]
    except OSError:
        return
    for line in lines:
        fields = line.split()
        host, _, port = fields[1].partition(":")
        if table.startswith("udp") or fields[3] == _LISTEN:
            yield _address(host), int(port, 16), int(fields[7]), int(fields[9])


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address as the kernel prints it: 32-bit words in hexadecimal, each in the machine's byte order."""
    packed = b"".join(int(text[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8))
    address = ipaddress.ip_address(packed)
    return getattr(address, "ipv4_mapped", None) or address


def _process_with(inode: int) -> int | None:
    """The process that has the socket open; None where none of those that may be looked into has."""
    link = f"socket:[{inode}]"
    for process in _PROC.iterdir():
        if not process.name.isdigit():
            continue
        try:
            if any(str(descriptor.readlink()) == link for descriptor in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:  # not ours, or it ended meanwhile
            continue
    return None


def _command(pid: int) -> str | None:
    try:
        return (_PROC / str(pid) / "comm").read_text().strip() or None
    except OSError:
        return None


def local_addresses() -> list[str]:
    """The addresses of this machine, loopback's too; where only Linux could list them all, those that it sends from."""
    found = list(dict.fromkeys([*_ipv4_addresses(), *_ipv6_addresses()]))
    if not found:
        found = ["127.0.0.1", *(address for address in map(_source_towards, _ELSEWHERE) if address)]
    return found


def _ipv4_addresses() -> Iterator[str]:
    """From the kernel's routing trie: each local address is a leaf, and the line below says so."""
    try:
        lines = (_PROC / "net" / "fib_trie").read_text().splitlines()
    except OSError:
        return
    leaf = ""
    for line in lines:
        words = line.split()
        if words and words[0] == "|--":
            leaf = words[1]
        elif leaf and words[:3] == ["/32", "host", "LOCAL"]:
            yield leaf
            leaf = ""


def _ipv6_addresses() -> Iterator[str]:
    try:
        lines = (_PROC / "net" / "if_inet6").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        yield str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0])))


def _source_towards(target: tuple[str, socket.AddressFamily]) -> str:
    """The address this machine would send from; "" where it has no route."""
    host, family = target
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((host, 9))
            return str(sock.getsockname()[0])
    except OSError:
        return ""
