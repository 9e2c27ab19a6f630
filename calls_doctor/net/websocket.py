"""The client's side of a WebSocket (RFC 6455): the upgrade over our own HTTP, then the sans-I/O protocol of
`websockets`, which answers pings and close frames and bounds messages.

No error repeats what came or what was sent, and nothing is logged: the upgrade carries credentials.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import Event, State
from websockets.uri import parse_uri

from calls_doctor.errors import Cut, FarEndError, HttpError, Silence
from calls_doctor.net.http import READ_BYTES, SWITCHING_PROTOCOLS, HttpConversation, connect, shown
from calls_doctor.net.streams import Stream, reason_of

MESSAGE_MAX_BYTES = 1 << 20
"""rtcd's own limit."""
PING_BYTES = 8
NORMAL_CLOSURE = 1000
CONNECT_MAX_S = 60.0
"""Longer than any time for the whole, which counts."""
_DATA = (Opcode.BINARY, Opcode.TEXT, Opcode.CONT)
_MUTE = logging.Logger("calls_doctor.websocket", logging.CRITICAL + 1)


class WebSocket:
    """An open one: messages come whole."""

    def __init__(self, protocol: ClientProtocol, stream: Stream, what: str) -> None:
        self._protocol, self._stream, self._what = protocol, stream, what
        self._events: deque[Event] = deque()
        self._parts: list[bytes] = []

    async def receive(self) -> bytes:
        """The next message, binary or text. Raises Cut where the connection ends first, HttpError where what comes is
        no WebSocket's, or larger than MESSAGE_MAX_BYTES."""
        while True:
            frame = await self._unclosed()
            if frame.opcode in _DATA:
                self._parts.append(bytes(frame.data))
                if frame.fin:
                    message, self._parts = b"".join(self._parts), []
                    return message

    def send(self, message: bytes) -> None:
        """Sends a binary message; nothing once the WebSocket is closing, of which `receive` tells."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_binary(message)
            self._flush()

    async def pong(self, timeout_s: float) -> float:
        """Sends a ping and waits for its pong (RFC 6455 section 5.5.2), whatever comes before it; how long that took,
        in seconds. Raises Silence, and what `receive` raises."""
        loop = asyncio.get_running_loop()
        began, data = loop.time(), secrets.token_bytes(PING_BYTES)
        self._protocol.send_ping(data)
        self._flush()
        try:
            async with asyncio.timeout(timeout_s):
                while (frame := await self._unclosed()).opcode is not Opcode.PONG or bytes(frame.data) != data:
                    pass
        except TimeoutError:
            raise Silence(f"a pong of {self._what}", timeout_s) from None
        return loop.time() - began

    async def idle(self, time_s: float) -> None:
        """Says nothing for so long, and passes over what comes. Raises what `receive` raises."""
        try:
            async with asyncio.timeout(time_s):
                while True:
                    await self._unclosed()
        except TimeoutError:
            pass

    async def take(self, data: bytes) -> None:
        """What came on the connection. Answers it; whoever asks for more answers than he reads has to wait."""
        self._protocol.receive_data(data)
        self._events += self._protocol.events_received()
        self._flush()
        try:
            await self._stream.writer.drain()
        except OSError as error:
            raise Cut(self._what, detail=reason_of(error)) from None

    async def close(self) -> None:
        """Says so, where the far end has not, and ends the connection at once."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(NORMAL_CLOSURE)
            self._flush()
        await self._stream.close()

    async def _unclosed(self) -> Frame:
        """The next frame that does not close it."""
        frame = await self._next()
        if frame.opcode is Opcode.CLOSE:
            raise Cut(self._what, detail=f"the far end closed the WebSocket{self._close_code()}")
        return frame

    async def _next(self) -> Frame:
        while not self._events:
            if self._protocol.parser_exc is not None:
                raise self._broken(self._protocol.parser_exc)
            try:
                data = await self._stream.reader.read(READ_BYTES)
            except OSError as error:
                raise Cut(self._what, detail=reason_of(error)) from None
            if not data:
                raise Cut(self._what, detail="the far end closed the connection")
            await self.take(data)
        event = self._events.popleft()
        assert isinstance(event, Frame), "the handshake is over"
        return event

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._stream.writer.write(data)

    def _broken(self, error: Exception) -> HttpError:
        if isinstance(error, PayloadTooBig):
            return HttpError(f"{self._what}: a message is larger than {MESSAGE_MAX_BYTES} bytes")
        return HttpError(f"{self._what}: what comes is no WebSocket frame")

    def _close_code(self) -> str:
        close = self._protocol.close_rcvd
        return f" with code {int(close.code)}" if close is not None else ""


@asynccontextmanager
async def open_websocket(
    url: str, timeout_s: float, *, headers: Sequence[tuple[str, str]] = (), host: str = ""
) -> AsyncIterator[WebSocket]:
    """A WebSocket to a ws or wss URL, without Origin (rtcd refuses a foreign one); `host` as `http.connect` has it.

    Raises Refused, Unreachable, Unresolved, Silence or Cut for the network, FarEndError with the HTTP status that came
    instead of 101, HttpError for what is no HTTP, TlsError.
    """
    try:
        async with asyncio.timeout(timeout_s):
            socket = await _opened(url, headers, host)
    except TimeoutError:
        raise Silence(_named(url), timeout_s) from None
    try:
        yield socket
    finally:
        await socket.close()


async def _opened(url: str, headers: Sequence[tuple[str, str]], host: str) -> WebSocket:
    stream = await connect(url, CONNECT_MAX_S, host=host)
    try:
        return await _upgraded(stream, url, headers)
    except BaseException:
        await stream.close()
        raise


async def _upgraded(stream: Stream, url: str, headers: Sequence[tuple[str, str]]) -> WebSocket:
    protocol = ClientProtocol(parse_uri(shown(url)), state=State.OPEN, max_size=MESSAGE_MAX_BYTES, logger=_MUTE)
    conversation = HttpConversation(stream, url)
    asked = [(name, value) for name, value in protocol.connect().headers.raw_items() if name.lower() != "host"]
    conversation.ask([*asked, *headers])
    head = await conversation.head()
    if head.status != SWITCHING_PROTOCOLS:
        raise FarEndError("the WebSocket upgrade", head.status, _phrase(head.status))
    try:
        protocol.process_response(Response(head.status, "", Headers(head.headers)))
    except InvalidHandshake:
        raise HttpError(f"{_named(url)}: the answer is 101, and not to this upgrade") from None
    socket = WebSocket(protocol, stream, _named(url))
    await socket.take(conversation.left)  # the first frames often come with the answer
    return socket


def _named(url: str) -> str:
    return f"the WebSocket at {shown(url)}"


def _phrase(status: int) -> str:
    """The standard's own words: the far end's may hold anything."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
