"""ChannelData, and how TURN messages follow each other on a stream (RFC 8656 sections 12.4 and 12.5)."""

from __future__ import annotations

import pytest

from calls_doctor.errors import FramingError
from calls_doctor.wire import stun
from calls_doctor.wire.stun import Message, MessageClass
from calls_doctor.wire.turn_stream import MAX_MESSAGE_BYTES, StreamDeframer, channel_data, parse_channel_data

BINDING = Message(1, MessageClass.REQUEST, bytes(range(12))).encode()
LONG = Message(1, MessageClass.SUCCESS, bytes(12), [(stun.SOFTWARE, "x" * 37)]).encode(fingerprint=True)
NOT_TURN = [
    b"HTTP/1.1 400 Bad Request\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x80",  # RTP
    b"\x3f\xff\x00\x04abcd",  # below the channels, and no cookie
    b"\x50\x00\x00\x04abcd",  # above them
    b"\x00\x01\x00\x03\x21\x12\xa4\x42",  # STUN comes in fours
    b"\x00\x01\xff\xfc\x21\x12\xa4\x42",  # longer than anything that TURN says
    b"\x40\x00\xff\xff",
    b"\x00\x01\x00\x00\x21\x12\xa4\x43",  # not quite the cookie
]


@pytest.mark.parametrize("size", range(6))
def test_channel_data_on_the_wire(size: int) -> None:
    data = b"abcde"[:size]
    bare, padded = (channel_data(0x4001, data, padded=flag) for flag in (False, True))
    assert bare == b"\x40\x01\x00" + bytes([size]) + data
    assert padded == bare + bytes(-size % 4)
    assert parse_channel_data(bare) == parse_channel_data(padded) == (0x4001, data)


@pytest.mark.parametrize(
    "packet", [b"", b"\x40\x00\x00", b"\x3f\xff\x00\x00", b"\x50\x00\x00\x00", b"\x40\x00\x00\x04abc"]
)
def test_what_is_no_channel_data_is_refused(packet: bytes) -> None:
    with pytest.raises(FramingError):
        parse_channel_data(packet)


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 5, 19, 1000])
def test_messages_are_cut_whatever_the_pieces(piece_bytes: int) -> None:
    data = [channel_data(0x4000, b"abcde"[:size], padded=True) for size in range(6)]
    stream = b"".join([BINDING, *data, LONG, BINDING])
    deframer = StreamDeframer()
    pieces = [stream[at : at + piece_bytes] for at in range(0, len(stream), piece_bytes)]
    messages = [message for piece in pieces for message in deframer.feed(piece)]
    bare = [channel_data(0x4000, b"abcde"[:size], padded=False) for size in range(6)]
    assert messages == [BINDING, *bare, LONG, BINDING] and deframer.waiting_bytes == 0


def test_a_message_waits_for_its_padding() -> None:
    deframer = StreamDeframer()
    wire = channel_data(0x4000, b"abcde", padded=True)
    assert deframer.feed(wire[:-1]) == [] and deframer.waiting_bytes == len(wire) - 1
    assert deframer.feed(wire[-1:]) == [wire[:9]]


@pytest.mark.parametrize("stream", NOT_TURN)
def test_what_is_not_turn_is_refused_then_for_ever(stream: bytes) -> None:
    deframer = StreamDeframer()
    with pytest.raises(FramingError, match="not TURN"):
        deframer.feed(stream)
    with pytest.raises(FramingError):
        deframer.feed(BINDING)
    assert deframer.waiting_bytes == 0


@pytest.mark.parametrize("stream", NOT_TURN)
def test_what_came_whole_before_is_given_first(stream: bytes) -> None:
    deframer = StreamDeframer()
    assert deframer.feed(BINDING + stream) == [BINDING]
    with pytest.raises(FramingError):
        deframer.feed(b"")


@pytest.mark.parametrize("record", [b"\x15\x03\x01\x00\x02\x02\x46", b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76"])
def test_tls_is_told_by_name(record: bytes) -> None:
    """An alert and a ServerHello: the port speaks TLS, and the URI does not."""
    with pytest.raises(FramingError, match="carries TLS, not TURN"):
        StreamDeframer().feed(record)


def test_the_longest_message() -> None:
    longest = channel_data(0x4000, bytes(MAX_MESSAGE_BYTES - 4), padded=True)
    assert StreamDeframer().feed(longest) == [longest]
    with pytest.raises(FramingError):
        StreamDeframer().feed(channel_data(0x4000, bytes(MAX_MESSAGE_BYTES - 3), padded=True))
