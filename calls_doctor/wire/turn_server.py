"""The server's side of TURN (RFC 8656) without a socket: allocations, permissions, channels, and what is relayed.

Packets come with the 5-tuple they came by, or with the relayed address they came to; what is to be sent is asked for
with `packets_to_send` and `datagrams_to_relay`. A port is asked of `allot` and given back by `freed`. It relays
nothing without a permission, and answers nobody who is not authenticated more often than the rate limit allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any  # attributes have values of every type

from calls_doctor.errors import FramingError, StunError
from calls_doctor.model.flow import Address, Path, Transport
from calls_doctor.wire import stun
from calls_doctor.wire.rate_limit import RateLimit
from calls_doctor.wire.stun import ErrorCode, Message, MessageClass, Method
from calls_doctor.wire.stun_server import UNKNOWN_ATTRIBUTE, BindingResponder, answer, not_understood
from calls_doctor.wire.turn import DEFAULT_LIFETIME_S, TRANSPORT_UDP
from calls_doctor.wire.turn_allocation import Allocation
from calls_doctor.wire.turn_auth import Authenticator, Challenge, Login, user_of
from calls_doctor.wire.turn_stream import CHANNEL_FIRST, CHANNEL_LAST, channel_data, parse_channel_data

LIFETIME_MAX_S = 3600
"""RFC 8656 section 7.2."""
RELAYED_MAX_BYTES = 4000
"""Larger datagrams are not relayed: media stays below 1500, and clients bound what they read."""
PEERS_PER_REQUEST_MAX = 16
UNDERSTOOD: frozenset[stun.AttributeType[Any]] = frozenset(
    {
        stun.USERNAME, stun.REALM, stun.NONCE, stun.CHANNEL_NUMBER, stun.LIFETIME, stun.XOR_PEER_ADDRESS, stun.DATA,
        stun.REQUESTED_ADDRESS_FAMILY, stun.REQUESTED_TRANSPORT, stun.EVEN_PORT, stun.RESERVATION_TOKEN,
    }
)  # fmt: skip
"""DONT-FRAGMENT is not among them: a server that cannot set the bit refuses it with 420 (RFC 8656 section 7.2)."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much the server gives."""

    allocations_per_user: int = 8
    """486 beyond."""
    allocations: int = 64
    """Of all users together; 508 beyond."""
    lifetime_max_s: int = LIFETIME_MAX_S


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Ways to fail on purpose, for whoever tests a client; the default is none."""

    mute: bool = False
    """Nothing is answered and nothing relayed."""
    refuse: Mapping[int, int] = field(default_factory=dict)
    """Method -> the error code that authenticated requests get."""
    lose_to_peers: bool = False
    lose_from_peers: bool = False


class _Refused(Exception):
    """Ends the work on a request; never leaves this file."""

    def __init__(self, code: int, reason: str, attributes: stun.Attributes = ()) -> None:
        super().__init__(code, reason)
        self.attributes = [(stun.ERROR_CODE, ErrorCode(code, reason)), *attributes]


_Handler = Callable[[Message, Path, Login, float], stun.Attributes]


class TurnServer:
    """All clients of one server.

    `allot(client)` opens a UDP port for a client and gives its address, or None where there is none left;
    `may_relay(ip)` is the policy on peers (403 where it says no).
    """

    def __init__(
        self,
        authenticator: Authenticator,
        allot: Callable[[Path], Address | None],
        may_relay: Callable[[str], bool],
        *,
        software: str,
        limits: Limits | None = None,
        answers: RateLimit | None = None,
    ) -> None:
        self._authenticator, self._allot, self._may_relay = authenticator, allot, may_relay
        self._software = software
        self._limits = limits or Limits()
        self._answers = answers or RateLimit()
        self._binding = BindingResponder(software, self._answers)
        self._by_client: dict[Path, Allocation] = {}
        self._by_relayed: dict[Address, Allocation] = {}
        self._to_clients: list[tuple[Path, bytes]] = []
        self._to_peers: list[tuple[Address, Address, bytes]] = []
        self._freed: list[Address] = []
        self._sent_data = 0
        self._handlers: dict[int, _Handler] = {
            Method.ALLOCATE: self._allocate,
            Method.REFRESH: self._refresh,
            Method.CREATE_PERMISSION: self._create_permission,
            Method.CHANNEL_BIND: self._channel_bind,
        }
        self.faults = Faults()

    @property
    def allocations(self) -> int:
        """How many there are now."""
        return len(self._by_client)

    def has_allocation(self, client: Path) -> bool:
        """True where the client holds one."""
        return client in self._by_client

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
        allocation = self._by_relayed.get(relayed)
        if (
            allocation is None
            or allocation.expires_at <= now
            or not allocation.permits(peer[0], now)
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
        allocation = self._by_client.get(client)
        if allocation is not None:
            self._free(allocation)

    def handle_timer(self, now: float) -> None:
        """Frees what has expired."""
        for allocation in [one for one in self._by_client.values() if one.expires_at <= now]:
            self._free(allocation)

    def next_timer(self) -> float | None:
        """When `handle_timer` wants to be called next; None while there is no allocation."""
        return min((allocation.expires_at for allocation in self._by_client.values()), default=None)

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
        freed, self._freed = self._freed, []
        return freed

    def _free(self, allocation: Allocation) -> None:
        del self._by_client[allocation.client], self._by_relayed[allocation.relayed]
        self._freed.append(allocation.relayed)

    def _answer(self, request: Message, client: Path, now: float) -> bytes | None:
        if request.method == Method.BINDING:
            return self._binding.answer_to(request, client, now)
        handle = self._handlers.get(request.method)
        if handle is None:
            return None
        software = (stun.SOFTWARE, self._software)
        login = self._authenticator.judge(request, client, now)
        if isinstance(login, Challenge):
            if not self._answers.allows(client.remote[0], now):
                return None
            attributes = [(stun.ERROR_CODE, login.error), *login.attributes, software]
            return answer(request, MessageClass.ERROR, attributes)
        try:
            self._refuse_at_once(request)
            attributes = [*handle(request, client, login, now), software]
            return answer(request, MessageClass.SUCCESS, attributes, login.key)
        except _Refused as refused:
            return answer(request, MessageClass.ERROR, [*refused.attributes, software], login.key)

    def _refuse_at_once(self, request: Message) -> None:
        if unknown := not_understood(request, UNDERSTOOD):
            raise _Refused(UNKNOWN_ATTRIBUTE, "Unknown Attribute", [(stun.UNKNOWN_ATTRIBUTES, unknown)])
        code = self.faults.refuse.get(request.method)
        if code is not None:
            raise _Refused(code, "Refused on purpose")

    def _allocate(self, request: Message, client: Path, login: Login, now: float) -> stun.Attributes:
        known = self._by_client.get(client)
        if known is not None:
            if known.transaction_id != request.transaction_id or known.username != login.username:
                raise _Refused(437, "Allocation Mismatch")
            return self._allocated(known, now)  # a retransmission (RFC 8656 section 7.2)
        self._check_wishes(request, client)
        user = user_of(login.username)
        if sum(allocation.user == user for allocation in self._by_client.values()) >= self._limits.allocations_per_user:
            raise _Refused(486, "Allocation Quota Reached")
        relayed = self._allot(client) if len(self._by_client) < self._limits.allocations else None
        if relayed is None:
            raise _Refused(508, "Insufficient Capacity")
        expires_at = now + self._lifetime_s(request)
        allocation = Allocation(client, relayed, login.username, user, request.transaction_id, expires_at)
        self._by_client[client] = self._by_relayed[relayed] = allocation
        return self._allocated(allocation, now)

    def _check_wishes(self, request: Message, client: Path) -> None:
        transport = request.get(stun.REQUESTED_TRANSPORT)
        if transport is None:
            raise _Refused(400, "Bad Request")
        if transport != TRANSPORT_UDP:
            raise _Refused(442, "Unsupported Transport Protocol")
        family = request.get(stun.REQUESTED_ADDRESS_FAMILY)
        if family is not None and family != _family(client.local[0]):
            raise _Refused(440, "Address Family not Supported")
        if request.get(stun.EVEN_PORT) is not None or request.get(stun.RESERVATION_TOKEN) is not None:
            raise _Refused(508, "Insufficient Capacity")  # pairs of ports are for RTP without rtcp-mux

    def _allocated(self, allocation: Allocation, now: float) -> stun.Attributes:
        return [
            (stun.XOR_RELAYED_ADDRESS, allocation.relayed),
            (stun.XOR_MAPPED_ADDRESS, allocation.client.remote),
            (stun.LIFETIME, max(0, round(allocation.expires_at - now))),
        ]

    def _lifetime_s(self, request: Message) -> int:
        wanted_s = max(request.get(stun.LIFETIME) or 0, DEFAULT_LIFETIME_S)
        return min(wanted_s, self._limits.lifetime_max_s)

    def _refresh(self, request: Message, client: Path, login: Login, now: float) -> stun.Attributes:
        allocation = self._allocation_of(client, login)
        family = request.get(stun.REQUESTED_ADDRESS_FAMILY)
        if family is not None and family != _family(allocation.relayed[0]):
            raise _Refused(443, "Peer Address Family Mismatch")
        if request.get(stun.LIFETIME) == 0:
            self._free(allocation)
            return [(stun.LIFETIME, 0)]
        lifetime_s = self._lifetime_s(request)
        allocation.expires_at = now + lifetime_s
        return [(stun.LIFETIME, lifetime_s)]

    def _create_permission(self, request: Message, client: Path, login: Login, now: float) -> stun.Attributes:
        allocation = self._allocation_of(client, login)
        peers = request.all(stun.XOR_PEER_ADDRESS)
        if not peers or len(peers) > PEERS_PER_REQUEST_MAX:
            raise _Refused(400, "Bad Request")
        for peer in peers:
            self._check_peer(peer, allocation)
        if not allocation.permit({ip for ip, _ in peers}, now):
            raise _Refused(508, "Insufficient Capacity")
        return []

    def _channel_bind(self, request: Message, client: Path, login: Login, now: float) -> stun.Attributes:
        allocation = self._allocation_of(client, login)
        number, peer = request.get(stun.CHANNEL_NUMBER), request.get(stun.XOR_PEER_ADDRESS)
        if number is None or peer is None or not CHANNEL_FIRST <= number <= CHANNEL_LAST:
            raise _Refused(400, "Bad Request")
        self._check_peer(peer, allocation)
        if not allocation.bind(number, peer, now):
            raise _Refused(400, "Bad Request")
        if not allocation.permit({peer[0]}, now):
            raise _Refused(508, "Insufficient Capacity")
        return []

    def _allocation_of(self, client: Path, login: Login) -> Allocation:
        allocation = self._by_client.get(client)
        if allocation is None:
            raise _Refused(437, "Allocation Mismatch")
        if allocation.username != login.username:
            raise _Refused(441, "Wrong Credentials")
        return allocation

    def _check_peer(self, peer: Address, allocation: Allocation) -> None:
        if _family(peer[0]) != _family(allocation.relayed[0]):
            raise _Refused(443, "Peer Address Family Mismatch")
        if not self._may_relay(peer[0]):
            raise _Refused(403, "Forbidden")

    def _receive_send(self, indication: Message, client: Path, now: float) -> None:
        peer, data = indication.get(stun.XOR_PEER_ADDRESS), indication.get(stun.DATA)
        if peer is not None and data is not None and not not_understood(indication, UNDERSTOOD):
            self._relay(client, peer, data, now)

    def _receive_channel_data(self, packet: bytes, client: Path, now: float) -> None:
        try:
            number, data = parse_channel_data(packet)
        except FramingError:
            return
        allocation = self._by_client.get(client)
        peer = allocation.peer_of(number, now) if allocation is not None else None
        if peer is not None:
            self._relay(client, peer, data, now)

    def _relay(self, client: Path, peer: Address, data: bytes, now: float) -> None:
        allocation = self._by_client.get(client)
        if allocation is None or not allocation.permits(peer[0], now) or self.faults.lose_to_peers:
            return
        if len(data) <= RELAYED_MAX_BYTES:
            self._to_peers.append((allocation.relayed, peer, data))


def _family(ip: str) -> int:
    """As REQUESTED-ADDRESS-FAMILY tells it: 1 is IPv4, 2 is IPv6."""
    return 1 if ip_address(ip.split("%")[0]).version == 4 else 2
