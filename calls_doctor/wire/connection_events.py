"""What a connection tells whoever drives it. Facts only; the packets themselves go out through the connection."""

from __future__ import annotations

from dataclasses import dataclass

from calls_doctor.model.flow import Address, Path
from calls_doctor.wire.rtp import Report


@dataclass(frozen=True, slots=True)
class IceConnected:
    """The first path is validated."""

    path: Path
    mapped: Address | None
    """Our own address as the far end sees it; None at the end that only answers checks."""


@dataclass(frozen=True, slots=True)
class DtlsConnected:
    """The handshake is done and the peer's certificate is the expected one: media may be sent."""


@dataclass(frozen=True, slots=True)
class RtpReceived:
    """One RTP packet, decrypted."""

    packet: bytes
    path: Path


@dataclass(frozen=True, slots=True)
class RtcpReceived:
    """One compound RTCP packet: its sender and receiver reports, which are in the statistics already, and all of it."""

    reports: tuple[Report, ...]
    path: Path
    packet: bytes
    """Decrypted."""


@dataclass(frozen=True, slots=True)
class DataReceived:
    """DTLS application data: SCTP."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The call cannot be, or not go on. Comes once."""

    stage: str
    """"ice", "dtls" or "rtp"."""
    reason: str
    code: int | None = None
    """The STUN error code with which the far end refused; None where it did not refuse."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The far end said good-bye, or (at the end that only answers checks) has not been heard of for too long."""


Event = IceConnected | DtlsConnected | RtpReceived | RtcpReceived | DataReceived | Failed | Closed
