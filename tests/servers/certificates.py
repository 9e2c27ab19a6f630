"""Certificates for TLS servers on 127.0.0.1: a good one, and one for each way in which they go wrong."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from calls_doctor.model.certificate import TlsFault

NAME = "localhost"


@dataclass(frozen=True)
class Authority:
    """A private authority, and the folder for what it issues."""

    folder: Path
    ca: trustme.CA

    def trusted(self, monkeypatch: pytest.MonkeyPatch) -> Authority:
        """By this machine, as an administrator would have it: by SSL_CERT_FILE."""
        self.ca.cert_pem.write_to_path(str(self.folder / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(self.folder / "ca.pem"))
        return self

    def context(self, *names: str, not_before: datetime | None = None, days: float = 90.0) -> ssl.SSLContext:
        """A server's, with a certificate for these names, valid for so many days from now (or from `not_before`)."""
        began = not_before or datetime.now(UTC) - timedelta(days=30)
        issued = self.ca.issue_cert(
            *(names or (NAME,)), not_before=began, not_after=datetime.now(UTC) + timedelta(days=days)
        )
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(server)
        return server


def authority(folder: Path) -> Authority:
    """A new one, which nobody trusts yet."""
    return Authority(folder, trustme.CA())


def faulty(fault: TlsFault, own: Authority, folder: Path) -> ssl.SSLContext:
    """A server's context whose certificate has this fault; `own` is trusted."""
    if fault is TlsFault.EXPIRED:
        return own.context(days=-3)
    if fault is TlsFault.NOT_YET_VALID:
        return own.context(not_before=datetime.now(UTC) + timedelta(days=2))
    if fault is TlsFault.WRONG_NAME:
        return own.context("elsewhere.example.com")
    if fault is TlsFault.UNKNOWN_AUTHORITY:
        stranger = trustme.CA()
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued = stranger.issue_cert(NAME)
        return _with_chain(server, folder, issued, stranger)
    if fault is TlsFault.INCOMPLETE_CHAIN:
        middle = own.ca.create_child_ca()
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        return _with_chain(server, folder, middle.issue_cert(NAME))
    assert fault is TlsFault.SELF_SIGNED, f"no certificate here is {fault}"
    return _self_signed(folder)


def _with_chain(server: ssl.SSLContext, folder: Path, leaf: trustme.LeafCert, *more: trustme.CA) -> ssl.SSLContext:
    """The leaf alone, and the certificates of these."""
    pems = [leaf.cert_chain_pems[0].bytes(), *(one.cert_pem.bytes() for one in more)]
    (folder / "chain.pem").write_bytes(leaf.private_key_pem.bytes() + b"".join(pems))
    server.load_cert_chain(folder / "chain.pem")
    return server


def _self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "self.pem").write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "self.pem")
    return server
