"""One participant of the SFU: what it was granted, and its connection. It forwards nothing by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from calls_doctor.model.flow import Path
from calls_doctor.wire.connection import Connection, SessionSettings
from calls_doctor.wire.dtls import Certificate, DtlsRole
from calls_doctor.wire.held_answers import HeldAnswers
from calls_doctor.wire.ice import IceCredentials, IceRole, Random
from calls_doctor.wire.ice_lite import Desk
from calls_doctor.wire.transactions import Transactions

FORWARDED_BYTES_PER_S = 250_000
"""2 Mbit/s of what one session sends (contract section 4)."""
FORWARDED_BURST_BYTES = 250_000
IDLE_S = 1.5
"""A session without media that was not heard of for so long gives way where there is no room."""


class Association(Protocol):
    """What a session's DTLS application data is given to: SCTP with data channels (net/sctp.py)."""

    def receive(self, packet: bytes, /) -> None:
        """Takes one packet. Never raises on what a client sends."""

    def close(self) -> None:
        """Ends it, and its timers."""


Associate = Callable[[Callable[[bytes], None], Desk], Association]
"""Makes one that sends its packets so, and asks that desk."""


class Participant(Protocol):
    """Whose media a session carries, where that is somebody who was joined to a call by signalling. Nothing raises."""

    def opened(self, session: Session, /) -> None:
        """The first check has come."""

    def connected(self) -> None:
        """Media may be sent."""

    def forward(self, packet: bytes, now: float, /) -> Iterable[tuple[Path, bytes]]:
        """One RTP packet that it sent, encrypted for whoever is to have it, with the path each goes by."""

    def heard_rtcp(self, packet: bytes, now: float, /) -> None:
        """One compound RTCP packet of it, decrypted."""

    def associate(self, send: Callable[[bytes], None], /) -> Association:
        """Its end of SCTP."""

    def ended(self) -> None:
        """The media path is gone for good. May come more than once."""


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
    """Under which it takes audio from others, until it shows another by what it sends."""
    dtls_role: DtlsRole = DtlsRole.SERVER
    """Ours."""
    peer_fragment: str = ""
    """The peer's own, where it was signalled; "": it may have any."""
    participant: Participant | None = None
    """Who takes what the session carries; None: the forwarder does, by `call`."""


class Session:
    """One session: the whole USERNAME is its key, so one link serves many."""

    def __init__(
        self,
        grant: Grant,
        fragments: tuple[str, str],
        certificate: Certificate,
        random: Random,
        desk: Desk,
        transactions: Transactions,
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
        self.connection = Connection(settings, random, now, desk=desk, transactions=transactions)
        self.username = settings.ice_credentials.username_in
        self.heard_at = now
        """When a check of it came last."""
        self.paths: set[Path] = set()
        """The 5-tuples by which it is reached now."""
        self.ended = False
        """It has failed or was closed. It forwards nothing any more, but its checks are answered and its books stay."""
        self.reached_back = False
        """Its client was sent requests that it asked for; once is enough."""
        self.held = HeldAnswers()
        self.association: Association | None = None
        """There once data has come."""
        self.payload_type = grant.payload_type
        """Under which it takes audio from others: what it sends itself, Chromium 111, aiortc 96."""
        self._published_ssrc = b""
        self._left_bytes, self._filled_at = float(FORWARDED_BURST_BYTES), now

    def restart(self, grant: Grant, fragment: str) -> None:
        """Goes on under another name; whoever keeps sessions by their names sees to that."""
        self.grant = grant
        credentials = IceCredentials(
            local_fragment=fragment, local_password=grant.password, remote_fragment=grant.peer_fragment,
            remote_password="",
        )  # fmt: skip
        self.connection.restart(credentials)
        self.username = credentials.username_in

    def publishes(self, packet: bytes, now: float) -> bool:
        """True where an RTP packet of its own is to be forwarded: of its one stream, and within the limit.

        Two streams under one SSRC would repeat each other's sequence numbers, and with them SRTP's nonces.
        """
        self._published_ssrc = self._published_ssrc or packet[8:12]
        if packet[8:12] != self._published_ssrc or not self.affords(len(packet), now):
            return False
        self.payload_type = packet[1] & 0x7F
        return True

    def affords(self, size_bytes: int, now: float) -> bool:
        """Takes so much from what the session may cause, media and data together; False where it is not there."""
        filled = self._left_bytes + (now - self._filled_at) * FORWARDED_BYTES_PER_S
        self._left_bytes, self._filled_at = min(filled, FORWARDED_BURST_BYTES), now
        if self._left_bytes < size_bytes:
            self.connection.books.over_limit += 1  # who exceeds a limit is told
            return False
        self._left_bytes -= size_bytes
        return True

    def is_idle(self, now: float) -> bool:
        """True where it carries no media, owes no answer and was not heard of for a while: probes and documents come in
        bursts."""
        return not self.connection.connected and not self.held and now - self.heard_at > IDLE_S

    def next_timer(self) -> float | None:
        """When something of it is due; None where nothing is to come."""
        timers = (self.connection.next_timer(), self.held.next_timer())
        return min((timer for timer in timers if timer is not None), default=None)
