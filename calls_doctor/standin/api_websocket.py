"""The WebSocket of the stand-in's 8045 API, after the request: handshake, hello, pings. Messages are read and ignored.

As with rtcd only a pong proves that a client lives: one that never sends any is dropped without a close frame.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from websockets.datastructures import Headers as WebSocketHeaders
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from calls_doctor.standin.api_answers import Headers

PING_INTERVAL_S = 10.0
PONG_TIMEOUT_S = 20.0
MESSAGE_MAX_BYTES = 64 * 1024
"""rtcd takes 1 MiB; here no message is of use."""
SEND_TIMEOUT_S = 10.0
READ_BYTES = 16 * 1024
_HANDSHAKE_HEADERS = ("host", "connection", "upgrade", "sec-websocket-key", "sec-websocket-version")
_LOGGER = logging.getLogger("calls_doctor.websocket")
_LOGGER.addHandler(logging.NullHandler())
_LOGGER.propagate = False


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long a client may be silent."""

    ping_interval_s: float = PING_INTERVAL_S
    pong_timeout_s: float = PONG_TIMEOUT_S


def accepted(target: str, headers: Headers) -> ServerProtocol | None:
    """The protocol with its 101 ready to send; None where the request does not ask for a WebSocket.

    Only what the handshake needs is handed on: no credentials, no extensions (rtcd negotiates none).
    """
    handed_on = [(name, value) for name in _HANDSHAKE_HEADERS for value in headers.get(name, [])]
    if not all(value.isascii() and value.isprintable() for _, value in handed_on):
        return None  # h11 lets them pass, and websockets raises on some
    protocol = ServerProtocol(max_size=MESSAGE_MAX_BYTES, logger=_LOGGER)
    protocol.receive_data(Request(target, WebSocketHeaders(handed_on)).serialize())
    for event in protocol.events_received():
        if isinstance(event, Request):
            response = protocol.accept(event)
            if response.status_code == 101:
                protocol.send_response(response)
                return protocol
    return None


class WebSocketSession:
    """One accepted connection, until one of the two ends it."""

    def __init__(
        self, protocol: ServerProtocol, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timing: Timing
    ) -> None:
        self._protocol, self._reader, self._writer, self._timing = protocol, reader, writer, timing
        self._loop = asyncio.get_running_loop()

    async def run(self, first_message: bytes, already_read: bytes) -> None:
        """Says hello and stays until the client leaves, breaks the protocol or sends no pong."""
        self._protocol.send_binary(first_message)
        ping_at = self._loop.time() + self._timing.ping_interval_s
        drop_at = self._loop.time() + self._timing.pong_timeout_s
        data = already_read
        while True:
            if data:
                self._protocol.receive_data(data)
            if self._saw_pong():
                drop_at = self._loop.time() + self._timing.pong_timeout_s
            if not await self._flush():
                return
            try:
                async with asyncio.timeout_at(min(ping_at, drop_at)):
                    data = await self._reader.read(READ_BYTES)
            except TimeoutError:
                if self._loop.time() >= drop_at:
                    return
                ping_at += self._timing.ping_interval_s
                self._protocol.send_ping(b"")
                data = b""
                continue
            if not data:
                return

    def _saw_pong(self) -> bool:
        events = self._protocol.events_received()
        return any(isinstance(event, Frame) and event.opcode is Opcode.PONG for event in events)

    async def _flush(self) -> bool:
        """Sends what the protocol has to send; False where that was the end."""
        chunks = self._protocol.data_to_send()
        for chunk in chunks:
            self._writer.write(chunk)
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await self._writer.drain()
        return b"" not in chunks
