# Invariant: whatever bytes come, the parsers give packets or raise RtpError; what they give is made into bytes again
# that parse to the same. A stream's statistics stay finite whatever sequence of numbers comes.

from __future__ import annotations

import contextlib
import dataclasses
import math

from hypothesis import example, given
from hypothesis import strategies as st

from calls_doctor.errors import RtpError
from calls_doctor.wire import rtp
from calls_doctor.wire.rtp import ReceivedStream, ReceiverReport, ReportBlock, RtpPacket, SenderReport

U16, U32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
PACKETS = st.builds(
    RtpPacket, payload_type=st.integers(0, 127), sequence=U16, timestamp=U32, ssrc=U32,
    payload=st.binary(max_size=50), marker=st.booleans(),
)  # fmt: skip
BLOCKS = st.builds(
    ReportBlock, ssrc=U32, fraction_lost=st.integers(0, 255).map(lambda n: n / 256),
    lost=st.integers(-(1 << 23), (1 << 23) - 1), highest_sequence=U32, jitter=U32, last_sr=U32,
    delay_since_last_sr_s=st.integers(0, 1 << 20).map(lambda n: n / 65536),
)  # fmt: skip
BLOCK_TUPLES = st.lists(BLOCKS, max_size=31).map(tuple)
REPORTS = st.one_of(
    st.builds(ReceiverReport, ssrc=U32, blocks=BLOCK_TUPLES),
    st.builds(SenderReport, ssrc=U32, ntp=st.integers(0, (1 << 64) - 1), rtp_timestamp=U32, packets=U32,
              octets=U32, blocks=BLOCK_TUPLES),
)  # fmt: skip


def check(data: bytes) -> None:
    with contextlib.suppress(RtpError):
        packet = rtp.parse_rtp(data)
        assert rtp.parse_rtp(bytes(packet)) == packet
    with contextlib.suppress(RtpError):
        reports = rtp.parse_rtcp(data)
        assert rtp.parse_rtcp(b"".join(map(bytes, reports))) == reports


@given(st.binary(max_size=80))
def test_any_bytes(data: bytes) -> None:
    check(data)


@given(st.one_of(st.builds(bytes, PACKETS), st.builds(bytes, REPORTS)), st.data())
def test_real_packets_that_were_altered_and_cut(packet: bytes, data: st.DataObject) -> None:
    changed = bytearray(packet)
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(packet) - 1), st.integers(0, 255)), max_size=4)):
        changed[at] = value
    check(bytes(changed))
    check(bytes(changed[: data.draw(st.integers(0, len(changed)))]))
    check(bytes(changed) + data.draw(st.binary(max_size=8)))


@given(PACKETS, st.integers(0, 127), U32)
def test_a_forwarded_packet_differs_in_payload_type_and_ssrc_alone(
    packet: RtpPacket, payload_type: int, ssrc: int
) -> None:
    forwarded = rtp.rewritten(bytes(packet), payload_type, ssrc)
    assert rtp.parse_rtp(forwarded) == dataclasses.replace(packet, payload_type=payload_type, ssrc=ssrc)
    assert rtp.rewritten(forwarded, packet.payload_type, packet.ssrc) == bytes(packet)


@given(PACKETS)
def test_a_packet_comes_back(packet: RtpPacket) -> None:
    assert rtp.parse_rtp(bytes(packet)) == packet


@given(st.lists(REPORTS, max_size=3), st.data())
def test_reports_come_back_and_cut_ones_are_refused_or_read(reports: list[rtp.Report], data: st.DataObject) -> None:
    compound = b"".join(map(bytes, reports))
    assert rtp.parse_rtcp(compound) == reports
    cut = compound[: data.draw(st.integers(0, len(compound)))]
    try:
        assert reports[: len(rtp.parse_rtcp(cut))] == rtp.parse_rtcp(cut)
    except RtpError as error:
        assert str(error)


@given(st.lists(st.tuples(U16, U32, st.floats(0, 1e6)), max_size=60))
@example([(0, 0, 0.0), (65535, 0, 0.0)])
@example([(sequence, 0, 0.0) for sequence in (0, 1, 2, 40_000, 40_001, 39_999, 39_998, 39_997, 39_996)])
@example([(0, 0, 0.0), (65436, 0, 0.0), (1, 0, 0.0)])
def test_statistics_of_any_stream(packets: list[tuple[int, int, float]]) -> None:
    stream = ReceivedStream(1)
    for sequence, timestamp, now in packets:
        stream.add(sequence, timestamp, now)
    books = stream.books()
    assert books.received + books.duplicated <= len(packets)
    assert books.received <= books.expected
    assert (books.received > 0) == bool(packets)
    assert math.isfinite(books.jitter_s) and books.jitter_s >= 0
    assert len(bytes(stream.report_block(0.0))) == 24
