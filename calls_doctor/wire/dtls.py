"""A DTLS 1.2 endpoint with SRTP keys (RFC 6347, RFC 5764) over memory buffers, in either role.

Datagrams in, datagrams out: no socket. This is the one file whose timer and randomness are OpenSSL's: `now` is taken
for the shape of the other parts, and the retransmission timer runs on OpenSSL's own, real clock.
The peer's certificate is compared with the fingerprint while the handshake runs, so that an end that meets another
one says so by an alert, and neither end ever has keys for it.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto

from calls_doctor.wire.srtp import PROFILES, SrtpProfile, SrtpSession

DATAGRAM_MAX_BYTES = 1200
"""Passes every path that carries a call."""
DATA_MAX_BYTES = 1189
"""The largest SCTP packet that WebRTC stacks make: it fits IPv6's least MTU with all that goes around it."""
DATAGRAM_MIN_BYTES = 256
"""Below it OpenSSL sends nothing at all."""
RECORD_HEADER_BYTES = 13
RECORD_OVERHEAD_BYTES = RECORD_HEADER_BYTES + 24
"""What a record adds to its data with the ciphers below: header, nonce and tag of AES-GCM, the largest of them."""
REPEAT_S = 0.2
"""A flight that was sent this short a time ago is not sent again, however often it is asked for."""
MISMATCH = "the peer's certificate is not the one that was announced (fingerprint mismatch)"
_EXPORTER = b"EXTRACTOR-dtls_srtp"  # RFC 5764 section 4.2
_DTLS_1_2 = 0xFEFD
_CIPHERS = b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384"
_CERTIFICATE_LIFE = timedelta(days=30)
_RECORD_MAX_BYTES = 1 << 14  # RFC 5246 section 6.2.1
_HANDSHAKE, _CLIENT_HELLO = 22, 1
_CERTIFICATE_ALERTS = ("unknown ca", "bad certificate", "certificate unknown", "unsupported certificate")
"""How ends of different make put it that a fingerprint is not the announced one (RFC 5246 section 7.2.2)."""


class DtlsRole(StrEnum):
    CLIENT = "client"
    SERVER = "server"


class DtlsState(StrEnum):
    NEW = "new"
    HANDSHAKE = "handshake"
    CONNECTED = "connected"
    CLOSED = "closed"
    FAILED = "failed"


@dataclass(frozen=True, eq=False)
class Certificate:
    """A self-signed certificate and its key; both stay in memory."""

    x509: x509.Certificate = field(repr=False)
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    fingerprint: bytes
    """SHA-256 of the certificate in DER."""

    @classmethod
    def generate(cls) -> Certificate:
        """A new EC P-256 certificate (0.1 ms; RSA would take 40)."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "calls-doctor")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + _CERTIFICATE_LIFE)
            .sign(key, hashes.SHA256())
        )
        return cls(made, key, hashlib.sha256(made.public_bytes(serialization.Encoding.DER)).digest())


@lru_cache(maxsize=16)
def _context(certificate: Certificate) -> SSL.Context:
    """One context serves all sessions of a certificate: making one costs 0.26 ms."""
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_min_proto_version(_DTLS_1_2)
    context.set_max_proto_version(_DTLS_1_2)
    # The MTU set on a connection counts only with OP_NO_QUERY_MTU: without it a memory buffer means 256-byte pieces.
    context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # a resumed session would show no certificate
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _is_announced)
    context.set_cipher_list(_CIPHERS)
    context.set_tlsext_use_srtp(b":".join(profile.name.encode() for profile in PROFILES))
    context.use_certificate(certificate.x509)
    context.use_privatekey(certificate.key)
    return context


def _is_announced(
    connection: SSL.Connection, certificate: crypto.X509, _error: int, depth: int, _accepted: int
) -> bool:
    """OpenSSL's question about each certificate of a chain: the first alone counts, and of it the fingerprint alone."""
    return depth > 0 or _fingerprint(certificate) == connection.get_app_data()


