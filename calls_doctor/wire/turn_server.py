"""The server's side of TURN (RFC 8656) without a socket: allocations, permissions, channels, and what is relayed.

Packets come with the 5-tuple they came by, or with the relayed address they came to; what is to be sent is asked for
with `packets_to_send` and `datagrams_to_relay`. A port is asked of `allot` and given back by `freed`. It relays
nothing without a permission, and answers nobody who is not authenticated more often than the rate limit allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from calls_doctor.errors import FramingError, StunError
from calls_doctor.model.flow import Address, Path, Transport
from calls_doctor.wire import stun
from calls_doctor.wire.rate_limit import RateLimit
from calls_doctor.wire.stun import Message, MessageClass, Method
from calls_doctor.wire.stun_server import BindingResponder, answer, not_understood
from calls_doctor.wire.turn_allocation import Allocations
from calls_doctor.wire.turn_auth import Authenticator, Challenge
from calls_doctor.wire.turn_requests import UNDERSTOOD, Allot, Limits, Requests
from calls_doctor.wire.turn_stream import channel_data, parse_channel_data

RELAYED_MAX_BYTES = 4000
"""Larger datagrams are not relayed: media stays below 1500, and clients bound what they read."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Ways to fail on purpose, for whoever tests a client; the default is none."""

    mute: bool = False
    """Nothing is answered and nothing relayed."""
    refuse: Mapping[int, int] = field(default_factory=dict)
    """Method -> the error code that authenticated requests get."""
    lose_to_peers: bool = False
    lose_from_peers: bool = False


class TurnServer:
    """All clients of one server. `may_relay(ip)` is the policy on peers (403 where it says no); of what is sent to a
    peer that it allows, and comes from there, `may_reach(peer)` sees the port too; other relays of ours are allowed."""

    def __init__(
        self,
        authenticator: Authenticator,
        allot: Allot,
        may_relay: Callable[[str], bool],
        *,
        software: str,
        may_reach: Callable[[Address], bool] = lambda _peer: True,
        limits: Limits | None = None,
        answers: RateLimit | None = None,
    ) -> None:
        self._authenticator, self._software, self._may_reach = authenticator, software, may_reach
        self._answers = answers or RateLimit()
        self._binding = BindingResponder(software, self._answers)
        self._allocations = Allocations()
        self._requests = Requests(self._allocations, allot, may_relay, limits or Limits(), software)
        self._to_clients: list[tuple[Path, bytes]] = []
        self._to_peers: list[tuple[Address, Address, bytes]] = []
        self._sent_data = 0
        self.faults = Faults()
        """May be changed at any time."""

    @property
    def allocations(self) -> int:
        """How many there are now."""
        return len(self._allocations)

    def has_allocation(self, client: Path) -> bool:
        """True where the client holds one."""
        return self._allocations.of_client(client) is not None

    def receive(self, packet: bytes, client: Path, now: float) -> None:
        """Takes one datagram, or one message of a stream. Never raises on what a client sends."""
        self.handle_timer(now)
        if self.faults.mute:
            return
        if packet[:1] and packet[0] >> 6 == 1:
            self._receive_channel_data(packet, client, now)
            return
        try:
            message = stun.parse(packet)
        except StunError:
            return
        if message.message_class is MessageClass.REQUEST:
            said = self._answer(message, client, now)
            if said is not None:
                self._to_clients.append((client, said))
        elif message.message_class is MessageClass.INDICATION and message.method == Method.SEND:
            self._receive_send(message, client, now)

    def receive_from_peer(self, relayed: Address, peer: Address, data: bytes, now: float) -> None:
        """Takes one datagram that came to a relayed address."""
        allocation = self._allocations.at(relayed)
        if (
            allocation is None
            or allocation.expires_at <= now
            or not allocation.permits(peer[0], now)
            or not self._reaches(peer)
            or len(data) > RELAYED_MAX_BYTES
            or self.faults.mute
            or self.faults.lose_from_peers
        ):
            return
        number = allocation.channel_to(peer, now)
        if number is not None:
            packet = channel_data(number, data, padded=allocation.client.transport is not Transport.UDP)
        else:
            attributes: stun.Attributes = [(stun.XOR_PEER_ADDRESS, peer), (stun.DATA, data)]
            self._sent_data += 1  # nobody answers an indication: its id need not be a secret
            transaction_id = self._sent_data.to_bytes(stun.TRANSACTION_ID_BYTES, "big")
            packet = Message(Method.DATA, MessageClass.INDICATION, transaction_id, attributes).encode()
        self._to_clients.append((allocation.client, packet))

    def client_gone(self, client: Path) -> None:
        """The client's connection has ended: its allocation ends too (RFC 8656 section 3.1)."""
        allocation = self._allocations.of_client(client)
        if allocation is not None:
            self._allocations.remove(allocation)

    def handle_timer(self, now: float) -> None:
        """Frees what has expired."""
        self._allocations.expire(now)

    def next_timer(self) -> float | None:
        """When `handle_timer` wants to be called next; None while there is no allocation."""
        return self._allocations.next_expiry()

    def packets_to_send(self) -> list[tuple[Path, bytes]]:
        """What goes to clients now; each packet is given once."""
        packets, self._to_clients = self._to_clients, []
        return packets

    def datagrams_to_relay(self) -> list[tuple[Address, Address, bytes]]:
        """What goes to peers now: relayed address to send from, peer, data."""
        datagrams, self._to_peers = self._to_peers, []
        return datagrams

    def freed(self) -> list[Address]:
        """Relayed addresses that are no longer needed, since the last call."""
        return self._allocations.freed()

    def _answer(self, request: Message, client: Path, now: float) -> bytes | None:
        if request.method == Method.BINDING:
            return self._binding.answer_to(request, client, now)
        if not self._requests.knows(request.method):
            return None
        login = self._authenticator.judge(request, client, now)
        if not isinstance(login, Challenge):
            return self._requests.answer(request, client, login, now, self.faults.refuse)
        if not self._answers.allows(client.remote[0], now):
            return None
        attributes = [(stun.ERROR_CODE, login.error), *login.attributes, (stun.SOFTWARE, self._software)]
        return answer(request, MessageClass.ERROR, attributes)

    def _reaches(self, peer: Address) -> bool:
        """Two relays may always talk to each other: both ends have shown who they are."""
        return self._may_reach(peer) or self._allocations.at(peer) is not None

    def _receive_send(self, indication: Message, client: Path, now: float) -> None:
        peer, data = indication.get(stun.XOR_PEER_ADDRESS), indication.get(stun.DATA)
        if peer is not None and data is not None and not not_understood(indication, UNDERSTOOD):
            self._relay(client, peer, data, now)

    def _receive_channel_data(self, packet: bytes, client: Path, now: float) -> None:
        try:
            number, data = parse_channel_data(packet)
        except FramingError:
            return
        allocation = self._allocations.of_client(client)
        peer = allocation.peer_of(number, now) if allocation is not None else None
        if peer is not None:
            self._relay(client, peer, data, now)

    def _relay(self, client: Path, peer: Address, data: bytes, now: float) -> None:
        allocation = self._allocations.of_client(client)
        if allocation is None or not allocation.permits(peer[0], now) or self.faults.lose_to_peers:
            return
        if len(data) <= RELAYED_MAX_BYTES and self._reaches(peer):
            self._to_peers.append((allocation.relayed, peer, data))
