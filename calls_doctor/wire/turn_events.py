"""What happens in a TURN client's conversation (`wire/turn.py`), told as facts; nothing here acts."""

from __future__ import annotations

from dataclasses import dataclass

from calls_doctor.model.flow import Address
from calls_doctor.wire.stun import Method


@dataclass(frozen=True)
class Challenged:
    """A request without credentials drew 401; realm and nonce are None where the answer lacks them."""

    realm: str | None
    nonce: bytes | None
    software: str | None


@dataclass(frozen=True)
class Allocated:
    """The server relays for us from now on."""

    relayed: Address
    mapped: Address | None
    """Our own address as the server sees it; None where it does not say."""
    lifetime_s: int
    software: str | None
    authenticated: bool
    """False where the server asked for no credentials: an open relay."""


@dataclass(frozen=True)
class Refused:
    """The final word of the server on a request. Code 437 on Allocate asks for a new socket (RFC 8656 section 7.4)."""

    method: Method
    code: int
    reason: str
    peers: tuple[Address, ...] = ()
    software: str | None = None


@dataclass(frozen=True)
class TryAlternate:
    """300: another server should be asked."""

    server: Address


@dataclass(frozen=True)
class PermissionCreated:
    """Data passes to and from these peers; again at each refresh. Ports mean nothing here."""

    peers: tuple[Address, ...]


@dataclass(frozen=True)
class ChannelBound:
    """The peer has a channel; again at each refresh."""

    peer: Address
    number: int


@dataclass(frozen=True)
class Data:
    """A peer's datagram came through the relay."""

    peer: Address
    data: bytes


@dataclass(frozen=True)
class Released:
    """The server has forgotten the allocation."""


@dataclass(frozen=True)
class TimedOut:
    """No answer on the whole schedule."""

    method: Method
    after_s: float
    peers: tuple[Address, ...] = ()


Event = Challenged | Allocated | Refused | TryAlternate | PermissionCreated | ChannelBound | Data | Released | TimedOut
