"""HTTP/1.1 GET (h11), and the opened connection for whoever speaks on after the headers. No redirects, no cookies."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import h11

from calls_doctor import __version__
from calls_doctor.errors import Cut, HttpError, Silence
from calls_doctor.model.flow import Address
from calls_doctor.net import resolver
from calls_doctor.net.streams import Stream, open_stream

BODY_MAX_BYTES = 262_144
READ_BYTES = 65536
USER_AGENT = f"calls-doctor/{__version__}"
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class HttpAnswer:
    """What came back; names of headers are lower case."""

    status: int
    headers: Headers
    body: bytes
    connect_s: float
    """TCP (and TLS) handshake."""

    def header(self, name: str) -> str:
        """The first of this name; "" where there is none."""
        return next((value for key, value in self.headers if key == name), "")


async def get(url: str, *, timeout_s: float, headers: Headers = ()) -> HttpAnswer:
    """GETs an http or https URL, the first address of its name; connecting and answering may take `timeout_s` each.

    Raises Refused, Unreachable, Silence or Cut for the network, TlsError, HttpError where what answers is not HTTP.
    """
    return await get_over(await connect(url, timeout_s), url, timeout_s, headers)


async def get_over(stream: Stream, url: str, timeout_s: float, headers: Headers = ()) -> HttpAnswer:
    """GETs over a connection that is open, and closes it. Raises Silence, Cut, HttpError."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _exchange(stream, urlsplit(url), headers)
    except TimeoutError:
        raise Silence(f"GET {url}", timeout_s) from None
    finally:
        await stream.close()


async def connect(url: str, timeout_s: float) -> Stream:
    """The connection to an http, https, ws or wss URL. Raises what `resolve` and `open_stream` raise."""
    parts = urlsplit(url)
    secure = parts.scheme in ("https", "wss")
    host = parts.hostname or ""
    address: Address = (await resolver.resolve(host))[0], parts.port or (443 if secure else 80)
    return await open_stream(address, timeout_s, tls_name=host if secure else "")


async def _exchange(stream: Stream, parts: SplitResult, headers: Headers) -> HttpAnswer:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=READ_BYTES)
    sent = [("Host", parts.netloc), ("User-Agent", USER_AGENT), ("Accept", "*/*"), ("Connection", "close"), *headers]
    request = h11.Request(method="GET", target=parts.path or "/", headers=sent)
    out = (connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b"")
    stream.writer.write(out)
    response: h11.Response | None = None
    body = b""
    while True:
        event = await _next(connection, stream, parts)
        if isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        if isinstance(event, h11.EndOfMessage | h11.ConnectionClosed) or len(body) > BODY_MAX_BYTES:
            break
    if response is None:
        raise Cut(f"GET {parts.geturl()}", detail="the connection was closed without an answer")
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers]
    return HttpAnswer(response.status_code, fields, body[:BODY_MAX_BYTES], stream.connect_s)


async def _next(connection: h11.Connection, stream: Stream, parts: SplitResult) -> h11.Event:
    """The next event that is not "more data is needed"."""
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            if connection.trailing_data[0] or connection.their_state is h11.ERROR:
                raise HttpError(f"what answers at {parts.netloc} does not speak HTTP: {error}") from None
            raise Cut(f"GET {parts.geturl()}", detail=str(error)) from None
        if isinstance(event, h11.Event):
            return event
        try:
            data = await stream.reader.read(READ_BYTES)
        except OSError as error:
            raise Cut(f"GET {parts.geturl()}", detail=os.strerror(error.errno or 0)) from None
        if not data and connection.their_state is h11.SEND_RESPONSE:
            raise Cut(f"GET {parts.geturl()}", detail="the connection was closed before the answer was whole")
        connection.receive_data(data)
