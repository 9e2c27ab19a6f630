"""The messages of rtcd's WebSocket, against everything that was captured of v1.2.6."""

from __future__ import annotations

import json

import msgpack  # type: ignore[import-untyped]  # it ships no types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import RtcdError
from calls_doctor.wire import rtcd, rtcd_signal
from calls_doctor.wire.rtcd import Close, Hello, Join, Leave, Message, Reconnect, Rtc, Unknown
from calls_doctor.wire.rtcd_signal import IceCandidate, Mute, Sender, SessionDescription, VoiceOn
from tests.wire import rtcd_captures
from tests.wire.rtcd_captures import CALLS, ERRORS, Captured, messages
from tests.wire.rtcd_messages import FRAMES

CAPTURED_HELLO = bytes.fromhex(  # aiortc-audio: the first frame of a session
    "a568656c6c6f82a8636c69656e744944a7636c69656e7441a6636f6e6e4944ba393362387839743571626273336a733464706e67653875366879"
)


def values_of(frame: bytes) -> list[object]:
    """Read without our code; the JSON inside an rtc message is read too."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(frame)
    kind, data = unpacker
    if "data" in data:
        data["data"] = json.loads(data["data"])
    return [kind, data]


def has_one_spelling(capture: str, one: Captured, message: Message) -> bool:
    """False where the sender's order of keys is not fixed (a map in Go), or its JSON has spaces (Python's)."""
    if isinstance(message, Hello | Join):
        return False
    return one.sender is Sender.SERVER or capture.startswith("pion") or b'": ' not in one.frame


@pytest.mark.parametrize("capture", CALLS)
def test_every_captured_frame_is_read_and_written_again(capture: str) -> None:
    same = 0
    for one in messages(capture, "ws"):
        message = rtcd.decode(one.frame, one.sender)
        assert not isinstance(message, Unknown)
        again = rtcd.encode(message, one.sender)
        assert values_of(again) == values_of(one.frame)
        if has_one_spelling(capture, one, message):
            assert again == one.frame
            same += 1
    assert same >= 7, "whatever rtcd says in a call but hello"


def test_every_message_was_captured_but_the_camera() -> None:
    seen: set[object] = set()
    for capture in (*CALLS, ERRORS):
        for one in messages(capture, "ws"):
            try:
                message = rtcd.decode(one.frame, one.sender)
            except RtcdError:
                continue
            seen.add((type(message), one.sender))
            if isinstance(message, Rtc):
                seen.add((type(message.signal), one.sender))
    rows = {(row.message, row.sender) for row in rtcd.TABLE}
    signals = {(row.signal, sender) for row in rtcd_signal.TABLE for sender in Sender if sender in row.senders}
    assert (rows | signals) - seen == {(rtcd_signal.VideoOn, Sender.CLIENT), (rtcd_signal.VideoOff, Sender.CLIENT)}


MISTAKES = {  # of the cases of ws-errors: what rtcd does not read, and what it reads and finds no use for
    "unknown type": Unknown("bogus"),
    "join without callID": "call_id",
    "join without userID": "user_id",
    "join without sessionID": "session_id",
    "join with empty map": "call_id",
    "join with int callID": "call_id",
    "join with av1Support as string": Join("e1", "u1", "x9", "ch"),
    "leave x9": Leave("x9"),
    "leave, empty map": "session_id",
    "leave, no sessionID": "session_id",
    "leave with mixed value types": "no text",
    "leave of unknown session": Leave("nope"),
    "reconnect of unknown session": Reconnect("nope"),
    "hello from client": "no message of a CLIENT",
    "close from client": "no message of a CLIENT",
    "rtc to unknown session": "type",
    "rtc without session_id": "type",
    "rtc type 0": "a number above 0",
    "join x1": Join("e1", "u1", "x1", "ch"),
    "join x1 again (duplicate)": Join("e1", "u1", "x1", "ch"),
    "rtc unknown type 42": Unknown("rtc", 42),
    "SDP not JSON": "no JSON",
    "SDP zlib-compressed JSON over ws": "no JSON",
    "SDP type pranswer": "pranswer",
    "SDP answer before offer": Rtc("x1", SessionDescription("answer", "v=0\r\n")),
    "ICE candidate before offer": Rtc("x1", IceCandidate("candidate:1 1 udp 1 10.77.0.2 9 typ host", "0", 0, None)),
    "mute without track": Rtc("x1", Mute()),
    "screen off without on": Rtc("x1", rtcd_signal.ScreenOff()),
    "screen on with no data": "no JSON",
    "SDP offer garbage -> session closed": Rtc("x1", SessionDescription("offer", "garbage")),
    "join x2, no offer for 10.5 s": Join("e1", "u1", "x2", "ch"),
    "rtc Data as str instead of bin": "type",
    "rtc as array struct": "type",
    "rtc with unknown extra key": "no JSON",
}


def captured_mistakes() -> dict[str, bytes]:
    """What the client sent, by the case."""
    sent: dict[str, bytes] = {}
    last = b""
    for one in rtcd_captures.records(ERRORS):
        if one.kind == "ws" and one.sender is Sender.CLIENT:
            last = one.frame
        elif one.kind == "case" and last:
            sent[one.name], last = last, b""
    return sent


def test_what_rtcd_cannot_read_we_cannot_either() -> None:
    sent = captured_mistakes()
    assert sent.keys() == MISTAKES.keys()
    for name, expected in MISTAKES.items():
        if isinstance(expected, str):
            with pytest.raises(RtcdError, match=expected):
                rtcd.decode(sent[name], Sender.CLIENT)
        else:
            assert rtcd.decode(sent[name], Sender.CLIENT) == expected, name


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\x00", id="garbage"),
        pytest.param(b"\xa4join", id="no-data"),
        pytest.param(msgpack.packb({"type": "leave", "data": {"sessionID": "s"}}), id="a-map-around-both"),
        pytest.param(msgpack.packb(["leave", {"sessionID": "s"}]), id="a-list-around-both"),
        pytest.param(b"\xa5leave\xa1s", id="data-is-no-map"),
        pytest.param(b"\xa5leave\x81\xa9sessionID\xa0", id="an-empty-session"),
        pytest.param(b"\xa3rtc\x01", id="rtc-data-is-no-map"),
        pytest.param(b"\xa3rtc" + msgpack.packb({"session_id": "s"}), id="rtc-without-type"),
        pytest.param(b"\xa3rtc" + msgpack.packb({"session_id": "s", "type": True}), id="rtc-whose-type-is-true"),
        pytest.param(b"\xa3rtc" + msgpack.packb({"session_id": "s", "type": -1}), id="rtc-with-a-negative-type"),
        pytest.param(b"\xa3rtc" + msgpack.packb({"session_id": "", "type": 3}), id="rtc-without-session"),
        pytest.param(b"\xa3rtc" + msgpack.packb({"session_id": "s", "type": 7}), id="a-client's-vad"),
        pytest.param(b"\xa3vad" + msgpack.packb({"session_id": "s", "type": 3}), id="mute-as-vad"),
        pytest.param(b"\xa3rtc" + msgpack.packb({"session_id": "s", "type": 2, "data": 3}), id="data-is-a-number"),
    ],
)
def test_malformed_frames_of_a_client(frame: bytes) -> None:
    with pytest.raises(RtcdError):
        rtcd.decode(frame, Sender.CLIENT)


def test_what_rtcd_takes_beside_what_it_writes() -> None:
    offer = Rtc("s", SessionDescription("offer", "v=0"), "g", "u", "c")
    data = '{"type":"offer","sdp":"v=0","more":1}'
    as_map = {"group_id": "g", "user_id": "u", "session_id": "s", "call_id": "c", "type": 2, "data": data, "zzz": 1}
    as_list = ["g", "u", "s", "c", 2, data.encode()]
    for written in (as_map, as_list):
        frame = b"\xa3rtc" + msgpack.packb(written)
        assert rtcd.decode(frame + b"trailing", Sender.CLIENT) == offer


def test_ids_of_another_type_are_refused() -> None:
    frame = b"\xa3rtc" + msgpack.packb({"session_id": "s", "call_id": 7, "type": 3})
    with pytest.raises(RtcdError):
        rtcd.decode(frame, Sender.CLIENT)


def test_a_frame_above_rtcds_limit_is_not_looked_at() -> None:
    frame = rtcd.encode(Leave("s"), Sender.CLIENT)
    largest = frame + bytes(rtcd.MESSAGE_MAX_BYTES - len(frame))
    assert rtcd.decode(largest, Sender.CLIENT) == Leave("s")
    with pytest.raises(RtcdError, match="at most"):
        rtcd.decode(largest + b"\0", Sender.CLIENT)


def test_nobody_writes_what_only_the_other_sends() -> None:
    of_server: tuple[Message, ...] = (Hello("c", "x"), Close("s"), Rtc("s", VoiceOn()))
    of_client: tuple[Message, ...] = (Join("c", "u", "s"), Leave("s"), Reconnect("s"), Rtc("s", Mute()))
    for message in of_server:
        with pytest.raises(ValueError, match="a CLIENT sends no"):
            rtcd.encode(message, Sender.CLIENT)
    for message in of_client:
        with pytest.raises(ValueError, match="a SERVER sends no"):
            rtcd.encode(message, Sender.SERVER)
    with pytest.raises(ValueError, match="sends no Unknown"):
        rtcd.encode(Unknown("bogus"), Sender.CLIENT)


@pytest.mark.parametrize("sender", [Sender.CLIENT, Sender.SERVER])
@given(data=st.data())
def test_every_message_comes_back(sender: Sender, data: st.DataObject) -> None:
    message = data.draw(FRAMES[sender])
    assert rtcd.decode(rtcd.encode(message, sender), sender) == message


def test_hello_is_rtcds_to_the_byte() -> None:
    hello = Hello("clientA", "93b8x9t5qbbs3js4dpnge8u6hy")
    assert rtcd.encode(hello, Sender.SERVER) == CAPTURED_HELLO
    assert rtcd.decode(CAPTURED_HELLO, Sender.SERVER) == hello
    for cut in range(len(CAPTURED_HELLO)):
        with pytest.raises(RtcdError):
            rtcd.decode(CAPTURED_HELLO[:cut], Sender.SERVER)


@given(st.binary(min_size=16, max_size=16))
def test_a_connection_id_looks_like_rtcds(random: bytes) -> None:
    conn_id = rtcd.connection_id(random)
    assert len(conn_id) == 26 and set(conn_id) <= set("ybndrfg8ejkmcpqxot1uwisza345h769")


def test_connection_ids_differ() -> None:
    assert rtcd.connection_id(bytes(16)) == "y" * 26 != rtcd.connection_id(bytes(15) + b"\x01")
