"""What both ends of a session know before its first packet: by signalling, or derived from a pairing link's key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from calls_doctor.wire import ice, stun
from calls_doctor.wire.dtls import Certificate, DtlsRole
from calls_doctor.wire.ice import IceCredentials, IceRole


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """What both ends of a session know before its first packet."""

    session: str
    """The name under which both ends' books know it."""
    ice_role: IceRole
    dtls_role: DtlsRole
    certificate: Certificate
    remote_fingerprint: bytes
    """SHA-256 of the far end's certificate."""
    local_fragment: str
    local_password: str = field(repr=False)
    remote_fragment: str
    remote_password: str = field(repr=False)
    ssrc: int
    """Of what this end sends; reports go out under it."""
    payload_type: int = 111
    leg: str = "x"
    """One letter: what the session is for, as the counters in a lite end's answers say it; "": they say nothing."""
    check_schedule_s: Sequence[float] = stun.PROBE_SCHEDULE_S
    """When a controlling end sends checks, in seconds after a path's first."""
    check_decided_s: float = stun.PROBE_DECIDED_S
    """When silence on that schedule is final."""
    awaits_paths_s: float = 0.0
    """For how long after its making a controlling end may be given more paths: those that it has may fail before."""
    consent_expiry_s: float = ice.CONSENT_EXPIRY_S
    """The self-test takes 10 s."""

    @property
    def ice_credentials(self) -> IceCredentials:
        """The four strings of ICE."""
        return IceCredentials(
            local_fragment=self.local_fragment,
            local_password=self.local_password,
            remote_fragment=self.remote_fragment,
            remote_password=self.remote_password,
        )
