"""A small SFU: sessions by ICE user name on one port over UDP and TCP, media echoed or passed on, never decoded.

Whatever is not authentic is met with silence over UDP and a closed connection over TCP, and makes no state. It knows
nothing of links, runs or signalling: who may open which session is for `admit` to say.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from calls_doctor.errors import StunError
from calls_doctor.model.books import SessionBooks
from calls_doctor.model.flow import Address, Path, Transport
from calls_doctor.sfu.forwarder import Forwarder
from calls_doctor.sfu.inquiry import Inquiries
from calls_doctor.sfu.mux import UNADMITTED_S, Mux
from calls_doctor.sfu.session import Associate, Association, Grant, Participant, Session
from calls_doctor.wire import ice, stun
from calls_doctor.wire.connection_events import Closed, DataReceived, DtlsConnected, Event, Failed, RtcpReceived
from calls_doctor.wire.dtls import Certificate
from calls_doctor.wire.framing import PacketKind, packet_kind
from calls_doctor.wire.ice_lite import Desk
from calls_doctor.wire.rate_limit import RateLimit
from calls_doctor.wire.stun import ErrorCode, Message, MessageClass, Method
from calls_doctor.wire.transactions import Transactions

SESSIONS_MAX = 64
REACH_BACK_PACKETS = 5
"""Contract section 4."""
PORT_MAX = 65535
BOOKS_MAX = 256
"""How many sessions' books are kept after them."""
Admit = Callable[[str], Grant | None]
"""Fragment -> what it may open; None: nothing."""


