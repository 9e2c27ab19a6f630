"""Who talks to whom: roles, endpoints, flows, and how far an address reaches."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

import msgspec

Address = tuple[str, int]
"""An IP address literal and a port."""


def bracketed(host: str) -> str:
    """A host as it stands before a port: an IPv6 address in brackets (RFC 3986 section 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def shown(address: Address) -> str:
    """HOST:PORT, as URIs have it."""
    return f"{bracketed(address[0])}:{address[1]}"


class Transport(StrEnum):
    """What carries packets to the far end; RELAY is a TURN allocation, whatever runs between us and the server."""

    UDP = "udp"
    TCP = "tcp"
    RELAY = "relay"


class Path(NamedTuple):
    """One 5-tuple as this end sees it. For a relay, `local` is the relayed address."""

    transport: Transport
    local: Address
    remote: Address


class Role(StrEnum):
    """The parts a machine can play; a vantage is a role from which the doctor runs."""

    CLIENT = "client"
    MATTERMOST = "mattermost"
    MEDIA = "media"
    STUN = "stun"
    TURN = "turn"
    OFFLOADER = "offloader"


CALLERS = frozenset({Role.CLIENT, Role.OFFLOADER})
"""Who calls: what the media host and a Mattermost node see of their own ports says nothing of callers."""
SERVERS = frozenset({Role.MEDIA, Role.MATTERMOST, Role.TURN})
"""Vantages in the servers' network, by what they are."""


class Party(StrEnum):
    """Whose equipment must change."""

    CALLER_MACHINE = "caller-machine"
    CALLER_NETWORK = "caller-network"
    SERVER_NETWORK = "server-network"
    MEDIA_HOST = "media-host"
    MATTERMOST_HOST = "mattermost-host"
    TURN_HOST = "turn-host"
    OFFLOADER_HOST = "offloader-host"
    DNS_ZONE = "dns-zone"
    DNS_RESOLVER = "dns-resolver"
    MATTERMOST_SETTINGS = "mattermost-settings"
    RTCD_SETTINGS = "rtcd-settings"
    TURN_SETTINGS = "turn-settings"
    KUBERNETES = "kubernetes"
    PATH = "path"
    UNDECIDED = "undecided"


class Lost(StrEnum):
    """Which half of an exchange does not arrive."""

    REQUEST = "request"
    REPLY = "reply"
    BOTH = "both"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One end of a flow."""

    role: Role
    address: str = ""
    """A host name or an IP address literal, without the port; "" if none is known."""


class Flow(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One conversation on the network, in the words of a firewall team."""

    from_: Endpoint
    to: Endpoint
    protocol: str
    """"udp" or "tcp"."""
    port: int
    lost: Lost | None = None
    """Which half does not arrive; None where that is not the question or not known."""


class AddressClass(StrEnum):
    """How far an address reaches (contract section 6)."""

    LOOPBACK = "loopback"
    PRIVATE = "private"
    SHARED = "shared"
    LINK_LOCAL = "link-local"
    UNIQUE_LOCAL = "unique-local"
    PUBLIC = "public"

    @property
    def is_private(self) -> bool:
        """True for everything that does not reach across the internet."""
        return self is not AddressClass.PUBLIC

    @property
    def is_loopback(self) -> bool:
        """True for what never leaves the machine."""
        return self is AddressClass.LOOPBACK


_CLASSES = [
    (AddressClass.LOOPBACK, ("127.0.0.0/8", "::1/128")),
    (AddressClass.PRIVATE, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")),  # RFC 1918
    (AddressClass.SHARED, ("100.64.0.0/10",)),  # RFC 6598
    (AddressClass.LINK_LOCAL, ("169.254.0.0/16", "fe80::/10")),
    (AddressClass.UNIQUE_LOCAL, ("fc00::/7",)),  # RFC 4193
]
_NETWORKS = [(kind, ipaddress.ip_network(text)) for kind, texts in _CLASSES for text in texts]


def reachable_by_address(address: str, local: Iterable[str]) -> bool:
    """False for a private address where none of the local ones lies in the same range of private addresses: no route of
    one network leads there, and the Internet has none."""
    if not address_class(address).is_private:
        return True
    return _range_of(address) in {_range_of(one) for one in local}


def _range_of(address: str) -> object:
    """The range of private addresses that holds it; None where it is public."""
    ip = ipaddress.ip_address(address.split("%")[0])
    return next((network for _, network in _NETWORKS if ip.version == network.version and ip in network), None)


def is_literal(host: str) -> bool:
    """True for an IP address, False for a name."""
    try:
        address_class(host)
    except ValueError:
        return False
    return True


def address_class(address: str) -> AddressClass:
    """The class of an IP address literal; a zone index (`%eth0`) is ignored.

    Everything that is not private is public, the documentation ranges included: test networks use them.
    Raises ValueError where `address` is no literal.
    """
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    for kind, network in _NETWORKS:
        if ip.version == network.version and ip in network:
            return kind
    return AddressClass.PUBLIC
