"""Of which track a packet is, and what of its header goes on."""

from __future__ import annotations

import pytest
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensions, HeaderExtensionsMap, RtpPacket

from calls_doctor.sfu import rtcd_tracks
from calls_doctor.wire.rtcd_sdp import MID_EXTENSION, OPUS, VP8, Codec, Section

MID_ID = 3


def section(mid: str, codec: str = VP8, number: int = 96, **more: object) -> Section:
    kind = "audio" if codec == OPUS else "video"
    return Section(
        kind=kind, protocol="UDP/TLS/RTP/SAVPF", mid=mid, codecs=(Codec(number, codec),), client_sends=True,
        extensions=((MID_ID, MID_EXTENSION),), **more,  # type: ignore[arg-type]  # as the dataclass takes them
    )  # fmt: skip


def packet(payload_type: int, ssrc: int = 5, mid: str = "", payload: bytes = b"payload") -> bytes:
    """As aiortc writes it."""
    known = HeaderExtensionsMap()
    known.configure(RTCRtpParameters(headerExtensions=[RTCRtpHeaderExtensionParameters(id=MID_ID, uri=MID_EXTENSION)]))
    made = RtpPacket(payload_type=payload_type, sequence_number=1, timestamp=2, ssrc=ssrc, payload=payload)
    made.extensions = HeaderExtensions(mid=mid or None)
    return bytes(made.serialize(known))


def test_a_packet_belongs_to_who_announced_it_or_is_named_in_it_or_alone_has_its_number() -> None:
    audio, first, second = section("a", OPUS, 111), section("v"), section("w", ssrcs=(9,))
    assert rtcd_tracks.section_of(packet(111), [audio, first, second]) is audio
    assert rtcd_tracks.section_of(packet(96, ssrc=9), [audio, first, second]) is second
    assert rtcd_tracks.section_of(packet(96, mid="v"), [audio, first, second]) is first
    assert rtcd_tracks.section_of(packet(96), [audio, first, second]) is None
    assert rtcd_tracks.section_of(packet(35), [audio]) is None
    assert rtcd_tracks.codec_of(packet(111), audio) == OPUS and rtcd_tracks.codec_of(packet(112), audio) == ""


@pytest.mark.parametrize(("stream", "codec", "kind"), [
    ("s", OPUS, "screen-audio"), ("v", OPUS, "voice"), ("", OPUS, "voice"), ("s", VP8, "screen"), ("v", VP8, "video"),
    ("x", VP8, ""), ("", VP8, ""),
])  # fmt: skip
def test_the_name_of_its_stream_says_what_a_track_is(stream: str, codec: str, kind: str) -> None:
    assert rtcd_tracks.type_of(section("m", codec, stream=stream), codec, "s", "v") == kind
    assert rtcd_tracks.type_of(section("m", codec, stream=stream), codec, "", "") == ("voice" if codec == OPUS else "")


def test_video_goes_on_without_its_extensions() -> None:
    assert rtcd_tracks.without_extension(packet(96, mid="v")) == packet(96)
    assert rtcd_tracks.without_extension(packet(96)) == packet(96)


@pytest.mark.parametrize("cut", range(12, 20))
def test_a_packet_that_is_cut_is_of_nobody_and_stays_as_it_is(cut: int) -> None:
    short = packet(96, mid="some-name")[:cut]
    assert rtcd_tracks.extension(short, MID_ID) in (None, b"", *(b"some-name"[:n] for n in range(9)))
    assert rtcd_tracks.without_extension(short) == short


def test_extensions_are_passed_over_until_the_one_that_is_looked_for() -> None:
    head = bytes((0x90, 96)) + bytes(10) + b"\xbe\xde\x00\x02"
    assert rtcd_tracks.extension(head + b"\x10\xaa\x00\x31vw\x00\x00", MID_ID) == b"vw"
    assert rtcd_tracks.extension(head + b"\x10\xaa\xf0\x31vw\x00\x00", MID_ID) is None, "15 ends them"
    assert rtcd_tracks.extension(head.replace(b"\xbe\xde", b"\x10\x00") + bytes(8), MID_ID) is None
