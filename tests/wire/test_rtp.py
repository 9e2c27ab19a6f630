"""RTP and RTCP, held against aiortc's codec; loss, jitter and round trip against hand-made sequences."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace

import pytest
from aiortc import rtcrtpreceiver
from aiortc import rtp as other

from calls_doctor.errors import RtpError
from calls_doctor.wire import rtp
from calls_doctor.wire.rtp import ReceivedStream, ReceiverReport, ReportBlock, RtpPacket, SenderReport

PACKET = RtpPacket(
    payload_type=111, sequence=65535, timestamp=0xFFFFFFFF, ssrc=0xDEADBEEF, payload=b"opus", marker=True
)
BLOCK = ReportBlock(
    ssrc=7, fraction_lost=0.25, lost=-3, highest_sequence=70000, jitter=480, last_sr=9, delay_since_last_sr_s=0.5
)


def test_aiortc_reads_our_packets_and_we_read_its() -> None:
    theirs = other.RtpPacket.parse(bytes(PACKET))
    assert (theirs.payload_type, theirs.sequence_number, theirs.timestamp) == (111, 65535, 0xFFFFFFFF)
    assert (theirs.ssrc, theirs.marker, theirs.payload) == (0xDEADBEEF, 1, b"opus")
    theirs.csrc = [1, 2]
    theirs.padding_size = 4
    assert rtp.parse_rtp(theirs.serialize()) == PACKET


def test_a_header_extension_is_skipped() -> None:
    extended = b"\x90" + bytes(PACKET)[1:12] + b"\xbe\xde\x00\x01\x10\xff\x00\x00" + b"opus"
    assert rtp.parse_rtp(extended) == PACKET


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        bytes(11),
        b"\x40" + bytes(20),
        b"\x8f" + bytes(20),
        b"\x90" + bytes(11),
        b"\xa0" + bytes(12),
        b"\xa0" + bytes(11) + b"\xff",
    ],
)
def test_what_is_no_rtp_is_one_kind_of_error(packet: bytes) -> None:
    with pytest.raises(RtpError):
        rtp.parse_rtp(packet)


def test_a_forwarder_changes_payload_type_and_ssrc_alone() -> None:
    changed = rtp.parse_rtp(rtp.rewritten(bytes(PACKET), 96, 42))
    assert changed == RtpPacket(96, 65535, 0xFFFFFFFF, 42, b"opus", True)
    unmarked = RtpPacket(0, 1, 2, 3, b"")
    assert rtp.parse_rtp(rtp.rewritten(bytes(unmarked), 127, 42)) == RtpPacket(127, 1, 2, 42, b"")


def test_aiortc_reads_our_reports() -> None:
    (sender,) = other.RtcpPacket.parse(bytes(SenderReport(5, 1 << 40, 99, 10, 1000, (BLOCK,))))
    assert isinstance(sender, other.RtcpSrPacket)
    info, block = sender.sender_info, sender.reports[0]
    assert (info.ntp_timestamp, info.rtp_timestamp, info.packet_count, info.octet_count) == (1 << 40, 99, 10, 1000)
    assert (block.ssrc, block.fraction_lost, block.packets_lost, block.highest_sequence) == (7, 64, -3, 70000)
    assert (block.jitter, block.lsr, block.dlsr) == (480, 9, 32768)
    (receiver,) = other.RtcpPacket.parse(bytes(ReceiverReport(5, (BLOCK,))))
    assert isinstance(receiver, other.RtcpRrPacket)
    assert receiver.reports[0].packets_lost == -3


def test_we_read_aiortcs_compound_reports_and_skip_the_rest() -> None:
    compound = (
        bytes(other.RtcpByePacket(sources=[5]))
        + bytes(ReceiverReport(5, (BLOCK,)))
        + bytes(SenderReport(6, 1, 2, 3, 4))
    )
    assert rtp.parse_rtcp(compound) == [ReceiverReport(5, (BLOCK,)), SenderReport(6, 1, 2, 3, 4)]


@pytest.mark.parametrize(
    "packet",
    [
        b"\x80\xc8",
        b"\x40\xc9\x00\x01" + bytes(4),
        b"\x80\xc9\x00\x05" + bytes(4),
        b"\x81\xc9\x00\x01" + bytes(4),
        b"\x80\xc8\x00\x01" + bytes(4),
    ],
)
def test_what_is_no_rtcp_is_one_kind_of_error(packet: bytes) -> None:
    with pytest.raises(RtpError):
        rtp.parse_rtcp(packet)


def _received(numbers: list[int], *, step_s: float = 0.02, start: int = 0) -> ReceivedStream:
    stream = ReceivedStream(7)
    for at, number in enumerate(numbers):
        stream.add((start + number) % 65536, 960 * number % (1 << 32), step_s * at)
    return stream


def test_a_clean_stream_across_the_wrap() -> None:
    books = _received(list(range(100)), start=65500).books()
    assert (books.received, books.expected, books.duplicated, books.reordered) == (100, 100, 0, 0)
    assert books.jitter_s < 1e-9
    assert books.last_at_s == pytest.approx(99 * 0.02)


def test_loss_duplicates_and_reordering_are_told_apart() -> None:
    books = _received([0, 1, 3, 2, 2, 5, 6, 6, 9]).books()
    assert (books.received, books.expected, books.duplicated, books.reordered) == (7, 10, 2, 1)


def test_one_packet_that_is_far_off_is_no_new_stream_and_two_in_a_row_are() -> None:
    stream = _received([0, 1, 2])
    stream.add(30_000, 0, 1.0)
    stream.add(3, 0, 1.0)
    assert (stream.books().received, stream.books().expected) == (4, 4)
    stream.add(40_000, 0, 1.0)
    stream.add(40_001, 0, 1.0)
    assert (stream.books().received, stream.books().expected) == (5, 5)


def test_a_stream_that_begins_in_the_middle_of_reordering() -> None:
    books = _received([5, 4, 6]).books()
    assert (books.received, books.expected, books.reordered) == (3, 3, 1)


def test_a_stream_that_begins_at_a_wrap_with_its_first_packets_swapped() -> None:
    stream = ReceivedStream(7)
    for at, sequence in enumerate((0, 65535, 65534, 1, 2, 4)):
        stream.add(sequence, 0, 0.02 * at)
    books = stream.books()
    assert (books.received, books.expected, books.reordered, books.first_at_s) == (6, 7, 2, 0.0)
    assert stream.report_block(1.0).highest_sequence == 4


def test_packets_that_come_late_after_a_new_beginning_belong_to_it() -> None:
    stream = ReceivedStream(7)
    for sequence in (0, 1, 2, 3, 4, 40_000, 40_001, 39_999, 39_997, 40_002):
        stream.add(sequence, 0, 0.0)
    # Five of the old run, then 39997 to 40002, of which 39998 is missing and 40000 was not believed.
    assert (stream.received, stream.expected, stream.reordered) == (9, 11, 2)


def test_jitter_is_the_median_of_rfc_3550s_running_value() -> None:
    stream = ReceivedStream(7)
    for n in range(200):
        stream.add(n, 960 * n, 0.02 * n + (0.010 if n % 2 else 0.0))
    # |D| is 10 ms for every packet, so the running value goes to 10 ms.
    assert stream.books().jitter_s == pytest.approx(0.010, rel=0.05)
    assert stream.report_block(9.0).jitter == pytest.approx(480, abs=2)


@pytest.mark.parametrize("seed", range(20))
def test_aiortc_counts_loss_and_jitter_as_we_do(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order and without duplicates, which it counts as received once more."""
    random, now_s = Random(seed), 1000.0
    monkeypatch.setattr(rtcrtpreceiver, "time", SimpleNamespace(time=lambda: now_s))
    ours, theirs = ReceivedStream(7), rtcrtpreceiver.StreamStatistics(48000)
    first, timestamp = random.randrange(65536), random.randrange(1 << 31)
    for n in range(400):
        now_s = 1000.0 + 0.02 * n + random.random() * 0.015
        if n and random.random() < 0.1:
            continue
        packet = other.RtpPacket(sequence_number=(first + n) % 65536, timestamp=timestamp + 960 * n, ssrc=7)
        theirs.add(packet)
        ours.add(packet.sequence_number, packet.timestamp, now_s)
        if n % 100 == 99:
            block = ours.report_block(now_s)
            assert ours.expected == theirs.packets_expected
            assert block.highest_sequence == first + ours.expected - 1 == theirs.cycles + (theirs.max_seq or 0)
            assert block.lost == theirs.packets_lost > 0
            assert int(block.fraction_lost * 256) == theirs.fraction_lost
            assert block.jitter == pytest.approx(theirs.jitter, abs=3)  # it counts in whole units of the clock
            assert block.jitter > 100


