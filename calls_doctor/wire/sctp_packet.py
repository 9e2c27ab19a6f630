"""What an SCTP packet (RFC 9260) keeps to where its sender means well. Asked of each before an implementation is given
it that trusts the lengths and numbers inside: with some of them it would count for seconds, with others for ever.

Bytes in, yes or no out. Whether the packet belongs to an association, its checksum included, is not asked here.
"""

from __future__ import annotations

import struct

PACKET_MAX_BYTES = 1500
HEADER_BYTES, CHUNK_HEADER_BYTES = 12, 4
CHUNKS_MAX = 64
"""In one packet: 59 DATA chunks of one byte each fit, and what acknowledges others."""
GAPPED_MAX = 512
"""Packets that a SACK acknowledges beyond a gap: more than are ever under way."""
_DATA, _INIT, _INIT_ACK, _SACK, _HEARTBEAT, _HEARTBEAT_ACK, _ABORT, _ERROR = 0, 1, 2, 3, 4, 5, 6, 9
_RE_CONFIG, _FORWARD_TSN = 130, 192
_PARAMETERS_AT = {_INIT: 16, _INIT_ACK: 16, _HEARTBEAT: 0, _HEARTBEAT_ACK: 0, _ABORT: 0, _ERROR: 0, _RE_CONFIG: 0}
"""Chunk type -> where its parameters begin."""
_DATA_FIELDS_BYTES = 12
_SACK_FIELDS = struct.Struct("!LLHH")
_GAP = struct.Struct("!HH")


def is_sound(packet: bytes) -> bool:
    """True where the packet is one of whole chunks, none of which asks for more work than an honest one."""
    if not HEADER_BYTES + CHUNK_HEADER_BYTES <= len(packet) <= PACKET_MAX_BYTES:
        return False
    at, chunks = HEADER_BYTES, 0
    while at + CHUNK_HEADER_BYTES <= len(packet):
        size = int.from_bytes(packet[at + 2 : at + 4], "big")
        body = packet[at + CHUNK_HEADER_BYTES : at + size]
        chunks += 1
        if size < CHUNK_HEADER_BYTES or at + size > len(packet) or chunks > CHUNKS_MAX:
            return False
        if not _is_sound_chunk(packet[at], body):
            return False
        at += size + -size % 4
    return True


def _is_sound_chunk(kind: int, body: bytes) -> bool:
    if kind == _DATA:
        return len(body) > _DATA_FIELDS_BYTES  # a chunk without data is an error (RFC 9260 section 6.2), and free
    if kind == _SACK:
        return _is_sound_sack(body)
    if kind == _FORWARD_TSN:
        return len(body) >= 4 and len(body) % 4 == 0
    parameters_at = _PARAMETERS_AT.get(kind)
    return parameters_at is None or (len(body) >= parameters_at and _are_sound_parameters(body[parameters_at:]))


def _is_sound_sack(body: bytes) -> bool:
    if len(body) < _SACK_FIELDS.size:
        return False
    _, _, gaps, duplicates = _SACK_FIELDS.unpack_from(body)
    if len(body) != _SACK_FIELDS.size + 4 * (gaps + duplicates):
        return False
    blocks = list(_GAP.iter_unpack(body[_SACK_FIELDS.size : _SACK_FIELDS.size + 4 * gaps]))
    return all(1 <= first <= last for first, last in blocks) and (
        sum(last - first + 1 for first, last in blocks) <= GAPPED_MAX
    )


def _are_sound_parameters(parameters: bytes) -> bool:
    at = 0
    while at + 4 <= len(parameters):
        size = int.from_bytes(parameters[at + 2 : at + 4], "big")
        if size < 4 or at + size > len(parameters):  # one of no length is never passed
            return False
        at += size + -size % 4
    return True
