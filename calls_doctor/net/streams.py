"""TCP and TLS connections as streams, for HTTP and TURN. What goes over them is their owner's."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from dataclasses import dataclass

from calls_doctor.errors import Refused, Silence, TlsError, Unreachable
from calls_doctor.model.flow import Address

_NOT_TLS = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")


@dataclass(frozen=True)
class Stream:
    """An open connection; whoever opened it closes it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    connect_s: float
    """TCP and TLS handshakes together."""

    async def close(self) -> None:
        """Ends it at once."""
        self.writer.transport.abort()


async def open_stream(address: Address, timeout_s: float, *, tls_name: str = "") -> Stream:
    """Connects; with `tls_name` over TLS, verified for that name by the system's trust store (SSL_CERT_FILE counts).

    Raises Refused, Unreachable or Silence for the connection, TlsError for what TLS finds.
    """
    what = f"{'TLS' if tls_name else 'TCP'} to {address[0]}:{address[1]}"
    context = ssl.create_default_context() if tls_name else None
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
        raise TlsError(f"{what}: the TLS certificate is not to be trusted: {error.verify_message}") from None
    except ssl.SSLError as error:
        reason = error.reason or "the handshake failed"
        said = "what answers does not speak TLS" if reason in _NOT_TLS else f"TLS says {reason}"
        raise TlsError(f"{what}: {said}") from None
    except OSError as error:
        raise _trouble(error, what, bool(tls_name)) from None
    return Stream(reader, writer, loop.time() - began)


async def speaks_tls(address: Address, timeout_s: float) -> bool:
    """True where a TLS handshake succeeds there, whatever the certificate; nothing is sent over it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(*address, ssl=context)
    except OSError:  # TimeoutError and SSLError are two
        return False
    writer.transport.abort()
    return True


def _trouble(error: OSError, what: str, tls: bool) -> Refused | Unreachable | TlsError:
    if error.errno == errno.ECONNREFUSED:
        return Refused(what)
    if tls and (error.errno == errno.ECONNRESET or error.errno is None):
        return TlsError(f"{what}: the connection was cut during the TLS handshake")
    return Unreachable(what, detail=os.strerror(error.errno) if error.errno else str(error))
