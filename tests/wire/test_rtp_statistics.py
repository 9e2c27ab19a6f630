"""What a session counts of RTP, and when and what it reports."""

from __future__ import annotations

import pytest

from calls_doctor.errors import RtpError
from calls_doctor.wire import rtp
from calls_doctor.wire.rtp import ReceiverReport, RtpPacket, SenderReport
from calls_doctor.wire.rtp_statistics import BLOCKS_MAX, SENDERS_MAX, STREAMS_MAX, RtpStatistics

OWN_SSRC = 0xAAAA


def statistics() -> RtpStatistics:
    """Media may flow from 0 s on; a report comes in the middle of each interval."""
    made = RtpStatistics(OWN_SSRC, lambda n: b"\x80" * n)
    made.start(0.0)
    return made


def packet(ssrc: int, sequence: int = 1, payload: bytes = b"voice") -> bytes:
    return bytes(RtpPacket(111, sequence, sequence * 960, ssrc, payload))


def reports(compound: bytes | None) -> list[SenderReport | ReceiverReport]:
    assert compound is not None
    return rtp.parse_rtcp(compound)


def test_nothing_is_due_before_media_may_flow_and_after_it_may_not() -> None:
    made = RtpStatistics(OWN_SSRC, bytes)
    made.received(packet(1), 0.0)
    assert made.next_timer() is None
    assert made.due_report(100.0) is None
    made.start(100.0)
    made.stop()
    assert made.due_report(200.0) is None


def test_the_first_report_is_early_and_the_others_are_about_a_second_apart() -> None:
    made = statistics()
    made.received(packet(1), 0.0)
    assert made.next_timer() == 0.2
    assert made.due_report(0.19) is None
    assert made.due_report(0.2) is not None
    assert made.next_timer() == pytest.approx(1.2, abs=0.01)


@pytest.mark.parametrize(("drawn", "interval_s"), [(b"\x00", 0.8), (b"\xff", 1.2)])
def test_the_interval_is_randomised(drawn: bytes, interval_s: float) -> None:
    made = RtpStatistics(OWN_SSRC, lambda _: drawn)
    made.start(0.0)
    made.due_report(1.0)
    assert made.next_timer() == pytest.approx(1.0 + interval_s)


def test_where_there_is_nothing_to_tell_nothing_is_told() -> None:
    made = statistics()
    assert made.due_report(0.2) is None
    assert made.next_timer() is not None


def test_who_only_receives_sends_a_receiver_report_under_its_own_name() -> None:
    made = statistics()
    for sequence in (1, 2, 4):
        made.received(packet(1, sequence), 0.0)
    (report,) = reports(made.due_report(0.2))
    assert isinstance(report, ReceiverReport)
    assert report.ssrc == OWN_SSRC
    assert [(block.ssrc, block.lost, block.highest_sequence) for block in report.blocks] == [(1, 1, 4)]


def test_who_sends_tells_how_much_and_what_time_its_stream_has() -> None:
    made = statistics()
    made.sent(packet(7, 1, bytes(80)), 0.0)
    made.sent(packet(7, 2, bytes(100)), 0.1)
    (report,) = reports(made.due_report(0.2))
    assert isinstance(report, SenderReport)
    assert (report.ssrc, report.packets, report.octets) == (7, 2, 180)
    assert report.rtp_timestamp == pytest.approx(2 * 960 + 4800, abs=1)
    assert report.ntp == rtp.ntp(0.2)
    assert made.sent_rtp == 2


def test_a_compound_packet_names_its_sender() -> None:
    made = statistics()
    made.sent(packet(7), 0.0)
    compound = made.due_report(0.2)
    assert compound is not None
    description = compound[28:]
    assert description[:2] == bytes((0x81, 202))  # one chunk, SDES (RFC 3550 section 6.5)
    assert len(description) == 4 + 4 * int.from_bytes(description[2:4], "big")
    assert description[4:8] == OWN_SSRC.to_bytes(4, "big")
    assert description[8:] == b"\x01\x0ccalls-doctor\x00\x00"


def test_the_round_trip_is_told_by_the_answer_to_a_report() -> None:
    near, far = statistics(), statistics()
    near.sent(packet(7), 0.0)
    far.received(packet(7), 0.0)
    sender_report = near.due_report(0.2)
    assert sender_report is not None
    far.receive_rtcp(sender_report, 0.25)
    receiver_report = far.due_report(0.45)
    assert receiver_report is not None
    near.receive_rtcp(receiver_report, 0.5)
    assert near.rtt_s == pytest.approx(0.1, abs=0.001)
    assert far.rtt_s is None


def test_a_first_sender_report_is_answered_at_once_and_a_second_in_its_turn() -> None:
    near, far = statistics(), statistics()
    near.sent(packet(7), 0.0)
    far.received(packet(7), 0.0)
    far.due_report(0.2)
    for now, due in ((0.3, 0.32), (0.31, 0.32)):
        far.receive_rtcp(bytes(SenderReport(7, rtp.ntp(0.0), 0, 1, 1)), now)
        assert far.next_timer() == pytest.approx(due)


def test_reports_about_streams_that_are_not_ours_tell_no_round_trip() -> None:
    made = statistics()
    made.sent(packet(7), 0.0)
    block = rtp.ReportBlock(8, 0.0, 0, 1, 0, rtp.middle_32(rtp.ntp(0.1)), 0.0)
    made.receive_rtcp(bytes(ReceiverReport(1, (block,))), 0.2)
    assert made.rtt_s is None


def test_malformed_rtcp_is_an_rtp_error() -> None:
    with pytest.raises(RtpError):
        statistics().receive_rtcp(b"\x80\xc8\x00\x06", 0.0)


def test_a_replayed_packet_is_a_duplicate_of_a_stream_that_is_known() -> None:
    made = statistics()
    made.received(packet(1), 0.0)
    made.replayed(packet(1))
    made.replayed(packet(1, 5000))
    made.replayed(packet(2))
    (stream,) = made.streams()
    assert (stream.ssrc, stream.received, stream.expected, stream.duplicated) == (1, 1, 1, 2)


def test_what_is_kept_and_told_at_once_is_bounded_and_everybody_has_a_turn() -> None:
    made = statistics()
    for ssrc in range(1, STREAMS_MAX + 11):
        made.received(packet(ssrc), 0.0)
        made.sent(packet(1000 + ssrc), 0.0)
    assert len(made.streams()) == STREAMS_MAX
    assert made.sent_rtp == STREAMS_MAX + 10
    told, senders = set(), set()
    for second in range(6):
        compound = made.due_report(0.2 + 1.3 * second)
        assert compound is not None
        assert len(compound) <= 1160
        one = reports(compound)
        assert [len(report.blocks) for report in one] == [BLOCKS_MAX] + [0] * (SENDERS_MAX - 1)
        told |= {block.ssrc for report in one for block in report.blocks}
        senders |= {report.ssrc for report in one}
    assert told == set(range(1, STREAMS_MAX + 1))
    assert senders == set(range(1001, 1001 + STREAMS_MAX))