class Sfu:
    """`desk` gives out the run's documents and takes those that are handed in. Without `associate`, which makes a
    session's end of SCTP, data channels are met with silence. `turned_away` hears by which path a check came that opens
    no session: its name is not admitted, or its integrity is wrong."""

    def __init__(
        self,
        admit: Admit,
        certificate: Certificate,
        desk: Desk,
        *,
        associate: Associate | None = None,
        turned_away: Callable[[Path], None] = lambda _path: None,
        consent_expiry_s: float = ice.CONSENT_EXPIRY_S,
        unadmitted_s: float = UNADMITTED_S,
    ) -> None:
        self._admit, self._certificate, self._desk = admit, certificate, desk
        self._associate, self._turned_away = associate, turned_away
        self._consent_expiry_s = consent_expiry_s
        self._mux = Mux(self, unadmitted_s=unadmitted_s)
        self._forwarder = Forwarder()
        self._inquiries = Inquiries(self._mux.send)
        self._sessions: dict[str, Session] = {}
        """By the whole USERNAME."""
        self._by_path: dict[Path, Session] = {}
        self._past: list[SessionBooks] = []
        """Books of sessions that are forgotten, in the order in which they were."""
        self._openings = RateLimit()
        """New sessions by source address. Only who holds the key is counted, and is told (508) where it is too fast."""
        self._transactions = Transactions()
        self._timer: asyncio.TimerHandle | None = None
        self._reaching: set[asyncio.Task[Message | None]] = set()
        self.bad_integrity = 0
        """Binding requests of a fragment that is admitted, whose MESSAGE-INTEGRITY is wrong."""
        self.unauthenticated = 0
        """Packets of nobody's session."""

    @property
    def port(self) -> int:
        """Where it listens; 0 before `start`."""
        return self._mux.port

    @property
    def sessions(self) -> int:
        """How many there are that have not ended."""
        return sum(1 for session in self._sessions.values() if not session.ended)

    async def start(self, addresses: Sequence[str], port: int = 0) -> None:
        """Listens on every address; port 0 finds a free one. Raises OSError where the port is taken."""
        await self._mux.start(addresses, port)

    async def close(self) -> None:
        """Says good-bye to every peer and closes the port."""
        now = asyncio.get_running_loop().time()
        for session in list(self._sessions.values()):
            self._forget(session, now)
        self._set_timer()
        for task in self._reaching:
            task.cancel()
        await asyncio.gather(*self._reaching, return_exceptions=True)
        await self._mux.close()

    def books(self) -> list[SessionBooks]:
        """What was counted of every session, as it stands now: past ones first."""
        return [*self._past, *(session.connection.books for session in self._sessions.values())]

    async def mapped_by(self, server: Address, local: str) -> Address | None:
        """How a STUN server sees the media port of this local address; None where it does not answer."""
        request = Message(Method.BINDING, MessageClass.REQUEST, secrets.token_bytes(stun.TRANSACTION_ID_BYTES))
        answer = await self._inquiries.ask(Path(Transport.UDP, (local, self.port), server), request)
        return answer.get(stun.XOR_MAPPED_ADDRESS) or answer.get(stun.MAPPED_ADDRESS) if answer else None

    def receive(self, packet: bytes, path: Path, now: float) -> bool:
        """Takes one packet from the port; False where it is none of an admitted session."""
        kind = packet_kind(packet)
        if kind is PacketKind.STUN:
            return self._receive_stun(packet, path, now)
        session = self._by_path.get(path)
        if session is None:
            self.unauthenticated += 1
            return False
        if kind is PacketKind.RTP:
            plain = session.connection.receive_rtp(packet, path, now)
            if plain is not None:
                for to, data in self._passed_on(plain, session, path, now):
                    self._mux.send(to, data)
            return True
        session.connection.receive(packet, path, now)
        self._go_on(session, now)
        return True

    def end(self, session: Session) -> None:
        """Whoever granted it says that it is over: it is heard of no more."""
        if self._sessions.get(session.username) is session:
            self._forget(session, asyncio.get_running_loop().time())
            self._set_timer()

    def restart(self, session: Session, fragment: str) -> None:
        """Its peer begins ICE anew: from now on it is checked under what is granted to this fragment."""
        grant = self._admit(fragment)
        if grant is not None and self._sessions.get(session.username) is session:
            del self._sessions[session.username]
            session.restart(grant, fragment)
            self._sessions[session.username] = session

    def send_rtp(self, session: Session, packet: bytes) -> None:
        """Sends one RTP packet by a session."""
        now = asyncio.get_running_loop().time()
        session.connection.send_rtp(packet, now)
        self._send(session, now)

    def send_rtcp(self, session: Session, packet: bytes) -> None:
        """Sends one compound RTCP packet by a session."""
        now = asyncio.get_running_loop().time()
        session.connection.send_rtcp(packet, now)
        self._send(session, now)

    def connection_lost(self, path: Path, now: float) -> None:
        """A TCP connection has ended; its session may go on by another path."""
        session = self._by_path.pop(path, None)
        if session is not None:
            session.paths.discard(path)
            session.connection.remove_path(path, now)
            self._go_on(session, now)

    def _receive_stun(self, packet: bytes, path: Path, now: float) -> bool:
        try:
            message = stun.parse(packet)
        except StunError:
            return self._ignore(path)
        fragments = ice.fragments(message)
        if fragments is None:
            return self._inquiries.answered(message, path) or self._ignore(path)
        session = self._sessions.get(":".join(fragments)) or self._open(message, fragments, path, now)
        if session is None:
            return False
        ignored = session.connection.ignored
        session.connection.receive(packet, path, now)
        if session.connection.ignored > ignored and not message.integrity_is_valid(session.grant.password.encode()):
            self.bad_integrity += 1
        authentic = session.connection.ignored == ignored
        accepted = session.connection.accepts(path)
        if accepted and authentic:
            self._reach_back(message, path, session)
            self._hold(message, path, session, now)
        if accepted:
            session.heard_at = now
            self._map(path, session)
        self._go_on(session, now)  # a refusal is told too, to whoever is authentic
        return accepted

    def _reach_back(self, message: Message, path: Path, session: Session) -> None:
        """Sends the few requests that were asked for, to the address that the TCP connection has proved. None is larger
        than what asked for it, and a session has them once, whatever it asks."""
        port = message.get(stun.REACH_BACK)
        if port is None or not 0 < port <= PORT_MAX or path.transport is not Transport.TCP or session.reached_back:
            return
        session.reached_back = True
        request = Message(
            Method.BINDING, MessageClass.REQUEST, secrets.token_bytes(stun.TRANSACTION_ID_BYTES),
            [(stun.USERNAME, session.username)],
        )  # fmt: skip
        key = session.grant.password.encode()
        if len(request.encode(integrity_key=key, fingerprint=True)) > len(message.raw):
            return
        to = Path(Transport.UDP, (path.local[0], self.port), (path.remote[0], port))
        asking = self._inquiries.ask(to, request, key=key, schedule_s=stun.PROBE_SCHEDULE_S[:REACH_BACK_PACKETS])
        task = asyncio.create_task(asking)
        self._reaching.add(task)
        task.add_done_callback(self._reaching.discard)

    def _hold(self, message: Message, path: Path, session: Session, now: float) -> None:
        """Keeps the answer back for as long as was asked for, within the limits; beyond them it leaves at once."""
        hold_ms = message.get(stun.HOLD_ANSWER)
        if hold_ms is None or path.transport is not Transport.UDP:
            return
        for to, data in session.connection.datagrams_to_send(now):
            is_answer = data[stun.TRANSACTION_ID] == message.transaction_id
            if not (is_answer and session.held.keep(data, to, hold_ms / 1000, now)):
                self._mux.send(to, data)

    def _open(self, message: Message, fragments: tuple[str, str], path: Path, now: float) -> Session | None:
        """A new session, where the request is authentic and there is room; nothing is kept where it is not."""
        grant = self._admit(fragments[0])
        if grant is None or grant.peer_fragment not in ("", fragments[1]):
            self._turned_away(path)
            return None
        key = grant.password.encode()
        if not message.integrity_is_valid(key):
            self.bad_integrity += 1
            self._turned_away(path)
            return None
        if self._transactions.is_replay(message.transaction_id, path):
            return None
        # The limit comes after the proof: a flood from the same address must not silence whoever holds the key.
        if not self._openings.allows(path.remote[0], now) or not self._has_room(now):
            full = ErrorCode(ice.INSUFFICIENT_CAPACITY, "Too Many Sessions")
            refusal = ice.refusal(message, len(message.raw), full, key)
            if refusal is not None:
                self._mux.send(path, refusal)
            return None
        session = Session(
            grant, fragments, self._certificate, secrets.token_bytes, self._desk, self._transactions, now,
            consent_expiry_s=self._consent_expiry_s,
        )  # fmt: skip
        self._sessions[session.username] = session
        self._forwarder.join(session)
        if grant.participant is not None:
            grant.participant.opened(session)
        return session

    def _passed_on(self, packet: bytes, session: Session, path: Path, now: float) -> Iterable[tuple[Path, bytes]]:
        participant = session.grant.participant
        if participant is None:
            return self._forwarder.forward(packet, session, path, now)
        return participant.forward(packet, now) if session.affords(len(packet), now) else ()

    def _has_room(self, now: float) -> bool:
        """True where one more session may be; one that has ended gives way, or an echo that has been quiet."""
        if len(self._sessions) >= SESSIONS_MAX:
            idle = [one for one in self._sessions.values() if one.ended or one.is_idle(now)]
            if idle:
                self._forget(min(idle, key=lambda one: (not one.ended, one.heard_at)), now)
        return len(self._sessions) < SESSIONS_MAX

    def _ignore(self, path: Path) -> bool:
        """STUN that is no check: of a stranger it counts."""
        self.unauthenticated += path not in self._by_path
        return False

    def _map(self, path: Path, session: Session) -> None:
        before = self._by_path.get(path)
        if before is session:
            return
        if before is not None:  # the same socket opens another session
            before.paths.discard(path)
        self._by_path[path] = session
        session.paths.add(path)

    def _go_on(self, session: Session, now: float) -> None:
        """After every call into a connection: sends, hears what happened, sets the timer."""
        self._conclude(session, now)
        self._set_timer()

    def _conclude(self, session: Session, now: float) -> None:
        """A session that has ended is heard no more, but is kept while its client goes on checking: a late check must
        not open it anew with empty books."""
        self._send(session, now)
        for event in session.connection.events():
            if isinstance(event, DataReceived):
                self._take_data(session, event.data, now)
            elif isinstance(event, Failed | Closed):
                session.ended = True
                self._forwarder.leave(session)
                _end_association(session)
            if session.grant.participant is not None:
                _tell(session.grant.participant, event, now)
        if session.connection.expired:
            self._forget(session, now)

    def _take_data(self, session: Session, data: bytes, now: float) -> None:
        if session.ended or not session.affords(len(data), now):
            return
        if session.association is None:
            session.association = self._new_association(session)
        if session.association is not None:
            session.association.receive(data)

    def _new_association(self, session: Session) -> Association | None:
        send = partial(self._send_data, session)
        if session.grant.participant is not None:
            return session.grant.participant.associate(send)
        return self._associate(send, self._desk) if self._associate is not None else None

    def _send_data(self, session: Session, data: bytes) -> None:
        """At once: an association sends by its own timers too. What the session cannot afford is lost on the way."""
        now = asyncio.get_running_loop().time()
        if not session.ended and session.affords(len(data), now):
            session.connection.send_data(data, now)
            self._send(session, now)

    def _send(self, session: Session, now: float) -> None:
        for path, data in (*session.connection.datagrams_to_send(now), *session.held.due(now)):
            self._mux.send(path, data)

    def _forget(self, session: Session, now: float) -> None:
        """Nobody asks for the session any more. Its books stay, its TCP connections do not."""
        _end_association(session)
        session.connection.close(now)
        self._send(session, now)
        self._forwarder.leave(session)
        del self._sessions[session.username]
        for path in session.paths:
            del self._by_path[path]
            self._mux.hang_up(path)
        self._keep(session.connection.books)
        if session.grant.participant is not None:
            session.grant.participant.ended()

    def _keep(self, books: SessionBooks) -> None:
        """Of sessions under one name that came no further than ICE the last is enough: books are fetched in such."""
        others = [one for one in self._past if one.session != books.session or one.failure or "dtls" in one.timeline]
        self._past = [*others, books][-BOOKS_MAX:]

    def _set_timer(self) -> None:
        due = (session.next_timer() for session in self._sessions.values())
        at = min((one for one in due if one is not None), default=None)
        if self._timer is not None and self._timer.when() != at:
            self._timer.cancel()
            self._timer = None
        if at is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for session in list(self._sessions.values()):
            due = session.next_timer()
            if due is not None and due <= now:
                session.connection.handle_timer(now)
                self._conclude(session, now)
        self._set_timer()


def _tell(participant: Participant, event: Event, now: float) -> None:
    if isinstance(event, DtlsConnected):
        participant.connected()
    elif isinstance(event, RtcpReceived):
        participant.heard_rtcp(event.packet, now)
    elif isinstance(event, Failed | Closed):
        participant.ended()


def _end_association(session: Session) -> None:
    association, session.association = session.association, None
    if association is not None:
        association.close()
