"""RTP and RTCP (RFC 3550): headers, what was received of a stream, sender and receiver reports.

Bytes and numbers in, bytes and numbers out; time is an argument, in seconds.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from calls_doctor.errors import RtpError
from calls_doctor.model.books import StreamBooks

HEADER_BYTES = 12
VERSION = 2
SENDER_REPORT, RECEIVER_REPORT = 200, 201
NTP_EPOCH_S = 2_208_988_800
"""Seconds from 1900 to 1970 (RFC 3550 section 4)."""
SEQUENCE_MODULUS = 1 << 16
MAX_DROPOUT, MAX_MISORDER = 3000, 100
"""RFC 3550 appendix A.1: a larger jump is another stream under the same SSRC, and is not counted as loss."""
SEEN_PACKETS = 1024
"""How far back a duplicate is recognised."""
JITTER_VALUES_MAX = 4096
REPORTS_MAX = 31
_HEADER = struct.Struct("!BBHII")
_BLOCK = struct.Struct("!IIIIII")


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One RTP packet without CSRCs and header extension; `bytes()` makes it."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False

    def __bytes__(self) -> bytes:
        second = self.marker << 7 | self.payload_type
        return _HEADER.pack(VERSION << 6, second, self.sequence, self.timestamp, self.ssrc) + self.payload


def parse_rtp(packet: bytes) -> RtpPacket:
    """Reads one packet; CSRCs, header extension and padding are skipped. Raises RtpError, and nothing else."""
    if len(packet) < HEADER_BYTES:
        raise RtpError(f"an RTP packet has {len(packet)} bytes, its header {HEADER_BYTES}")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(packet)
    if first >> 6 != VERSION:
        raise RtpError(f"RTP version {first >> 6} is not {VERSION}")
    start, end = HEADER_BYTES + 4 * (first & 0x0F), len(packet)
    if first & 0x10:
        if len(packet) < start + 4:
            raise RtpError("an RTP header extension is cut short")
        start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
    if first & 0x20:
        end -= packet[-1]
        if not packet[-1]:
            raise RtpError("RTP padding of no bytes")
    if start > end:
        raise RtpError("an RTP packet is shorter than its header says")
    return RtpPacket(second & 0x7F, sequence, timestamp, ssrc, packet[start:end], bool(second & 0x80))


def rewritten(packet: bytes, payload_type: int, ssrc: int) -> bytes:
    """A packet as a forwarder passes it on: another payload type and SSRC, the marker and all else untouched.

    `packet` has at least HEADER_BYTES; that was seen when its header was read.
    """
    second = packet[1] & 0x80 | payload_type
    return b"%c%c%b%b%b" % (packet[0], second, packet[2:8], ssrc.to_bytes(4, "big"), packet[12:])


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver tells a sender of one stream (RFC 3550 section 6.4.1)."""

    ssrc: int
    fraction_lost: float
    """Ratio since the last report, in steps of 1/256."""
    lost: int
    """In total; negative where duplicates came."""
    highest_sequence: int
    """Extended by the cycles."""
    jitter: int
    """In units of the stream's clock."""
    last_sr: int = 0
    """Middle 32 bits of the NTP time of the last sender report; 0: none came."""
    delay_since_last_sr_s: float = 0.0

    def __bytes__(self) -> bytes:
        lost = max(-0x800000, min(0x7FFFFF, self.lost)) & 0xFFFFFF
        fraction = max(0, min(255, int(self.fraction_lost * 256)))
        delay = min(int(self.delay_since_last_sr_s * 65536), 0xFFFFFFFF)
        return _BLOCK.pack(
            self.ssrc,
            fraction << 24 | lost,
            self.highest_sequence & 0xFFFFFFFF,
            min(self.jitter, 0xFFFFFFFF),
            self.last_sr,
            delay,
        )


def _block(data: bytes) -> ReportBlock:
    ssrc, losses, highest, jitter, last_sr, delay = _BLOCK.unpack(data)
    lost = losses & 0xFFFFFF
    return ReportBlock(
        ssrc,
        (losses >> 24) / 256,
        lost - (1 << 24) if lost & 0x800000 else lost,
        highest,
        jitter,
        last_sr,
        delay / 65536,
    )


