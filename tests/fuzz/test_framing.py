# Invariant: whatever bytes come in whatever pieces, `feed` gives frames of 1 to MAX_FRAME_BYTES bytes or raises
# FramingError, and never keeps more than one frame and what the last call brought.

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import FramingError
from calls_doctor.wire.framing import MAX_FRAME_BYTES, Deframer, PacketKind, frame, packet_kind

SMALL_FRAMES = st.binary(max_size=60).map(frame)


@given(st.lists(st.one_of(st.binary(max_size=200), SMALL_FRAMES), max_size=30))
def test_any_stream(pieces: list[bytes]) -> None:
    deframer = Deframer()
    for piece in pieces:
        try:
            frames = deframer.feed(piece)
        except FramingError:
            assert deframer.waiting_bytes == 0
            return
        assert all(1 <= len(one) <= MAX_FRAME_BYTES for one in frames)
        assert deframer.waiting_bytes <= MAX_FRAME_BYTES + 2 + len(piece)


@given(st.lists(st.binary(max_size=60), max_size=12), st.data())
def test_how_a_stream_is_cut_does_not_matter(packets: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(frame, packets))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    deframer = Deframer()
    found = [
        one
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for one in deframer.feed(stream[start:end])
    ]
    assert found == [packet for packet in packets if packet]
    assert deframer.waiting_bytes == 0


@given(st.binary(max_size=40))
def test_any_packet_is_of_one_kind(packet: bytes) -> None:
    assert isinstance(packet_kind(packet), PacketKind)
