"""What rtc messages carry: rows of the table, and the two shapes of a candidate."""

from __future__ import annotations

from dataclasses import fields

import pytest

from calls_doctor.errors import RtcdError
from calls_doctor.wire import rtcd_signal, sdp
from calls_doctor.wire.rtcd_signal import IceCandidate, Mute, RtcType, ScreenOn, Sender, VideoOn, VoiceOn

LINE = "candidate:2878742611 1 tcp 1671430143 10.77.0.1 8443 typ host tcptype passive ufrag nlAUluPJSbMJfErM"
CANDIDATE = IceCandidate(LINE, "0", 0, None)
BARE = f'{{"candidate":"{LINE}","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":null}}'.encode()
WRAPPED = b'{"candidate":' + BARE + b',"type":"candidate"}'


def test_every_number_has_its_row_and_every_row_the_keys_of_its_fields() -> None:
    assert {row.rtc_type for row in rtcd_signal.TABLE} == set(RtcType) and len(RtcType) == 10
    for row in rtcd_signal.TABLE:
        assert [field for _, field in row.keys] == [field.name for field in fields(row.signal)]


@pytest.mark.parametrize(("sender", "data"), [(Sender.CLIENT, BARE), (Sender.SERVER, WRAPPED)])
def test_a_candidate_has_one_shape_in_each_direction(sender: Sender, data: bytes) -> None:
    row = rtcd_signal.row_of(CANDIDATE, sender)
    assert rtcd_signal.data_of(CANDIDATE, row) == data
    assert rtcd_signal.parse(row, data) == CANDIDATE
    with pytest.raises(RtcdError):
        rtcd_signal.parse(row, BARE if sender is Sender.SERVER else WRAPPED)


def test_rtcds_candidate_is_one_that_a_description_could_hold() -> None:
    candidate = sdp.parse_candidate(CANDIDATE.candidate)
    assert (candidate.transport, candidate.address, candidate.port, candidate.tcp_type) == (
        "tcp",
        "10.77.0.1",
        8443,
        "passive",
    )


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b"[]",
        b'{"candidate":null,"type":"candidate"}',
        b'{"candidate":{"candidate":"c"},"type":"end-of-candidates"}',
        b'{"candidate":{"candidate":"c","sdpMLineIndex":65536},"type":"candidate"}',
        b'{"candidate":{"candidate":"c","sdpMid":0},"type":"candidate"}',
    ],
)
def test_what_is_no_candidate_of_a_server(data: bytes) -> None:
    with pytest.raises(RtcdError):
        rtcd_signal.parse(rtcd_signal.row_of(CANDIDATE, Sender.SERVER), data)


def test_what_a_participant_switches() -> None:
    for signal, data in (
        (ScreenOn("stream"), b'{"screenStreamID":"stream"}'),
        (VideoOn("stream"), b'{"videoStreamID":"stream"}'),
        (Mute(), b""),
    ):
        row = rtcd_signal.row_of(signal, Sender.CLIENT)
        assert rtcd_signal.data_of(signal, row) == data
        assert rtcd_signal.parse(row, data) == signal


def test_data_of_a_signal_that_has_none_is_skipped() -> None:
    assert rtcd_signal.parse(rtcd_signal.row_of(VoiceOn(), Sender.SERVER), b"\xff") == VoiceOn()


def test_a_descriptions_password_is_not_in_its_repr() -> None:
    assert "hidden" not in repr(rtcd_signal.SessionDescription("offer", "a=ice-pwd:hidden"))
