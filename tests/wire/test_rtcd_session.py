"""The client's side of a session: the captured calls replayed, and what happens where the server is silent."""

from __future__ import annotations

import pytest

from calls_doctor.wire import rtcd, rtcd_channel, rtcd_lock
from calls_doctor.wire.rtcd import Close, Hello, Join, Leave, Reconnect, Rtc
from calls_doctor.wire.rtcd_channel import Lock, LockReply, MediaMap, Ping, Pong, Unlock
from calls_doctor.wire.rtcd_session import ANSWER_DECIDED_S, CANDIDATES_MAX, CLOSE_DECIDED_S, RtcdSession
from calls_doctor.wire.rtcd_session_events import Closed, Event, Failed, MayOffer, OfferIgnored
from calls_doctor.wire.rtcd_signal import IceCandidate, Mute, SessionDescription, VoiceOn
from tests.wire.rtcd_captures import CALLS, ERRORS, records
from tests.wire.rtcd_replay import candidates_last, replay

JOIN = Join("call", "user", "s")
GLARE = "aiortc-glare"


@pytest.mark.parametrize("capture", [capture for capture in CALLS if capture != GLARE])
def test_a_captured_call_goes_as_it_went(capture: str) -> None:
    for one in replay(records(capture)).values():
        assert one.sent == candidates_last(one.recorded)
        assert one.events[-1] == Closed("call" if capture == "aiortc-network-loss" else "leave", told=True)
        heard = [repr(message) for message in one.heard if not isinstance(message, LockReply | Close)]
        assert sorted(heard) == sorted(repr(event) for event in one.events if not isinstance(event, MayOffer | Closed))
        for at, event in enumerate(one.events):
            if isinstance(event, IceCandidate):
                ufrag = event.candidate.split()[-1]
                assert any(f"a=ice-ufrag:{ufrag}" in sdp for sdp in told(one.events[:at])), "the answer comes first"


def told(events: list[Event]) -> list[str]:
    return [event.sdp for event in events if isinstance(event, SessionDescription)]


def test_where_an_unlocked_offer_crossed_we_ask_for_the_lock() -> None:
    """In this capture a client offers while the server's own offer waits, and is never answered."""
    crossed_at_s = 0.5892
    replays = replay(one for one in records(GLARE) if one.at_s < crossed_at_s)
    (session,) = [one.session for name, one in replays.items() if name.startswith("B")]
    session.negotiate(crossed_at_s)
    assert session.frames_to_send() == [] and session.channel_to_send() == [Lock()]


def test_a_join_without_an_offer_is_closed_by_the_server() -> None:
    join, close = (one for one in records(ERRORS) if one.kind == "ws" and b"sessionID\xa2x2" in one.frame)
    session = RtcdSession(Join("e1", "u1", "x2", "ch"))
    session.join()
    assert session.frames_to_send() == [rtcd.decode(join.frame, join.sender)]
    session.receive(rtcd.decode(close.frame, close.sender), close.at_s)
    assert session.events() == [Closed("join", told=True)]
    assert close.at_s - join.at_s == pytest.approx(10, abs=0.1)


def joined() -> RtcdSession:
    session = RtcdSession(JOIN)
    session.join()
    session.offer("first", 0.0)
    session.frames_to_send()
    return session


def in_call(join: Join = JOIN, *, locks: bool = True) -> RtcdSession:
    session = RtcdSession(join, locks=locks)
    session.join()
    session.offer("first", 0.0)
    session.receive(answer("first"), 0.0)
    session.channel_opened(0.0)
    assert session.events() == [SessionDescription("answer", "first")]
    session.frames_to_send()
    return session


def answer(sdp: str) -> Rtc:
    return Rtc("s", SessionDescription("answer", sdp))


def offer(sdp: str) -> Rtc:
    return Rtc("s", SessionDescription("offer", sdp))


