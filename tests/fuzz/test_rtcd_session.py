# Invariant: whatever a server says and when, a session raises nothing; its driver may do what it is told that it may,
# and what it sends can be read.

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.wire import rtcd, rtcd_channel
from calls_doctor.wire.rtcd import Join, Rtc
from calls_doctor.wire.rtcd_session import RtcdSession
from calls_doctor.wire.rtcd_session_events import MayOffer
from calls_doctor.wire.rtcd_signal import Sender, SessionDescription
from tests.wire.rtcd_messages import CHANNEL, FRAMES

DRIVER = st.sampled_from(("timer", "negotiate", "reconnected", "leave"))


def in_call(*, locks: bool) -> RtcdSession:
    session = RtcdSession(Join("call", "user", "s"), locks=locks)
    session.join()
    session.offer("first", 0.0)
    session.receive(Rtc("s", SessionDescription("answer", "first")), 0.0)
    session.channel_opened(0.0)
    return session


@given(st.booleans(), st.lists(st.one_of(FRAMES[Sender.SERVER], DRIVER), max_size=20))
def test_whatever_a_server_says_on_its_websocket(locks: bool, said: list[rtcd.Message | str]) -> None:
    session, now = in_call(locks=locks), 0.0
    for one in said:
        now += 1.0
        if isinstance(one, Rtc):
            session.receive(Rtc("s", one.signal), now)
        elif isinstance(one, str):
            act(session, one, now)
        else:
            session.receive(one, now)
        check(session, now)


@given(st.booleans(), st.lists(st.one_of(CHANNEL[Sender.SERVER], DRIVER), max_size=20))
def test_whatever_a_server_says_on_the_channel(locks: bool, said: list[rtcd_channel.Message | str]) -> None:
    session, now = in_call(locks=locks), 0.0
    for one in said:
        now += 1.0
        if isinstance(one, str):
            act(session, one, now)
        else:
            session.receive_channel(one, now)
        check(session, now)


def act(session: RtcdSession, what: str, now: float) -> None:
    match what:
        case "timer":
            session.handle_timer(max(now, session.next_timer() or 0.0))
        case "negotiate":
            session.negotiate(now)
        case "reconnected":
            session.reconnected()
        case _:
            session.leave(now)


def check(session: RtcdSession, now: float) -> None:
    """The driver offers when it may and answers what it is asked; what it sends can be read."""
    for event in session.events():
        if isinstance(event, MayOffer):
            session.offer("ours", now)
        elif isinstance(event, SessionDescription) and event.type == "offer":
            session.answer("ours", now)
    for frame in session.frames_to_send():
        assert rtcd.decode(rtcd.encode(frame, Sender.CLIENT), Sender.CLIENT) == frame
    for message in session.channel_to_send():
        assert rtcd_channel.decode(rtcd_channel.encode(message, Sender.CLIENT), Sender.CLIENT) == message
