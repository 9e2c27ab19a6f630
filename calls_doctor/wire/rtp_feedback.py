"""RTCP feedback that asks for a key frame: PLI (RFC 4585 section 6.3.1) and FIR (RFC 5104 section 4.3.1).

Packets in, SSRCs out, and one packet back.
"""

from __future__ import annotations

import struct

from calls_doctor.wire import rtp

PAYLOAD_FEEDBACK = 206
_PLI, _FIR = 1, 4
_FIR_ENTRY_BYTES = 8
_HEAD = struct.Struct("!BBHII")


def key_frames_wanted(packet: bytes) -> list[int]:
    """The streams (SSRC) of which a compound packet that was read (wire/rtp.py) asks for a key frame."""
    wanted: list[int] = []
    at = 0
    while at + _HEAD.size <= len(packet):
        first, kind, words, _, media = _HEAD.unpack_from(packet, at)
        end = at + 4 * (1 + words)
        if kind == PAYLOAD_FEEDBACK and first & 0x1F == _PLI:
            wanted.append(media)
        elif kind == PAYLOAD_FEEDBACK and first & 0x1F == _FIR:
            entries = range(at + _HEAD.size, end - _FIR_ENTRY_BYTES + 1, _FIR_ENTRY_BYTES)
            wanted += [int.from_bytes(packet[entry : entry + 4], "big") for entry in entries]
        at = end
    return wanted


def key_frame_request(sender: int, media: int) -> bytes:
    """A PLI about the stream `media`."""
    return _HEAD.pack(rtp.VERSION << 6 | _PLI, PAYLOAD_FEEDBACK, 2, sender, media)
