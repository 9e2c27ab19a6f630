"""The messages of rtcd's data channel, against everything that was captured of v1.2.6."""

from __future__ import annotations

import json
import tracemalloc
import zlib

import msgpack  # type: ignore[import-untyped]  # it ships no types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import RtcdError
from calls_doctor.wire import rtcd_channel
from calls_doctor.wire.rtcd_channel import (
    Jitter,
    Lock,
    LockReply,
    LossRate,
    MediaMap,
    MediaTrack,
    Message,
    Ping,
    Pong,
    RoundTripTime,
    TextPing,
    TextPong,
    Unknown,
    Unlock,
)
from calls_doctor.wire.rtcd_signal import Sender, SessionDescription
from tests.wire.rtcd_captures import CALLS, messages
from tests.wire.rtcd_messages import CHANNEL


def values_of(message: bytes | str) -> list[object]:
    """Read without our code; a description is inflated and read too."""
    if isinstance(message, str):
        return [message]
    unpacker = msgpack.Unpacker()
    unpacker.feed(message)
    number, *payload = unpacker
    return [number, json.loads(zlib.decompress(payload[0]))] if number == 3 else [number, *payload]


@pytest.mark.parametrize("capture", CALLS)
def test_every_captured_message_is_read_and_written_again(capture: str) -> None:
    read = 0
    for one in messages(capture, "dc"):
        message = rtcd_channel.decode(one.message, one.sender)
        assert not isinstance(message, Unknown)
        again = rtcd_channel.encode(message, one.sender)
        assert values_of(again) == values_of(one.message)
        if not isinstance(message, SessionDescription) and (one.sender is Sender.SERVER or "aiortc" in capture):
            assert again == one.message  # zlib is not one for all, and pion's client writes numbers as the server does
        read += 1
    assert read >= 3, "lock, its answer and unlock, or what comes without a lock"


def test_every_message_was_captured() -> None:
    seen = {
        (type(rtcd_channel.decode(one.message, one.sender)), one.sender)
        for capture in CALLS
        for one in messages(capture, "dc")
    }
    assert seen == {(row.message, sender) for row in rtcd_channel.TABLE for sender in Sender if sender in row.senders}


CLIENTS: list[tuple[str, Message]] = [
    ("01", Ping()),
    ("cc01", Ping()),
    ("04cb3f847ae147ae147b", LossRate(0.01)),
    ("0400", LossRate(0.0)),
    ("05ca3f000000", RoundTripTime(0.5)),
    ("06cb3f689374bc6a7efa", Jitter(0.003)),
    ("07", Lock()),
    ("07c0", Lock()),
    ("08", Unlock()),
    ("2a", Unknown(42)),
    ("ccfa01", Unknown(250)),
]
SERVERS: list[tuple[str, Message]] = [
    ("cc02", Pong()),
    ("cc07c3", LockReply(True)),
    ("cc07c2", LockReply(False)),
    ("cc0980", MediaMap(())),
    (
        "cc0981a13182a474797065a5766f696365a973656e6465725f6964a173",
        MediaMap((MediaTrack("1", "voice", "s"),)),
    ),
]


@pytest.mark.parametrize(("message", "expected"), CLIENTS)
def test_what_a_client_may_write(message: str, expected: Message) -> None:
    assert rtcd_channel.decode(bytes.fromhex(message), Sender.CLIENT) == expected


@pytest.mark.parametrize(("message", "expected"), SERVERS)
def test_what_the_server_writes(message: str, expected: Message) -> None:
    assert rtcd_channel.decode(bytes.fromhex(message), Sender.SERVER) == expected
    assert rtcd_channel.encode(expected, Sender.SERVER) == bytes.fromhex(message)


def test_text() -> None:
    assert rtcd_channel.decode("ping", Sender.CLIENT) == TextPing()
    assert rtcd_channel.encode(TextPong(), Sender.SERVER) == "pong"
    for text, sender in (
        ("pong", Sender.CLIENT),
        ("ping", Sender.SERVER),
        ("", Sender.CLIENT),
        ("lock", Sender.CLIENT),
    ):
        with pytest.raises(RtcdError, match="text"):
            rtcd_channel.decode(text, sender)


