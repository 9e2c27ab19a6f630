"""HTTP/1.1 (h11), and the opened connection for whoever speaks on after the headers. No redirects, no cookies.

Headers and bodies are bounded, and no error repeats what came or what was sent: a far end might send our own
credentials back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit, urlunsplit

import h11

from calls_doctor import __version__
from calls_doctor.errors import Cut, HttpError, NetworkError, Silence
from calls_doctor.model.flow import Address, bracketed
from calls_doctor.net import resolver
from calls_doctor.net.streams import Stream, open_stream, reason_of, speaks_tls

HEAD_MAX_BYTES = 65536
BODY_MAX_BYTES = 262_144
READ_BYTES = 65536
_SECURE = ("https", "wss")
USER_AGENT = f"calls-doctor/{__version__}"
SWITCHING_PROTOCOLS = 101
_BEGINNING = b"HTTP/"
_OTHERS = {b"SSH-": " but SSH", b"\x15\x03": " but TLS", b"\x16\x03": " but TLS"}
"""How some begin that are found on a wrong port."""
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class HttpAnswer:
    """What came back; names of headers are lower case."""

    status: int
    headers: Headers
    body: bytes
    """At most BODY_MAX_BYTES; what was longer is cut there."""
    connect_s: float
    """TCP (and TLS) handshake."""

    def header(self, name: str) -> str:
        """The first of this name; "" where there is none."""
        return next((value for key, value in self.headers if key == name), "")


async def get(url: str, *, timeout_s: float, host: str = "", headers: Headers = ()) -> HttpAnswer:
    """GETs an http or https URL, `host` as `connect` has it; connecting and answering may take `timeout_s` each.

    Raises Refused, Unreachable, Silence or Cut for the network, TlsError, HttpError where what answers is not HTTP.
    """
    return await get_over(await connect(url, timeout_s, host=host), url, timeout_s, headers)


async def get_over(stream: Stream, url: str, timeout_s: float, headers: Headers = ()) -> HttpAnswer:
    """GETs over a connection that is open, and closes it. Raises Silence, Cut, HttpError."""
    return await _exchange(HttpConversation(stream, url), stream, timeout_s, headers)


async def post_json(url: str, body: bytes, *, timeout_s: float, host: str = "", headers: Headers = ()) -> HttpAnswer:
    """POSTs a JSON text; `host` as `connect` has it, and it raises what `get` does."""
    stream = await connect(url, timeout_s, host=host)
    conversation = HttpConversation(stream, url, "POST")
    return await _exchange(conversation, stream, timeout_s, [("Content-Type", "application/json"), *headers], body)


async def _exchange(
    conversation: HttpConversation, stream: Stream, timeout_s: float, headers: Headers, body: bytes = b""
) -> HttpAnswer:
    """Asks, waits for the whole answer, and closes the connection."""
    try:
        async with asyncio.timeout(timeout_s):
            conversation.ask([("Accept", "*/*"), ("Connection", "close"), *headers], body)
            head = await conversation.head()
            return HttpAnswer(head.status, head.headers, await conversation.body(), stream.connect_s)
    except TimeoutError:
        raise conversation.silence(timeout_s) from None
    finally:
        await stream.close()


async def connect(url: str, timeout_s: float, *, host: str = "", verified: bool = True) -> Stream:
    """The connection to an http, https, ws or wss URL: to this address of its host, or to the first that this machine
    can try. Raises what `resolve` and `open_stream` raise."""
    parts = urlsplit(url)
    tls_name = (parts.hostname or "") if parts.scheme in _SECURE else ""
    return await open_stream(await address_of(url, host), timeout_s, tls_name=tls_name, verified=verified)


async def speaks_tls_at(url: str, timeout_s: float, *, host: str = "") -> bool:
    """True where the URL's port at this address of its host speaks TLS, whatever its scheme says."""
    try:
        return await speaks_tls(await address_of(url, host), timeout_s)
    except NetworkError:  # its name has no address
        return False


async def addresses_of(url: str) -> list[str]:
    """Every address of the URL's host that this machine can try. Raises what `resolve` raises."""
    return resolver.routed(await resolver.resolve(urlsplit(url).hostname or ""))


