"""The server's side of one session in a call of rtcd: what is answered and offered when (rtcd-protocol section 3).

Messages in, messages out; it forwards nothing and opens no path. An offer of the client's is answered at once, or not
at all while one of the server's own is out. Each track that is added or removed is an offer of its own: one after the
other, each once the lock is free, and dropped for good where that or the answer takes too long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from calls_doctor.errors import SdpError
from calls_doctor.wire import rtcd_channel, sdp
from calls_doctor.wire.rtcd import Join
from calls_doctor.wire.rtcd_channel import (
    Lock,
    LockReply,
    MediaMap,
    MediaTrack,
    Ping,
    Pong,
    TextPing,
    TextPong,
    Unlock,
)
from calls_doctor.wire.rtcd_sdp import LocalTransport, SentTrack, ServerDescriptions
from calls_doctor.wire.rtcd_signal import IceCandidate, SessionDescription, Signal
from calls_doctor.wire.sdp import Candidate, Description

SIGNALING_S = 10.0
"""A join without an offer has failed by then, and an offer of the server's without an answer."""
LOCK_S = 5.0
"""How long a track waits for the lock."""
CONNECTED_S = 30.0
"""A session whose media has not come up by then is over."""
OFFERS_MAX = 8
"""Offers of a client that wait until its data channel is open."""
ACTIONS_MAX = 128
"""Tracks that wait for their turn."""

Way = Literal["websocket", "channel"]


@dataclass
class _Action:
    """A track that is to be added or removed."""

    track: SentTrack
    adds: bool
    until: float = 0.0
    """When the lock is not waited for any longer; 0.0: it is not its turn yet."""


