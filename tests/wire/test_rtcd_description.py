"""What a session of ours offers rtcd and answers it: against what was captured, and aiortc's reading."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiortc.sdp import SessionDescription as Read

from calls_doctor.errors import SdpError
from calls_doctor.wire import sdp
from calls_doctor.wire.rtcd_description import OPUS_PAYLOAD_TYPE, OwnEnd, RtcdDescriptions
from calls_doctor.wire.rtcd_signal import SessionDescription
from tests.wire.rtcd_captures import records
from tests.wire.rtcd_replay import replay

DATA = Path(__file__).parent.parent / "data" / "sdp"
OWN = OwnEnd(
    fragment="f" * 8,
    password="p" * 24,
    fingerprint=bytes(range(32)),
    ssrc=77,
    stream="ours",
    screen_ssrc=78,
    screen="shown",
)
ANSWER, ADDED = "rtcd-answer-data", "rtcd-offer-added-audio"


def read(name: str) -> str:
    return (DATA / f"{name}.sdp").read_bytes().decode()


def begun() -> RtcdDescriptions:
    """Its data channel is answered."""
    ours = RtcdDescriptions(OWN)
    ours.offer()
    ours.answered(read(ANSWER))
    return ours


def test_the_first_offer_is_of_a_data_channel_and_takes_either_role() -> None:
    written = sdp.parse(RtcdDescriptions(OWN).offer())
    assert [(media.kind, media.mid) for media in written.media] == [("application", "0")]
    assert (written.setup, written.ice_ufrag, written.fingerprint) == ("actpass", OWN.fragment, OWN.fingerprint)
    assert written.candidates == ()


def test_who_begins_the_handshake_is_what_the_answer_leaves() -> None:
    assert begun().dtls_serves
    ours = RtcdDescriptions(OWN)
    ours.answered(read(ANSWER).replace("setup:active", "setup:passive"))
    assert not ours.dtls_serves


def test_the_second_offer_adds_a_voice_behind_what_is_there() -> None:
    text = begun().offer(voice=True)
    (data, voice) = sdp.parse(text).media
    assert (data.mid, voice.mid, voice.kind, voice.direction) == ("0", "1", "audio", "sendrecv")
    assert (voice.opus_payload_type, voice.ssrcs) == (OPUS_PAYLOAD_TYPE, (OWN.ssrc,))
    aiortcs = Read.parse(text)
    assert aiortcs.group[0].items == ["0", "1"] and aiortcs.media[1].msid == "ours voice"


def test_a_voice_that_rtcd_adds_is_received_and_our_own_comes_behind_it() -> None:
    ours = begun()
    answer = sdp.parse(ours.answer(read(ADDED)))
    assert [(media.mid, media.direction, media.ssrcs) for media in answer.media][1:] == [("1", "recvonly", ())]
    assert answer.setup == "passive"
    assert sdp.parse(ours.offer(voice=True)).mids == ("0", "1", "2")


def test_where_rtcd_sends_in_our_own_section_we_go_on_sending_there() -> None:
    ours = begun()
    ours.offer(voice=True)
    for theirs, expected in (
        ("sendrecv", "sendrecv"), ("recvonly", "sendonly"), ("sendonly", "recvonly"), ("inactive", "inactive")
    ):  # fmt: skip
        channel, voice = read(ADDED).split("m=audio")
        answer = sdp.parse(ours.answer(f"{channel}m=audio{voice.replace('a=sendrecv', f'a={theirs}')}"))
        assert answer.media[1].direction == expected
        assert answer.media[1].ssrcs == ((OWN.ssrc,) if "send" in expected else ())


def test_what_is_no_voice_is_refused_and_stays_in_its_place() -> None:
    ours = begun()
    video = read(ADDED).replace("m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=video 9 UDP/TLS/RTP/SAVPF 96")
    answer = sdp.parse(ours.answer(video))
    assert [media.refused for media in answer.media] == [False, True]
    assert Read.parse(ours.offer()).group[0].items == ["0"]


def test_an_offer_of_ours_that_crossed_another_is_taken_back() -> None:
    ours = begun()
    ours.offer(voice=True)
    ours.rollback()
    assert sdp.parse(ours.answer(read(ADDED))).media[1].direction == "recvonly"
    assert sdp.parse(ours.offer(voice=True)).mids == ("0", "1", "2")


VP8 = """m=video 9 UDP/TLS/RTP/SAVPF 45 98
c=IN IP4 0.0.0.0
a=mid:1
a=rtcp-mux
a=sendrecv
a=rtpmap:45 AV1/90000
a=rtpmap:98 VP8/90000
a=ssrc:99 cname:theirs
a=msid:theirs screen_theirs_abcdefgh
""".replace("\n", "\r\n")


def with_a_screen() -> str:
    """rtcd's offer of a screen, in place of its voice."""
    return read(ADDED).split("m=audio")[0] + VP8


