"""RFC 4571 framing and RFC 7983 demultiplexing."""

from __future__ import annotations

from random import Random

import pytest

from calls_doctor.errors import FramingError
from calls_doctor.wire.framing import MAX_FRAME_BYTES, Deframer, PacketKind, frame, packet_kind


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        (0, 1, PacketKind.STUN),
        (3, 0, PacketKind.STUN),
        (4, 0, PacketKind.OTHER),
        (19, 0, PacketKind.OTHER),
        (20, 254, PacketKind.DTLS),
        (63, 0, PacketKind.DTLS),
        (64, 0, PacketKind.CHANNEL_DATA),
        (79, 0, PacketKind.CHANNEL_DATA),
        (80, 0, PacketKind.OTHER),
        (128, 111, PacketKind.RTP),
        (128, 191, PacketKind.RTP),
        (128, 192, PacketKind.RTCP),
        (191, 223, PacketKind.RTCP),
        (191, 224, PacketKind.RTP),
        (192, 0, PacketKind.OTHER),
    ],
)
def test_the_first_bytes_tell_the_kind(first: int, second: int, kind: PacketKind) -> None:
    assert packet_kind(bytes((first, second)) + b"rest") is kind


@pytest.mark.parametrize("packet", [b"", b"\x80"])
def test_what_is_too_short_is_no_kind(packet: bytes) -> None:
    assert packet_kind(packet) is PacketKind.OTHER


def test_a_frame_is_the_length_and_the_packet() -> None:
    assert frame(b"abc") == b"\x00\x03abc"
    with pytest.raises(FramingError):
        frame(bytes(65536))


def test_frames_come_out_however_the_stream_is_cut() -> None:
    packets = [bytes([n]) * n for n in range(1, 40)]
    stream = b"".join(map(frame, packets))
    for seed in range(20):
        cut, deframer, found, at = Random(seed), Deframer(), list[bytes](), 0
        while at < len(stream):
            step = cut.randrange(1, 30)
            found += deframer.feed(stream[at : at + step])
            at += step
        assert found == packets
        assert deframer.waiting_bytes == 0


def test_empty_frames_are_dropped() -> None:
    assert Deframer().feed(b"\x00\x00" + frame(b"x") + b"\x00\x00") == [b"x"]


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00", b"POST", b"SSH-2.0"])
def test_other_protocols_end_the_stream_at_once(start: bytes) -> None:
    deframer = Deframer()
    with pytest.raises(FramingError, match="RFC 4571"):
        deframer.feed(start)
    with pytest.raises(FramingError):
        deframer.feed(frame(b"too late"))


def test_frames_before_a_bad_length_are_given_out_first() -> None:
    deframer = Deframer(max_frame_bytes=8)
    assert deframer.feed(frame(b"good") + b"\xff\xff") == [b"good"]
    with pytest.raises(FramingError):
        deframer.feed(b"")


def test_a_frame_that_never_ends_is_bounded() -> None:
    deframer = Deframer()
    head = MAX_FRAME_BYTES.to_bytes(2, "big")
    assert deframer.feed(head + bytes(MAX_FRAME_BYTES - 1)) == []
    assert deframer.waiting_bytes == MAX_FRAME_BYTES + 1
