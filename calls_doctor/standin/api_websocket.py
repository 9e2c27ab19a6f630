"""The WebSocket of the stand-in's 8045 API, after the request: handshake, hello, pings, and whole messages both ways.

As with rtcd only a pong proves that a client lives: one that never sends any is dropped without a close frame. Binary
messages are handed on, texts are ignored. A client that sends more messages than one needs is read more slowly; one
that does not take what is sent is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from websockets.datastructures import Headers as WebSocketHeaders
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from calls_doctor.standin.api_accounts import Headers
from calls_doctor.wire.rtcd import MESSAGE_MAX_BYTES

PING_INTERVAL_S = 10.0
PONG_TIMEOUT_S = 20.0
MESSAGES_PER_S, MESSAGES_BURST = 100, 1000
"""What one connection may bring: rtcd keeps 5000 in its queue. What is beyond it waits in the network."""
UNSENT_BYTES_MAX = 2 * MESSAGE_MAX_BYTES
"""What may wait for a client that reads slowly."""
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
        self._message: bytearray | None = None
        """Of a binary message that is not whole yet; the protocol bounds it."""
        self._affords, self._filled_at = float(MESSAGES_BURST), self._loop.time()

    def send(self, message: bytes) -> None:
        """One binary message, at once; nothing once it is over."""
        if self._protocol.state is not State.OPEN or self._writer.transport.is_closing():
            return
        self._protocol.send_binary(message)
        self._write()
        if self._writer.transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            self._writer.transport.abort()

    async def run(self, first_message: bytes, already_read: bytes, heard: Callable[[bytes], None]) -> None:
        """Says hello and stays until the client leaves, breaks the protocol or sends no pong."""
        self._protocol.send_binary(first_message)
        ping_at = self._loop.time() + self._timing.ping_interval_s
        drop_at = self._loop.time() + self._timing.pong_timeout_s
        data = already_read
        while True:
            if data:
                self._protocol.receive_data(data)
            if self._take(heard):
                drop_at = self._loop.time() + self._timing.pong_timeout_s
            if not await self._flush():
                return
            try:
                async with asyncio.timeout_at(min(ping_at, drop_at)):
                    data = await self._read()
            except TimeoutError:
                if self._loop.time() >= drop_at:
                    return
                ping_at += self._timing.ping_interval_s
                self._protocol.send_ping(b"")
                data = b""
                continue
            if not data:
                return

    def _take(self, heard: Callable[[bytes], None]) -> bool:
        """Hands on the messages that are whole now; True where there was a pong."""
        pong = False
        for frame in self._protocol.events_received():
            if not isinstance(frame, Frame):
                continue
            pong |= frame.opcode is Opcode.PONG
            if frame.opcode is Opcode.BINARY:
                self._message = bytearray()
            if frame.opcode in (Opcode.BINARY, Opcode.CONT) and self._message is not None:
                self._message += frame.data
                if frame.fin:
                    message, self._message = bytes(self._message), None
                    self._affords -= 1
                    heard(message)
        return pong

    async def _read(self) -> bytes:
        now = self._loop.time()
        self._affords = min(self._affords + (now - self._filled_at) * MESSAGES_PER_S, MESSAGES_BURST)
        self._filled_at = now
        if self._affords < 0:
            await asyncio.sleep(-self._affords / MESSAGES_PER_S)
        return await self._reader.read(READ_BYTES)

    def _write(self) -> bool:
        """False where that was the end."""
        chunks = self._protocol.data_to_send()
        for chunk in chunks:
            self._writer.write(chunk)
        return b"" not in chunks

    async def _flush(self) -> bool:
        """Sends what the protocol has to send; False where that was the end."""
        goes_on = self._write()
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await self._writer.drain()
        return goes_on
