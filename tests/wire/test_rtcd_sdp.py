"""The server's descriptions beside those that rtcd was captured to write, and as aiortc reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aiortc.sdp import SessionDescription as AiortcDescription

from calls_doctor.errors import SdpError
from calls_doctor.wire import sdp
from calls_doctor.wire.rtcd_sdp import AV1, OPUS, VP8, LocalTransport, SentTrack, ServerDescriptions, host_candidate

DATA = Path(__file__).parents[1] / "data" / "rtcd"
LOCAL = LocalTransport(
    ufrag="u" * 16, pwd="p" * 32, fingerprint=bytes(32),
    candidates=(host_candidate("udp", "127.0.0.1", 8443), host_candidate("tcp", "10.77.0.1", 8443)),
)  # fmt: skip
OURS = ("o=", "a=ice-", "a=fingerprint", "a=candidate", "a=ssrc", "a=msid:", "a=max-message-size", "a=end-of")
"""Lines that no two servers have alike."""
NOT_HEEDED = ("transport-cc", "goog-remb", "rtp-stream-id", "transport-wide-cc-extensions-01", "allow-mixed")
"""Of what rtcd agrees on, what a stand-in does not: it steers no rate."""


def captured(name: str, session: str) -> list[tuple[str, str, str]]:
    """(direction, "offer" or "answer", the text) of each description of a session, in order."""
    found = []
    for line in (DATA / f"{name}.jsonl").read_text().splitlines():
        one = json.loads(line)
        value = one.get("data", {}).get("data", {}) if one["kind"] == "ws" and one.get("type") == "rtc" else {}
        said = one["data"]["session_id"] if value else one.get("session", "")
        value = value or (one.get("payload") or {} if one["kind"] == "dc" else {})
        text = (value.get("$json") or value.get("$zlib_json") or {}) if isinstance(value, dict) else {}
        if said.startswith(session) and "sdp" in text:
            found.append((one["dir"], text["type"], text["sdp"]))
    return found


def compared(text: str) -> list[str]:
    """What is said of the sections, and which share the transport."""
    head, *sections = text.split("m=")
    lines = [one for section in sections for one in f"m={section}".split("\r\n")]
    lines += [one for one in head.split("\r\n") if one.startswith("a=group")]
    own = [one for one in lines if one and not one.startswith(OURS)]
    return sorted(one for one in own if not any(one.endswith(word) or f"{word}-" in one for word in NOT_HEEDED))


def voice(publisher: str = "sessB", codec: str = OPUS, ssrc: int = 7) -> SentTrack:
    return SentTrack(f"{'voice' if codec == OPUS else 'screen'}_{publisher}_abcdefgh", publisher, codec, ssrc)


@pytest.mark.parametrize("name", [
    "aiortc-audio", "aiortc-audio-dcsig", "aiortc-audio-first-offer", "pion-audio-udp", "pion-audio-tcp",
])  # fmt: skip
@pytest.mark.parametrize("session", ["sessA", "sessB"])
def test_a_captured_call_is_answered_and_offered_as_rtcd_did(name: str, session: str) -> None:
    ours = ServerDescriptions(LOCAL, 1)
    written = ""
    seen = 0
    for direction, kind, text in captured(name, session):
        if (direction, kind) == ("c2s", "offer"):
            ours.take_offer(sdp.parse(text))
            written = ours.answer()
        elif (direction, kind) == ("c2s", "answer"):
            ours.take_answer(sdp.parse(text))
        else:
            if kind == "offer":
                ours.place(voice())
                written = ours.offer()
            assert compared(written) == compared(text)
            seen += 1
    assert seen >= 1 and [one.has_sent for one in ours.sections].count(True) == (session == "sessB")


def first(name: str = "aiortc-audio-first-offer", session: str = "sessA") -> ServerDescriptions:
    ours = ServerDescriptions(LOCAL, 1)
    ours.take_offer(sdp.parse(captured(name, session)[0][2]))
    return ours


def test_the_first_answer_has_no_candidate_and_each_later_one_has_each_twice() -> None:
    ours = first()
    assert "a=candidate" not in ours.answer()
    later = ours.answer().split("\r\n")
    lines = [one for one in later if one.startswith("a=candidate")]
    assert lines[:2] == [
        f"a=candidate:2878742611 {part} udp 2130706431 127.0.0.1 8443 typ host ufrag {LOCAL.ufrag}" for part in (1, 2)
    ]
    assert lines[2] == (
        f"a=candidate:2420109961 1 tcp 1671430143 10.77.0.1 8443 typ host tcptype passive ufrag {LOCAL.ufrag}"
    )
    assert len(lines) == 4 and later.count("a=end-of-candidates") == 1


def test_another_sessions_voice_goes_into_the_clients_own_section_and_a_second_one_into_a_new() -> None:
    ours = first()
    ours.answer()
    ours.place(voice("b", ssrc=1))
    ours.place(voice("c", ssrc=2))
    text = ours.offer()
    sections = AiortcDescription.parse(text).media
    assert [(one.kind, one.direction) for one in sections] == [
        ("audio", "sendrecv"), ("application", "sendrecv"), ("audio", "sendrecv"),
    ]  # fmt: skip
    assert [one.ssrc[0].ssrc for one in sections if one.kind == "audio"] == [1, 2]
    assert sections[-1].msid == "c voice_c_abcdefgh" and "a=msid:b voice_b_abcdefgh" in text


def test_in_one_transport_no_number_means_two_things() -> None:
    """aiortc takes 96 for Opus; rtcd would offer VP8 as 96 then."""
    ours = first()
    ours.answer()
    ours.place(voice(codec=VP8))
    audio, video = ([one for one in ours.sections if one.kind == kind] for kind in ("audio", "video"))
    assert audio[0].payload_type(OPUS) == 96
    assert (video[0].payload_type(VP8), video[0].payload_type(AV1)) == (97, 45)
    assert not {number for number, _ in audio[0].extensions} & {number for number, _ in video[0].extensions}


def test_a_track_that_is_withdrawn_leaves_its_section_to_the_next_once_that_was_agreed_on() -> None:
    ours = first()
    ours.answer()
    screen = voice(codec=VP8)
    ours.place(screen)
    answer = ours.offer().replace("a=setup:actpass", "a=setup:passive")
    ours.take_answer(sdp.parse(answer))
    assert ours.withdraw(screen) and not ours.withdraw(screen)
    assert ours.offer().split("m=video")[1].endswith("a=recvonly\r\n")
    ours.place(voice("d", VP8, 9))
    assert len(ours.sections) == 4, "not before the client has heard that nothing is sent there"
    ours.take_answer(sdp.parse(ours.offer().replace("a=setup:actpass", "a=setup:passive")))
    ours.place(voice("e", VP8, 10))
    assert [one.track.ssrc for one in ours.sections if one.kind == "video" and one.track] == [10, 9]


def test_a_section_of_which_nothing_can_be_taken_is_refused() -> None:
    offer = captured("aiortc-audio-first-offer", "sessA")[0][2].replace("opus/48000/2", "opus/16000")
    ours = ServerDescriptions(LOCAL, 1)
    ours.take_offer(sdp.parse(offer))
    answer = ours.answer()
    (audio,) = [one for one in ours.sections if one.kind == "audio"]
    assert audio.refused and "m=audio 0 " in answer and f"a=group:BUNDLE {ours.sections[1].mid}\r\n" in answer
    only_audio = "\r\n".join(offer.split("m=application")[0].split("\r\n"))
    with pytest.raises(SdpError, match="nothing"):
        ServerDescriptions(LOCAL, 1).take_offer(sdp.parse(only_audio))


def test_what_does_not_continue_what_was_agreed_on_changes_nothing() -> None:
    ours = first()
    before = ours.sections
    other = captured("aiortc-audio", "sessB")[0][2]
    for text in (other, captured("aiortc-audio-first-offer", "sessA")[0][2].replace("a=mid:0", "a=mid:x")):
        with pytest.raises(SdpError):
            ours.take_offer(sdp.parse(text))
        with pytest.raises(SdpError):
            ours.take_answer(sdp.parse(text))
    assert ours.sections == before


def test_who_wants_to_begin_dtls_may() -> None:
    offer = captured("aiortc-audio", "sessA")[0][2].replace("a=setup:actpass", "a=setup:active")
    ours = ServerDescriptions(LOCAL, 1)
    ours.take_offer(sdp.parse(offer))
    assert "a=setup:passive" in ours.answer()


def test_there_is_an_end_of_sections() -> None:
    ours = first()
    ours.answer()
    with pytest.raises(SdpError, match="no room"):
        for number in range(sdp.MEDIA_MAX + 1):
            ours.place(voice("x", ssrc=number + 1))
    assert len(ours.sections) == sdp.MEDIA_MAX


def test_nothing_of_an_offer_that_is_not_plain_comes_back() -> None:
    text = captured("aiortc-audio-first-offer", "sessA")[0][2]
    evil = text.replace("a=rtpmap:96 opus", "a=fmtp:96 \x07x\r\na=fmtp:96 " + "y" * 300 + "\r\na=rtpmap:96 opus")
    ours = ServerDescriptions(LOCAL, 1)
    ours.take_offer(sdp.parse(evil))
    assert "fmtp" not in ours.answer()
