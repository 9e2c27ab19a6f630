# Invariant: whatever the bytes, `decode` of the WebSocket's and of the data channel's messages gives a message or
# raises RtcdError; and what it gives, but Unknown, is written so that it is read again as the same.

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import RtcdError
from calls_doctor.wire import rtcd, rtcd_channel
from calls_doctor.wire.rtcd_signal import Sender
from tests.wire.rtcd_messages import CHANNEL, FRAMES

SENDERS = (Sender.CLIENT, Sender.SERVER)
NAMES = [b"\xa5hello", b"\xa4join", b"\xa5leave", b"\xa9reconnect", b"\xa5close", b"\xa3rtc", b"\xa3vad"]
RTC = b"\xa3rtc\x83\xaasession_id\xa1s\xa4type"


def check_frame(frame: bytes) -> None:
    for sender in SENDERS:
        try:
            message = rtcd.decode(frame, sender)
        except RtcdError:
            continue
        if not isinstance(message, rtcd.Unknown):
            assert rtcd.decode(rtcd.encode(message, sender), sender) == message


def check_channel(message: bytes | str) -> None:
    for sender in SENDERS:
        try:
            read = rtcd_channel.decode(message, sender)
        except RtcdError:
            continue
        if not isinstance(read, rtcd_channel.Unknown):
            assert rtcd_channel.decode(rtcd_channel.encode(read, sender), sender) == read


@given(st.binary(max_size=200), st.text(max_size=20))
def test_any_bytes(data: bytes, text: str) -> None:
    check_frame(data)
    check_channel(data)
    check_channel(text)


@given(st.sampled_from(NAMES), st.integers(0, 12), st.binary(max_size=80))
def test_any_bytes_after_a_real_beginning(name: bytes, number: int, data: bytes) -> None:
    check_frame(name + data)
    check_frame(RTC + bytes((number,)) + b"\xa4data\xc4" + bytes((len(data),)) + data)
    check_channel(bytes((number,)) + data)
    check_channel(bytes((0xCC, number)) + data)


@given(st.sampled_from(SENDERS), st.data())
def test_real_messages_cut_and_changed(sender: Sender, data: st.DataObject) -> None:
    frame = rtcd.encode(data.draw(FRAMES[sender]), sender)
    message = rtcd_channel.encode(data.draw(CHANNEL[sender]), sender)
    at, put = data.draw(st.integers(0, 200)), data.draw(st.binary(max_size=4))
    for whole, check in ((frame, check_frame), (message if isinstance(message, bytes) else b"", check_channel)):
        check(whole[:at])
        check(whole[:at] + put + whole[at + len(put) :])
        check(whole[:at] + whole[at + len(put) :])
