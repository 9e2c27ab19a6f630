"""ChannelData, and how TURN messages follow each other on a stream (RFC 8656 sections 12.4 and 12.5).

It only cuts and joins bytes. It never looks into a STUN message further than its header.
"""

from __future__ import annotations

import struct

from calls_doctor.errors import FramingError
from calls_doctor.wire.stun import HEADER_BYTES, MAGIC_COOKIE

CHANNEL_FIRST = 0x4000
CHANNEL_LAST = 0x4FFF
"""RFC 8656 section 12: the numbers that a client may bind."""
CHANNEL_HEADER_BYTES = 4
CARRIES_TLS = "the stream carries TLS, not TURN"
"""What the FramingError of such a stream says, and no other."""
MAX_MESSAGE_BYTES = 4096
"""Longer messages on a stream are taken for something that is not TURN: media stays below 1500 bytes."""

_COOKIE = MAGIC_COOKIE.to_bytes(4, "big")
_TLS_RECORDS = range(20, 24)
_SHOWN_BYTES = 12


def channel_data(number: int, data: bytes, *, padded: bool) -> bytes:
    """One ChannelData message; `padded` to four bytes on a stream, never on UDP. Data holds at most 65535 bytes."""
    return struct.pack("!HH", number, len(data)) + data + (bytes(-len(data) % 4) if padded else b"")


def parse_channel_data(packet: bytes) -> tuple[int, bytes]:
    """Channel number and data of one ChannelData message. Raises FramingError, and nothing else, on anything else.

    Bytes after the announced length are padding (allowed on UDP too, RFC 8656 section 12.5).
    """
    if len(packet) < CHANNEL_HEADER_BYTES:
        raise FramingError("a ChannelData message is shorter than its header")
    number, length = struct.unpack_from("!HH", packet)
    if not CHANNEL_FIRST <= number <= CHANNEL_LAST:
        raise FramingError(f"0x{number:04x} is no channel number")
    if length > len(packet) - CHANNEL_HEADER_BYTES:
        raise FramingError(f"a ChannelData message announces {length} bytes and holds fewer")
    return number, packet[CHANNEL_HEADER_BYTES : CHANNEL_HEADER_BYTES + length]


class StreamDeframer:
    """Cuts a TCP or TLS stream into STUN and ChannelData messages; ChannelData comes with its padding cut off."""

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_message_bytes = max_message_bytes
        self._buffer = b""
        self._error: FramingError | None = None

    @property
    def waiting_bytes(self) -> int:
        """Bytes of a message that is not complete yet; at most `max_message_bytes` and what one `feed` brought."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now. Raises FramingError where the stream is not TURN, then for ever.

        Messages that came whole before the bad byte are given out first: the error comes with the next call.
        """
        if self._error is not None:
            raise self._error
        self._buffer += data
        messages: list[bytes] = []
        at = 0
        try:
            while (size := self._size(at)) is not None:
                wire_bytes = size + -size % 4
                if len(self._buffer) - at < wire_bytes:
                    break
                messages.append(self._buffer[at : at + size])
                at += wire_bytes
        except FramingError as error:
            self._error, self._buffer = error, b""
            if not messages:
                raise
        self._buffer = self._buffer[at:]
        return messages

    def _size(self, at: int) -> int | None:
        """Bytes of the message that begins at `at`, without padding; None where its header is not complete."""
        head = self._buffer[at : at + HEADER_BYTES]
        if not head:
            return None
        kind = head[0] >> 6
        # The cookie is judged byte by byte: a TLS alert ends before the eighth byte.
        if kind > 1 or (kind == 0 and not _COOKIE.startswith(head[4:8])):
            raise _not_turn(head)
        if len(head) < CHANNEL_HEADER_BYTES:
            return None
        number, length = int.from_bytes(head[:2], "big"), int.from_bytes(head[2:4], "big")
        if kind == 1:
            if not CHANNEL_FIRST <= number <= CHANNEL_LAST:
                raise _not_turn(head)
            size = CHANNEL_HEADER_BYTES + length
        else:
            if length % 4:
                raise _not_turn(head)
            size = HEADER_BYTES + length
        if size > self._max_message_bytes:
            raise _not_turn(head)
        return size


def _not_turn(head: bytes) -> FramingError:
    shown = head[:_SHOWN_BYTES]
    if head[0] in _TLS_RECORDS and head[1:2] == b"\x03":
        return FramingError(CARRIES_TLS)
    return FramingError(f"the stream is not TURN: it carries {shown!r}")
