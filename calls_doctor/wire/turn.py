"""The client's side of TURN (RFC 8656): one conversation on one 5-tuple, with the long-term credentials of RFC 8489.

Bytes in, bytes and events out. It never opens a socket or reads a clock: time and randomness are arguments, and
what to do about a refusal is decided by whoever drives it.

    start_allocate -> [Challenged] -> Allocated | Refused | TryAlternate | TimedOut
    create_permission, bind_channel -> PermissionCreated, ChannelBound | Refused | TimedOut
    release -> Released, on every way out: what is not released counts against the user's quota until it expires
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any  # attributes of a message have values of every type

from calls_doctor.errors import FramingError, StunError
from calls_doctor.model.credentials import Secret, TurnCredentials
from calls_doctor.model.flow import Address
from calls_doctor.wire import stun
from calls_doctor.wire.stun import AttributeType, Message, MessageClass, Method
from calls_doctor.wire.turn_events import (
    Allocated,
    Challenged,
    ChannelBound,
    Data,
    Event,
    PermissionCreated,
    Refused,
    Released,
    TimedOut,
    TryAlternate,
)
from calls_doctor.wire.turn_peers import Peers
from calls_doctor.wire.turn_stream import channel_data, parse_channel_data

TRANSPORT_UDP = 17
"""REQUESTED-TRANSPORT: the protocol number of UDP."""
ALLOCATION_REFRESH_BEFORE_S = 60.0
MIN_REFRESH_S = 1.0
"""However short a lifetime the server grants."""
REFRESH_AGAIN_S = 5.0
"""After a refresh that was never answered: what it keeps alive lasts a minute longer than that."""
DEFAULT_LIFETIME_S = 600
"""RFC 8656 section 3.2."""
STALE_NONCE_RETRIES = 2
"""How often one request is sent again with a new nonce; a server without end of nonces is refusing."""
TRY_ALTERNATE, UNAUTHENTICATED, ALLOCATION_MISMATCH, STALE_NONCE = 300, 401, 437, 438

Attributes = Sequence[tuple[AttributeType[Any], Any]]


@dataclass
class _Request:
    method: Method
    attributes: Attributes
    peers: tuple[Address, ...]
    started_at: float
    """When it was first sent with this transaction id."""
    with_credentials: bool
    stale_nonces: int = 0
    packet: bytes = b""
    sent: int = 0


class TurnClient:
    """One conversation. `receive` and `handle_timer` never raise on what the far end sends.

    `random(n)` gives n random bytes. `schedule_s` and `decided_s` are when a request is sent again on UDP and when
    silence is final, in seconds after the first; on a `stream` nothing is sent again (RFC 8489 section 6.2.2).
    """

    def __init__(
        self,
        credentials: TurnCredentials | None,
        random: Callable[[int], bytes],
        *,
        stream: bool = False,
        schedule_s: Sequence[float] = stun.RFC8489_SCHEDULE_S,
        decided_s: float = stun.RFC8489_DECIDED_S,
    ) -> None:
        self._credentials = credentials
        self._random = random
        self.stream = stream
        self._schedule_s = (0.0,) if stream else tuple(schedule_s)
        self._decided_s = decided_s
        self._realm = ""
        self._nonce = b""
        self._key: bytes | None = None
        self._requests: dict[bytes, _Request] = {}
        self._peers = Peers()
        self._refresh_at: float | None = None
        self._unanswered_allocate = False
        """An Allocate with credentials has had no final answer: the server may have granted it."""
        self._out: list[bytes] = []
        self._events: list[Event] = []
        self.relayed: Address | None = None
        """The relayed address while there is an allocation."""
        self.discarded = 0
        """Answers that fit a request and whose MESSAGE-INTEGRITY is missing or wrong."""
        self.unreadable = ""
        """Why the last packet that could not be used could not; "" if there was none."""

    def start_allocate(self, now: float, *, family: int | None = None) -> None:
        """Asks for a relayed UDP address; `family` 1 is IPv4, 2 is IPv6, None is the server's choice (IPv4)."""
        attributes: list[tuple[AttributeType[Any], Any]] = [(stun.REQUESTED_TRANSPORT, TRANSPORT_UDP)]
        if family is not None:
            attributes.append((stun.REQUESTED_ADDRESS_FAMILY, family))
        self._start(Method.ALLOCATE, attributes, (), now)

    def log_in(self, credentials: TurnCredentials) -> None:
        """What follows is signed with these, where the server has challenged already."""
        self._credentials = credentials
        if self._nonce:
            self._sign_with(credentials, self._realm, self._nonce)

    def create_permission(self, peer_ips: Sequence[str], now: float) -> None:
        """Lets data pass from and to these addresses, all or none."""
        peers = tuple((ip, 0) for ip in peer_ips)
        self._start(Method.CREATE_PERMISSION, [(stun.XOR_PEER_ADDRESS, peer) for peer in peers], peers, now)

    def bind_channel(self, peer: Address, now: float) -> int:
        """Binds a channel to the peer, which brings its permission along; gives the channel's number.

        Raises ValueError when all 4096 channels are used.
        """
        number = self._peers.number_for(peer)
        self._start(Method.CHANNEL_BIND, [(stun.CHANNEL_NUMBER, number), (stun.XOR_PEER_ADDRESS, peer)], (peer,), now)
        return number

    def is_bound(self, peer: Address) -> bool:
        """True where the server has confirmed a channel to this peer, which is refreshed from then on."""
        return self._peers.is_bound(peer)

    def send(self, peer: Address, data: bytes) -> None:
        """Sends data to the peer, by its channel where one is bound, else by a Send indication."""
        if self._peers.is_bound(peer):
            self._out.append(channel_data(self._peers.number_for(peer), data, padded=self.stream))
            return
        attributes: Attributes = [(stun.XOR_PEER_ADDRESS, peer), (stun.DATA, data)]
        indication = Message(Method.SEND, MessageClass.INDICATION, self._transaction_id(), attributes)
        self._out.append(indication.encode())

    def release(self, now: float) -> None:
        """Gives the allocation back (Refresh with lifetime 0).

        Works too while Allocate waits for its answer, or after it has waited in vain: a server that granted it
        meanwhile, and whose answer was lost, takes it back.
        Nothing else is sent or refreshed from here on; Released comes at once where there is nothing to give back.
        """
        allocating = any(request.method == Method.ALLOCATE for request in self._requests.values())
        self._requests.clear()
        self._refresh_at = None
        self._peers = Peers()
        if self.relayed is None and not allocating and not self._unanswered_allocate:
            self._events.append(Released())
            return
        self._unanswered_allocate = False
        self._start(Method.REFRESH, [(stun.LIFETIME, 0)], (), now)

    def receive(self, packet: bytes, now: float) -> None:
        """Takes one datagram, or one message that `StreamDeframer` gave."""
        if packet[:1] and packet[0] >> 6 == 1:
            self._receive_channel_data(packet)
            return
        try:
            message = stun.parse(packet)
        except StunError as error:
            self.unreadable = str(error)
            return
        if message.message_class is MessageClass.INDICATION:
            self._receive_indication(message)
        elif message.message_class is not MessageClass.REQUEST:
            self._receive_answer(message, now)

    def handle_timer(self, now: float) -> None:
        """Does what is due: sends again, gives up, refreshes."""
        for transaction_id, request in list(self._requests.items()):
            if now >= request.started_at + self._decided_s:
                del self._requests[transaction_id]
                self._time_out(request, now)
                continue
            due = sum(1 for at_s in self._schedule_s if request.started_at + at_s <= now)
            if due > request.sent:  # a late timer sends once, not in a burst
                request.sent = due
                self._out.append(request.packet)
        if self._refresh_at is not None and now >= self._refresh_at:
            self._refresh_at = None
            self._start(Method.REFRESH, [], (), now)
        self._refresh_peers(now)

    def next_timer(self) -> float | None:
        """When `handle_timer` wants to be called next; None while nothing is due."""
        times = [self._next_of(request) for request in self._requests.values()]
        times += [at for at in (self._refresh_at, self._peers.next_refresh()) if at is not None]
        return min(times, default=None)

    def packets_to_send(self) -> list[bytes]:
        """What is to be sent to the server now, in order; each packet is given once."""
        packets, self._out = self._out, []
        return packets

    def events(self) -> list[Event]:
        """What happened since the last call."""
        events, self._events = self._events, []
        return events

    def _next_of(self, request: _Request) -> float:
        rest = self._schedule_s[request.sent :]
        return request.started_at + (min(rest[0], self._decided_s) if rest else self._decided_s)

    def _transaction_id(self) -> bytes:
        return self._random(stun.TRANSACTION_ID_BYTES)

    def _start(
        self, method: Method, attributes: Attributes, peers: tuple[Address, ...], now: float, stale_nonces: int = 0
    ) -> None:
        signed = list(attributes)
        if self._key is not None and self._credentials is not None:
            signed += [
                (stun.USERNAME, self._credentials.username),
                (stun.REALM, self._realm),
                (stun.NONCE, self._nonce),
            ]
        message = Message(method, MessageClass.REQUEST, self._transaction_id(), signed)
        packet = message.encode(self._key)
        request = _Request(method, attributes, peers, now, self._key is not None, stale_nonces, packet, sent=1)
        self._requests[message.transaction_id] = request
        self._unanswered_allocate |= method == Method.ALLOCATE and request.with_credentials
        self._out.append(packet)

    def _refresh_peers(self, now: float) -> None:
        if due := self._peers.take_due_permissions(now):
            self.create_permission(due, now)
        for peer in self._peers.take_due_channels(now):
            self.bind_channel(peer, now)

    def _time_out(self, request: _Request, now: float) -> None:
        """Tells of it; a refresh is planned anew: one burst of loss must not end what lasts a minute more."""
        self._events.append(TimedOut(request.method, now - request.started_at, request.peers))
        again = now + REFRESH_AGAIN_S
        if request.method == Method.REFRESH and (stun.LIFETIME, 0) not in request.attributes:
            self._refresh_at = again
        elif request.method == Method.CREATE_PERMISSION:
            self._peers.ask_permissions_again([ip for ip, _ in request.peers], again)
        elif request.method == Method.CHANNEL_BIND:
            self._peers.ask_channel_again(request.peers[0], again)

    def _receive_channel_data(self, packet: bytes) -> None:
        try:
            number, data = parse_channel_data(packet)
        except FramingError as error:
            self.unreadable = str(error)
            return
        peer = self._peers.peer_of(number)
        if peer is not None:
            self._events.append(Data(peer, data))

    def _receive_indication(self, message: Message) -> None:
        peer, data = message.get(stun.XOR_PEER_ADDRESS), message.get(stun.DATA)
        if message.unknown_required():
            return  # RFC 8489 section 6.3.2
        if message.method != Method.DATA or peer is None or data is None:
            return
        if self._peers.is_permitted(peer[0]):
            self._events.append(Data(peer, data))

    def _receive_answer(self, message: Message, now: float) -> None:
        request = self._requests.get(message.transaction_id)
        if request is None or request.method != message.method:
            return
        error = message.get(stun.ERROR_CODE)
        if not self._is_ours(message, request, error):
            self.discarded += 1
            return
        if message.message_class is MessageClass.ERROR:
            if error is None:
                self.unreadable = "an error answer lacks ERROR-CODE"
                return
            del self._requests[message.transaction_id]
            self._receive_error(message, request, error, now)
        elif unknown := message.unknown_required():
            self.unreadable = f"an answer holds attributes that must be understood: {[hex(n) for n in unknown]}"
        elif self._receive_success(message, request, now):
            del self._requests[message.transaction_id]

    def _is_ours(self, message: Message, request: _Request, error: stun.ErrorCode | None) -> bool:
        """RFC 8489 section 9.2.5, with one leniency: a refusal without MESSAGE-INTEGRITY is believed.

        Servers sign refusals inconsistently, and for a diagnosis a refusal says more than a silence.
        """
        if not request.with_credentials or self._key is None or message.integrity_is_valid(self._key):
            return True
        if error is None:
            return False
        return message.integrity_at is None or error.code in (UNAUTHENTICATED, STALE_NONCE)

    def _receive_success(self, message: Message, request: _Request, now: float) -> bool:
        if request.method == Method.ALLOCATE:
            return self._receive_allocated(message, request, now)
        if request.method == Method.REFRESH:
            if (stun.LIFETIME, 0) in request.attributes:
                self.relayed = None
                self._events.append(Released())
            else:
                lifetime_s = message.get(stun.LIFETIME)
                self._plan_refresh(DEFAULT_LIFETIME_S if lifetime_s is None else lifetime_s, now)
        elif request.method == Method.CREATE_PERMISSION:
            self._peers.permit([ip for ip, _ in request.peers], now)
            self._events.append(PermissionCreated(request.peers))
        elif request.method == Method.CHANNEL_BIND:
            (peer,) = request.peers
            self._events.append(ChannelBound(peer, self._peers.bind(peer, now)))
        return True

    def _receive_allocated(self, message: Message, request: _Request, now: float) -> bool:
        relayed, lifetime_s = message.get(stun.XOR_RELAYED_ADDRESS), message.get(stun.LIFETIME)
        if relayed is None or lifetime_s is None:
            self.unreadable = "the answer to Allocate lacks XOR-RELAYED-ADDRESS or LIFETIME"
            return False
        self.relayed, self._unanswered_allocate = relayed, False
        self._plan_refresh(lifetime_s, now)
        mapped, software = message.get(stun.XOR_MAPPED_ADDRESS), message.get(stun.SOFTWARE)
        self._events.append(Allocated(relayed, mapped, lifetime_s, software, request.with_credentials))
        return True

    def _plan_refresh(self, lifetime_s: int, now: float) -> None:
        self._refresh_at = now + max(lifetime_s - ALLOCATION_REFRESH_BEFORE_S, lifetime_s / 2, MIN_REFRESH_S)

    def _receive_error(self, message: Message, request: _Request, error: stun.ErrorCode, now: float) -> None:
        realm, nonce = message.get(stun.REALM), message.get(stun.NONCE)
        software = message.get(stun.SOFTWARE)
        if error.code == UNAUTHENTICATED and not request.with_credentials:
            self._events.append(Challenged(realm, nonce, software))
            if realm is not None and nonce is not None:
                self._realm, self._nonce = realm, nonce
                if self._credentials is not None:
                    self.log_in(self._credentials)
                    self._start(request.method, request.attributes, request.peers, now)
                    return
        if error.code == STALE_NONCE and nonce is not None and request.stale_nonces < STALE_NONCE_RETRIES:
            if self._credentials is not None:
                self._sign_with(self._credentials, self._realm if realm is None else realm, nonce)
            self._start(request.method, request.attributes, request.peers, now, request.stale_nonces + 1)
            return
        self._unanswered_allocate &= request.method != Method.ALLOCATE
        alternate = message.get(stun.ALTERNATE_SERVER)
        if error.code == TRY_ALTERNATE and alternate is not None:
            self._events.append(TryAlternate(alternate))
            return
        if request.method == Method.REFRESH and error.code == ALLOCATION_MISMATCH:
            self.relayed = None
            if (stun.LIFETIME, 0) in request.attributes:  # it is gone already, which was the wish
                self._events.append(Released())
                return
        self._events.append(Refused(request.method, error.code, error.reason, request.peers, software))

    def _sign_with(self, credentials: TurnCredentials, realm: str, nonce: bytes) -> None:
        self._realm, self._nonce = realm, nonce
        self._key = stun.long_term_key(credentials.username, realm, credentials.password.reveal())


def rest_credentials(secret: Secret, expires_at_s: int, name: str) -> TurnCredentials:
    """A credential that ends by itself, as coturn's `use-auth-secret` takes it (draft-uberti-behave-turn-rest-00).

    The user name is `expiry:name` with the expiry in Unix time, the password the base64 of its HMAC-SHA1.
    """
    username = f"{expires_at_s}:{name}"
    mac = hmac.digest(secret.reveal().encode(), username.encode(), "sha1")
    return TurnCredentials(username, Secret(base64.b64encode(mac).decode()))
