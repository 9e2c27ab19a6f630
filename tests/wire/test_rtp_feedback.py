"""Who asks for a key frame, and of which stream."""

from __future__ import annotations

import struct

import pytest
from aiortc.rtp import RtcpPacket, RtcpPsfbPacket, RtcpRrPacket, RtcpRtpfbPacket

from calls_doctor.wire.rtp_feedback import key_frame_request, key_frames_wanted, packets_wanted

PLI = bytes(RtcpPsfbPacket(fmt=1, ssrc=7, media_ssrc=0xCAFE))
FIR = bytes(RtcpPsfbPacket(fmt=4, ssrc=7, media_ssrc=0, fci=struct.pack("!IBxxxIBxxx", 8, 1, 9, 1)))


@pytest.mark.parametrize(("packet", "ssrcs"), [
    (PLI, [0xCAFE]), (FIR, [8, 9]), (bytes(RtcpRrPacket(ssrc=7)) + PLI + FIR, [0xCAFE, 8, 9]), (b"", []),
    (bytes(RtcpPsfbPacket(fmt=15, ssrc=7, media_ssrc=1, fci=b"REMB")), []), (PLI[:11], []),
])  # fmt: skip
def test_what_aiortc_writes_is_read(packet: bytes, ssrcs: list[int]) -> None:
    assert key_frames_wanted(packet) == ssrcs


@pytest.mark.parametrize(("packet", "numbers"), [
    (bytes(RtcpRtpfbPacket(fmt=1, ssrc=7, media_ssrc=5, lost=[12, 13, 28, 40])), {5: [12, 13, 28, 40]}),
    (struct.pack("!BBHIIHH", 0x81, 205, 3, 7, 5, 0xFFFF, 0b101), {5: [0xFFFF, 0, 2]}),
    (PLI + bytes(RtcpRtpfbPacket(fmt=1, ssrc=7, media_ssrc=6, lost=[1])), {6: [1]}), (FIR, {}),
    (bytes(RtcpRtpfbPacket(fmt=1, ssrc=7, media_ssrc=5, lost=[1]))[:14], {}),
])  # fmt: skip
def test_what_aiortc_lacks_is_read(packet: bytes, numbers: dict[int, list[int]]) -> None:
    assert {ssrc: sorted(of) for ssrc, of in packets_wanted(packet).items()} == {
        ssrc: sorted(of) for ssrc, of in numbers.items()
    }


def test_aiortc_reads_what_is_asked_for() -> None:
    (read,) = RtcpPacket.parse(key_frame_request(7, 0xCAFE))
    assert read == RtcpPsfbPacket(fmt=1, ssrc=7, media_ssrc=0xCAFE)
