"""One peer of a call: ICE, DTLS, SRTP and what was counted of it. The client and the stand-in both drive it.

    receive(data, path, now) ─┐                        ┌─ datagrams_to_send(now) -> (path, packet)
    handle_timer(now)  ───────┼─ ICE ─ DTLS ─ SRTP ────┼─ events()
    send_rtp(packet, now) ────┘                        └─ next_timer()

Nothing here opens a socket, reads a clock or draws a random number. Nothing that the far end sends raises, and what
comes from a 5-tuple that no check has validated is dropped, whatever it is. A lite DTLS server runs no timer of its
own: the client's drives the handshake, so that one datagram never draws more than one flight. A session that failed
or was closed by the far end carries nothing more, but its end of ICE goes on: books can still be asked for.
"""

from __future__ import annotations

from calls_doctor.errors import RtpError, StunError
from calls_doctor.model.books import PathBooks, SessionBooks
from calls_doctor.model.flow import Path
from calls_doctor.wire import rtp, stun
from calls_doctor.wire.connection_events import (
    Closed,
    DataReceived,
    DtlsConnected,
    Event,
    Failed,
    IceConnected,
    RtcpReceived,
    RtpReceived,
)
from calls_doctor.wire.connection_settings import SessionSettings
from calls_doctor.wire.dtls import DtlsEndpoint, DtlsRole, DtlsState
from calls_doctor.wire.framing import PacketKind, packet_kind
from calls_doctor.wire.ice import IceCredentials, IceRole, Random
from calls_doctor.wire.ice_controlling import ControllingAgent
from calls_doctor.wire.ice_lite import Desk, LiteAgent
from calls_doctor.wire.path_books import PathTable
from calls_doctor.wire.rtp_statistics import RtpStatistics
from calls_doctor.wire.session_progress import DTLS, ICE, RTP, STUN, SessionProgress
from calls_doctor.wire.srtp import SrtpSession
from calls_doctor.wire.transactions import Transactions

__all__ = [
    "Closed", "Connection", "DataReceived", "DtlsConnected", "Event", "Failed", "IceConnected", "RtcpReceived",
    "RtpReceived", "SessionSettings",
]  # fmt: skip


