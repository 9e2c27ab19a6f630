"""A TURN server over TCP or TLS as a channel: the messages follow each other as RFC 8656 section 12.5 says."""

from __future__ import annotations

import asyncio

from calls_doctor.errors import Cut, FramingError
from calls_doctor.model.flow import Address, Path, Transport
from calls_doctor.net.sockets import WRITE_BUFFER_MAX_BYTES
from calls_doctor.net.streams import Stream, open_stream, reason_of
from calls_doctor.net.turn_driver import TurnReceiver
from calls_doctor.wire.turn_stream import StreamDeframer

READ_BYTES = 65536


class TurnStream:
    """One connection; what it brings goes to the receiver, message by message."""

    def __init__(self, stream: Stream, remote: Address, receiver: TurnReceiver) -> None:
        self.path = Path(Transport.TCP, stream.writer.get_extra_info("sockname")[:2], remote)
        self._stream, self._receiver = stream, receiver
        self._what = f"the connection to the TURN server at {remote[0]}:{remote[1]}"
        self._reading = asyncio.get_running_loop().create_task(self._read())

    def send(self, data: bytes) -> None:
        """Writes one message, padded already; drops it where too much waits."""
        transport = self._stream.writer.transport
        if not transport.is_closing() and transport.get_write_buffer_size() <= WRITE_BUFFER_MAX_BYTES:
            self._stream.writer.write(data)

    async def close(self) -> None:
        """Ends it at once; whoever wants a last message answered waits for that first."""
        self._reading.cancel()
        try:
            await asyncio.gather(self._reading, return_exceptions=True)
        finally:
            await self._stream.close()

    async def _read(self) -> None:
        deframer = StreamDeframer()
        try:
            while data := await self._stream.reader.read(READ_BYTES):
                while messages := deframer.feed(data):
                    for message in messages:
                        self._receiver.packet(message)
                    data = b""  # a bad byte behind whole messages is told with the next call
            self._receiver.trouble(Cut(self._what, detail="the server closed it"))
        except FramingError as error:
            self._receiver.broken(error)
        except OSError as error:
            self._receiver.trouble(Cut(self._what, detail=reason_of(error)))


async def open_turn_stream(remote: Address, receiver: TurnReceiver, timeout_s: float, tls_name: str) -> TurnStream:
    """Connects, over TLS where there is a `tls_name`. Raises what `open_stream` raises."""
    return TurnStream(await open_stream(remote, timeout_s, tls_name=tls_name), remote, receiver)
