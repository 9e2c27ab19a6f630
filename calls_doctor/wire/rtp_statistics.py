"""What one session sent and received of RTP, and the RTCP reports that tell the other end so (RFC 3550 section 6).

Plain packets in (before encryption, after decryption), compound RTCP packets out. Time and randomness are arguments.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeVar

from calls_doctor.model.books import StreamBooks
from calls_doctor.wire import rtp
from calls_doctor.wire.rtp import ReceivedStream, ReceiverReport, Report, ReportBlock, SenderReport

FIRST_REPORT_S = 0.2
"""The first report comes early, so that a call of a fraction of a second has statistics."""
ANSWER_S = 0.02
"""A first sender report is answered after so long: the round trip is known from the start."""
REPORT_INTERVAL_S = (0.8, 1.2)
"""About a second, randomised so that sessions do not report in step (RFC 3550 section 6.3.1)."""
STREAMS_MAX = 64
"""Streams kept per direction: as many as a run has sessions. What goes beyond is carried and not counted."""
BLOCKS_MAX, SENDERS_MAX = 31, 14
"""Of one compound packet, which then has at most 1160 bytes; where there are more streams they take turns."""
_CLOCK_RATE_HZ = 48000
"""Opus counts in these whatever the audio's own rate (RFC 7587 section 4.1)."""
_SOURCE_DESCRIPTION, _CNAME_ITEM = 202, 1
_CNAME = b"calls-doctor"

_Stream = TypeVar("_Stream")


class _SentStream:
    """What was sent under one SSRC."""

    __slots__ = ("at", "last", "octets", "packets", "ssrc")

    def __init__(self, ssrc: int) -> None:
        self.ssrc = ssrc
        self.packets = self.octets = 0
        self.last = b""
        """The packet sent last: its timestamp is read only when a report is due."""
        self.at = 0.0
        """When that was."""

    def report(self, now: float, blocks: tuple[ReportBlock, ...]) -> SenderReport:
        timestamp = int.from_bytes(self.last[4:8], "big") + int((now - self.at) * _CLOCK_RATE_HZ)
        return SenderReport(self.ssrc, rtp.ntp(now), timestamp & 0xFFFFFFFF, self.packets, self.octets, blocks)


class RtpStatistics:
    """Counts, and makes the reports. `ssrc` is the name under which this end reports where it sends nothing."""

    def __init__(self, ssrc: int, random: Callable[[int], bytes]) -> None:
        self._ssrc, self._random = ssrc, random
        self._received: dict[bytes, ReceivedStream] = {}
        self._sent: dict[bytes, _SentStream] = {}
        self._report_at: float | None = None
        self._reports_heard = False
        self.sent_rtp = 0
        """RTP packets sent, under whatever SSRC."""
        self.rtt_s: float | None = None
        """Round trip, from the other end's last report that told one (LSR, DLSR)."""

    def start(self, now: float) -> None:
        """Media may flow from now on."""
        self._report_at = now + FIRST_REPORT_S

    def stop(self) -> None:
        """The session is over: nothing is reported any more."""
        self._report_at = None

    def received(self, packet: bytes, now: float) -> None:
        """One packet came; it has at least a header."""
        stream = self._received.get(packet[8:12])
        if stream is None:
            if len(self._received) >= STREAMS_MAX:
                return
            stream = self._received[packet[8:12]] = ReceivedStream(int.from_bytes(packet[8:12], "big"), _CLOCK_RATE_HZ)
        stream.add(packet[2] << 8 | packet[3], int.from_bytes(packet[4:8], "big"), now)

    def replayed(self, packet: bytes) -> None:
        """A packet came that SRTP has seen before: of a stream that is known it is a duplicate. Nothing else is read
        from it, for nobody has vouched for its header."""
        stream = self._received.get(packet[8:12])
        if stream is not None:
            stream.duplicated += 1

    def sent(self, packet: bytes, now: float) -> None:
        """One packet was sent; it has at least a header."""
        self.sent_rtp += 1
        stream = self._sent.get(packet[8:12])
        if stream is None:
            if len(self._sent) >= STREAMS_MAX:
                return
            stream = self._sent[packet[8:12]] = _SentStream(int.from_bytes(packet[8:12], "big"))
        stream.packets += 1
        stream.octets += len(packet) - rtp.HEADER_BYTES
        stream.last, stream.at = packet, now

    def streams(self) -> list[StreamBooks]:
        """What was received, for the books."""
        return [stream.books() for stream in self._received.values()]

    def receive_rtcp(self, packet: bytes, now: float) -> list[Report]:
        """Takes one compound packet. Raises RtpError, and nothing else."""
        reports = rtp.parse_rtcp(packet)
        for report in reports:
            if isinstance(report, SenderReport):
                self._note_sender_report(report, now)
            for block in report.blocks:
                if block.ssrc.to_bytes(4, "big") in self._sent:
                    trip_s = rtp.rtt_s(block, now)
                    self.rtt_s = self.rtt_s if trip_s is None else max(0.0, trip_s)
        return reports

    def next_timer(self) -> float | None:
        """When `due_report` wants to be called; None where no report is to come."""
        return self._report_at

    def due_report(self, now: float) -> bytes | None:
        """The compound packet that is due: a sender report for each stream sent, with what was received of the other
        end's. None where none is due or there is nothing to tell."""
        if self._report_at is None or now < self._report_at:
            return None
        least, most = REPORT_INTERVAL_S
        self._report_at = now + least + (most - least) * self._random(1)[0] / 255
        heard = _in_turn(self._received, BLOCKS_MAX)
        blocks = tuple(stream.report_block(now) for stream in heard)
        packets = b""
        for stream in _in_turn(self._sent, SENDERS_MAX):
            packets += bytes(stream.report(now, () if packets else blocks))
        if not packets and blocks:
            packets = bytes(ReceiverReport(self._ssrc, blocks))
        return packets + self._source_description() if packets else None

    def _source_description(self) -> bytes:
        """SDES with CNAME: a compound packet is none without it (RFC 3550 section 6.1)."""
        item = bytes((_CNAME_ITEM, len(_CNAME))) + _CNAME
        chunk = self._ssrc.to_bytes(4, "big") + item + bytes(4 - len(item) % 4)
        return struct.pack("!BBH", rtp.VERSION << 6 | 1, _SOURCE_DESCRIPTION, len(chunk) // 4) + chunk

    def _note_sender_report(self, report: SenderReport, now: float) -> None:
        stream = self._received.get(report.ssrc.to_bytes(4, "big"))
        if stream is None:
            return
        stream.add_sender_report(report, now)
        if not self._reports_heard and self._report_at is not None:
            self._reports_heard = True
            self._report_at = min(self._report_at, now + ANSWER_S)


def _in_turn(streams: dict[bytes, _Stream], most: int) -> list[_Stream]:
    """As many as fit into one report; where not all do, those that have waited longest, who then go to the end."""
    taken = list(streams.items())[:most]
    if len(streams) > most:
        for ssrc, stream in taken:
            del streams[ssrc]
            streams[ssrc] = stream
    return [stream for _, stream in taken]
