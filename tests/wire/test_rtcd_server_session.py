"""What the server of a session says when: the captured rules of offers, locks and time limits."""

from __future__ import annotations

import re

import pytest

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
from calls_doctor.wire.rtcd_sdp import OPUS, LocalTransport, SentTrack, host_candidate
from calls_doctor.wire.rtcd_server_session import CONNECTED_S, LOCK_S, OFFERS_MAX, SIGNALING_S, ServerSession
from calls_doctor.wire.rtcd_signal import IceCandidate, SessionDescription
from tests.servers.rtcd_offers import AUDIO_OFFER, CHANNEL_OFFER, answer_to

LOCAL = LocalTransport(
    ufrag="u" * 16, pwd="p" * 32, fingerprint=bytes(32), candidates=(host_candidate("udp", "10.0.0.1", 8443),)
)
TOLD = (host_candidate("udp", "10.0.0.1", 30443), host_candidate("tcp", "10.0.0.1", 30443))
VOICE, OTHER = (SentTrack(f"voice_{name}_abcdefgh", name, OPUS, ssrc) for name, ssrc in (("b", 1), ("c", 2)))
NEW_NAMES = "n" * 16, "q" * 32


def new(*, dc_signaling: bool = False) -> ServerSession:
    return ServerSession(Join("call", "user", "me", dc_signaling=dc_signaling), LOCAL, TOLD, 5, 0.0, lambda: NEW_NAMES)


def offered(session: ServerSession, text: str = CHANNEL_OFFER, now: float = 1.0) -> list[SessionDescription]:
    session.receive_description(SessionDescription("offer", text), "websocket", now)
    return descriptions(session)


def descriptions(session: ServerSession) -> list[SessionDescription]:
    out, session.outgoing = session.outgoing, []
    return [one for one in out if isinstance(one, SessionDescription)]


def opened(*, dc_signaling: bool = False) -> ServerSession:
    session = new(dc_signaling=dc_signaling)
    offered(session)
    session.connected()
    session.channel_opened(2.0)
    return session


def said(session: ServerSession) -> list[object]:
    out, session.channel = session.channel, []
    return list(out)


def test_the_first_offer_is_answered_and_candidates_follow_by_the_mapped_port() -> None:
    session = new()
    session.receive_description(SessionDescription("offer", CHANNEL_OFFER), "websocket", 1.0)
    answer, udp, tcp = session.outgoing
    assert isinstance(answer, SessionDescription) and answer.type == "answer" and "candidate" not in answer.sdp
    assert isinstance(udp, IceCandidate) and isinstance(tcp, IceCandidate)
    assert udp.candidate.endswith(f" 1 udp 2130706431 10.0.0.1 30443 typ host ufrag {LOCAL.ufrag}")
    assert tcp.candidate.endswith(f" tcp 1671430143 10.0.0.1 30443 typ host tcptype passive ufrag {LOCAL.ufrag}")
    assert (udp.sdp_mid, udp.sdp_mline_index, udp.username_fragment) == ("0", 0, None)
    assert session.remote is not None and not session.failed


@pytest.mark.parametrize(("offer", "at", "ends"), [(None, SIGNALING_S, True), (CHANNEL_OFFER, CONNECTED_S + 1.0, True)])
def test_a_session_that_comes_no_further_ends(offer: str | None, at: float, ends: bool) -> None:
    session = new()
    if offer:
        offered(session, offer)
    session.handle_timer(at - 0.1)
    assert not session.failed and session.next_timer() == at
    session.handle_timer(at)
    assert session.failed is ends


def test_a_first_offer_that_is_none_ends_it_and_a_later_one_does_not() -> None:
    session = new()
    assert offered(session, "garbage") == [] and session.failed
    session = opened()
    assert offered(session, "garbage") == [] and not session.failed
    assert [one.type for one in offered(session, AUDIO_OFFER)] == ["answer"]


def test_later_offers_are_not_read_before_the_channel_is_open() -> None:
    session = new()
    offered(session)
    for _ in range(OFFERS_MAX + 3):
        assert offered(session, AUDIO_OFFER) == []
    session.channel_opened(2.0)
    assert len(descriptions(session)) == OFFERS_MAX


def test_an_answer_goes_back_the_way_the_offer_came() -> None:
    session = opened()
    session.receive_channel(SessionDescription("offer", AUDIO_OFFER), 3.0)
    assert descriptions(session) == []
    assert [one.type for one in said(session) if isinstance(one, SessionDescription)] == ["answer"]


@pytest.mark.parametrize("dc_signaling", [False, True])
def test_a_track_is_offered_with_a_map_and_is_sent_once_it_was_answered(dc_signaling: bool) -> None:
    session = opened(dc_signaling=dc_signaling)
    session.add(VOICE, 3.0)
    by_channel = said(session)
    assert by_channel[0] == MediaMap((MediaTrack("1", "voice", "me"),))
    (offer,) = by_channel[1:] if dc_signaling else descriptions(session)
    assert isinstance(offer, SessionDescription) and "a=msid:b voice_b_abcdefgh" in offer.sdp
    assert session.sent_tracks == []
    session.receive_description(SessionDescription("answer", answer_to(offer.sdp)), "websocket", 3.1)
    assert session.sent_tracks == [(VOICE, 111)]


