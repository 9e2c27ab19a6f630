"""The client's side of a WebSocket (RFC 6455): the sans-I/O protocol of `websockets` over one of our connections."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import Event
from websockets.uri import parse_uri

from calls_doctor.errors import Cut, FarEndError, HttpError, Silence
from calls_doctor.net.http import READ_BYTES, USER_AGENT, connect
from calls_doctor.net.streams import Stream

MESSAGE_MAX_BYTES = 1 << 20
"""rtcd's own limit."""


class WebSocket:
    """An open one: messages come whole."""

    def __init__(self, protocol: ClientProtocol, stream: Stream, url: str) -> None:
        self._protocol, self._stream, self._url = protocol, stream, url
        self._events: deque[Event] = deque()
        """What came and was not looked at yet: the first frames often come with the answer to the upgrade."""
        self._parts: list[bytes] = []

    async def receive(self) -> bytes:
        """The next message, binary or text. Raises Cut where the connection ends first."""
        while True:
            event = await self._next()
            if isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.TEXT, Opcode.CONT):
                self._parts.append(bytes(event.data))
                if event.fin:
                    message, self._parts = b"".join(self._parts), []
                    return message

    async def send(self, message: bytes) -> None:
        """Sends one binary message."""
        self._protocol.send_binary(message)
        self._flush()

    async def _next(self) -> Event:
        while not self._events:
            if self._protocol.handshake_exc is not None:
                raise HttpError(f"{self._url}: no WebSocket: {self._protocol.handshake_exc}")
            try:
                data = await self._stream.reader.read(READ_BYTES)
            except OSError as error:
                raise Cut(self._url, detail=os.strerror(error.errno or 0)) from None
            if not data:
                raise Cut(self._url, detail="the far end closed the connection")
            self._protocol.receive_data(data)
            self._flush()
            self._events += self._protocol.events_received()
        return self._events.popleft()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._stream.writer.write(data)

    async def handshake(self, headers: Sequence[tuple[str, str]]) -> None:
        """Upgrades the connection. Raises FarEndError with the status where it is not 101, HttpError for what is no
        HTTP, Cut."""
        request = self._protocol.connect()
        for name, value in (("User-Agent", USER_AGENT), *headers):
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush()
        response = await self._next()
        assert isinstance(response, Response), "nothing else comes before the upgrade"
        self._judge(response)

    def _judge(self, response: Response) -> None:
        error = self._protocol.handshake_exc
        if isinstance(error, InvalidStatus) or (error is not None and response.status_code != 101):
            raise FarEndError("the WebSocket upgrade", response.status_code, response.reason_phrase)
        if error is not None:
            raise HttpError(f"{self._url}: the WebSocket upgrade is broken: {error}")


@asynccontextmanager
async def open_websocket(
    url: str, timeout_s: float, *, headers: Sequence[tuple[str, str]] = ()
) -> AsyncIterator[WebSocket]:
    """A WebSocket to a ws or wss URL, without Origin (rtcd refuses a foreign one).

    Raises Refused, Unreachable, Silence or Cut for the network, FarEndError with the HTTP status that came instead of
    101, HttpError for what is no HTTP, TlsError.
    """
    try:
        async with asyncio.timeout(timeout_s):
            stream = await connect(url, timeout_s)
            try:
                protocol = ClientProtocol(parse_uri(url), max_size=MESSAGE_MAX_BYTES)
                socket = WebSocket(protocol, stream, url)
                await socket.handshake(headers)
            except BaseException:
                await stream.close()
                raise
    except TimeoutError:
        raise Silence(f"the WebSocket upgrade at {url}", timeout_s) from None
    try:
        yield socket
    finally:
        with suppress(OSError):
            protocol.send_close(1000)
            for data in protocol.data_to_send():
                if data:
                    stream.writer.write(data)
            await asyncio.sleep(0)
        await stream.close()
