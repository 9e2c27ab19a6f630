"""UDP and TCP on one port number, as rtcd and the plugin have them: packets come whole, whichever carried them.

TCP is framed (RFC 4571). A connection whose first frame is not admitted, or that brings none, is closed; HTTP and TLS
announce frames that are too long and end at once. What a packet means is the service's to know.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from calls_doctor.errors import FramingError
from calls_doctor.model.flow import Path, Transport
from calls_doctor.net.bound_port import BoundPort, BoundStream
from calls_doctor.wire.framing import LENGTH_BYTES, Deframer, frame
from calls_doctor.wire.rate_limit import source_of

UNADMITTED_S = 10.0
"""How long a TCP connection may take to bring a frame that is admitted."""
CONNECTIONS_MAX = 256
UNADMITTED_MAX, UNADMITTED_PER_SOURCE_MAX = 128, 32
"""So that strangers, however many, leave room for those who hold the key: who waits longest gives way to who comes."""
UNSENT_BYTES_MAX = 64 * 1024
"""What waits for a slow connection; beyond it packets are lost, as media is on UDP."""


class MediaService(Protocol):
    """What stands behind the port."""

    def receive(self, packet: bytes, path: Path, now: float) -> bool:
        """Takes one packet; False where it is none of an admitted session. Never raises on what a client sends."""

    def connection_lost(self, path: Path, now: float) -> None:
        """The TCP connection that this path was is gone."""


class Mux(BoundPort["_Stream"]):
    """The port, on every address given."""

    def __init__(self, service: MediaService, *, unadmitted_s: float = UNADMITTED_S) -> None:
        super().__init__()
        self.service, self.unadmitted_s = service, unadmitted_s

    def received(self, packet: bytes, path: Path, now: float) -> None:
        """One datagram, for the service."""
        self.service.receive(packet, path, now)

    def accepted(self) -> _Stream:
        """A new connection, which has to be admitted yet."""
        return _Stream(self)

    def hang_up(self, path: Path) -> None:
        """Ends the TCP connection that this path is; of UDP there is nothing to end."""
        if path in self.streams:
            self.streams[path].abort()

    def make_room(self, address: str) -> bool:
        """True where one more connection from this address may come. One that waits for its first frame gives way:
        whoever holds the key brings it with the first packet, and strangers must not shut the door on that."""
        waiting = {path: source_of(path.remote[0]) for path, stream in self.streams.items() if not stream.admitted}
        same = [path for path, source in waiting.items() if source == source_of(address)]
        if len(same) >= UNADMITTED_PER_SOURCE_MAX:
            self._turn_away(same[0])
        elif len(waiting) >= UNADMITTED_MAX:
            self._turn_away(next(iter(waiting)))
        return len(self.streams) < CONNECTIONS_MAX

    def _turn_away(self, path: Path) -> None:
        self.streams.pop(path).abort()


class _Stream(BoundStream):
    """One TCP connection."""

    def __init__(self, mux: Mux) -> None:
        self.admitted = False
        self._mux = mux
        self._loop = asyncio.get_running_loop()
        self._deframer = Deframer()
        self._head = b""
        """The length before the first frame."""
        self._transport: asyncio.Transport | None = None
        self._path: Path | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport), "create_server gives streams"
        self._transport = transport
        local, remote = (transport.get_extra_info(name) for name in ("sockname", "peername"))
        if not remote or not self._mux.make_room(remote[0]):  # gone already, or one too many
            transport.abort()
            return
        self._path = Path(Transport.TCP, (local[0], local[1]), (remote[0], remote[1]))
        self._mux.streams[self._path] = self
        self._deadline = self._loop.call_later(self._mux.unadmitted_s, self._end_if_unadmitted)

    def data_received(self, data: bytes) -> None:
        if self._path is None or self._transport is None or self._transport.is_closing():
            return
        self._head += data[: LENGTH_BYTES - len(self._head)]
        if self._head == bytes(LENGTH_BYTES):  # an empty frame, which the deframer drops, admits nobody
            self.abort()
            return
        try:
            packets = self._deframer.feed(data)
        except FramingError:
            self.abort()
            return
        for packet in packets:
            if self._mux.service.receive(packet, self._path, self._loop.time()):
                self.admitted = True
            elif not self.admitted:
                self.abort()
                return

    def connection_lost(self, _error: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if self._path is not None:
            self._mux.streams.pop(self._path, None)
            self._mux.service.connection_lost(self._path, self._loop.time())

    def send(self, packet: bytes) -> None:
        if self._transport is None or self._transport.is_closing():  # asyncio logs what is written to a lost connection
            return
        if self._transport.get_write_buffer_size() <= UNSENT_BYTES_MAX:
            self._transport.write(frame(packet))

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _end_if_unadmitted(self) -> None:
        if not self.admitted:
            self.abort()