def test_each_track_is_an_offer_of_its_own_one_after_the_other() -> None:
    session = opened()
    session.add(VOICE, 3.0)
    session.add(OTHER, 3.0)
    (first,) = descriptions(session)
    session.receive_description(SessionDescription("answer", answer_to(first.sdp)), "channel", 3.1)
    (second,) = descriptions(session)
    assert "voice_c" not in first.sdp and "voice_b" in second.sdp and "voice_c" in second.sdp


def test_tracks_wait_for_the_channel() -> None:
    session = new()
    offered(session)
    session.add(VOICE, 1.5)
    assert descriptions(session) == [] and session.next_timer() == CONNECTED_S + 1.0
    session.channel_opened(60.0)
    assert [one.type for one in descriptions(session)] == ["offer"]


def test_an_offer_that_crosses_ours_has_no_answer_and_neither_has_one_after_ours_was_not_answered() -> None:
    session = opened()
    session.add(VOICE, 3.0)
    (ours,) = descriptions(session)
    assert offered(session, AUDIO_OFFER, 3.1) == []
    session.handle_timer(3.0 + SIGNALING_S)
    assert session.sent_tracks == [] and session.next_timer() is None
    assert offered(session, AUDIO_OFFER, 20.0) == []
    session.receive_description(SessionDescription("answer", answer_to(ours.sdp)), "websocket", 21.0)
    assert session.sent_tracks == [], "it was dropped for good"
    assert [one.type for one in offered(session, AUDIO_OFFER, 22.0)] == ["answer"]


def test_the_lock_is_given_or_refused_at_once() -> None:
    session = opened()
    for message, replies in (
        (Lock(), [LockReply(True)]), (Lock(), [LockReply(False)]), (Unlock(), []), (Unlock(), []),
        (Lock(), [LockReply(True)]),
    ):  # fmt: skip
        session.receive_channel(message, 3.0)
        assert said(session) == replies


def test_a_track_waits_for_the_clients_lock_and_is_dropped_where_that_takes_too_long() -> None:
    session = opened()
    session.receive_channel(Lock(), 3.0)
    session.add(VOICE, 3.0)
    session.add(OTHER, 3.0)
    assert descriptions(session) == [] and session.next_timer() == 3.0 + LOCK_S
    session.handle_timer(3.0 + LOCK_S)
    assert session.next_timer() == 3.0 + 2 * LOCK_S
    session.receive_channel(Unlock(), 9.0)
    (offer,) = descriptions(session)
    assert "voice_c" in offer.sdp and "voice_b" not in offer.sdp


def test_our_own_offer_holds_the_lock_until_it_is_answered_or_ten_seconds() -> None:
    session = opened()
    session.add(VOICE, 3.0)
    said(session)
    session.receive_channel(Lock(), 4.0)
    session.receive_channel(Unlock(), 4.0)
    assert said(session) == [LockReply(False)], "nobody gives back what another holds"
    session.handle_timer(3.0 + SIGNALING_S)
    session.receive_channel(Lock(), 13.0)
    assert said(session) == [LockReply(True)]


def test_a_track_that_is_taken_back_is_offered_without_or_not_at_all() -> None:
    session = opened()
    session.add(VOICE, 3.0)
    session.add(OTHER, 3.0)
    session.remove(OTHER, 3.0)
    (offer,) = descriptions(session)
    session.receive_description(SessionDescription("answer", answer_to(offer.sdp)), "websocket", 3.1)
    assert descriptions(session) == []
    session.remove(VOICE, 4.0)
    (offer,) = descriptions(session)
    assert "a=msid:" not in offer.sdp and offer.sdp.endswith("a=recvonly\r\n")
    session.receive_description(SessionDescription("answer", answer_to(offer.sdp)), "websocket", 4.1)
    session.remove(VOICE, 5.0)
    assert session.sent_tracks == [] and descriptions(session) == []


def test_pings_are_answered_in_kind() -> None:
    session = opened()
    for message in (Ping(), TextPing()):
        session.receive_channel(message, 3.0)
    assert said(session) == [Pong(), TextPong()]


def test_an_answer_that_is_none_is_as_good_as_no_answer() -> None:
    session = opened()
    session.receive_description(SessionDescription("answer", answer_to(CHANNEL_OFFER)), "websocket", 2.5)
    session.add(VOICE, 3.0)
    for text in ("garbage", answer_to(CHANNEL_OFFER)):
        session.receive_description(SessionDescription("answer", text), "websocket", 3.1)
    assert session.sent_tracks == [] and session.next_timer() == 3.0 + SIGNALING_S


def test_a_client_may_begin_ice_anew() -> None:
    session = opened()
    offered(session, AUDIO_OFFER)
    anew = re.sub("a=ice-ufrag:.*", "a=ice-ufrag:anew\r", AUDIO_OFFER)
    session.receive_description(SessionDescription("offer", anew), "websocket", 3.0)
    answer, udp, tcp = session.outgoing
    assert isinstance(answer, SessionDescription) and "a=candidate" not in answer.sdp
    assert f"a=ice-ufrag:{NEW_NAMES[0]}\r\na=ice-pwd:{NEW_NAMES[1]}\r\n" in answer.sdp and LOCAL.ufrag not in answer.sdp
    assert isinstance(udp, IceCandidate) and isinstance(tcp, IceCandidate) and NEW_NAMES[0] in udp.candidate
    assert session.remote is not None and session.remote.ice_ufrag == "anew"
    session.outgoing.clear()
    (again,) = offered(session, anew)
    assert "a=candidate" in again.sdp and session.outgoing == []
