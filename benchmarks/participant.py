"""The load: our own DTLS-SRTP client over UDP, which sends at a given rate and counts what it hears.

An SFU sees a real call: ICE with consent, DTLS, SRTP, RTCP reports. What a client itself is late by is noted apart.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections.abc import Callable

from calls_doctor.errors import NetworkError
from calls_doctor.net.sockets import Channel, ChannelOpener
from calls_doctor.wire.connection import Connection, DataReceived, DtlsConnected, SessionSettings
from calls_doctor.wire.framing import PacketKind, packet_kind
from calls_doctor.wire.rtp import HEADER_BYTES, RtpPacket

CONNECT_S, TICK_S = 5.0, 0.02
SENT_AT = struct.Struct("!d")
"""How each payload begins: when its packet was given to the socket, in the loop's time."""


def sent_at(packet: bytes) -> float:
    """When a decrypted RTP packet of `Participant.talk`'s was sent, in the loop's time."""
    at: float = SENT_AT.unpack_from(packet, HEADER_BYTES)[0]
    return at


class Participant:
    """One session. `heard(packet, now)` is given each RTP packet that comes, decrypted; `data` what DTLS carries."""

    def __init__(
        self,
        settings: SessionSettings,
        heard: Callable[[bytes, float], None] | None = None,
        data: Callable[[bytes], None] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings, self._heard, self._data = settings, heard, data
        self._connection = Connection(settings, secrets.token_bytes, self._loop.time())
        self._channel: Channel | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._connected = asyncio.Event()
        self.listens = True
        """False: RTP that comes is thrown away, neither decrypted nor counted: it spares the load much of its work."""
        self.sent = self.received = 0
        self.lateness_s: list[float] = []
        """How late each packet was sent: what the load itself adds."""

    def packet(self, data: bytes) -> None:
        """One packet from the channel."""
        assert self._channel is not None, "the channel is there before what it brings"
        is_rtp = packet_kind(data) is PacketKind.RTP
        if is_rtp and not self.listens:
            return
        now = self._loop.time()
        if is_rtp:
            plain = self._connection.receive_rtp(data, self._channel.path, now)
            if plain is not None:
                self.received += 1
                if self._heard is not None:
                    self._heard(plain, now)
            return
        self._connection.receive(data, self._channel.path, now)
        self._go_on()

    def trouble(self, error: NetworkError) -> None:
        """What it costs is seen by what is not received."""

    async def connect(self, opener: ChannelOpener) -> None:
        """Raises TimeoutError where the call does not come up."""
        self._channel = await opener(self)
        self._connection.add_path(self._channel.path, self._loop.time())
        self._tick()
        async with asyncio.timeout(CONNECT_S):
            await self._connected.wait()

    async def talk(self, packets: int, packets_per_s: int, begin_at: float, payload_bytes: int, step: int) -> None:
        """Sends each packet at its own time from the first; `step` is what the RTP timestamp grows by each time."""
        for number in range(packets):
            due_at = begin_at + number / packets_per_s
            await asyncio.sleep(due_at - self._loop.time())
            now = self._loop.time()
            self.lateness_s.append(now - due_at)
            payload = SENT_AT.pack(now).ljust(payload_bytes, b"\0")
            sequence, timestamp = self.sent & 0xFFFF, self.sent * step & 0xFFFFFFFF
            packet = RtpPacket(self._settings.payload_type, sequence, timestamp, self._settings.ssrc, payload)
            self._connection.send_rtp(bytes(packet), now)
            self.sent += 1
            self._go_on()

    def send_data(self, data: bytes) -> None:
        """Sends DTLS application data."""
        self._connection.send_data(data, self._loop.time())
        self._go_on()

    async def close(self) -> None:
        """Says good-bye."""
        if self._timer is not None:
            self._timer.cancel()
        self._connection.close(self._loop.time())
        self._go_on()
        if self._channel is not None:
            await self._channel.close()

    def _tick(self) -> None:
        """Does what the connection's timer wants done, and sends; from `connect` to `close`."""
        due_at = self._connection.next_timer()
        if due_at is not None and due_at <= self._loop.time():
            self._connection.handle_timer(self._loop.time())
        self._go_on()
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def _go_on(self) -> None:
        """After every call into the connection."""
        if self._channel is not None:
            for _, data in self._connection.datagrams_to_send(self._loop.time()):
                self._channel.send(data)
        for event in self._connection.events():
            if isinstance(event, DtlsConnected):
                self._connected.set()
            elif isinstance(event, DataReceived) and self._data is not None:
                self._data(event.data)
