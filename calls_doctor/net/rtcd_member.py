"""One session of ours in a call of rtcd: what is said of it over the WebSocket (wire/rtcd_session.py), its peer, and
its data channel.

rtcd says no error, so each step has a time in which it must be done, and a failure is told by the step: "join",
"candidates", "permit" (a relay's), "ice", "dtls", "channel", "lock", "offer", "media". The paths of one transport are
tried and no others. rtcd is told our own address, as a browser tells it, only where it has answered no check by then:
its own checks may open a firewall for ours, which they do for no caller behind NAT.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from calls_doctor.errors import FarEndError, NetworkError, ProtocolError, RtcdError, SdpError
from calls_doctor.model.flow import Address, Transport, address_class, is_literal
from calls_doctor.net.peer import CallFailed, Peer
from calls_doctor.net.rtcd_access import MediaWay
from calls_doctor.net.sctp import Association
from calls_doctor.wire import rtcd, rtcd_channel, sdp
from calls_doctor.wire.connection import SessionSettings
from calls_doctor.wire.dtls import Certificate, DtlsRole
from calls_doctor.wire.ice import IceRole
from calls_doctor.wire.rtcd import Join
from calls_doctor.wire.rtcd_description import OPUS_PAYLOAD_TYPE, OwnEnd, RtcdDescriptions
from calls_doctor.wire.rtcd_session import RtcdSession
from calls_doctor.wire.rtcd_session_events import Closed, Event, Failed, MayOffer, OfferIgnored
from calls_doctor.wire.rtcd_signal import IceCandidate, ScreenOn, Sender, SessionDescription
from calls_doctor.wire.sdp import Candidate

ANSWER_S = 2.5
"""For the answer to an offer, which rtcd gives in 6 ms."""
CANDIDATES_S = 1.0
"""For the first candidate after the answer."""
MORE_CANDIDATES_S = 0.3
"""As long after the answer others may follow: rtcd says nothing when there are no more."""
TELL_AFTER_S = 1.0
"""How long our checks have to be answered before rtcd is told where to send its own."""
CONNECT_S, SLOW_CONNECT_S = 4.0, 10.0
"""For a handshake, which is rtcd's to begin (it tries again after one second, and two), and for one that has begun."""
CHANNEL_S, VOICE_S = 10.0, 14.0
"""After DTLS, for SCTP and the channel, and for these with the lock and the answer to the offer of our voice: six round
trips where nothing is lost, a second and more for each loss. A path that is dead is found out long before."""
SCREEN_S = 8.0
"""For one offer more, by a channel that is open: the lock, its answer, and a loss of each."""
LABEL = "calls-dc"
RELAY_PRIORITY = 16777215
"""RFC 8445 section 5.1.2.1: type preference 0."""