class ServerSession:
    """One session. What its client sends never raises. `names` draws the user name fragment and the password under
    which ICE goes on where the client begins it anew."""

    def __init__(
        self,
        join: Join,
        local: LocalTransport,
        trickled: tuple[Candidate, ...],
        origin: int,
        now: float,
        names: Callable[[], tuple[str, str]],
    ) -> None:
        self.join = join
        self.local = local
        self.descriptions = ServerDescriptions(local, origin)
        self.remote: Description | None = None
        """The offer of the client's that began ICE, once it could be taken."""
        self.failed = False
        """The session is to end: its first offer did not come, or cannot be taken, or its media did not come up."""
        self.is_open = False
        """The data channel is: tracks may be offered."""
        self.outgoing: list[Signal] = []
        """For the WebSocket."""
        self.channel: list[rtcd_channel.Message] = []
        """For the data channel."""
        self._trickled, self._names = trickled, names
        self._deadline: float | None = now + SIGNALING_S
        """Of the first offer, then of the media path."""
        self._locked_by: Literal["", "client", "server"] = ""
        self._waiting: deque[tuple[SessionDescription, Way]] = deque(maxlen=OFFERS_MAX)
        self._actions: deque[_Action] = deque()
        self._answer_by: float | None = None
        """Until when the answer to an offer of ours is waited for."""
        self._is_offering = False
        """An offer of ours is out, and be it that nobody waits for its answer any longer."""

    @property
    def sent_tracks(self) -> list[tuple[SentTrack, int]]:
        """What the client takes now, with the payload type of each."""
        return [
            (one.track, number)
            for one in self.descriptions.sections
            if one.track is not None and one.has_sent and (number := one.payload_type(one.track.codec)) is not None
        ]

    def receive_description(self, description: SessionDescription, way: Way, now: float) -> None:
        """An offer or an answer of the client's."""
        if description.type == "answer":
            self._take_answer(description.sdp, now)
        elif self.remote is None:
            self._take_first_offer(description.sdp, way, now)
        elif not self.is_open:
            self._waiting.append((description, way))
        else:
            self._take_offer(description.sdp, way)

    def receive_channel(self, message: rtcd_channel.Message, now: float) -> None:
        """A message of the data channel."""
        match message:
            case Ping():
                self.channel.append(Pong())
            case TextPing():
                self.channel.append(TextPong())
            case SessionDescription():
                self.receive_description(message, "channel", now)
            case Lock():
                self.channel.append(LockReply(not self._locked_by))
                self._locked_by = self._locked_by or "client"
            case Unlock() if self._locked_by == "client":
                self._locked_by = ""
                self._go_on(now)

    def connected(self) -> None:
        """The media path is up."""
        self._deadline = None

    def channel_opened(self, now: float) -> None:
        """The client's data channel is open: its offers are read, and tracks are offered."""
        self.is_open = True
        while self._waiting:
            description, way = self._waiting.popleft()
            self._take_offer(description.sdp, way)
        self._go_on(now)

    def add(self, track: SentTrack, now: float) -> None:
        """Offers the track when it is its turn."""
        self._enqueue(_Action(track, adds=True), now)

    def remove(self, track: SentTrack, now: float) -> None:
        """Offers to be without the track; one that still waits is not offered at all."""
        waiting = [one for one in self._actions if one.track != track]
        if len(waiting) < len(self._actions):
            self._actions = deque(waiting)
            return
        self._enqueue(_Action(track, adds=False), now)

    def next_timer(self) -> float | None:
        """When `handle_timer` is to be called; None where nothing is awaited."""
        head = self._actions[0].until if self._actions and self._answer_by is None and self.is_open else None
        return min((at for at in (self._deadline, self._answer_by, head) if at is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """What has waited long enough."""
        if self._deadline is not None and now >= self._deadline:
            self._deadline, self.failed = None, True
        if self._answer_by is not None and now >= self._answer_by:
            action = self._actions.popleft()
            if action.adds:
                self.descriptions.withdraw(action.track)
            self._end_turn()
        self._go_on(now)

    def _take_first_offer(self, text: str, way: Way, now: float) -> None:
        try:
            offer = sdp.parse(text)
            self.descriptions.take_offer(offer)
        except SdpError:
            self.failed = True
            return
        self.remote = offer
        self._deadline = now + CONNECTED_S
        self._describe("answer", self.descriptions.answer(), way)
        self._trickle()

    def _trickle(self) -> None:
        mid = self.descriptions.sections[0].mid
        self.outgoing += [IceCandidate(f"candidate:{one} ufrag {self.local.ufrag}", mid, 0) for one in self._trickled]

    def _take_offer(self, text: str, way: Way) -> None:
        """An offer that crosses ours, or cannot be taken, has no answer."""
        if self._is_offering:
            return
        try:
            offer = sdp.parse(text)
            self.descriptions.take_offer(offer)
        except SdpError:
            return
        remote = self.remote
        restarts = remote is not None and (offer.ice_ufrag, offer.ice_pwd) != (remote.ice_ufrag, remote.ice_pwd)
        if restarts:
            self.remote = offer
            ufrag, pwd = self._names()
            self.local = replace(self.local, ufrag=ufrag, pwd=pwd)
            self.descriptions.restart(self.local)
        self._describe("answer", self.descriptions.answer(), way)
        if restarts:
            self._trickle()

    def _take_answer(self, text: str, now: float) -> None:
        if not self._is_offering:
            return
        try:
            self.descriptions.take_answer(sdp.parse(text))
        except SdpError:
            return
        self._is_offering = False
        if self._answer_by is not None:
            self._actions.popleft()
            self._end_turn()
        self._go_on(now)

    def _enqueue(self, action: _Action, now: float) -> None:
        if len(self._actions) < ACTIONS_MAX:
            self._actions.append(action)
            self._go_on(now)

    def _go_on(self, now: float) -> None:
        """Makes the next offer, where one is wanted and the lock is free."""
        while self.is_open and self._actions and self._answer_by is None:
            action = self._actions[0]
            action.until = action.until or now + LOCK_S
            if self._locked_by:
                if now < action.until:
                    return
            elif self._place(action):
                self._locked_by, self._answer_by, self._is_offering = "server", now + SIGNALING_S, True
                self._offer()
                return
            self._actions.popleft()

    def _place(self, action: _Action) -> bool:
        """False where there is nothing to offer."""
        if not action.adds:
            return self.descriptions.withdraw(action.track)
        try:
            self.descriptions.place(action.track)
        except SdpError:
            return False
        return True

    def _offer(self) -> None:
        tracks = [(one.mid, one.track) for one in self.descriptions.sections if one.track is not None]
        # As v1.2.6 does: its map names the receiver; who sends is said by a=msid.
        self.channel.append(MediaMap(tuple(MediaTrack(mid, one.type, self.join.session_id) for mid, one in tracks)))
        self._describe("offer", self.descriptions.offer(), "channel" if self.join.dc_signaling else "websocket")

    def _end_turn(self) -> None:
        self._answer_by = None
        if self._locked_by == "server":
            self._locked_by = ""

    def _describe(self, kind: Literal["offer", "answer"], text: str, way: Way) -> None:
        description = SessionDescription(kind, text)
        if way == "channel":
            self.channel.append(description)
        else:
            self.outgoing.append(description)
