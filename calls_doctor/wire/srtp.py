"""SRTP keys and packets (RFC 3711, RFC 7714), a thin layer over libsrtp. Packets in, packets out."""

from __future__ import annotations

from dataclasses import dataclass

from pylibsrtp import Error, Policy, Session

from calls_doctor.errors import RtpError

WINDOW_PACKETS = 1024
"""How far behind the newest a packet may come and still be judged for replay."""
PLAIN_MAX_BYTES = 1350
"""libsrtp's buffer here is 1500 bytes; what is larger could not be sent on every path either."""


@dataclass(frozen=True)
class SrtpProfile:
    """One protection profile; the name is OpenSSL's (RFC 5764 section 4.1.2, RFC 7714 section 14.2)."""

    name: str
    key_bytes: int
    salt_bytes: int
    libsrtp: int

    def split(self, material: bytes) -> tuple[bytes, bytes]:
        """Exported keying material as the client's and the server's key with salt (RFC 5764 section 4.2)."""
        key, salt = self.key_bytes, self.salt_bytes
        client_key, server_key = material[:key], material[key : 2 * key]
        salts = material[2 * key :]
        return client_key + salts[:salt], server_key + salts[salt : 2 * salt]


PROFILES = (
    SrtpProfile("SRTP_AEAD_AES_128_GCM", 16, 12, Policy.SRTP_PROFILE_AEAD_AES_128_GCM),
    SrtpProfile("SRTP_AES128_CM_SHA1_80", 16, 14, Policy.SRTP_PROFILE_AES128_CM_SHA1_80),
)
"""In order of preference."""


class SrtpSession:
    """One session's keys. Its repr shows nothing; every method raises RtpError, and nothing else."""

    def __init__(self, profile: SrtpProfile, local_key: bytes, remote_key: bytes) -> None:
        self._out = Session(_policy(profile, local_key, Policy.SSRC_ANY_OUTBOUND))
        self._in = Session(_policy(profile, remote_key, Policy.SSRC_ANY_INBOUND))

    def protect_rtp(self, packet: bytes) -> bytes:
        """One RTP packet, encrypted."""
        if len(packet) > PLAIN_MAX_BYTES:
            raise RtpError(f"an RTP packet of {len(packet)} bytes is too large to protect")
        try:
            return self._out.protect(packet)
        except (Error, ValueError, TypeError) as error:
            raise RtpError(f"an RTP packet could not be protected: {error}") from None

    def unprotect_rtp(self, packet: bytes) -> bytes:
        """One SRTP packet, decrypted; a replayed or forged one is an error."""
        try:
            return self._in.unprotect(packet)
        except (Error, ValueError, TypeError) as error:
            raise RtpError(f"an SRTP packet could not be read: {error}") from None

    def protect_rtcp(self, packet: bytes) -> bytes:
        """One compound RTCP packet, encrypted."""
        if len(packet) > PLAIN_MAX_BYTES:
            raise RtpError(f"an RTCP packet of {len(packet)} bytes is too large to protect")
        try:
            return self._out.protect_rtcp(packet)
        except (Error, ValueError, TypeError) as error:
            raise RtpError(f"an RTCP packet could not be protected: {error}") from None

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """One SRTCP packet, decrypted."""
        try:
            return self._in.unprotect_rtcp(packet)
        except (Error, ValueError, TypeError) as error:
            raise RtpError(f"an SRTCP packet could not be read: {error}") from None


def _policy(profile: SrtpProfile, key: bytes, direction: int) -> Policy:
    policy = Policy(key=key, ssrc_type=direction, srtp_profile=profile.libsrtp)
    policy.allow_repeat_tx = True
    policy.window_size = WINDOW_PACKETS
    return policy