class Member:
    """`send` takes what is to go over the WebSocket. With `loopback` rtcd's candidates there are tried too: it tells
    everybody of them, and they lead to it on its own machine alone. `locks` False: it has no lock for offers."""

    def __init__(
        self,
        join: Join,
        way: MediaWay,
        certificate: Certificate,
        send: Callable[[bytes], None],
        *,
        loopback: bool,
        locks: bool = True,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._join, self._way, self._certificate, self._send, self._loopback = join, way, certificate, send, loopback
        self._session = RtcdSession(join, locks=locks, answer_decided_s=ANSWER_S)
        self.own = OwnEnd(
            fragment=secrets.token_hex(4),
            password=secrets.token_hex(12),
            fingerprint=certificate.fingerprint,
            ssrc=secrets.randbelow(0xFFFFFFFF) + 1,
            stream=join.session_id,
            screen_ssrc=secrets.randbelow(0xFFFFFFFF) + 1,
            screen=f"{join.session_id}-screen",
        )
        self._shares = False
        self._feedback: Callable[[bytes], None] | None = None
        self._descriptions = RtcdDescriptions(self.own)
        self._association: Association | None = None
        self._tell: Callable[[str | bytes], None] | None = None
        self._ways: list[asyncio.Task[None]] = []
        self._troubles: list[CallFailed] = []
        """Of candidates to which no channel could be opened."""
        self._timer: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()
        self._failure: CallFailed | None = None
        self.peer: Peer | None = None
        """Once its offer was answered."""
        self.reached_at: dict[str, float] = {}
        """Step -> when it was done, in the loop's time: "answer", "candidate", "channel", "turn", "voice", "screen",
        "shown" (a screen was offered to it), "closed"."""
        self.advertised: list[Candidate] = []
        """What rtcd told of itself, tried or not."""
        self.tried: list[Candidate] = []
        self._told_at: float | None = None
        """When it was told of us."""

    @property
    def stage(self) -> str:
        """What it is at; where it hangs, if it hangs."""
        done = self.reached_at
        if self.peer is None:
            return "join"
        if "candidate" not in done:
            return "candidates"
        if self.peer.stage != "media":
            return self.peer.stage
        rest = [("channel", "channel"), ("turn", "lock"), ("voice", "offer")]
        rest += [("screen", "offer")] if self._shares else []
        return next((stage for step, stage in rest if step not in done), "media")

    @property
    def called_first(self) -> bool:
        """True where checks of ours were answered only once rtcd sent its own."""
        answered_at = self.peer.answered_at if self.peer is not None else None
        return self._told_at is not None and answered_at is not None and self._told_at <= answered_at

    def has_reached(self, candidate: Candidate) -> bool:
        """Whether rtcd answered a check there that it had not opened the way for."""
        answered = self.peer.answered if self.peer is not None else frozenset()
        remote = candidate.address, candidate.port
        return not self.called_first and any(path.remote == remote for path in answered)

    async def come_in(self) -> Peer:
        """Joins, comes up, and is ready to talk. Raises CallFailed."""
        self._session.join()
        self._session.offer(self._descriptions.offer(), self._loop.time())
        self._go_on()
        await self._until("answer", 2 * ANSWER_S, "the offer has no answer")
        await self._until("candidate", CANDIDATES_S, "")
        assert self.peer is not None, "it is there with the answer"
        await self.peer.come_up(CONNECT_S, SLOW_CONNECT_S)
        assert self._association is not None, "as the peer is"
        self._association.begin()
        self.peer.watch(closely=True)
        up_at = self._loop.time()
        await self._until("channel", CHANNEL_S, f"DTLS is up, and its data channel did not open in {CHANNEL_S:g} s")
        self._session.negotiate(self._loop.time())
        self._go_on()
        await self._until(
            "voice", up_at + VOICE_S - self._loop.time(), f"rtcd took no offer of a voice in {VOICE_S:g} s"
        )
        return self.peer

    async def share(self, feedback: Callable[[bytes], None]) -> None:
        """Once it has come in: names its screen to rtcd and offers it; what comes of RTCP goes to `feedback`. Raises
        CallFailed."""
        self._shares, self._feedback = True, feedback
        self._session.signal(ScreenOn(self.own.screen))
        self._session.negotiate(self._loop.time())
        self._go_on()
        await self._until("screen", SCREEN_S, f"rtcd took no offer of a screen in {SCREEN_S:g} s")

    @property
    def shown_ssrcs(self) -> tuple[int, ...]:
        """Of the screens that rtcd offers it."""
        return self._descriptions.shown_ssrcs

    def receive(self, message: rtcd.Message) -> None:
        """A message of the WebSocket."""
        self._session.receive(message, self._loop.time())
        self._go_on()

    def lose(self, reason: str, trouble: NetworkError | None = None) -> None:
        """The WebSocket is gone."""
        self._fail(CallFailed(self.stage, reason, trouble))

    def leave(self) -> None:
        """Says so to rtcd, where it was told of this session."""
        if self._session.stage != "new":
            self._session.leave(self._loop.time())
            self._go_on()

    async def closed(self, timeout_s: float) -> bool:
        """Waits for rtcd's word that it is over; False where none comes."""
        try:
            async with asyncio.timeout(timeout_s):
                while "closed" not in self.reached_at and self._session.stage != "closed":
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return "closed" in self.reached_at

    async def close(self) -> None:
        """Ends all; a session that rtcd has not heard leave ends by DTLS's good-bye."""
        if self._timer is not None:
            self._timer.cancel()
        for way in self._ways:
            way.cancel()
        await asyncio.gather(*self._ways, return_exceptions=True)
        if self._association is not None:
            self._association.close()
        if self.peer is not None:
            await self.peer.close()

    def _go_on(self) -> None:
        """After every call into the session: does what it tells, sends, sets the timer."""
        while events := self._session.events():
            for event in events:
                self._take(event)
        for frame in self._session.frames_to_send():
            self._send(rtcd.encode(frame, Sender.CLIENT))
        for message in self._session.channel_to_send():
            assert self._tell is not None, "the session was told that the channel is open"
            self._tell(rtcd_channel.encode(message, Sender.CLIENT))
        if self._timer is not None:
            self._timer.cancel()
        due_at = None if self._failure else self._session.next_timer()
        self._timer = None if due_at is None else self._loop.call_at(due_at, self._on_timer)

    def _on_timer(self) -> None:
        self._session.handle_timer(self._loop.time())
        self._go_on()

    def _take(self, event: Event) -> None:
        match event:
            case SessionDescription("answer", text):
                self._answered(text)
            case SessionDescription(_, text):
                self._offered(text)
            case IceCandidate():
                self._told(event)
            case MayOffer():
                self._reach("turn")
                self._session.offer(self._descriptions.offer(voice=True, screen=self._shares), self._loop.time())
            case OfferIgnored():
                self._descriptions.rollback()
                self._session.negotiate(self._loop.time())
            case Failed(stage, after_s):
                self._fail(CallFailed(stage, f"rtcd did not answer within {after_s:.3g} s"))
            case Closed(stage, told):
                if told:
                    self._reach("closed")
                if stage != "leave":
                    self._fail(CallFailed(self.stage, "rtcd ended the session"))
                self._news.set()
            case _:
                pass  # a voice, a map of tracks, a pong

    def _answered(self, text: str) -> None:
        try:
            answer = self._descriptions.answered(text)
        except SdpError as error:
            self._fail(CallFailed(self.stage, f"rtcd's answer cannot be used: {error}"))
            return
        if self.peer is not None:
            self._reach("screen" if "voice" in self.reached_at and self._shares else "voice")
            return
        self.peer = peer = Peer(
            self._settings(answer), secrets.token_bytes, data=self._data, rtcp=self._rtcp, failed=self._peer_failed
        )
        role = DtlsRole.SERVER if self._descriptions.dtls_serves else DtlsRole.CLIENT
        self._association = Association(peer.send_data, lambda _: None, role=role)
        self._tell = self._association.open(LABEL, self._opened, self._heard)
        self._reach("answer")

    def _settings(self, answer: sdp.Description) -> SessionSettings:
        return SessionSettings(
            session=self._join.session_id,
            ice_role=IceRole.CONTROLLING,
            dtls_role=DtlsRole.SERVER if self._descriptions.dtls_serves else DtlsRole.CLIENT,
            certificate=self._certificate,
            remote_fingerprint=answer.fingerprint,
            local_fragment=self.own.fragment,
            local_password=self.own.password,
            remote_fragment=answer.ice_ufrag,
            remote_password=answer.ice_pwd,
            ssrc=self.own.ssrc,
            payload_type=OPUS_PAYLOAD_TYPE,
            awaits_paths_s=MORE_CANDIDATES_S,
        )

    def _offered(self, text: str) -> None:
        try:
            answer = self._descriptions.answer(text)
        except SdpError as error:
            self._fail(CallFailed(self.stage, f"rtcd's offer cannot be answered: {error}"))
            return
        self._session.answer(answer, self._loop.time())
        if self._descriptions.shown_ssrcs:
            self._reach("shown")

    def _told(self, told: IceCandidate) -> None:
        """A candidate of rtcd's."""
        if not told.candidate or self.peer is None:
            return
        try:
            candidate = sdp.parse_candidate(told.candidate)
        except SdpError:
            return
        self.advertised.append(candidate)
        if self._is_tried(candidate):
            self.tried.append(candidate)
            self._reach("candidate")
            self._ways.append(asyncio.create_task(self._try(self.peer, (candidate.address, candidate.port))))

    def _is_tried(self, candidate: Candidate) -> bool:
        transport = "tcp" if self._way.transport is Transport.TCP else "udp"
        if candidate.transport != transport or candidate.component != 1 or not is_literal(candidate.address):
            return False
        if (transport == "tcp" and candidate.tcp_type != "passive") or candidate.address in ("0.0.0.0", "::"):
            return False
        return self._loopback or not address_class(candidate.address).is_loopback

    async def _try(self, peer: Peer, remote: Address) -> None:
        try:
            path = await peer.try_way(lambda receiver: self._way.open(remote, receiver))
        except NetworkError as error:
            self._troubles.append(CallFailed("ice", str(error), error))
        except FarEndError as error:  # a relay's
            self._troubles.append(CallFailed("permit", str(error), code=error.code))
        except ProtocolError as error:
            self._troubles.append(CallFailed("permit", str(error)))
        else:
            if path.transport is not Transport.TCP:  # rtcd calls nobody back over TCP
                await asyncio.sleep(TELL_AFTER_S)
                self._tell_own(peer, _own_candidate(path.transport, path.local))
            return
        since_s = self._loop.time() - self.reached_at["answer"]
        self._loop.call_later(max(0.0, MORE_CANDIDATES_S - since_s), self._conclude_ways)

    def _tell_own(self, peer: Peer, candidate: IceCandidate) -> None:
        if peer.answered_at is None and self._failure is None:
            self._told_at = self._told_at or self._loop.time()
            self._session.signal(candidate)
            self._go_on()

    def _conclude_ways(self) -> None:
        if len(self._troubles) == len(self._ways):
            self._fail(self._troubles[0])

    def _data(self, data: bytes) -> None:
        if self._association is not None:
            self._association.receive(data)

    def _rtcp(self, packet: bytes) -> None:
        if self._feedback is not None:
            self._feedback(packet)

    def _opened(self) -> None:
        self._reach("channel")
        self._session.channel_opened(self._loop.time())
        self._go_on()

    def _heard(self, message: str | bytes) -> None:
        try:
            read = rtcd_channel.decode(message, Sender.SERVER)
        except RtcdError:
            return  # a newer rtcd says more
        self._session.receive_channel(read, self._loop.time())
        self._go_on()

    def _reach(self, step: str) -> None:
        self.reached_at.setdefault(step, self._loop.time())
        self._news.set()

    def _peer_failed(self, failure: CallFailed) -> None:
        stage = self.stage if failure.stage == "media" else failure.stage
        self._fail(CallFailed(stage, failure.reason, failure.trouble, failure.code))

    def _fail(self, failure: CallFailed) -> None:
        if self._failure is None:
            self._failure = failure
            self._news.set()
            if self.peer is not None:
                self.peer.give_up(failure)

    async def _until(self, step: str, timeout_s: float, otherwise: str) -> None:
        """Waits for a step; where it is not done in time, says so at the stage that this is."""
        try:
            async with asyncio.timeout(timeout_s):
                while step not in self.reached_at and self._failure is None:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            self._fail(CallFailed(self.stage, otherwise or self._no_candidate()))
        if self._failure is not None:
            raise self._failure

    def _no_candidate(self) -> str:
        if not self.advertised:
            return "rtcd names no candidate: no address at which it takes media"
        told = ", ".join(f"{one.address}:{one.port}/{one.transport}" for one in self.advertised)
        return f"none of rtcd's candidates can be tried over {self._way.transport} from here: {told}"


def _own_candidate(transport: Transport, local: Address) -> IceCandidate:
    address, port = local
    if transport is Transport.RELAY:
        candidate = Candidate(transport="udp", address=address, port=port, kind="relay", priority=RELAY_PRIORITY)
    else:
        candidate = sdp.host_candidate(Transport.UDP, address, port)
    return IceCandidate(f"candidate:{candidate}", "0", 0)
