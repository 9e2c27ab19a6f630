"""UDP and TCP on one port number, for STUN and TURN: packets come whole, whichever of the two carried them.

It reads, writes and limits; what a packet means is the service's to know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from calls_doctor.errors import FramingError
from calls_doctor.model.flow import Path, Transport
from calls_doctor.net.bound_port import BoundPort, BoundStream
from calls_doctor.standin.connection_limit import ConnectionLimit
from calls_doctor.wire.turn_stream import StreamDeframer

IDLE_S = 10.0
"""A connection that brings no whole message for so long, and that the service does not need, is closed."""
UNSENT_BYTES_MAX = 256 * 1024
"""What waits for a slow connection; beyond it, packets to it are lost as they would be on UDP."""


class PacketService(Protocol):
    """What stands behind the port: sans-IO, called with each whole packet."""

    def receive(self, packet: bytes, path: Path, now: float) -> None:
        """Takes one packet. Never raises on what a client sends."""

    def connection_lost(self, path: Path, now: float) -> None:
        """The TCP connection that this path was is gone."""

    def needs(self, path: Path) -> bool:
        """True where the TCP connection is to stay open although nothing comes."""


class PacketListener(BoundPort["_Stream"]):
    """The port of a service. `after` is called after each packet that came, for what is to be sent now."""

    def __init__(
        self,
        service: PacketService,
        after: Callable[[], None],
        *,
        idle_s: float = IDLE_S,
        limit: ConnectionLimit | None = None,
    ) -> None:
        super().__init__()
        self.service, self.after, self.idle_s = service, after, idle_s
        self.limit = limit or ConnectionLimit()

    def received(self, packet: bytes, path: Path, now: float) -> None:
        """One datagram, for the service."""
        self.service.receive(packet, path, now)
        self.after()

    def accepted(self) -> _Stream:
        """A new connection, where the limit leaves room."""
        return _Stream(self)


class _Stream(BoundStream):
    """One TCP connection."""

    def __init__(self, listener: PacketListener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._deframer = StreamDeframer()
        self._transport: asyncio.Transport | None = None
        self._path: Path | None = None
        self._heard_at = self._loop.time()
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport), "create_server gives streams"
        self._transport = transport
        local, remote = (transport.get_extra_info(name) for name in ("sockname", "peername"))
        if not remote or not self._listener.limit.enter(remote[0]):  # gone already, or one too many
            transport.abort()
            return
        self._path = Path(Transport.TCP, (local[0], local[1]), (remote[0], remote[1]))
        self._listener.streams[self._path] = self
        self._watch(self._listener.idle_s)

    def data_received(self, data: bytes) -> None:
        if self._path is None or self._transport is None or self._transport.is_closing():
            return
        try:
            packets = self._deframer.feed(data)
        except FramingError:
            self.abort()
            return
        for packet in packets:
            self._heard_at = self._loop.time()
            self._listener.service.receive(packet, self._path, self._heard_at)
        self._listener.after()

    def connection_lost(self, _error: Exception | None) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if self._path is None:
            return
        self._listener.streams.pop(self._path, None)
        self._listener.limit.leave(self._path.remote[0])
        self._listener.service.connection_lost(self._path, self._loop.time())
        self._listener.after()

    def send(self, packet: bytes) -> None:
        if self._transport is None or self._transport.is_closing():  # asyncio logs what is written to a lost connection
            return
        if self._transport.get_write_buffer_size() <= UNSENT_BYTES_MAX:
            self._transport.write(packet)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _watch(self, after_s: float) -> None:
        self._idle = self._loop.call_later(after_s, self._close_if_idle)

    def _close_if_idle(self) -> None:
        assert self._path is not None, "only a connection that was let in is watched"
        left_s = self._heard_at + self._listener.idle_s - self._loop.time()
        if left_s > 0:
            self._watch(left_s)
        elif self._listener.service.needs(self._path):
            self._watch(self._listener.idle_s)
        else:
            self.abort()
