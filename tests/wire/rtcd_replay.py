"""Captured calls once more, with our session in the place of the client that was captured."""

from __future__ import annotations

from collections.abc import Iterable

from calls_doctor.wire import rtcd, rtcd_channel
from calls_doctor.wire.rtcd import Hello, Join, Leave, Rtc
from calls_doctor.wire.rtcd_channel import Lock, Unlock
from calls_doctor.wire.rtcd_session import RtcdSession
from calls_doctor.wire.rtcd_session_events import Event
from calls_doctor.wire.rtcd_signal import Sender, SessionDescription
from tests.wire.rtcd_captures import Captured


class Replay:
    """One session of a capture: the driver does what its client did, and the rest has to come by itself."""

    def __init__(self, join: Join) -> None:
        self.session = RtcdSession(join)
        self.sent: list[object] = []
        self.recorded: list[object] = []
        self.heard: list[object] = []
        """What the server said to this session."""
        self.events: list[Event] = []

    def frame(self, message: rtcd.Message, sender: Sender, now: float) -> None:
        if sender is Sender.SERVER:
            self.heard.append(message.signal if isinstance(message, Rtc) else message)
            self.session.receive(message, now)
            return
        self.recorded.append(message)
        match message:
            case Join():
                self.session.join()
            case Leave():
                self.session.leave(now)
            case Rtc(signal=SessionDescription() as description):
                self.describe(description, now)
            case Rtc(signal=signal):
                self.session.signal(signal)

    def channel(self, message: rtcd_channel.Message, sender: Sender, now: float) -> None:
        if sender is Sender.SERVER:
            self.heard.append(message)
            self.session.receive_channel(message, now)
            return
        self.recorded.append(message)
        match message:
            case Lock() if self.session.next_timer() is not None:
                self.session.handle_timer(now)
            case Lock():
                self.session.negotiate(now)
            case SessionDescription():
                self.describe(message, now)
            case Unlock():
                pass
            case _:
                self.session.tell(message)

    def describe(self, description: SessionDescription, now: float) -> None:
        (self.session.offer if description.type == "offer" else self.session.answer)(description.sdp, now)

    def take(self) -> None:
        self.events += self.session.events()
        self.sent += [*self.session.frames_to_send(), *self.session.channel_to_send()]


def replay(captured: Iterable[Captured]) -> dict[str, Replay]:
    """By session."""
    replays: dict[str, Replay] = {}
    for one in captured:
        name = one.session
        if one.kind == "ws":
            frame = rtcd.decode(one.frame, one.sender)
            if isinstance(frame, Hello | rtcd.Unknown):
                continue
            name = frame.session_id
            if isinstance(frame, Join):
                replays[name] = Replay(frame)
            replays[name].frame(frame, one.sender, one.at_s)
        elif one.kind == "dc":
            replays[name].channel(rtcd_channel.decode(one.message, one.sender), one.sender, one.at_s)
        elif one.name == "dc:open":
            replays[name].session.channel_opened(one.at_s)
        if name in replays:
            replays[name].take()
    return replays


def candidates_last(said: list[object]) -> list[object]:
    """Candidates that a client sent before its first offer come after it, as we send them."""
    first = next(at for at, one in enumerate(said) if "'offer'" in repr(one))
    early = [one for one in said[:first] if isinstance(one, Rtc)]
    return [*(one for one in said[:first] if one not in early), said[first], *early, *said[first + 1 :]]
