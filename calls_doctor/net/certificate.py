"""TLS as a caller meets it: the handshake, whether the certificate is trusted, and what it says.

Trusted is what the system's store trusts; nothing is ever sent over what is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

from calls_doctor.errors import NetworkError, ProtocolError, TlsError
from calls_doctor.model.certificate import Certificate, TlsFault
from calls_doctor.model.flow import Address
from calls_doctor.net.streams import Stream, open_stream

if TYPE_CHECKING:
    from OpenSSL.SSL import Connection

NAMES_MAX = 20
READ_BYTES = 16384
UNREADABLE = (
    ValueError,
    TypeError,
    IndexError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the parser makes of a certificate that it does not understand; OpenSSL may trust it all the same."""


@dataclass(frozen=True)
class Handshake:
    """What came of it."""

    fault: str
    """A TlsFault; "" where the certificate is trusted."""
    detail: str
    """A sentence about the fault."""
    certificate: Certificate | None
    """None where it could not be read."""
    protocol: str
    """"TLSv1.3"; "" where none was agreed on."""
    handshake_s: float
    """TCP and TLS together; 0 where the certificate is at fault."""


async def handshake(address: Address, name: str, timeout_s: float) -> Handshake:
    """A handshake for this name, verified; where the certificate is at fault, another one to read it.

    Each may take `timeout_s`. Raises NetworkError, and TlsError where no certificate is to blame.
    """
    try:
        stream = await open_stream(address, timeout_s, tls_name=name)
    except TlsError as error:
        if not error.fault:
            raise
        return await _at_fault(error, address, name, timeout_s)
    try:
        tls = _tls_of(stream)
        found = described([tls.getpeercert(binary_form=True) or b""], chain_length=None)
        return Handshake("", "", found, tls.version() or "", stream.connect_s)
    except UNREADABLE:
        return Handshake("", "", None, tls.version() or "", stream.connect_s)
    finally:
        await stream.close()


def _tls_of(stream: Stream) -> ssl.SSLObject:
    tls = stream.writer.get_extra_info("ssl_object")
    assert isinstance(tls, ssl.SSLObject), "the stream was opened over TLS"
    return tls


async def _at_fault(error: TlsError, address: Address, name: str, timeout_s: float) -> Handshake:
    """Which fault it is, with all that the server sends at hand."""
    try:
        chain, protocol = await _sent(address, name, timeout_s)
        found = described(chain, len(chain))
    except (NetworkError, ProtocolError, *UNREADABLE):
        return Handshake(error.fault, str(error), None, "", 0.0)
    fault = error.fault
    if fault == TlsFault.UNKNOWN_AUTHORITY and found.chain_length == 1 and found.issuer != found.subject:
        fault = TlsFault.INCOMPLETE_CHAIN
    return Handshake(fault, str(error), found, protocol, 0.0)


async def _sent(address: Address, name: str, timeout_s: float) -> tuple[list[bytes], str]:
    """The certificates that the server sends, its own first, and the protocol. The standard library tells of the first
    alone."""
    from OpenSSL import SSL, crypto  # 90 ms that a healthy server does not cost

    tls = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
    if not _is_literal(name):
        tls.set_tlsext_host_name(name.encode("idna"))
    tls.set_connect_state()
    stream = await open_stream(address, timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            while not _is_done(tls):
                await _carry(tls, stream)
    except (TimeoutError, SSL.Error, OSError):
        raise TlsError("the certificate could not be read: the second handshake failed") from None
    finally:
        await stream.close()
    sent = tls.get_peer_cert_chain() or []
    return [crypto.dump_certificate(crypto.FILETYPE_ASN1, one) for one in sent], tls.get_protocol_version_name()


def _is_done(tls: Connection) -> bool:
    """Goes on with the handshake as far as what came allows."""
    from OpenSSL import SSL

    try:
        tls.do_handshake()
    except SSL.WantReadError:
        return False
    return True


async def _carry(tls: Connection, stream: Stream) -> None:
    """What the handshake has to say, and what comes back."""
    from OpenSSL import SSL

    with contextlib.suppress(SSL.WantReadError):  # it has nothing to say
        stream.writer.write(tls.bio_read(READ_BYTES))
    if not (data := await stream.reader.read(READ_BYTES)):
        raise ConnectionResetError
    tls.bio_write(data)


def described(chain: Sequence[bytes], chain_length: int | None) -> Certificate:
    """What a chain says, as DER, its owner's certificate first. Raises one of UNREADABLE."""
    with warnings.catch_warnings(action="ignore"):  # of what is odd: it is the far end's, and OpenSSL judges it
        every = [x509.load_der_x509_certificate(one) for one in chain]
        leaf = every[0]
        return Certificate(
            subject=leaf.subject.rfc4514_string(),
            issuer=leaf.issuer.rfc4514_string(),
            names=_names(leaf)[:NAMES_MAX],
            not_before_unix_s=max(one.not_valid_before_utc.timestamp() for one in every),
            not_after_unix_s=min(one.not_valid_after_utc.timestamp() for one in every),
            chain_length=chain_length,
        )


def _names(leaf: x509.Certificate) -> list[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(one) for one in names.get_values_for_type(x509.IPAddress)]
    return [*names.get_values_for_type(x509.DNSName), *addresses]


def _is_literal(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