class Connection:
    """One session. `random(n)` gives n random bytes. Of a lite one `desk` is where its far end asks for documents and
    hands them in, `transactions` what the run's other sessions have seen."""

    def __init__(
        self,
        settings: SessionSettings,
        random: Random,
        now: float,
        *,
        desk: Desk | None = None,
        transactions: Transactions | None = None,
    ) -> None:
        self._settings = settings
        self._books = SessionBooks(session=settings.session)
        self._paths = PathTable(self._books)
        self._progress = SessionProgress(self._books)
        self._controlling: ControllingAgent | None = None
        self._agent: ControllingAgent | LiteAgent
        if settings.ice_role is IceRole.CONTROLLING:
            self._agent = self._controlling = ControllingAgent(
                settings.ice_credentials, self._paths, random, schedule_s=settings.check_schedule_s,
                decided_s=settings.check_decided_s, consent_expiry_s=settings.consent_expiry_s,
                awaits_paths_until=now + settings.awaits_paths_s,
            )  # fmt: skip
        else:
            self._agent = LiteAgent(
                settings.ice_credentials, self._books, self._paths, now, leg=settings.leg, desk=desk,
                transactions=transactions, consent_expiry_s=settings.consent_expiry_s,
            )  # fmt: skip
        self._validated = self._agent.validated
        self._statistics = RtpStatistics(settings.ssrc, random)
        self._dtls: DtlsEndpoint | None = None
        self._dtls_path: Path | None = None
        """By which the last DTLS datagram came."""
        self._srtp: SrtpSession | None = None
        self._out: list[tuple[Path, bytes]] = []
        self._events: list[Event] = []
        self._closed = False
        """`close` was called."""
        self.ignored = 0
        """Packets that came from 5-tuples that never authenticated, or are STUN that is not authentic."""
        self.undecryptable = 0
        """SRTP and SRTCP packets from validated paths that could not be decrypted, replays among them."""

    @property
    def selected_path(self) -> Path | None:
        """Where packets go that nobody asked a path for; None while there is none."""
        return self._agent.selected

    @property
    def connected(self) -> bool:
        """True while media can be sent and received."""
        return self._srtp is not None and self._agent.selected is not None

    def accepts(self, path: Path) -> bool:
        """True where packets from this 5-tuple belong to the session: a check by it was authentic."""
        return path in self._validated

    @property
    def stage(self) -> str:
        """What the call is at: "ice", "dtls" or "rtp"; where it hangs, if it hangs."""
        return self._progress.stage

    @property
    def answered(self) -> frozenset[Path]:
        """The paths on which a check of ours was answered; none where the far end checks."""
        return frozenset() if self._controlling is None else frozenset(self._controlling.answered)

    @property
    def rtt_s(self) -> float | None:
        """Round trip in seconds: by RTCP where there were reports, else by the last check; None before either."""
        if self._statistics.rtt_s is not None or self._controlling is None:
            return self._statistics.rtt_s
        return self._controlling.rtt_s

    @property
    def expired(self) -> bool:
        """True once consent has run out on every path (RFC 7675); `handle_timer` finds out."""
        return self._agent.expired

    @property
    def books(self) -> SessionBooks:
        """What this end counted, as it stands now. The object lives on with the connection."""
        self._books.streams = self._statistics.streams()
        self._books.sent_rtp = self._statistics.sent_rtp
        self._books.dtls_retransmissions = self._dtls.retransmissions if self._dtls else 0
        return self._books

    def add_path(self, path: Path, now: float) -> None:
        """Starts checks on the path (controlling end only). Raises ValueError where a session has too many."""
        if self._controlling is None:
            raise ValueError("a lite end learns its paths from the checks that come")
        self._progress.begin(now)
        self._controlling.add_path(path, now)
        self._take_from_agent(now)

    def nominate(self, path: Path, now: float) -> None:
        """Has both ends send on this validated path from now on (controlling end only). Raises ValueError."""
        if self._controlling is None:
            raise ValueError("a lite end does not nominate")
        self._controlling.nominate(path, now)
        self._take_from_agent(now)

    def watch(self, now: float, *, closely: bool) -> None:
        """Asks for consent as often as while a handshake runs, or no longer so (controlling end only)."""
        if self._controlling is not None:
            self._controlling.watch_handshake(now, runs=closely)

    def remove_path(self, path: Path, now: float) -> None:
        """The path is gone: its TCP connection ended, or its socket."""
        self._agent.remove_path(path, now)
        self._take_from_agent(now)

    def restart(self, credentials: IceCredentials) -> None:
        """The far end of a lite one begins ICE anew: under other names, and with the same DTLS session."""
        if isinstance(self._agent, LiteAgent):
            self._agent.restart(credentials)

    def receive(self, data: bytes, path: Path, now: float) -> None:
        """Takes one datagram, or one frame of a TCP connection."""
        kind = packet_kind(data)
        if kind is PacketKind.RTP:
            packet = self.receive_rtp(data, path, now)
            if packet is not None:
                self._events.append(RtpReceived(packet, path))
        elif kind is PacketKind.STUN:
            self._receive_stun(data, path, now)
        elif (row := self._validated.get(path)) is None:
            self.ignored += 1
        elif kind is PacketKind.DTLS:
            self._receive_dtls(data, path, row, now)
        elif kind is PacketKind.RTCP:
            self._receive_rtcp(data, path, row, now)

    def receive_rtp(self, data: bytes, path: Path, now: float) -> bytes | None:
        """Takes one packet that is RTP by its first bytes, and gives it decrypted; None where it is none of ours.

        What `receive` does, without an event: a forwarder's way in."""
        row = self._validated.get(path)
        if row is None:
            self.ignored += 1
            return None
        row.rtp_in += 1
        row.bytes_in += len(data)
        if self._srtp is None:
            return None
        try:
            packet = self._srtp.unprotect_rtp(data)
        except RtpError as error:
            self._note_undecryptable(data, error)
            return None
        self._statistics.received(packet, now)
        if "rtp" not in self._books.timeline:
            self._progress.reach(RTP, now)
        return packet

    def outgoing_rtp(self, packet: bytes, now: float, path: Path | None = None) -> tuple[Path, bytes] | None:
        """Encrypts and counts one RTP packet, and gives it for sending at once: a forwarder's way out.

        Without `path` it goes by the selected one. None where it cannot be sent: not connected, the path is not
        validated, or the packet is too large to encrypt.
        """
        path = path or self._agent.selected
        row = self._validated.get(path) if path else None
        if self._srtp is None or path is None or row is None or len(packet) < rtp.HEADER_BYTES:
            return None
        try:
            data = self._srtp.protect_rtp(packet)
        except RtpError:
            return None
        row.rtp_out += 1
        row.bytes_out += len(data)
        self._statistics.sent(packet, now)
        return path, data

    def send_rtp(self, packet: bytes, now: float, path: Path | None = None) -> None:
        """Sends one RTP packet by the path, else by the selected one; drops it where it cannot be sent."""
        outgoing = self.outgoing_rtp(packet, now, path)
        if outgoing is not None:
            self._out.append(outgoing)

    def send_rtcp(self, packet: bytes, now: float, path: Path | None = None) -> None:  # noqa: ARG002 - as send_rtp
        """Sends one compound RTCP packet; drops it where it cannot be sent."""
        path = path or self._agent.selected
        row = self._validated.get(path) if path else None
        if self._srtp is None or path is None or row is None:
            return
        try:
            data = self._srtp.protect_rtcp(packet)
        except RtpError:
            return
        row.rtcp_out += 1
        row.bytes_out += len(data)
        self._out.append((path, data))

    def send_data(self, data: bytes, now: float) -> None:
        """Sends DTLS application data; drops it where the handshake is not done. Raises ValueError over
        wire/dtls.py's DATA_MAX_BYTES."""
        if self._dtls is not None:
            self._dtls.send_data(data, now)
            self._take_from_dtls(now)

    def close(self, now: float) -> None:
        """Says good-bye (close_notify) where there is a session to close; nothing is sent or taken after it."""
        self._closed = True
        self._progress.end()
        if self._dtls is not None:
            self._dtls.close(now)
            self._take_from_dtls(now)
        self._stop_media()
        self._validated.clear()

    def next_timer(self) -> float | None:
        """When `handle_timer` wants to be called; None where nothing is to come."""
        if self._closed:
            return None
        timers = [part.next_timer() for part in (self._agent, self._dtls, self._statistics) if part is not None]
        return min((timer for timer in timers if timer is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Does what is due: checks, consent, DTLS retransmissions, RTCP reports."""
        if self._closed:
            return
        self._agent.handle_timer(now)
        self._take_from_agent(now)
        if self._dtls is not None:
            self._dtls.handle_timer(now)
            self._take_from_dtls(now)
        report = self._statistics.due_report(now)
        if report is not None:
            self.send_rtcp(report, now)

    def datagrams_to_send(self, now: float) -> list[tuple[Path, bytes]]:  # noqa: ARG002 - the shape of aioquic's
        """What is to be sent, in order, each with its path."""
        out, self._out = self._out, []
        return out

    def events(self) -> list[Event]:
        """What happened since the last call."""
        events, self._events = self._events, []
        return events

    def _receive_stun(self, data: bytes, path: Path, now: float) -> None:
        try:
            message = stun.parse(data)
        except StunError:
            self.ignored += 1
            return
        if self._closed or not self._agent.receive(message, path, now):
            self.ignored += 1
            return
        self._progress.reach(STUN, now)
        self._take_from_agent(now)

    def _receive_dtls(self, data: bytes, path: Path, row: PathBooks, now: float) -> None:
        row.dtls_in += 1
        row.bytes_in += len(data)
        self._dtls_path = path
        endpoint = self._dtls or self._new_dtls()
        endpoint.receive(data, now)
        self._take_from_dtls(now)

    def _receive_rtcp(self, data: bytes, path: Path, row: PathBooks, now: float) -> None:
        row.rtcp_in += 1
        row.bytes_in += len(data)
        if self._srtp is None:
            return
        try:
            packet = self._srtp.unprotect_rtcp(data)
            reports = self._statistics.receive_rtcp(packet, now)
        except RtpError:
            self.undecryptable += 1
            return
        self._events.append(RtcpReceived(tuple(reports), path, packet))

    def _note_undecryptable(self, data: bytes, error: RtpError) -> None:
        self.undecryptable += 1
        if "replay check failed" in str(error):  # libsrtp's words; a packet that the network duplicated is that, too
            self._statistics.replayed(data)

    def _new_dtls(self) -> DtlsEndpoint:
        settings = self._settings
        self._dtls = DtlsEndpoint(
            settings.certificate,
            settings.dtls_role,
            settings.remote_fingerprint,
            own_timer=not (settings.ice_role is IceRole.LITE and settings.dtls_role is DtlsRole.SERVER),
        )
        return self._dtls

    def _take_from_agent(self, now: float) -> None:
        """Passes on what the agent wants sent, and draws the conclusions of what it found."""
        agent = self._agent
        if agent.outgoing:
            self._out += agent.outgoing
            agent.outgoing = []
        if agent.selected is not None and not self._progress.ended and self._progress.reach(ICE, now):
            self._events.append(IceConnected(agent.selected, self._controlling.mapped if self._controlling else None))
            if self._controlling is not None:
                self._controlling.watch_handshake(now, runs=True)
            if self._settings.dtls_role is DtlsRole.CLIENT:
                self._new_dtls().start(now)
                self._take_from_dtls(now)
        if self._controlling is not None and self._controlling.failure:
            stage = DTLS if self._progress.stage == DTLS else ICE  # silent in the handshake, or before it or after it
            self._fail(stage, self._controlling.failure, self._controlling.refused_with)
        elif agent.expired:
            self._end()

    def _take_from_dtls(self, now: float) -> None:
        """Passes on what DTLS wants sent, and draws the conclusions of the state it is in."""
        endpoint = self._dtls
        if endpoint is None:
            return
        path = self._path_for_dtls()
        row = self._validated.get(path) if path else None
        for datagram in endpoint.datagrams_to_send():
            if path is not None and row is not None:  # what is lost here, DTLS sends again
                row.dtls_out += 1
                row.bytes_out += len(datagram)
                self._out.append((path, datagram))
        self._events += [DataReceived(data) for data in endpoint.data_received()]
        if endpoint.state is DtlsState.CONNECTED:
            if not self._progress.ended and self._progress.reach(DTLS, now):
                self._srtp = endpoint.srtp
                self._statistics.start(now)
                if self._controlling is not None:
                    self._controlling.watch_handshake(now, runs=False)
                self._events.append(DtlsConnected())
        elif endpoint.state is DtlsState.FAILED:
            self._fail(DTLS, endpoint.failure)
        elif endpoint.state is DtlsState.CLOSED:
            self._end()

    def _path_for_dtls(self) -> Path | None:
        """A server answers where it was asked, so that nobody can aim its flights; a client sends where media goes."""
        if self._settings.dtls_role is DtlsRole.SERVER and self._dtls_path in self._validated:
            return self._dtls_path
        return self._agent.selected

    def _fail(self, stage: str, reason: str, code: int | None = None) -> None:
        if self._progress.fail(stage, reason):
            self._events.append(Failed(stage, reason, code))
            self._stop_media()

    def _end(self) -> None:
        if self._progress.end():
            self._events.append(Closed())
            self._stop_media()

    def _stop_media(self) -> None:
        self._srtp = None
        self._statistics.stop()
