"""One lite Connection behind a UDP socket on 127.0.0.1, which echoes what is said to it under another SSRC: what a
foreign WebRTC stack needs to meet, and nothing of the SFU."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from calls_doctor.model.flow import Address, Path, Transport
from calls_doctor.wire import rtp
from calls_doctor.wire.connection import Connection, Event, RtpReceived, SessionSettings


class LoneConnection(asyncio.DatagramProtocol):
    """`events` holds what the connection told, but the packets that were echoed."""

    def __init__(self, settings: SessionSettings) -> None:
        self.settings = settings
        self.connection = Connection(settings, os.urandom, time.monotonic())
        self.events: list[Event] = []
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def address(self) -> Address:
        """Where it listens."""
        assert self._transport is not None
        return cast(Address, self._transport.get_extra_info("sockname")[:2])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        remote = cast(Address, addr[:2])
        self.connection.receive(data, Path(Transport.UDP, self.address, remote), time.monotonic())
        self._go_on()

    def close(self) -> None:
        """Says good-bye."""
        if self._timer is not None:
            self._timer.cancel()
        self.connection.close(time.monotonic())
        self._send()
        assert self._transport is not None
        self._transport.close()

    def _go_on(self) -> None:
        now = time.monotonic()
        for event in self.connection.events():
            if isinstance(event, RtpReceived):
                packet = rtp.rewritten(event.packet, event.packet[1] & 0x7F, self.settings.ssrc)
                self.connection.send_rtp(packet, now, event.path)
            else:
                self.events.append(event)
        self._send()
        if self._timer is not None:
            self._timer.cancel()
        due = self.connection.next_timer()
        if due is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due - now), self._timer_is_due)

    def _timer_is_due(self) -> None:
        self.connection.handle_timer(time.monotonic())
        self._go_on()

    def _send(self) -> None:
        assert self._transport is not None
        for path, packet in self.connection.datagrams_to_send(time.monotonic()):
            self._transport.sendto(packet, path.remote)


@asynccontextmanager
async def lone_connection(settings: SessionSettings) -> AsyncIterator[LoneConnection]:
    """Listens on a free port of 127.0.0.1."""
    _, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: LoneConnection(settings), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        server.close()
