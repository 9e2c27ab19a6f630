"""What a TURN server was told about peers, and when it must be told again (RFC 8656 sections 9 and 12). Pure."""

from __future__ import annotations

from collections.abc import Iterable

from calls_doctor.model.flow import Address
from calls_doctor.wire.turn_stream import CHANNEL_FIRST, CHANNEL_LAST

PERMISSION_REFRESH_S = 240.0
"""A permission lasts 300 s and cannot be asked for longer (RFC 8656 section 9)."""
CHANNEL_REFRESH_S = 240.0
"""A channel lasts 600 s, the permission that comes with it 300 s."""
NEVER = float("inf")


class Peers:
    """Permissions by IP address literal, channels by address and port. All times are in seconds."""

    def __init__(self) -> None:
        self._permitted: dict[str, float] = {}
        """IP address literal -> when to refresh; NEVER while a channel to it is refreshed."""
        self._channels: dict[Address, int] = {}
        self._by_number: dict[int, Address] = {}
        self._bound: dict[Address, float] = {}
        """Peer -> when to refresh, for the channels that the server confirmed."""

    def number_for(self, peer: Address) -> int:
        """The number of the channel to this peer, a new one the first time. Raises ValueError when all are used."""
        number = self._channels.get(peer)
        if number is None:
            number = CHANNEL_FIRST + len(self._channels)
            if number > CHANNEL_LAST:
                raise ValueError("this allocation has no channel left")
            self._channels[peer] = number
            self._by_number[number] = peer
        return number

    def peer_of(self, number: int) -> Address | None:
        """Whose channel has this number."""
        return self._by_number.get(number)

    def is_bound(self, peer: Address) -> bool:
        """True where the server has confirmed a channel to this peer, which is refreshed from then on."""
        return peer in self._bound

    def is_permitted(self, ip: str) -> bool:
        """True where the server has confirmed that this address's data may pass."""
        return ip in self._permitted

    def permit(self, ips: Iterable[str], now: float) -> None:
        """The server lets data pass from and to these."""
        for ip in ips:
            channelled = any(peer[0] == ip for peer in self._bound)
            self._permitted[ip] = NEVER if channelled else now + PERMISSION_REFRESH_S

    def bind(self, peer: Address, now: float) -> int:
        """The server has bound the channel, which brings the permission along; gives the channel's number."""
        self._bound[peer] = now + CHANNEL_REFRESH_S
        self._permitted[peer[0]] = NEVER
        return self._channels[peer]

    def take_due_permissions(self, now: float) -> list[str]:
        """Addresses to ask for again; they are due no more until the answer sets the next time."""
        due = [ip for ip, at in self._permitted.items() if now >= at]
        self._permitted.update(dict.fromkeys(due, NEVER))
        return due

    def take_due_channels(self, now: float) -> list[Address]:
        """The same for channels."""
        due = [peer for peer, at in self._bound.items() if now >= at]
        self._bound.update(dict.fromkeys(due, NEVER))
        return due

    def ask_permissions_again(self, ips: Iterable[str], at: float) -> None:
        """A refresh was never answered: those that had been confirmed are due again then."""
        self._permitted.update(dict.fromkeys([ip for ip in ips if ip in self._permitted], at))

    def ask_channel_again(self, peer: Address, at: float) -> None:
        """The same for a channel."""
        if peer in self._bound:
            self._bound[peer] = at

    def next_refresh(self) -> float | None:
        """When the next is due; None where none is."""
        return min((at for at in (*self._permitted.values(), *self._bound.values()) if at != NEVER), default=None)