async def address_of(url: str, host: str = "") -> Address:
    """Where the URL leads: to this address of its host, or to the first that this machine can try. Raises what
    `resolve` raises."""
    parts = urlsplit(url)
    return host or (await addresses_of(url))[0], parts.port or (443 if parts.scheme in _SECURE else 80)


@dataclass(frozen=True)
class Head:
    """Status and headers of an answer; names of headers are lower case."""

    status: int
    headers: Headers


class HttpConversation:
    """One request over an open connection, step by step: `ask`, `head`, then `body` or, after 101, what is `left`."""

    def __init__(self, stream: Stream, url: str, method: str = "GET") -> None:
        self._stream, self._parts, self._method = stream, urlsplit(url), method
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_MAX_BYTES)
        self._what = f"{method} {shown(url)}"
        self._begun = b""
        """The first bytes that came."""

    @property
    def left(self) -> bytes:
        """What came after the headers of a 101 and was not looked at."""
        return bytes(self._http.trailing_data[0])

    def ask(self, headers: Headers, body: bytes = b"") -> None:
        """Sends the request; Host, User-Agent and the length of a body are made here."""
        own = [("Host", _authority(self._parts)), ("User-Agent", USER_AGENT)]
        own += [("Content-Length", str(len(body)))] if body else []
        target = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        request = h11.Request(method=self._method, target=target, headers=[*own, *headers])
        for event in (request, *([h11.Data(data=body)] if body else ()), h11.EndOfMessage()):
            self._stream.writer.write(self._http.send(event) or b"")

    async def head(self) -> Head:
        """Status and headers of the answer, 101 among them; what is interim (1xx) is passed over. Raises Cut,
        HttpError."""
        while True:
            event = await self._next()
            assert isinstance(event, h11.Response | h11.InformationalResponse), "h11 gives nothing else first"
            if isinstance(event, h11.Response) or event.status_code == SWITCHING_PROTOCOLS:
                fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
                return Head(event.status_code, fields)

    async def body(self) -> bytes:
        """The body that follows the head, cut at BODY_MAX_BYTES. Raises Cut, HttpError."""
        body = bytearray()
        while len(body) < BODY_MAX_BYTES:
            event = await self._next()
            if not isinstance(event, h11.Data):
                break
            body += event.data
        return bytes(body[:BODY_MAX_BYTES])

    def silence(self, after_s: float) -> Silence:
        """The error for an answer that was not there in time."""
        return Silence(self._what, after_s, "but for a part of an answer" if self._begun else "")

    async def _next(self) -> h11.Event:
        """The next event that is not "more data is needed"."""
        ended = False
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                if ended:
                    rest = "before the answer was whole" if self._begun else "without an answer"
                    raise Cut(self._what, detail=f"the connection was closed {rest}") from None
                large = " (its headers are too large)" if error.error_status_hint == 431 else ""
                raise HttpError(f"what answers at {_authority(self._parts)} breaks HTTP{large}") from None
            if isinstance(event, h11.Event):
                return event
            data = await self._read()
            ended = not data
            self._http.receive_data(data)

    async def _read(self) -> bytes:
        try:
            data = await self._stream.reader.read(READ_BYTES)
        except OSError as error:
            raise Cut(self._what, detail=reason_of(error)) from None
        if len(self._begun) < len(_BEGINNING):
            self._begun = (self._begun + data)[: len(_BEGINNING)]
            if not _BEGINNING.startswith(self._begun):
                other = next((said for head, said in _OTHERS.items() if self._begun.startswith(head)), "")
                raise HttpError(f"what answers at {_authority(self._parts)} does not speak HTTP{other}")
        return data


def _authority(parts: SplitResult) -> str:
    """Host and port as the URL has them, without credentials; names in ASCII."""
    host = parts.hostname or ""
    if not host.isascii():
        host = host.encode("idna").decode()  # what cannot be encoded so was not resolved before either
    return f"{bracketed(host)}:{parts.port}" if parts.port else bracketed(host)


def shown(url: str) -> str:
    """The URL without credentials."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=_authority(parts)))
