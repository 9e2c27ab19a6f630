"""A stream like a shared screen's: as aiortc reads VP8, with a whole picture first and whenever one is wanted."""

from __future__ import annotations

import pytest
from aiortc.codecs.vpx import VpxPayloadDescriptor

from calls_doctor.wire.rtp import RtpPacket
from calls_doctor.wire.screen_stream import PAYLOAD_BYTES, PICTURES_PER_S, ScreenStream


def pictures(packets: list[RtpPacket]) -> list[list[RtpPacket]]:
    found: list[list[RtpPacket]] = [[]]
    for packet in packets:
        found[-1].append(packet)
        if packet.marker:
            found.append([])
    assert found.pop() == [], "the last one is whole"
    return found


def is_whole(picture: list[RtpPacket]) -> bool:
    """A key frame: the lowest bit of its tag says so (RFC 6386 section 9.1)."""
    _, rest = VpxPayloadDescriptor.parse(picture[0].payload)
    return not rest[0] & 1


@pytest.mark.parametrize("rate", [40, 167])
def test_each_second_has_its_pictures_in_packets_of_one_size(rate: int) -> None:
    stream = ScreenStream(7, 96, 0xFFFF, 0xFFFFFFFF, rate)
    per_picture = rate // PICTURES_PER_S
    packets = [stream.packet() for _ in range(per_picture * 10)]
    assert {len(one.payload) for one in packets} == {PAYLOAD_BYTES} and stream.sent == len(packets)
    assert [one.sequence for one in packets[:3]] == [0xFFFF, 0, 1]
    found = pictures(packets)
    assert [len(one) for one in found] == [per_picture] * 10
    for one in found:
        assert len({packet.timestamp for packet in one}) == 1
        begins = [VpxPayloadDescriptor.parse(packet.payload)[0].partition_start for packet in one]
        assert begins == [1] + [0] * (per_picture - 1)
    apart = (found[2][0].timestamp - found[1][0].timestamp) / 90_000
    assert apart == pytest.approx(per_picture / rate, abs=0.001)


def test_a_whole_picture_comes_first_and_where_it_is_wanted() -> None:
    stream = ScreenStream(7, 96, 0, 0, 40)
    first = [stream.packet() for _ in range(10)]
    stream.want_key_frame()
    found = pictures([*first, *(stream.packet() for _ in range(6))])
    assert [is_whole(one) for one in found] == [True, False, False, True]
