"""One participant of the SFU: what it was granted, and its connection. It forwards nothing by itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from calls_doctor.model.flow import Path
from calls_doctor.wire.connection import Connection, SessionSettings
from calls_doctor.wire.dtls import Certificate, DtlsRole
from calls_doctor.wire.ice import IceRole, Random
from calls_doctor.wire.ice_lite import Desk

ECHO_BYTES_PER_S = 250_000
"""2 Mbit/s for what is echoed to one session (contract section 4)."""
ECHO_BURST_BYTES = 250_000


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What whoever admits says of a user name fragment: the session that may be opened under it."""

    session: str
    """The name by which both ends' books know it."""
    password: str = field(repr=False)
    peer_fingerprint: bytes
    """SHA-256 of the certificate that the peer must show in DTLS."""
    call: str | None
    """The call it takes part in; None: what it sends comes back to it."""
    publishes_as: int
    """The SSRC under which what it sends is passed on."""
    leg: str
    payload_type: int = 111
    """Under which it takes audio from others."""
    dtls_role: DtlsRole = DtlsRole.SERVER
    """Ours."""


class Session:
    """One session: the whole USERNAME is its key, so one link serves many."""

    def __init__(
        self,
        grant: Grant,
        fragments: tuple[str, str],
        certificate: Certificate,
        random: Random,
        desk: Desk,
        now: float,
        *,
        consent_expiry_s: float,
    ) -> None:
        self.grant = grant
        settings = SessionSettings(
            session=grant.session,
            ice_role=IceRole.LITE,
            dtls_role=grant.dtls_role,
            certificate=certificate,
            remote_fingerprint=grant.peer_fingerprint,
            local_fragment=fragments[0],
            local_password=grant.password,
            remote_fragment=fragments[1],
            remote_password="",  # a lite end sends no checks
            ssrc=grant.publishes_as,
            payload_type=grant.payload_type,
            leg=grant.leg,
            consent_expiry_s=consent_expiry_s,
        )
        self.connection = Connection(settings, random, now, desk=desk)
        self.paths: set[Path] = set()
        """The 5-tuples by which it is reached now."""
        self.ended = False
        self._echo_bytes, self._filled_at = float(ECHO_BURST_BYTES), now

    def may_echo(self, size_bytes: int, now: float) -> bool:
        """True where one more packet stays within what is echoed a second; counts it."""
        filled = self._echo_bytes + (now - self._filled_at) * ECHO_BYTES_PER_S
        self._echo_bytes, self._filled_at = min(filled, ECHO_BURST_BYTES), now
        if self._echo_bytes < size_bytes:
            return False
        self._echo_bytes -= size_bytes
        return True
