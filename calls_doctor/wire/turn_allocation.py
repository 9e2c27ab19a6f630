"""What a TURN server remembers (RFC 8656 section 3.2): whose an allocation is, who may talk to it, until when.

Times are the caller's clock, in seconds. It decides who may pass; it never sends and never asks for a port.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from calls_doctor.model.flow import Address, Path

PERMISSION_S = 300.0
"""RFC 8656 section 9."""
CHANNEL_S = 600.0
"""RFC 8656 section 12."""
PEERS_MAX = 64
"""Permissions of one allocation, and channels: a call has a handful."""


@dataclass
class _Channel:
    peer: Address
    until: float


@dataclass
class Allocation:
    """One client's relayed address."""

    client: Path
    relayed: Address
    username: str
    """The user name it was made with; every later request must come with the same (RFC 8656 section 5)."""
    user: str
    """On whose quota it is."""
    transaction_id: bytes
    """Of the request that made it: the same once more is a retransmission."""
    expires_at: float
    _permissions: dict[str, float] = field(default_factory=dict)
    _channels: dict[int, _Channel] = field(default_factory=dict)

    def permit(self, ips: set[str], now: float) -> bool:
        """Lets these addresses send and be sent to, all or none; False where there is no room for them."""
        live = {ip: until for ip, until in self._permissions.items() if until > now}
        live.update(dict.fromkeys(ips, now + PERMISSION_S))
        if len(live) > PEERS_MAX:
            return False
        self._permissions = live
        return True

    def permits(self, ip: str, now: float) -> bool:
        """True while the permission holds."""
        return self._permissions.get(ip, 0.0) > now

    def bind(self, number: int, peer: Address, now: float) -> bool:
        """Binds the channel to the peer, or refreshes it; False where either has another, or none is left."""
        live = {bound: channel for bound, channel in self._channels.items() if channel.until > now}
        taken = self.channel_to(peer, now)
        if (taken is not None and taken != number) or (number in live and live[number].peer != peer):
            return False
        live[number] = _Channel(peer, now + CHANNEL_S)
        if len(live) > PEERS_MAX:
            return False
        self._channels = live
        return True

    def peer_of(self, number: int, now: float) -> Address | None:
        """Whom the channel leads to; None where it is not bound."""
        channel = self._channels.get(number)
        return channel.peer if channel is not None and channel.until > now else None

    def channel_to(self, peer: Address, now: float) -> int | None:
        """The peer's channel; None where it has none."""
        for number, channel in self._channels.items():
            if channel.peer == peer and channel.until > now:
                return number
        return None


class Allocations:
    """All that there are, by client and by relayed address."""

    def __init__(self) -> None:
        self._by_client: dict[Path, Allocation] = {}
        self._by_relayed: dict[Address, Allocation] = {}
        self._freed: list[Address] = []

    def __len__(self) -> int:
        return len(self._by_client)

    def add(self, allocation: Allocation) -> None:
        """The client has none yet, and nobody else has the address."""
        self._by_client[allocation.client] = self._by_relayed[allocation.relayed] = allocation

    def remove(self, allocation: Allocation) -> None:
        """Forgets it; its address is told by `freed`."""
        del self._by_client[allocation.client], self._by_relayed[allocation.relayed]
        self._freed.append(allocation.relayed)

    def expire(self, now: float) -> None:
        """Removes those whose time is over."""
        for allocation in [one for one in self._by_client.values() if one.expires_at <= now]:
            self.remove(allocation)

    def next_expiry(self) -> float | None:
        """When the next one ends; None where there is none."""
        return min((allocation.expires_at for allocation in self._by_client.values()), default=None)

    def of_client(self, client: Path) -> Allocation | None:
        """The client's, while it has one."""
        return self._by_client.get(client)

    def at(self, relayed: Address) -> Allocation | None:
        """Whose relayed address this is."""
        return self._by_relayed.get(relayed)

    def count(self, user: str) -> int:
        """How many are on this user's quota."""
        return sum(allocation.user == user for allocation in self._by_client.values())

    def freed(self) -> list[Address]:
        """Relayed addresses that nobody needs any more, since the last call."""
        freed, self._freed = self._freed, []
        return freed
