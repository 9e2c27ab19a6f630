"""The client's side of one session in a call of rtcd: what is said when, over the WebSocket and the data channel.

Messages in, messages and events out. It writes no description and opens no path: a peer does, and its driver hands
over what the peer wrote. Nothing here opens a socket or reads a clock.

    join, offer -> SessionDescription("answer"), candidates | Failed("join")
    channel_opened -> the server offers what others publish: SessionDescription("offer"), answer, once for each track
    negotiate -> MayOffer | Failed("lock"); offer -> SessionDescription("answer") | Failed("offer")
    leave -> Closed

rtcd tells no error: what it refuses is silence. It offers each track once: an offer that has no answer in 10 s, or
that comes while the WebSocket is away, takes its track with it.
"""

from __future__ import annotations

from typing import Literal

from calls_doctor.wire import rtcd, rtcd_channel
from calls_doctor.wire.rtcd import Close, Join, Leave, Reconnect, Rtc
from calls_doctor.wire.rtcd_channel import LockReply, MediaMap, Pong, TextPong
from calls_doctor.wire.rtcd_lock import DECIDED_S as LOCK_DECIDED_S
from calls_doctor.wire.rtcd_lock import OfferLock, Outcome
from calls_doctor.wire.rtcd_session_events import Closed, Event, Failed, MayOffer, OfferIgnored
from calls_doctor.wire.rtcd_signal import IceCandidate, SessionDescription, Signal, VoiceOff, VoiceOn

ANSWER_DECIDED_S = 5.0
"""When an offer that was not answered is not going to be: rtcd answers in 6 ms."""
CLOSE_DECIDED_S = 2.0
"""When the close of a session that was left is not going to come: rtcd sends it in 1 ms."""
CANDIDATES_MAX = 256
"""How many candidates wait for a description; rtcd has two for each of its addresses."""

Way = Literal["websocket", "channel"]


