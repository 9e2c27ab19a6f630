"""RTCP feedback: who asks for a key frame, by PLI (RFC 4585 section 6.3.1) or FIR (RFC 5104 section 4.3.1), and who for
packets again, by NACK (RFC 4585 section 6.2.1).

Packets in, SSRCs and sequence numbers out, and one packet back.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from calls_doctor.wire import rtp

TRANSPORT_FEEDBACK, PAYLOAD_FEEDBACK = 205, 206
_NACK, _PLI, _FIR = 1, 1, 4
_NACK_ENTRY_BYTES = 4
_FIR_ENTRY_BYTES = 8
_HEAD = struct.Struct("!BBHII")


def key_frames_wanted(packet: bytes) -> list[int]:
    """The streams (SSRC) of which a compound packet that was read (wire/rtp.py) asks for a key frame."""
    wanted: list[int] = []
    for kind, form, media, content in _feedback(packet):
        if (kind, form) == (PAYLOAD_FEEDBACK, _PLI):
            wanted.append(media)
        elif (kind, form) == (PAYLOAD_FEEDBACK, _FIR):
            entries = range(0, len(content) - _FIR_ENTRY_BYTES + 1, _FIR_ENTRY_BYTES)
            wanted += [int.from_bytes(content[entry : entry + 4], "big") for entry in entries]
    return wanted


def packets_wanted(packet: bytes) -> dict[int, list[int]]:
    """The sequence numbers that it asks for again, by stream."""
    wanted: dict[int, list[int]] = {}
    for kind, form, media, content in _feedback(packet):
        if (kind, form) != (TRANSPORT_FEEDBACK, _NACK):
            continue
        for entry in range(0, len(content) - _NACK_ENTRY_BYTES + 1, _NACK_ENTRY_BYTES):
            first, following = struct.unpack_from("!HH", content, entry)
            numbers = [first, *(first + 1 + bit & 0xFFFF for bit in range(16) if following >> bit & 1)]
            wanted.setdefault(media, []).extend(numbers)
    return wanted


def _feedback(packet: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, format, stream and what follows of each packet of a compound one that has these."""
    at = 0
    while at + _HEAD.size <= len(packet):
        first, kind, words, _, media = _HEAD.unpack_from(packet, at)
        end = at + 4 * (1 + words)
        yield kind, first & 0x1F, media, packet[at + _HEAD.size : end]
        at = end


def key_frame_request(sender: int, media: int) -> bytes:
    """A PLI about the stream `media`."""
    return _HEAD.pack(rtp.VERSION << 6 | _PLI, PAYLOAD_FEEDBACK, 2, sender, media)