def test_candidates_wait_for_the_description_that_they_belong_to() -> None:
    session = RtcdSession(JOIN)
    session.join()
    ours, theirs = IceCandidate("ours"), IceCandidate("theirs")
    session.signal(ours)
    assert session.frames_to_send() == [JOIN]
    session.offer("o", 0.0)
    assert session.frames_to_send() == [offer("o"), Rtc("s", ours)]
    session.receive(Rtc("s", theirs), 0.1)
    assert session.events() == []
    session.receive(answer("a"), 0.2)
    session.receive(Rtc("s", theirs), 0.3)
    assert session.events() == [SessionDescription("answer", "a"), theirs, theirs]


def test_candidates_without_end_are_not_all_kept() -> None:
    session = joined()
    for number in range(CANDIDATES_MAX + 1):
        session.receive(Rtc("s", IceCandidate(str(number))), 0.1)
    session.receive(answer("a"), 0.2)
    assert len(session.events()) == 1 + CANDIDATES_MAX


def test_a_refused_join_is_silence() -> None:
    session = joined()
    assert session.next_timer() == ANSWER_DECIDED_S
    session.handle_timer(ANSWER_DECIDED_S - 0.1)
    assert session.events() == []
    session.handle_timer(ANSWER_DECIDED_S)
    assert session.events() == [Failed("join", ANSWER_DECIDED_S)]
    session.receive(answer("too late"), 6.0)
    assert session.events() == [] and session.next_timer() is None


def test_a_later_offer_that_is_not_answered_gives_the_lock_back() -> None:
    session = in_call()
    session.negotiate(1.0)
    session.receive_channel(LockReply(True), 1.0)
    session.offer("second", 1.0)
    session.handle_timer(1.0 + ANSWER_DECIDED_S)
    assert session.events() == [MayOffer(locked=True), Failed("offer", ANSWER_DECIDED_S)]
    assert session.channel_to_send() == [Lock(), Unlock()]


def test_negotiating_waits_for_the_channel() -> None:
    session = joined()
    session.negotiate(0.0)
    session.receive(answer("first"), 0.1)
    assert session.channel_to_send() == []
    session.channel_opened(0.2)
    assert session.channel_to_send() == [Lock()]


def test_what_is_wanted_during_an_offer_makes_another_and_what_is_wanted_before_it_does_not() -> None:
    session = in_call()
    session.negotiate(1.0)
    session.receive_channel(LockReply(True), 1.0)
    session.negotiate(1.0)
    session.offer("second", 1.0)
    session.receive(answer("second"), 1.1)
    assert session.channel_to_send() == [Lock(), Unlock()]
    session.negotiate(2.0)
    session.receive_channel(LockReply(True), 2.0)
    session.offer("third", 2.0)
    session.negotiate(2.0)
    session.receive(answer("third"), 2.1)
    assert session.channel_to_send() == [Lock(), Unlock(), Lock()]


def test_an_offer_that_is_not_made_after_all_gives_the_lock_back() -> None:
    session = in_call()
    session.negotiate(1.0)
    session.receive_channel(LockReply(True), 1.0)
    session.abandon_offer()
    assert session.channel_to_send() == [Lock(), Unlock()]
    with pytest.raises(ValueError, match="after MayOffer"):
        session.offer("second", 1.1)


def test_a_lock_that_others_hold_all_the_time() -> None:
    session = in_call()
    session.negotiate(0.0)
    while (at := session.next_timer()) is not None:
        session.receive_channel(LockReply(False), at)
        session.handle_timer(at)
    assert session.events() == [Failed("lock", rtcd_lock.DECIDED_S)]


def test_a_server_without_locks_is_offered_to_between_its_own_offers() -> None:
    session = in_call()
    session.receive(offer("theirs"), 0.5)
    session.negotiate(1.0)
    session.handle_timer(1.0 + rtcd_lock.UNKNOWN_S)
    assert session.events() == [SessionDescription("offer", "theirs")]
    session.answer("ours", 7.0)
    assert session.events() == [MayOffer(locked=False)]
    session.offer("second", 7.0)
    assert session.frames_to_send() == [answer("ours"), offer("second")]