def description(sdp: str) -> bytes:
    return json.dumps({"type": "offer", "sdp": sdp}).encode()


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xc1", id="no-msgpack"),
        pytest.param(b"\xc3", id="true-is-not-one"),
        pytest.param(b"\xcb\x3f\xf0\0\0\0\0\0\0", id="neither-is-one-and-no-more"),
        pytest.param(b"\xa4ping", id="text-in-a-binary-message"),
        pytest.param(b"\xff", id="a-negative-number"),
        pytest.param(b"\xcd\x01\x01", id="a-number-of-two-bytes"),
        pytest.param(b"\x02", id="pong-of-a-client"),
        pytest.param(b"\x03", id="no-description"),
        pytest.param(b"\x03\xa1x", id="a-description-as-text"),
        pytest.param(b"\x03" + msgpack.packb(description("")), id="a-description-that-is-not-compressed"),
        pytest.param(b"\x03" + msgpack.packb(zlib.compress(b"v=0")), id="a-description-that-is-no-json"),
        pytest.param(b"\x03" + msgpack.packb(zlib.compress(description(""))[:-1]), id="a-description-that-is-cut"),
        pytest.param(b"\x03" + msgpack.packb(zlib.compress(description(""))[:-4] + b"\0" * 4), id="a-wrong-checksum"),
        pytest.param(b"\x04", id="no-loss"),
        pytest.param(b"\x04\xc3", id="loss-as-yes"),
        pytest.param(b"\x04\xa11", id="loss-as-text"),
        pytest.param(b"\x05\xcb\x7f\xf0\0\0\0\0\0\0", id="an-infinite-round-trip"),
        pytest.param(b"\x06\xca\x7f\xc0\0\0", id="jitter-that-is-no-number"),
        pytest.param(b"\x09\x80", id="media-map-of-a-client"),
    ],
)
def test_malformed_messages_of_a_client(message: bytes) -> None:
    with pytest.raises(RtcdError):
        rtcd_channel.decode(message, Sender.CLIENT)


@pytest.mark.parametrize("message", ["07", "0701", "09", "0901", "0981a13101", "0981a13180", "0981c4013180", "01"])
def test_malformed_messages_of_the_server(message: str) -> None:
    with pytest.raises(RtcdError):
        rtcd_channel.decode(bytes.fromhex(message), Sender.SERVER)


def test_a_description_that_would_fill_the_memory_is_not_inflated() -> None:
    bomb = b"\x03" + msgpack.packb(zlib.compress(bytes(60 << 20), 9))
    assert len(bomb) <= rtcd_channel.MESSAGE_MAX_BYTES
    tracemalloc.start()
    try:
        with pytest.raises(RtcdError, match="inflates to more"):
            rtcd_channel.decode(bomb, Sender.SERVER)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * rtcd_channel.INFLATED_MAX_BYTES


def test_the_largest_description_that_is_inflated() -> None:
    room = rtcd_channel.INFLATED_MAX_BYTES - len(description(""))
    largest = b"\x03" + msgpack.packb(zlib.compress(description("a" * room)))
    assert rtcd_channel.decode(largest, Sender.SERVER) == SessionDescription("offer", "a" * room)
    with pytest.raises(RtcdError, match="inflates to more"):
        rtcd_channel.decode(b"\x03" + msgpack.packb(zlib.compress(description("a" * (room + 1)))), Sender.SERVER)


def test_a_message_above_what_we_announce_is_not_looked_at() -> None:
    largest = b"\x01" + bytes(rtcd_channel.MESSAGE_MAX_BYTES - 1)
    assert rtcd_channel.decode(largest, Sender.CLIENT) == Ping()
    for larger in (largest + b"\0", "p" * (rtcd_channel.MESSAGE_MAX_BYTES + 1)):
        with pytest.raises(RtcdError, match="at most"):
            rtcd_channel.decode(larger, Sender.CLIENT)


def test_nobody_writes_what_only_the_other_sends() -> None:
    of_server: tuple[Message, ...] = (Pong(), TextPong(), LockReply(True), MediaMap(()), Unknown(42))
    of_client: tuple[Message, ...] = (Ping(), TextPing(), LossRate(0), RoundTripTime(0), Jitter(0), Lock(), Unlock())
    for messages_of, other in ((of_server, Sender.CLIENT), (of_client, Sender.SERVER)):
        for message in messages_of:
            with pytest.raises(ValueError, match="sends no"):
                rtcd_channel.encode(message, other)


@pytest.mark.parametrize("sender", [Sender.CLIENT, Sender.SERVER])
@given(data=st.data())
def test_every_message_comes_back(sender: Sender, data: st.DataObject) -> None:
    message = data.draw(CHANNEL[sender])
    assert rtcd_channel.decode(rtcd_channel.encode(message, sender), sender) == message