def test_the_timestamps_wrap_is_no_jitter() -> None:
    stream = ReceivedStream(7)
    for n in range(50):
        stream.add(n, ((1 << 32) - 960 * 25 + 960 * n) % (1 << 32), 0.02 * n)
    assert stream.books().jitter_s < 1e-6


def test_the_fraction_lost_is_that_since_the_last_report() -> None:
    stream = ReceivedStream(7)
    for n in (0, 1, 2, 3):
        stream.add(n, 960 * n, 0.02 * n)
    assert stream.report_block(1.0).fraction_lost == 0.0
    for n in (4, 6, 7):
        stream.add(n, 960 * n, 0.02 * n)
    block = stream.report_block(2.0)
    assert (block.fraction_lost, block.lost, block.highest_sequence) == (0.25, 1, 7)
    assert stream.report_block(3.0).fraction_lost == 0.0


def test_the_round_trip_comes_from_lsr_and_dlsr() -> None:
    sent_at, delay_there_s, held_s, delay_back_s = 1000.25, 0.030, 0.500, 0.020
    stream = ReceivedStream(7)
    stream.add(1, 0, 0.0)
    stream.add_sender_report(SenderReport(7, rtp.ntp(sent_at), 0, 1, 4), now=50.0)
    (report,) = rtp.parse_rtcp(bytes(ReceiverReport(1, (stream.report_block(50.0 + held_s),))))
    back_at = sent_at + delay_there_s + held_s + delay_back_s
    assert rtp.rtt_s(report.blocks[0], back_at) == pytest.approx(0.050, abs=0.001)