def test_a_screen_is_offered_behind_the_voice_under_a_stream_of_its_own() -> None:
    ours = begun()
    ours.offer(voice=True)
    ours.answered(read(ADDED).replace("setup:actpass", "setup:active"))
    text = ours.offer(voice=True, screen=True)
    screen = sdp.parse(text).media[2]
    assert (screen.mid, screen.kind, screen.direction, screen.ssrcs) == ("2", "video", "sendonly", (OWN.screen_ssrc,))
    assert Read.parse(text).media[2].msid == "shown screen"
    ours.rollback()
    assert sdp.parse(ours.offer()).mids == ("0", "1"), "the voice was answered, and stays"
    assert sdp.parse(ours.offer(screen=True)).mids == ("0", "1", "2")


def test_a_screen_that_rtcd_offers_is_taken_as_vp8() -> None:
    ours = begun()
    assert list(ours.shown_ssrcs) == []
    (_, video) = sdp.parse(ours.answer(with_a_screen())).media
    assert (list(video.formats), video.direction, list(video.ssrcs)) == (["98"], "recvonly", [])
    assert list(ours.shown_ssrcs) == [99]
    (_, video) = sdp.parse(ours.answer(with_a_screen().replace("a=sendrecv", "a=recvonly"))).media
    assert (video.direction, list(ours.shown_ssrcs)) == ("inactive", []), "it is over"
    ours = begun()
    assert sdp.parse(ours.answer(with_a_screen().replace("VP8", "VP9"))).media[1].refused


def test_what_does_not_fit_what_was_said_before_is_refused_with_a_sentence() -> None:
    ours = begun()
    with pytest.raises(SdpError, match="other sections than the offer"):
        ours.answered(read(ADDED))
    with pytest.raises(SdpError, match="takes nothing"):
        ours.answered(read(ANSWER).replace("setup:active", "setup:actpass"))
    with pytest.raises(SdpError, match="takes nothing"):
        ours.answered(read(ANSWER).replace("m=application 9", "m=application 0"))
    with pytest.raises(SdpError, match="leaves out"):
        ours.answer(read(ADDED).replace("a=mid:0", "a=mid:7"))


@pytest.mark.parametrize("capture", ["aiortc-audio", "aiortc-audio-dcsig", "pion-audio-udp", "pion-audio-tcp"])
def test_a_captured_call_could_have_been_ours(capture: str) -> None:
    """Both sessions of it: our descriptions fit rtcd's answers and offers as those of its clients did."""
    for one in replay(records(capture)).values():
        ours, offers = RtcdDescriptions(OWN), 0
        for event in one.events:
            if not isinstance(event, SessionDescription):
                continue
            if event.type == "answer":
                ours.offer(voice=offers > 0)
                offers += 1
                assert ours.answered(event.sdp).setup == "active"
            else:
                assert sdp.parse(ours.answer(event.sdp)).setup == "passive"
        assert offers and ours.dtls_serves


def test_no_password_stands_in_a_repr() -> None:
    assert OWN.password not in repr(OWN)