@dataclass(frozen=True, slots=True)
class SenderReport:
    """RFC 3550 section 6.4.1."""

    ssrc: int
    ntp: int
    """64 bits: seconds since 1900 and their fraction."""
    rtp_timestamp: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...] = ()

    def __bytes__(self) -> bytes:
        info = struct.pack(
            "!QIII", self.ntp, self.rtp_timestamp & 0xFFFFFFFF, self.packets & 0xFFFFFFFF, self.octets & 0xFFFFFFFF
        )
        return _packed(SENDER_REPORT, self.ssrc, info, self.blocks)


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """RFC 3550 section 6.4.2."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()

    def __bytes__(self) -> bytes:
        return _packed(RECEIVER_REPORT, self.ssrc, b"", self.blocks)


Report = SenderReport | ReceiverReport


def _packed(kind: int, ssrc: int, info: bytes, blocks: Sequence[ReportBlock]) -> bytes:
    body = ssrc.to_bytes(4, "big") + info + b"".join(bytes(block) for block in blocks[:REPORTS_MAX])
    return struct.pack("!BBH", VERSION << 6 | min(len(blocks), REPORTS_MAX), kind, len(body) // 4) + body


def parse_rtcp(packet: bytes) -> list[Report]:
    """The sender and receiver reports of a compound packet; other kinds are skipped.

    Raises RtpError, and nothing else, where the compound packet is malformed.
    """
    found: list[Report] = []
    at = 0
    while at < len(packet):
        if len(packet) - at < 4 or packet[at] >> 6 != VERSION:
            raise RtpError("an RTCP packet lacks its header")
        count, kind = packet[at] & 0x1F, packet[at + 1]
        size = 4 * (1 + int.from_bytes(packet[at + 2 : at + 4], "big"))
        body = packet[at + 4 : at + size]
        if len(body) != size - 4:
            raise RtpError("an RTCP packet is longer than the datagram it came in")
        if kind in (SENDER_REPORT, RECEIVER_REPORT):
            found.append(_report(kind, count, body))
        at += size
    return found


def _report(kind: int, count: int, body: bytes) -> Report:
    start = 24 if kind == SENDER_REPORT else 4
    if len(body) < start + count * _BLOCK.size:
        raise RtpError("an RTCP report is shorter than its count of blocks says")
    blocks = tuple(_block(body[start + n * _BLOCK.size : start + (n + 1) * _BLOCK.size]) for n in range(count))
    ssrc = int.from_bytes(body[:4], "big")
    if kind == RECEIVER_REPORT:
        return ReceiverReport(ssrc, blocks)
    ntp_64, rtp_timestamp, packets, octets = struct.unpack_from("!QIII", body, 4)
    return SenderReport(ssrc, ntp_64, rtp_timestamp, packets, octets, blocks)


def ntp(now_s: float) -> int:
    """A time in seconds as a 64-bit NTP timestamp. Any clock will do: only the sender compares it with itself."""
    seconds = int(now_s)
    return (seconds + NTP_EPOCH_S & 0xFFFFFFFF) << 32 | int((now_s - seconds) * (1 << 32))


def middle_32(ntp_64: int) -> int:
    """The middle 32 bits, as report blocks carry them."""
    return ntp_64 >> 16 & 0xFFFFFFFF


def rtt_s(block: ReportBlock, now_s: float) -> float | None:
    """The round trip that a block about our own stream tells (RFC 3550 section 6.4.1); None where it tells none."""
    if not block.last_sr:
        return None
    passed = (middle_32(ntp(now_s)) - block.last_sr & 0xFFFFFFFF) / 65536
    trip_s = passed - block.delay_since_last_sr_s
    return max(0.0, trip_s) if -0.001 < trip_s < 60.0 else None  # DLSR and LSR are rounded


class ReceivedStream:
    """What was received of one stream: sequence numbers (appendix A.1), loss (A.3), jitter (A.8)."""

    def __init__(self, ssrc: int, clock_rate_hz: int = 48000) -> None:
        self.ssrc = ssrc
        self.received = self.duplicated = self.reordered = 0
        self._clock_rate_hz = clock_rate_hz
        self._is_begun = False
        self._base = self._highest = 0
        """The lowest and the highest sequence number, extended by the cycles. The lowest is below 0 where one from
        before a wrap came late, so that no number can mean "none"."""
        self._run_from = 0
        """The lowest since the stream last began anew; what is below it is not of this run."""
        self._restart_at = -1
        """The sequence number that, coming next, proves that the stream began anew; -1: none."""
        self._seen: set[int] = set()
        self._seen_order: deque[int] = deque()
        self._transit: float | None = None
        self._jitter = 0.0
        self._jitters: deque[float] = deque(maxlen=JITTER_VALUES_MAX)
        self._first_at_s = self._last_at_s = 0.0
        self._reported = (0, 0)
        """Expected and received at the last report block."""
        self._last_sr: tuple[int, float] | None = None
        """Middle 32 bits of its NTP time, and when it came."""

    @property
    def expected(self) -> int:
        """From the first to the highest sequence number seen."""
        return self._highest - self._base + 1 if self._is_begun else 0

    def add(self, sequence: int, timestamp: int, now: float) -> None:
        """One packet came; `timestamp` in units of the clock rate."""
        if not self._is_begun:
            self._is_begun = True
            self._base = self._highest = self._run_from = sequence
            self._first_at_s = now
        number = self._extended(sequence)
        if number is None:
            return
        self._last_at_s = now
        if number in self._seen:
            self.duplicated += 1
            return
        self._remember(number)
        self.received += 1
        if number < self._highest:
            self.reordered += 1
            if number < self._run_from:
                self._base -= self._run_from - number
                self._run_from = number
        else:
            self._highest = number
        self._add_transit(now - timestamp / self._clock_rate_hz)

    def _extended(self, sequence: int) -> int | None:
        """The number with its cycles; None for one so far off that only a second in a row would make it believable."""
        step = (sequence - self._highest) % SEQUENCE_MODULUS
        if step >= SEQUENCE_MODULUS - MAX_MISORDER:
            return self._highest + step - SEQUENCE_MODULUS
        if step >= MAX_DROPOUT:
            if sequence != self._restart_at:
                self._restart_at = (sequence + 1) % SEQUENCE_MODULUS
                return None
            self._base += step - 1  # what a stream skips where it begins anew is not lost
            self._run_from = self._highest + step
        self._restart_at = -1
        return self._highest + step

    def _remember(self, number: int) -> None:
        self._seen.add(number)
        self._seen_order.append(number)
        if len(self._seen_order) > SEEN_PACKETS:
            self._seen.discard(self._seen_order.popleft())

    def _add_transit(self, transit_s: float) -> None:
        wrap_s = (1 << 32) / self._clock_rate_hz
        if self._transit is not None:
            difference_s = abs(transit_s - self._transit)
            difference_s = min(difference_s, abs(difference_s - wrap_s))  # the 32-bit timestamp went round
            self._jitter += (difference_s - self._jitter) / 16
            self._jitters.append(self._jitter)
        self._transit = transit_s

    def add_sender_report(self, report: SenderReport, now: float) -> None:
        """The sender's report about this stream, which the next block answers."""
        self._last_sr = middle_32(report.ntp), now

    def report_block(self, now: float) -> ReportBlock:
        """What to tell the sender now; the fraction lost is that since the last block."""
        expected, received = self.expected - self._reported[0], self.received - self._reported[1]
        self._reported = self.expected, self.received
        last_sr, at = self._last_sr or (0, now)
        return ReportBlock(
            self.ssrc,
            max(0.0, (expected - received) / expected) if expected > 0 else 0.0,
            self.expected - self.received,
            self._highest,
            int(self._jitter * self._clock_rate_hz),
            last_sr,
            now - at,
        )

    def books(self) -> StreamBooks:
        """For the books; the jitter is the median of the running value."""
        return StreamBooks(
            ssrc=self.ssrc,
            received=self.received,
            expected=self.expected,
            duplicated=self.duplicated,
            reordered=self.reordered,
            jitter_s=median(self._jitters) if self._jitters else 0.0,
            first_at_s=self._first_at_s,
            last_at_s=self._last_at_s,
        )