class RtcdSession:
    """One session. What comes from the server never raises; the driver's own calls raise ValueError out of order, but
    do nothing once the session is left or closed: the driver may not have heard of it.

    `locks` False is for a server before v1.1.0, which has no lock and does not wait for the data channel.
    """

    def __init__(self, join: Join, *, locks: bool = True, answer_decided_s: float = ANSWER_DECIDED_S) -> None:
        self._join, self._locks, self._answer_decided_s = join, locks, answer_decided_s
        self._frames: list[rtcd.Message] = []
        self._channel: list[rtcd_channel.Message] = []
        self._events: list[Event] = []
        self.stage: Literal["new", "join", "call", "leave", "closed"] = "new"
        """"join" until the first answer, "call" after it."""
        self._lock = OfferLock()
        self._wants_offer = False
        self._may_offer = False
        self._offered_at: float | None = None
        """When the offer of ours was made that is not answered yet."""
        self._has_offered = False
        self._unanswered = False
        """The server waits for our answer."""
        self._answer_way: Way | None = None
        """How its last offer came."""
        self._channel_is_open = False
        self._is_reconnected = False
        self._left_at = 0.0
        self._early: list[IceCandidate] = []
        """The server's, until our offer is answered."""
        self._own: list[IceCandidate] = []
        """Ours, until there is an offer."""

    def join(self) -> None:
        """Over a WebSocket that has said hello. The driver's peer offers next: rtcd waits 10 s for that."""
        if self.stage != "new":
            raise ValueError("a session joins once")
        self.stage, self._may_offer = "join", True
        self._frames.append(self._join)

    def offer(self, sdp: str, now: float) -> None:
        """Our peer's offer: the first after `join`, every other after MayOffer."""
        if self._is_over:
            return
        if not self._may_offer:
            raise ValueError("an offer comes after join, or after MayOffer")
        self._may_offer = False
        if self._unanswered:  # no lock kept the server from it
            self._events.append(OfferIgnored())
            return
        self._offered_at = now
        by_channel = self._has_offered and self._join.dc_signaling and self._channel_is_open
        self._describe(SessionDescription("offer", sdp), "channel" if by_channel else "websocket")
        self._has_offered = True
        own, self._own = self._own, []
        for candidate in own:
            self.signal(candidate)

    def answer(self, sdp: str, now: float) -> None:
        """Our peer's answer to the server's last offer."""
        if self._is_over:
            return
        if self._answer_way is None:
            raise ValueError("there was no offer to answer")
        self._describe(SessionDescription("answer", sdp), self._answer_way)
        self._unanswered = False
        self._take_turn(now)

    def signal(self, signal: Signal) -> None:
        """A candidate of ours, or what we switch on or off. Candidates wait until there is an offer."""
        if self.stage == "new":
            raise ValueError("a signal belongs to a session that was joined")
        if self._is_over:
            return
        if isinstance(signal, IceCandidate) and not self._has_offered:
            self._own.append(signal)
        else:
            self._frames.append(Rtc(self._join.session_id, signal))

    def tell(self, message: rtcd_channel.Message) -> None:
        """A ping, or what we measured, over the open data channel."""
        if not self._channel_is_open:
            raise ValueError("the data channel is not open")
        if not self._is_over:
            self._channel.append(message)

    def channel_opened(self, now: float) -> None:
        """From now on the server offers tracks and reads our offers (v1.1.0 and later)."""
        self._channel_is_open = True
        self._take_turn(now)

    def negotiate(self, now: float) -> None:
        """Our peer has something new to offer; MayOffer says when it may, or Failed that it may not."""
        if not self._may_offer:  # else the offer that is about to be made holds this too
            self._wants_offer = True
        self._take_turn(now)

    def abandon_offer(self) -> None:
        """After MayOffer: there is nothing to offer any longer."""
        self._may_offer = False
        self._unlock()

    def reconnected(self) -> None:
        """A new WebSocket has said hello in place of the one that ended: the server is told before all else."""
        if self.stage not in ("new", "closed") and self._join not in self._frames:
            self._is_reconnected = True
            self._frames.insert(0, Reconnect(self._join.session_id))

    def leave(self, now: float) -> None:
        """The end of the session. Closed follows; of a session that has reconnected the server says nothing more."""
        if self.stage == "new":
            raise ValueError("a session that was joined is left")
        if self._is_over:
            return
        self._frames.append(Leave(self._join.session_id))
        self.stage, self._left_at = "leave", now
        if self._is_reconnected:
            self._close(told=False)

    def receive(self, message: rtcd.Message, now: float) -> None:
        """A message of the WebSocket; those of other sessions are skipped."""
        if not isinstance(message, Rtc | Close) or message.session_id != self._join.session_id:
            return
        if isinstance(message, Close):
            if self.stage not in ("new", "closed"):
                self._close(told=True)
        elif not self._is_over:
            self._receive_signal(message.signal, now)

    def receive_channel(self, message: rtcd_channel.Message, now: float) -> None:
        """A message of this session's data channel."""
        if self._is_over:
            return
        if isinstance(message, SessionDescription):
            self._receive_description(message, "channel", now)
        elif isinstance(message, LockReply):
            self._heed(self._lock.receive(message.locked, now), now)
        elif isinstance(message, MediaMap | Pong | TextPong):
            self._events.append(message)

    def next_timer(self) -> float | None:
        """When `handle_timer` is to be called; None where nothing is awaited."""
        if self.stage == "closed":
            return None
        if self.stage == "leave":
            return self._left_at + CLOSE_DECIDED_S
        answer_at = None if self._offered_at is None else self._offered_at + self._answer_decided_s
        return min((at for at in (answer_at, self._lock.next_timer()) if at is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """What has waited long enough."""
        if self.stage == "leave" and now >= self._left_at + CLOSE_DECIDED_S:
            self._close(told=False)
        if self._is_over:
            return
        if self._offered_at is not None and now >= self._offered_at + self._answer_decided_s:
            self._events.append(Failed("join" if self.stage == "join" else "offer", now - self._offered_at))
            self._offer_is_over(now)
        self._heed(self._lock.handle_timer(now), now)

    def frames_to_send(self) -> list[rtcd.Message]:
        """For the WebSocket, each once. A driver without one leaves them here."""
        frames, self._frames = self._frames, []
        return frames

    def channel_to_send(self) -> list[rtcd_channel.Message]:
        """For the data channel, each once."""
        messages, self._channel = self._channel, []
        return messages

    def events(self) -> list[Event]:
        """What has happened since the last call, each once."""
        events, self._events = self._events, []
        return events

    @property
    def _is_over(self) -> bool:
        return self.stage in ("leave", "closed")

    def _describe(self, description: SessionDescription, way: Way) -> None:
        if way == "channel":
            self.tell(description)
        else:
            self.signal(description)

    def _receive_signal(self, signal: Signal, now: float) -> None:
        if isinstance(signal, SessionDescription):
            self._receive_description(signal, "websocket", now)
        elif isinstance(signal, IceCandidate):
            if self._offered_at is None:
                self._events.append(signal)
            elif len(self._early) < CANDIDATES_MAX:
                self._early.append(signal)
        elif isinstance(signal, VoiceOn | VoiceOff):
            self._events.append(signal)

    def _receive_description(self, description: SessionDescription, way: Way, now: float) -> None:
        if description.type == "answer":
            if self._offered_at is None:
                return  # it comes too late, or nobody asked
            self.stage = "call"
            self._events.append(description)
            self._offer_is_over(now)
            return
        self._answer_way, self._unanswered = way, True
        if self._offered_at is not None:
            self._events.append(OfferIgnored())
            self._offer_is_over(now)
        self._events.append(description)

    def _offer_is_over(self, now: float) -> None:
        """Answered, or never to be: the candidates that came meanwhile are told, and the lock is given back."""
        self._offered_at = None
        self._events += self._early
        self._early = []
        self._unlock()
        self._take_turn(now)

    def _take_turn(self, now: float) -> None:
        """Where an offer is wanted: the lock is asked for, or, where there is none, our turn is when the server's own
        offer was answered."""
        if not self._wants_offer or self.stage != "call" or self._offered_at is not None or self._may_offer:
            return
        if self._locks and self._channel_is_open:
            self._wants_offer = False
            self._lock.ask(now)
            self._take_from_lock()
        elif not self._locks and not self._unanswered:
            self._grant(locked=False)

    def _heed(self, outcome: Outcome | None, now: float) -> None:
        self._take_from_lock()
        if outcome is Outcome.TAKEN:
            self._grant(locked=True)
        elif outcome is Outcome.REFUSED:
            self._events.append(Failed("lock", LOCK_DECIDED_S))
        elif outcome is Outcome.UNKNOWN:
            self._locks, self._wants_offer = False, True
            self._take_turn(now)

    def _grant(self, *, locked: bool) -> None:
        self._wants_offer, self._may_offer = False, True
        self._events.append(MayOffer(locked))

    def _unlock(self) -> None:
        self._lock.release()
        self._take_from_lock()

    def _take_from_lock(self) -> None:
        self._channel += self._lock.outgoing
        self._lock.outgoing.clear()

    def _close(self, *, told: bool) -> None:
        stage, self.stage = self.stage, "closed"
        self._may_offer = False
        self._events.append(Closed(stage, told))