@pytest.mark.parametrize("sent_at", [65536.0 * 7 - 0.01, 0.0, 1e6 + 1 / 3])
def test_the_round_trip_survives_the_wrap_of_its_32_bits_and_is_never_negative(sent_at: float) -> None:
    block = ReportBlock(7, 0.0, 0, 1, 0, rtp.middle_32(rtp.ntp(sent_at)), 0.5)
    assert rtp.rtt_s(block, sent_at + 0.55) == pytest.approx(0.05, abs=1e-4)
    assert rtp.rtt_s(block, sent_at + 0.4999) == 0.0
    assert rtp.rtt_s(block, sent_at + 0.4) is None, "it cannot have come back before it was answered"
    assert rtp.rtt_s(block, sent_at + 100.0) is None


def test_no_sender_report_means_no_round_trip() -> None:
    stream = ReceivedStream(7)
    stream.add(1, 0, 0.0)
    assert rtp.rtt_s(stream.report_block(1.0), 2.0) is None


def test_what_is_remembered_of_a_stream_is_bounded() -> None:
    stream = ReceivedStream(7)
    for n in range(20_000):
        stream.add(n % 65536, 960 * n % (1 << 32), 0.02 * n)
    assert len(stream._seen) <= rtp.SEEN_PACKETS + 1
    assert len(stream._jitters) <= rtp.JITTER_VALUES_MAX
