"""How this machine finds addresses of names: its hosts file, its resolvers, and in what order it asks (hosts(5),
resolv.conf(5), nsswitch.conf(5)). Reads files and sends nothing."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import dns.exception
import dns.resolver

HOSTS, RESOLV_CONF, NSSWITCH = Path("/etc/hosts"), Path("/etc/resolv.conf"), Path("/etc/nsswitch.conf")
SERVERS_MAX = 3
"""glibc asks no more (resolv.conf(5), MAXNS)."""
SEARCH_MAX = 6
ASKS_DNS = ("dns", "resolve")
"""Sources of nsswitch.conf behind which there is DNS: the C library's own, and systemd-resolved."""
FILE_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class NameService:
    """What the files say."""

    servers: tuple[str, ...] = ()
    """IP address literals, in the order in which they are asked."""
    search: tuple[str, ...] = ()
    """Domains that are tried behind a name."""
    dots: int = 1
    """A name with so many dots is asked for as it stands first."""
    sources: tuple[str, ...] = ()
    """Of nsswitch.conf; empty where nothing is said."""
    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Lower-case name -> addresses, of the hosts file."""

    @property
    def asks_dns(self) -> bool:
        """False where nsswitch.conf leaves DNS out: what a DNS server knows is then of no use to this machine."""
        return not self.sources or any(one in ASKS_DNS for one in self.sources)

    def questions(self, name: str) -> tuple[str, ...]:
        """The full names that are asked for, one after the other, until one of them is there."""
        if name.endswith("."):
            return (name,)
        longer = tuple(f"{name}.{domain}" for domain in self.search[:SEARCH_MAX])
        return (name, *longer) if name.count(".") >= self.dots else (*longer, name)


def read() -> NameService:
    """What this machine's files say; nothing where there are none. Blocks for as long as it takes to read them."""
    servers, search, dots = _resolvers()
    return NameService(servers, search, dots, _sources(_text(NSSWITCH)), _hosts(_text(HOSTS)))


def _resolvers() -> tuple[tuple[str, ...], tuple[str, ...], int]:
    try:
        found = dns.resolver.Resolver(str(RESOLV_CONF))
    except (dns.exception.DNSException, OSError, ValueError):
        return (), (), 1
    servers = [one for one in found.nameservers if isinstance(one, str) and _is_address(one)]
    search = tuple(domain.to_text(omit_final_dot=True) for domain in found.search)
    return tuple(servers[:SERVERS_MAX]), search, found.ndots or 1


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(FILE_MAX_BYTES)
    except OSError:
        return ""


def _sources(text: str) -> tuple[str, ...]:
    """Without what is to be done in which case: [NOTFOUND=return]."""
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    words = next((line[1:] for line in lines if line and line[0] == "hosts:"), [])
    return tuple(word for word in words if word[0] != "[" and word[-1] != "]")


def _hosts(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if names and _is_address(address):
            for name in names:
                found[name.lower()] = (*found.get(name.lower(), ()), address)
    return found


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return False
    return True
