# Invariant: whatever bytes come in whatever pieces, `feed` gives messages of at most MAX_MESSAGE_BYTES bytes or raises
# FramingError, then for ever, and keeps no more than one message and what the last call brought; what was framed comes
# out as it went in; `parse_channel_data` raises FramingError alone.

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import FramingError
from calls_doctor.wire.stun import Message, MessageClass
from calls_doctor.wire.turn_stream import (
    CHANNEL_FIRST,
    CHANNEL_LAST,
    MAX_MESSAGE_BYTES,
    StreamDeframer,
    channel_data,
    parse_channel_data,
)

CHANNELS = st.integers(CHANNEL_FIRST, CHANNEL_LAST)
DATA = st.builds(lambda number, data: channel_data(number, data, padded=True), CHANNELS, st.binary(max_size=40))
STUN = st.binary(min_size=12, max_size=12).map(lambda tid: Message(1, MessageClass.REQUEST, tid).encode())
NEARLY = st.builds(lambda whole, cut: whole[:cut], st.one_of(DATA, STUN), st.integers(0, 30))


@given(st.lists(st.one_of(DATA, STUN, NEARLY, st.binary(max_size=60)), max_size=20))
def test_any_stream(pieces: list[bytes]) -> None:
    deframer = StreamDeframer()
    for piece in pieces:
        try:
            messages = deframer.feed(piece)
        except FramingError:
            assert deframer.waiting_bytes == 0
            with pytest.raises(FramingError):
                deframer.feed(b"")
            return
        assert all(4 <= len(one) <= MAX_MESSAGE_BYTES for one in messages)
        assert deframer.waiting_bytes <= MAX_MESSAGE_BYTES + len(piece)


@given(st.lists(st.tuples(CHANNELS, st.binary(max_size=40)), max_size=10), st.integers(1, 50))
def test_what_was_framed_comes_out(messages: list[tuple[int, bytes]], piece_bytes: int) -> None:
    stream = b"".join(channel_data(number, data, padded=True) for number, data in messages)
    deframer = StreamDeframer()
    pieces = [stream[at : at + piece_bytes] for at in range(0, len(stream), piece_bytes)]
    assert [parse_channel_data(one) for piece in pieces for one in deframer.feed(piece)] == messages


@given(st.one_of(st.binary(max_size=40), DATA, NEARLY))
def test_any_channel_data(packet: bytes) -> None:
    try:
        number, data = parse_channel_data(packet)
    except FramingError:
        return
    assert packet.startswith(channel_data(number, data, padded=False))