class DtlsEndpoint:
    """One handshake and what follows it. Nothing that the far end sends makes a method raise.

    With `own_timer` False a server sends only when it is sent to: a repeated ClientHello draws its flight once more,
    so the client's timer heals what is lost, and no datagram ever draws more than one flight. OpenSSL alone would not
    do: it repeats a flight when its own timer has run out too, which may be after the client's (measured: a first
    ClientHello that came 50 ms late made the handshake last 3 s instead of 1).
    """

    def __init__(
        self,
        certificate: Certificate,
        role: DtlsRole,
        peer_fingerprint: bytes,
        *,
        own_timer: bool = True,
        datagram_max_bytes: int = DATAGRAM_MAX_BYTES,
    ) -> None:
        if datagram_max_bytes < DATAGRAM_MIN_BYTES:
            raise ValueError(f"a DTLS flight does not fit into datagrams of {datagram_max_bytes} bytes")
        self.state = DtlsState.NEW
        self.failure = ""
        """Why the state is FAILED, as a sentence; "" otherwise."""
        self.srtp: SrtpSession | None = None
        """There once the handshake is done and the peer's certificate is the expected one."""
        self.retransmissions = 0
        """Flights that this end's timer sent again. What it repeats because the far end does is the far end's count."""
        self.cipher = self.profile = self.version = ""
        self._role = role
        self._peer_fingerprint = peer_fingerprint
        self._own_timer = own_timer
        self._datagram_max_bytes = datagram_max_bytes
        self._ssl = SSL.Connection(_context(certificate), None)
        self._ssl.set_ciphertext_mtu(datagram_max_bytes)
        self._ssl.set_app_data(peer_fingerprint)
        self._timer_at: float | None = None
        self._flight: list[bytes] = []
        """The datagrams sent last."""
        self._flight_at = 0.0
        self._hello_number = b""
        """The record number of the newest ClientHello; b"": none came."""
        self._out: list[bytes] = []
        self._data: list[bytes] = []
        if role is DtlsRole.CLIENT:
            self._ssl.set_connect_state()
        else:
            self._ssl.set_accept_state()

    def start(self, now: float) -> None:
        """The client's first flight; a server waits for it."""
        if self.state is DtlsState.NEW:
            self.state = DtlsState.HANDSHAKE
            if self._role is DtlsRole.CLIENT:
                self._handshake(now)

    def receive(self, datagram: bytes, now: float) -> None:
        """Takes one datagram of one or more records."""
        if self.state is DtlsState.CLOSED or not datagram:
            return
        if self.state is DtlsState.FAILED:
            if datagram[0] == _HANDSHAKE:  # who still shakes hands did not hear the alert (RFC 6347 section 4.2.7)
                self._send_again(now)
            return
        self.start(now)
        is_repeated = self._is_repeated_hello(datagram)
        flight = self._flight
        self._ssl.bio_write(datagram)
        if self.state is DtlsState.HANDSHAKE:
            self._handshake(now)
            if is_repeated and self._flight is flight:
                self._send_again(now)
        if self.state is DtlsState.CONNECTED:
            self._read(now)

    def handle_timer(self, now: float) -> None:
        """Sends the last flight again where OpenSSL's clock says so."""
        if self._timer_at is None or now < self._timer_at or self.state is not DtlsState.HANDSHAKE:
            return
        try:
            if self._ssl.DTLSv1_handle_timeout():
                self.retransmissions += 1
        except SSL.Error as error:
            self._fail(f"the DTLS handshake gave up: {_reason(error)}")
        self._flush(now)

    def next_timer(self) -> float | None:
        """When `handle_timer` wants to be called; None while nothing is due."""
        return self._timer_at

    def datagrams_to_send(self) -> list[bytes]:
        """Whole records, each at most `datagram_max_bytes` where it is the handshake's."""
        datagrams, self._out = self._out, []
        return datagrams

    def send_data(self, data: bytes, now: float) -> None:
        """Application data (SCTP) in one record, which DTLS does not cut (RFC 6347 section 4.1.1); nothing before
        CONNECTED. Raises ValueError over DATA_MAX_BYTES."""
        if len(data) > DATA_MAX_BYTES:
            raise ValueError(f"{len(data)} bytes of data do not fit into one datagram: {DATA_MAX_BYTES} do")
        if self.state is not DtlsState.CONNECTED or not data:
            return
        try:
            self._ssl.send(data)
        except SSL.Error as error:
            self._fail(f"DTLS data cannot be sent: {_reason(error)}")
        self._flush(now)

    def data_received(self) -> list[bytes]:
        """Application data since the last call."""
        data, self._data = self._data, []
        return data

    def close(self, now: float) -> None:
        """close_notify, where there is a session to close."""
        if self.state is DtlsState.CONNECTED:
            with contextlib.suppress(SSL.Error):  # it is over either way
                self._ssl.shutdown()
            self._flush(now)
        if self.state is not DtlsState.FAILED:
            self.state = DtlsState.CLOSED
        self._timer_at = None

    def _handshake(self, now: float) -> None:
        try:
            self._ssl.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self._fail(_handshake_failure(error))
        else:
            self._connected()
        self._flush(now)

    def _connected(self) -> None:
        certificate = self._ssl.get_peer_certificate()
        if certificate is None or _fingerprint(certificate) != self._peer_fingerprint:  # once more: keys hang on it
            self._give_up(MISMATCH)
            return
        name = self._ssl.get_selected_srtp_profile().decode()
        profile = next((one for one in PROFILES if one.name == name), None)
        if profile is None:
            self._give_up("the far end agrees on no SRTP profile of ours (use_srtp)")
            return
        self.srtp = self._session(profile)
        self.profile, self.version = name, self._ssl.get_protocol_version_name()
        self.cipher = self._ssl.get_cipher_name() or ""
        self.state = DtlsState.CONNECTED

    def _is_repeated_hello(self, datagram: bytes) -> bool:
        """Whether a client that lost our flight sends its ClientHello again: the same message in a new record. What
        the network doubled has the old record number and is not one; nor is a further fragment."""
        is_hello = (
            self._role is DtlsRole.SERVER
            and not self._own_timer
            and datagram[0] == _HANDSHAKE
            and datagram[3:5] == bytes(2)  # epoch: in the clear
            and datagram[13:14] == bytes((_CLIENT_HELLO,))
            and datagram[19:22] == bytes(3)  # the fragment's offset
        )
        number = datagram[5:11]
        if not is_hello or number <= self._hello_number:
            return False
        is_first, self._hello_number = not self._hello_number, number
        return not is_first

    def _send_again(self, now: float) -> None:
        """The last flight, record for record: what the far end has of it, it knows by its number and drops."""
        if self._flight and now - self._flight_at >= REPEAT_S:
            self._out += self._flight
            self._flight_at = now

    def _session(self, profile: SrtpProfile) -> SrtpSession:
        material = self._ssl.export_keying_material(_EXPORTER, 2 * (profile.key_bytes + profile.salt_bytes), None)
        client, server = profile.split(material)
        local, remote = (client, server) if self._role is DtlsRole.CLIENT else (server, client)
        return SrtpSession(profile, local, remote)

    def _read(self, now: float) -> None:
        """recv(), also for handshake records that come again: do_handshake() would leave a lost last flight lost."""
        while self.state is DtlsState.CONNECTED:
            try:
                self._data.append(self._ssl.recv(_RECORD_MAX_BYTES))
            except SSL.WantReadError:
                break
            except SSL.ZeroReturnError:
                self.state = DtlsState.CLOSED
            except SSL.Error as error:
                self._fail(f"the DTLS session broke: {_reason(error)}")
        self._flush(now)

    def _flush(self, now: float) -> None:
        """Takes what OpenSSL wants sent, and asks when its timer runs out."""
        records = b""
        with contextlib.suppress(SSL.WantReadError):  # there is no more
            while True:
                records += self._ssl.bio_read(_RECORD_MAX_BYTES)
        if records:
            self._flight, self._flight_at = packed(records, self._datagram_max_bytes), now
            self._out += self._flight
        left_s = self._ssl.DTLSv1_get_timeout() if self.state is DtlsState.HANDSHAKE and self._own_timer else None
        self._timer_at = None if left_s is None else now + left_s

    def _give_up(self, sentence: str) -> None:
        """After a handshake that was done: the far end hears a good-bye, for there is no alert for it any more."""
        with contextlib.suppress(SSL.Error):
            self._ssl.shutdown()
        self._fail(sentence)

    def _fail(self, sentence: str) -> None:
        self.state, self.failure, self.srtp, self._timer_at = DtlsState.FAILED, sentence, None, None
        self._flight = []  # what the far end may ask for again from now on is the alert, where one goes out


