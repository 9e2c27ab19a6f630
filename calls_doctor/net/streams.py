"""TCP and TLS connections as streams, for HTTP and TURN. What goes over them is their owner's."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from dataclasses import dataclass

from calls_doctor.errors import NetworkError, Refused, Silence, TlsError, Unreachable
from calls_doctor.model.certificate import TlsFault
from calls_doctor.model.flow import Address, shown
from calls_doctor.net.sockets import own_trouble

_NOT_TLS = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
NOT_TLS = "what answers does not speak TLS"
"""In the sentence of a TlsError where that is the matter."""
CUT_IN_TLS = "the connection was cut during the TLS handshake"
"""At the end of the sentence of a TlsError where that is the matter."""
_HEAD_BYTES = 1024
_FAULTS = {
    9: TlsFault.NOT_YET_VALID,
    10: TlsFault.EXPIRED,
    18: TlsFault.SELF_SIGNED,
    19: TlsFault.UNKNOWN_AUTHORITY,
    20: TlsFault.UNKNOWN_AUTHORITY,
    21: TlsFault.UNKNOWN_AUTHORITY,
    62: TlsFault.WRONG_NAME,
    64: TlsFault.WRONG_NAME,
}
"""OpenSSL's X509_V_ERR_ numbers; the first that it meets is the one that it tells."""


@dataclass(frozen=True)
class Stream:
    """An open connection; whoever opened it closes it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    connect_s: float
    """TCP and TLS handshakes together."""

    async def close(self) -> None:
        """Ends it at once; what was written and not sent is lost. May be called twice."""
        self.writer.transport.abort()


async def open_stream(address: Address, timeout_s: float, *, tls_name: str = "", verified: bool = True) -> Stream:
    """Connects; with `tls_name` over TLS, verified for that name by the system's trust store (SSL_CERT_FILE counts).

    Not `verified`, whoever answers is believed: for what is worth knowing of a server whatever its certificate.

    Raises Refused, Unreachable, NotSent or Silence for the connection, TlsError for what TLS finds.
    """
    what = f"{'TLS' if tls_name else 'TCP'} to {shown(address)}"
    context = (ssl.create_default_context() if verified else _unverified()) if tls_name else None
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(
                *address, ssl=context, server_hostname=tls_name if context else None
            )
    except TimeoutError:
        raise Silence(what, timeout_s) from None
    except ssl.SSLCertVerificationError as error:
        fault = _FAULTS.get(error.verify_code, TlsFault.UNTRUSTED)
        raise TlsError(f"{what}: the TLS certificate is not to be trusted: {error.verify_message}", fault) from None
    except ssl.SSLError as error:
        raise TlsError(f"{what}: {NOT_TLS if _tls_reason(error) in _NOT_TLS else reason_of(error)}") from None
    except OSError as error:
        raise _trouble(error, what, address, bool(tls_name)) from None
    return Stream(reader, writer, loop.time() - began)


async def speaks_tls(address: Address, timeout_s: float) -> bool:
    """True where a TLS handshake succeeds there, whatever the certificate; nothing is sent over it."""
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(*address, ssl=_unverified())
    except OSError:  # TimeoutError and SSLError are two
        return False
    writer.transport.abort()
    return True


async def speaks_http(address: Address, timeout_s: float, *, tls: bool = False) -> bool:
    """True where a web server answers there, over TLS whatever the certificate. (coturn has a page for browsers too,
    and says its name.)"""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(*address, ssl=_unverified() if tls else None)
            try:
                writer.write(f"GET / HTTP/1.1\r\nHost: {shown(address)}\r\nConnection: close\r\n\r\n".encode())
                head = await reader.read(_HEAD_BYTES)
                return head.startswith(b"HTTP/") and b"coturn" not in head.lower()
            finally:
                writer.transport.abort()
    except OSError:  # TimeoutError and SSLError are two
        return False


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def reason_of(error: OSError) -> str:
    """Why a connection that was there broke, in words: asyncio's own errors carry no number, TLS's no errno."""
    if isinstance(error, ssl.SSLError):
        return f"TLS says {reason}" if (reason := _tls_reason(error)) else "TLS ended"
    return os.strerror(error.errno) if error.errno else "the connection was lost"


def _tls_reason(error: ssl.SSLError) -> str:
    return getattr(error, "reason", None) or ""  # only errors that OpenSSL made have one


def _trouble(error: OSError, what: str, address: Address, tls: bool) -> NetworkError | TlsError:
    if error.errno == errno.ECONNREFUSED:
        return Refused(what)
    if tls and (error.errno == errno.ECONNRESET or error.errno is None):
        return TlsError(f"{what}: {CUT_IN_TLS}")
    return own_trouble(error, what, address) or Unreachable(what, detail=reason_of(error))
