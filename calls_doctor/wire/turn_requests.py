"""What a TURN server answers to each request (RFC 8656 sections 7 to 12), and which allocations come of it.

Who asks is known by then (`Login`), and the answer is signed for them. It relays nothing and opens nothing itself: a
port is asked of `allot`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any  # attributes have values of every type

from calls_doctor.model.flow import Address, Path
from calls_doctor.wire import stun
from calls_doctor.wire.stun import ErrorCode, Message, MessageClass, Method
from calls_doctor.wire.stun_server import UNKNOWN_ATTRIBUTE, answer, not_understood
from calls_doctor.wire.turn import DEFAULT_LIFETIME_S, TRANSPORT_UDP
from calls_doctor.wire.turn_allocation import Allocation, Allocations
from calls_doctor.wire.turn_auth import Login, user_of
from calls_doctor.wire.turn_stream import CHANNEL_FIRST, CHANNEL_LAST

LIFETIME_MAX_S = 3600
"""RFC 8656 section 7.2."""
PEERS_PER_REQUEST_MAX = 16
_EVEN_ALONE = b"\x00"
"""EVEN-PORT without the wish to reserve the next port (RFC 8656 section 18.6)."""
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

    allocations_per_user: int = 16
    """486 beyond."""
    allocations: int = 64
    """Of all users together; 508 beyond."""
    lifetime_max_s: int = LIFETIME_MAX_S


Allot = Callable[[Path, bool], Address | None]
"""Opens a UDP port for the client, with an even number where True, and gives its address; None: there is none left."""


class _Refused(Exception):
    """Ends the work on a request; never leaves this file."""

    def __init__(self, code: int, reason: str, attributes: stun.Attributes = ()) -> None:
        super().__init__(code, reason)
        self.attributes = [(stun.ERROR_CODE, ErrorCode(code, reason)), *attributes]


_Handler = Callable[[Message, Path, Login, float], stun.Attributes]


class Requests:
    """Answers what authenticated clients ask for."""

    def __init__(
        self,
        allocations: Allocations,
        allot: Allot,
        may_relay: Callable[[str], bool],
        limits: Limits,
        software: str,
    ) -> None:
        self._allocations, self._allot, self._may_relay = allocations, allot, may_relay
        self._limits, self._software = limits, software
        self._handlers: dict[int, _Handler] = {
            Method.ALLOCATE: self._allocate,
            Method.REFRESH: self._refresh,
            Method.CREATE_PERMISSION: self._create_permission,
            Method.CHANNEL_BIND: self._channel_bind,
        }

    def knows(self, method: int) -> bool:
        """True for the methods that are answered at all."""
        return method in self._handlers

    def answer(self, request: Message, client: Path, login: Login, now: float, refuse: Mapping[int, int]) -> bytes:
        """The answer to a request whose method is known; `refuse` is Faults.refuse."""
        attributes: stun.Attributes
        try:
            self._refuse_at_once(request, refuse)
            kind, attributes = MessageClass.SUCCESS, self._handlers[request.method](request, client, login, now)
        except _Refused as refused:
            kind, attributes = MessageClass.ERROR, refused.attributes
        return answer(request, kind, [*attributes, (stun.SOFTWARE, self._software)], login.key)

    def _refuse_at_once(self, request: Message, refuse: Mapping[int, int]) -> None:
        if unknown := not_understood(request, UNDERSTOOD):
            raise _Refused(UNKNOWN_ATTRIBUTE, "Unknown Attribute", [(stun.UNKNOWN_ATTRIBUTES, unknown)])
        code = refuse.get(request.method)
        if code is not None:
            raise _Refused(code, "Refused on purpose")

    def _allocate(self, request: Message, client: Path, login: Login, now: float) -> stun.Attributes:
        known = self._allocations.of_client(client)
        if known is not None:
            if known.transaction_id != request.transaction_id or known.username != login.username:
                raise _Refused(437, "Allocation Mismatch")
            return self._allocated(known, now)  # a retransmission (RFC 8656 section 7.2)
        self._check_wishes(request, client)
        user = user_of(login.username)
        if self._allocations.count(user) >= self._limits.allocations_per_user:
            raise _Refused(486, "Allocation Quota Reached")
        even = request.get(stun.EVEN_PORT) is not None
        relayed = self._allot(client, even) if len(self._allocations) < self._limits.allocations else None
        if relayed is None:
            raise _Refused(508, "Insufficient Capacity")
        expires_at = now + self._lifetime_s(request)
        allocation = Allocation(client, relayed, login.username, user, request.transaction_id, expires_at)
        self._allocations.add(allocation)
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
        if request.get(stun.EVEN_PORT) not in (None, _EVEN_ALONE) or request.get(stun.RESERVATION_TOKEN) is not None:
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
            self._allocations.remove(allocation)
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
        allocation = self._allocations.of_client(client)
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


def _family(ip: str) -> int:
    """As REQUESTED-ADDRESS-FAMILY tells it: 1 is IPv4, 2 is IPv6."""
    return 1 if ip_address(ip.split("%")[0]).version == 4 else 2