def packed(records: bytes, datagram_max_bytes: int) -> list[bytes]:
    """DTLS records glued together by a memory buffer, as datagrams of whole records (RFC 6347 section 4.1.1)."""
    datagrams: list[bytes] = []
    current = b""
    at = 0
    while at + RECORD_HEADER_BYTES <= len(records):
        size = RECORD_HEADER_BYTES + int.from_bytes(records[at + 11 : at + 13], "big")
        record = records[at : at + size]
        if current and len(current) + size > datagram_max_bytes:
            datagrams.append(current)
            current = b""
        current += record
        at += size
    return [*datagrams, current] if current else datagrams


def _fingerprint(certificate: crypto.X509) -> bytes:
    """OpenSSL's own digest: cryptography's parser refuses certificates that OpenSSL reads, and would raise here."""
    return bytes.fromhex(certificate.digest("sha256").decode().replace(":", ""))


def _handshake_failure(error: SSL.Error) -> str:
    reason = _reason(error)
    if reason == "certificate verify failed":  # by _is_announced
        return MISMATCH
    if "alert" in reason and reason.endswith(_CERTIFICATE_ALERTS):
        return f"the far end did not take our certificate ({reason})"
    return f"the DTLS handshake failed: {reason}"


def _reason(error: SSL.Error) -> str:
    """OpenSSL's own word for it, without its library and function names."""
    if isinstance(error, SSL.ZeroReturnError):
        return "the far end said good-bye (close_notify)"
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    reasons = [str(entry[-1]) for entry in queue if entry and entry[-1]]
    return ", ".join(reasons) or type(error).__name__
