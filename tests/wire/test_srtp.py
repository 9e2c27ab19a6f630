"""SRTP in both profiles, between two sessions, and what each refuses."""

from __future__ import annotations

import pytest

from calls_doctor.errors import RtpError
from calls_doctor.wire.rtp import ReceiverReport, RtpPacket
from calls_doctor.wire.srtp import PLAIN_MAX_BYTES, PROFILES, SrtpProfile, SrtpSession

PROFILE_NAMES = [profile.name for profile in PROFILES]


def pair(profile: SrtpProfile) -> tuple[SrtpSession, SrtpSession]:
    one, two = profile.split(bytes(range(2 * (profile.key_bytes + profile.salt_bytes))))
    return SrtpSession(profile, one, two), SrtpSession(profile, two, one)


def packet(sequence: int, payload: bytes = b"speech") -> bytes:
    return bytes(RtpPacket(111, sequence, 960 * sequence, 7, payload))


@pytest.mark.parametrize("profile", PROFILES, ids=PROFILE_NAMES)
def test_both_ways_rtp_and_rtcp(profile: SrtpProfile) -> None:
    near, far = pair(profile)
    for sender, receiver in ((near, far), (far, near)):
        protected = sender.protect_rtp(packet(1))
        assert b"speech" not in protected
        assert receiver.unprotect_rtp(protected) == packet(1)
        report = bytes(ReceiverReport(7))
        assert receiver.unprotect_rtcp(sender.protect_rtcp(report)) == report


@pytest.mark.parametrize("profile", PROFILES, ids=PROFILE_NAMES)
def test_replays_forgeries_and_strangers_keys_are_refused(profile: SrtpProfile) -> None:
    near, far = pair(profile)
    protected = near.protect_rtp(packet(1))
    far.unprotect_rtp(protected)
    forged = bytearray(near.protect_rtp(packet(2)))
    forged[-1] ^= 1
    stranger = SrtpSession(
        profile, bytes(profile.key_bytes + profile.salt_bytes), bytes(profile.key_bytes + profile.salt_bytes)
    )
    for bad in (protected, bytes(forged), stranger.protect_rtp(packet(3)), b"", bytes(20)):
        with pytest.raises(RtpError):
            far.unprotect_rtp(bad)
    for bad in (b"", bytes(20), protected):
        with pytest.raises(RtpError):
            far.unprotect_rtcp(bad)


def test_what_is_too_large_is_refused_before_libsrtp_sees_it() -> None:
    near, far = pair(PROFILES[0])
    largest = packet(1, bytes(PLAIN_MAX_BYTES - 12))
    assert far.unprotect_rtp(near.protect_rtp(largest)) == largest
    with pytest.raises(RtpError, match="too large"):
        near.protect_rtp(largest + b"x")
    with pytest.raises(RtpError, match="too large"):
        near.protect_rtcp(bytes(PLAIN_MAX_BYTES + 1))


def test_packets_may_come_late_within_the_window() -> None:
    near, far = pair(PROFILES[0])
    protected = [near.protect_rtp(packet(n)) for n in range(1, 300)]
    for one in reversed(protected):
        far.unprotect_rtp(one)


@pytest.mark.parametrize("profile", PROFILES, ids=PROFILE_NAMES)
def test_the_sequence_number_may_go_round_and_packets_be_lost_there(profile: SrtpProfile) -> None:
    near, far = pair(profile)
    for number in (65500, 65534, 65535, 65536 + 2, 65536 + 40, 65536 + 1, 65536 + 30_000):
        sent = packet(number % 65536)
        assert far.unprotect_rtp(near.protect_rtp(sent)) == sent


def test_many_streams_share_a_session() -> None:
    near, far = pair(PROFILES[0])
    for ssrc in range(1, 200):
        sent = bytes(RtpPacket(111, 1, 960, ssrc, b"speech"))
        assert far.unprotect_rtp(near.protect_rtp(sent)) == sent


@pytest.mark.parametrize("size", [1400, 1500, 1501, 9000, 65535])
def test_what_comes_too_large_is_refused(size: int) -> None:
    near, far = pair(PROFILES[0])
    for head in (near.protect_rtp(packet(1)), near.protect_rtcp(bytes(ReceiverReport(7)))):
        for unprotect in (far.unprotect_rtp, far.unprotect_rtcp):
            with pytest.raises(RtpError):
                unprotect(head + bytes(size - len(head)))


def test_the_repr_shows_no_key() -> None:
    near, _ = pair(PROFILES[0])
    assert "0001020304" not in repr(near) and "\\x01\\x02" not in repr(near)


def test_gcm_is_preferred() -> None:
    assert PROFILE_NAMES == ["SRTP_AEAD_AES_128_GCM", "SRTP_AES128_CM_SHA1_80"]
