"""A stream like that of a shared screen: VP8 in RTP (RFC 7741) whose pictures are empty, at a steady rate. Pure.

Nothing that forwards it decodes it; where a picture begins and ends, and which is a key frame, stands in each packet as
a client would write it.
"""

from __future__ import annotations

from calls_doctor.wire.rtp import RtpPacket

CLOCK_RATE_HZ = 90_000
PAYLOAD_BYTES = 1200
PICTURES_PER_S = 10
_KEY_FRAME = bytes.fromhex("100200 9d012a 0005 d002")
"""Frame tag, start code, 1280 x 720 (RFC 6386 section 9.1)."""
_NEXT_FRAME = bytes.fromhex("110200")
_BEGINS, _GOES_ON = b"\x10", b"\x00"
"""The payload descriptor: whether a partition begins here."""


class ScreenStream:
    """Packets one after the other, each of PAYLOAD_BYTES; the first picture is a key frame."""

    def __init__(self, ssrc: int, payload_type: int, sequence: int, timestamp: int, packets_per_s: int) -> None:
        self._ssrc, self._payload_type, self._sequence, self._timestamp = ssrc, payload_type, sequence, timestamp
        self._per_picture = max(1, packets_per_s // PICTURES_PER_S)
        self._ticks = CLOCK_RATE_HZ * self._per_picture // packets_per_s
        self._key_frame_wanted = True
        self.sent = 0
        """How many packets there were."""

    def want_key_frame(self) -> None:
        """Somebody lacks a picture: the next is whole in itself."""
        self._key_frame_wanted = True

    def packet(self) -> RtpPacket:
        """The next one."""
        picture, part = divmod(self.sent, self._per_picture)
        head = _GOES_ON
        if part == 0:
            head = _BEGINS + (_KEY_FRAME if self._key_frame_wanted else _NEXT_FRAME)
            self._key_frame_wanted = False
        made = RtpPacket(
            payload_type=self._payload_type,
            sequence=(self._sequence + self.sent) & 0xFFFF,
            timestamp=(self._timestamp + picture * self._ticks) & 0xFFFFFFFF,
            ssrc=self._ssrc,
            payload=head + bytes(PAYLOAD_BYTES - len(head)),
            marker=part == self._per_picture - 1,
        )
        self.sent += 1
        return made
