"""What kind of packet came, and how packets follow each other on a TCP connection.

Bytes in, packets out; nothing here looks further into a packet than its first two bytes.
"""

from __future__ import annotations

from enum import Enum, auto

from calls_doctor.errors import FramingError

LENGTH_BYTES = 2
MAX_FRAME_BYTES = 2048
"""Media and checks stay below 1500 bytes; a longer frame is something that is not ours."""


class PacketKind(Enum):
    """By the first byte (RFC 7983 section 7), RTP and RTCP by the second (RFC 5761 section 4)."""

    STUN = auto()
    DTLS = auto()
    CHANNEL_DATA = auto()
    RTP = auto()
    RTCP = auto()
    OTHER = auto()


def packet_kind(packet: bytes) -> PacketKind:
    """The kind that a packet claims to be; OTHER for an empty one too."""
    if len(packet) < 2:
        return PacketKind.OTHER
    first = packet[0]
    if 128 <= first <= 191:
        return PacketKind.RTCP if 192 <= packet[1] <= 223 else PacketKind.RTP
    if first <= 3:
        return PacketKind.STUN
    if 20 <= first <= 63:
        return PacketKind.DTLS
    return PacketKind.CHANNEL_DATA if 64 <= first <= 79 else PacketKind.OTHER


def frame(packet: bytes) -> bytes:
    """The packet with its length before it (RFC 4571 section 2). Raises FramingError over 65535 bytes."""
    if len(packet) > 0xFFFF:
        raise FramingError(f"a frame holds 65535 bytes at most, not {len(packet)}")
    return len(packet).to_bytes(LENGTH_BYTES, "big") + packet


class Deframer:
    """Cuts a stream into frames (RFC 4571)."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = b""
        self._error: FramingError | None = None

    @property
    def waiting_bytes(self) -> int:
        """Bytes of a frame that is not complete; at most one frame and what one `feed` brought."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are complete now; empty ones are dropped.

        Raises FramingError where a length is over the maximum, then for ever. Frames that came whole before it are
        given out first: the error comes with the next call.
        """
        if self._error is not None:
            raise self._error
        self._buffer += data
        frames: list[bytes] = []
        at = 0
        while len(self._buffer) - at >= LENGTH_BYTES:
            size = int.from_bytes(self._buffer[at : at + LENGTH_BYTES], "big")
            if size > self._max_frame_bytes:
                self._error = FramingError(f"a frame announces {size} bytes: the stream is not RFC 4571")
                self._buffer = b""
                if not frames:
                    raise self._error
                return frames
            if len(self._buffer) - at - LENGTH_BYTES < size:
                break
            if size:
                frames.append(self._buffer[at + LENGTH_BYTES : at + LENGTH_BYTES + size])
            at += LENGTH_BYTES + size
        self._buffer = self._buffer[at:]
        return frames