def test_without_a_lock_offers_may_cross_and_ours_is_lost() -> None:
    session = in_call(locks=False)
    session.negotiate(1.0)
    session.offer("second", 1.0)
    session.receive(offer("theirs"), 1.1)
    assert session.events() == [MayOffer(False), OfferIgnored(), SessionDescription("offer", "theirs")]
    assert session.next_timer() is None
    session.negotiate(1.2)
    assert session.events() == []
    session.answer("ours", 1.3)
    assert session.events() == [MayOffer(False)]
    session.frames_to_send()
    session.receive(offer("theirs again"), 1.4)
    session.offer("third", 1.5)
    assert session.frames_to_send() == []
    assert session.events() == [SessionDescription("offer", "theirs again"), OfferIgnored()]


def test_with_dc_signaling_later_offers_and_the_answers_to_the_servers_take_the_channel() -> None:
    session = in_call(Join("call", "user", "s", dc_signaling=True))
    session.negotiate(1.0)
    session.receive_channel(LockReply(True), 1.0)
    session.offer("second", 1.0)
    session.receive_channel(SessionDescription("answer", "second"), 1.1)
    session.receive_channel(SessionDescription("offer", "theirs"), 1.2)
    session.answer("ours", 1.3)
    session.receive(offer("by the WebSocket"), 1.4)
    session.answer("as well", 1.5)
    assert session.channel_to_send() == [
        Lock(),
        SessionDescription("offer", "second"),
        Unlock(),
        SessionDescription("answer", "ours"),
    ]
    assert session.frames_to_send() == [answer("as well")]


def test_a_reconnection_is_told_before_all_else_and_leaves_no_close_to_wait_for() -> None:
    session = in_call()
    session.signal(Mute())
    session.reconnected()
    assert session.frames_to_send() == [Reconnect("s"), Rtc("s", Mute())]
    session.leave(3.0)
    assert session.frames_to_send() == [Leave("s")]
    assert session.events() == [Closed("leave", told=False)]


def test_a_join_that_was_not_sent_needs_no_reconnection() -> None:
    session = RtcdSession(JOIN)
    session.reconnected()
    session.join()
    session.reconnected()
    assert session.frames_to_send() == [JOIN]


def test_a_close_that_does_not_come_is_not_waited_for() -> None:
    session = in_call()
    session.leave(3.0)
    assert session.next_timer() == 3.0 + CLOSE_DECIDED_S
    session.handle_timer(3.0 + CLOSE_DECIDED_S)
    assert session.events() == [Closed("leave", told=False)] and session.next_timer() is None
    session.receive(Close("s"), 6.0)
    assert session.events() == []


def test_after_the_end_the_driver_is_not_listened_to() -> None:
    session = in_call()
    session.receive(offer("theirs"), 0.5)
    session.receive(Close("s"), 1.0)
    session.events()
    session.answer("ours", 1.1)
    session.offer("second", 1.1)
    session.signal(Mute())
    session.tell(Ping())
    session.negotiate(1.1)
    session.leave(1.1)
    session.reconnected()
    session.receive_channel(LockReply(True), 1.2)
    session.handle_timer(9.0)
    assert not [*session.frames_to_send(), *session.channel_to_send(), *session.events()]


def test_what_belongs_to_others_is_skipped() -> None:
    session = in_call()
    for message in (Hello("c", "x"), Close("other"), Rtc("other", VoiceOn()), rtcd.Unknown("new"), JOIN):
        session.receive(message, 1.0)
    session.receive_channel(rtcd_channel.Unknown(42), 1.0)
    assert session.events() == []
    session.receive(Rtc("s", VoiceOn()), 1.0)
    session.receive_channel(Pong(), 1.0)
    session.receive_channel(MediaMap(()), 1.0)
    assert session.events() == [VoiceOn(), Pong(), MediaMap(())]


def test_calls_out_of_order() -> None:
    session = RtcdSession(JOIN)
    with pytest.raises(ValueError, match="after join"):
        session.offer("o", 0.0)
    with pytest.raises(ValueError, match="no offer to answer"):
        session.answer("a", 0.0)
    with pytest.raises(ValueError, match="joined"):
        session.signal(Mute())
    with pytest.raises(ValueError, match="not open"):
        session.tell(Ping())
    with pytest.raises(ValueError, match="joined"):
        session.leave(0.0)
    session.join()
    with pytest.raises(ValueError, match="once"):
        session.join()
