"""Which SCTP packets an implementation that trusts its peer may be given."""

from __future__ import annotations

import struct

import pytest

from calls_doctor.wire.sctp_packet import CHUNKS_MAX, GAPPED_MAX, PACKET_MAX_BYTES, is_sound

HEADER = bytes(12)
DATA, INIT, SACK, HEARTBEAT, COOKIE_ECHO, UNKNOWN, RE_CONFIG, FORWARD_TSN = 0, 1, 3, 4, 10, 99, 130, 192


def chunk(kind: int, body: bytes = b"", size: int | None = None) -> bytes:
    size = 4 + len(body) if size is None else size
    return struct.pack("!BBH", kind, 0, size) + body + bytes(-len(body) % 4)


def sack(*gaps: tuple[int, int], duplicates: int = 0, said: int | None = None) -> bytes:
    counts = struct.pack("!LLHH", 7, 1 << 20, len(gaps) if said is None else said, duplicates)
    return chunk(SACK, counts + b"".join(struct.pack("!HH", *gap) for gap in gaps) + bytes(4 * duplicates))


def parameter(size: int, value: bytes = b"") -> bytes:
    return struct.pack("!HH", 1, size) + value


SOUND = {
    "data": chunk(DATA, bytes(13)),
    "data of many chunks": chunk(DATA, bytes(13)) * CHUNKS_MAX,
    "a beginning": chunk(INIT, bytes(16) + parameter(4) + parameter(7, b"abc\0") + parameter(5, b"x")),
    "an acknowledgement": sack(),
    "gaps and duplicates": sack((2, 3), (5, 5), duplicates=3),
    "as many as are ever under way": sack((1, GAPPED_MAX)),
    "a heartbeat": chunk(HEARTBEAT, parameter(12, bytes(8))),
    "an echo": chunk(COOKIE_ECHO, bytes(24)),
    "skipping": chunk(FORWARD_TSN, bytes(8)),
    "something new": chunk(UNKNOWN, bytes(3)),
    "two of them": sack() + chunk(DATA, b"x" * 21),
}
UNSOUND = {
    "nothing": b"",
    "half a chunk": b"\0\0",
    "a chunk of no length": chunk(UNKNOWN, size=0),
    "a chunk longer than the packet": chunk(UNKNOWN, bytes(8), size=20),
    "a second one of no length": sack() + chunk(UNKNOWN, size=0),
    "more chunks": chunk(UNKNOWN) * (CHUNKS_MAX + 1),
    "data without data": chunk(DATA, bytes(12)),
    "a short beginning": chunk(INIT, bytes(15)),
    "a parameter of no length": chunk(HEARTBEAT, parameter(0)),
    "one in a beginning": chunk(INIT, bytes(16) + parameter(0)),
    "one in a change": chunk(RE_CONFIG, parameter(4) + parameter(0)),
    "a parameter longer than its chunk": chunk(HEARTBEAT, parameter(9)),
    "more acknowledged than was sent": sack((1, GAPPED_MAX + 1)),
    "the same again and again": sack(*[(1, 200)] * 3),
    "a gap that ends before it begins": sack((3, 2)),
    "a gap at nothing": sack((0, 1)),
    "fewer gaps than it says": sack((1, 1), said=2),
    "half an acknowledgement": chunk(SACK, bytes(11)),
    "half a skipping": chunk(FORWARD_TSN, bytes(6)),
    "too large": chunk(UNKNOWN, bytes(PACKET_MAX_BYTES)),
}


@pytest.mark.parametrize("chunks", SOUND.values(), ids=SOUND)
def test_what_an_honest_end_sends_is_sound(chunks: bytes) -> None:
    assert is_sound(HEADER + chunks)


@pytest.mark.parametrize("chunks", UNSOUND.values(), ids=UNSOUND)
def test_what_would_cost_without_end_is_not(chunks: bytes) -> None:
    assert not is_sound(HEADER + chunks)
