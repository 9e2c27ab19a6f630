"""One peer of a call: a wire Connection, a channel, a clock and a timer. It decides nothing about ICE, DTLS or RTP.

Where a call fails, CallFailed names the stage: "ice", "dtls" or "media". What was counted is in the connection's books.
"""

from __future__ import annotations

import asyncio
import contextlib

from calls_doctor.errors import CallsDoctorError, Cut, NetworkError, Refused, Silence
from calls_doctor.model.books import SessionBooks
from calls_doctor.net.sockets import Channel
from calls_doctor.wire.connection import (
    Closed,
    Connection,
    DtlsConnected,
    Event,
    Failed,
    RtcpReceived,
    RtpReceived,
    SessionSettings,
)
from calls_doctor.wire.ice import Random
from calls_doctor.wire.rtp import RtpPacket

CLOCK_RATE_HZ = 48000
"""Opus counts in these (RFC 7587)."""
SETTLE_S = 1.0
"""Round trips of a call's first second count only where it is no longer: handshakes keep both machines busy then."""
PAYLOAD_BYTES = 100
"""Of one packet of speech at 40 kbit/s, 20 ms."""


class CallFailed(CallsDoctorError):
    """A call did not come up, or did not last."""

    def __init__(self, stage: str, reason: str, trouble: NetworkError | None = None, code: int | None = None) -> None:
        self.stage, self.reason = stage, reason
        self.trouble = trouble
        """What the network said, where that ended the call."""
        self.code = code
        """What the far end refused it with, where it did."""
        super().__init__(stage, reason, trouble, code)

    def __str__(self) -> str:
        return f"the call fails at {self.stage}: {self.reason}"


class Peer:
    """One session over one channel; the receiver that the channel is opened for.

    `random(n)` gives n random bytes.
    """

    def __init__(self, settings: SessionSettings, random: Random) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings, self._random = settings, random
        self._connection = Connection(settings, random, self._loop.time())
        self._channel: Channel | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._connected = asyncio.Event()
        """Set too where the call has failed."""
        self._failure: CallFailed | None = None
        self.warning: NetworkError | None = None
        """The last ICMP error that did not end the call."""
        self.rtts_s: list[float] = []
        """Round trips that RTCP reports told."""
        self.lateness_s: list[float] = []
        """How much later than due each packet of ours was sent: what this machine itself adds to any measurement."""
        self._news = asyncio.Event()
        self._received_rtp = 0

    @property
    def books(self) -> SessionBooks:
        """What this end counted, as it stands now."""
        return self._connection.books

    @property
    def rtt_s(self) -> float | None:
        """Round trip in seconds, None before the first answer."""
        return self._connection.rtt_s

    def packet(self, data: bytes) -> None:
        """One packet from the channel."""
        if self._channel is not None:
            self._connection.receive(data, self._channel.path, self._loop.time())
            self._go_on()

    def trouble(self, error: NetworkError) -> None:
        """A closed port or a cut connection ends the call; after any other ICMP error packets may still pass."""
        if isinstance(error, Refused | Cut):
            self._fail(self._connection.stage, str(error), error)
        else:
            self.warning = error

    async def connect(self, channel: Channel, timeout_s: float, slow_s: float = 0.0) -> None:
        """Runs ICE and DTLS over the channel, which is this peer's from now on.

        Raises CallFailed with the stage that failed, or that was not done in `timeout_s` of its own; a handshake that
        the far end has begun to answer by then may take until `slow_s`: each lost flight costs it a second and more.
        """
        self._channel = channel
        self._connection.add_path(channel.path, self._loop.time())
        self._go_on()
        decided = await self._is_decided(timeout_s)
        if not decided and not self.books.paths[0].dtls_in:
            decided = await self._is_decided(self.books.timeline.get("ice", 0.0))  # checks that were answered late
        if not decided and self.books.paths[0].dtls_in:
            await self._is_decided(slow_s - timeout_s)
        if not self._connected.is_set():
            self._fail(self._connection.stage, self._unfinished())
        self._raise_failure()

    async def talk(self, duration_s: float, packets_per_s: int, payload_bytes: int = PAYLOAD_BYTES) -> None:
        """Sends RTP at this rate, each packet at its own time from the first, and takes what comes meanwhile.

        Raises CallFailed as soon as the far end is gone.
        """
        began_at = self._loop.time()
        sequence = int.from_bytes(self._random(2), "big")
        timestamp = int.from_bytes(self._random(4), "big")
        for number in range(round(duration_s * packets_per_s)):
            due_at = began_at + number / packets_per_s
            await asyncio.sleep(due_at - self._loop.time())
            self.lateness_s.append(self._loop.time() - due_at)
            self._raise_failure()
            if number == round(SETTLE_S * packets_per_s):
                self.rtts_s.clear()
            packet = RtpPacket(
                payload_type=self._settings.payload_type,
                sequence=(sequence + number) & 0xFFFF,
                timestamp=(timestamp + number * CLOCK_RATE_HZ // packets_per_s) & 0xFFFFFFFF,
                ssrc=self._settings.ssrc,
                payload=bytes(payload_bytes),
                marker=number == 0,
            )
            self._connection.send_rtp(bytes(packet), self._loop.time())
            self._go_on()
        self._raise_failure()

    async def heard(self, packets: int, timeout_s: float) -> None:
        """Waits until so many RTP packets have come in all, at most `timeout_s`: what was sent last is on its way."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._received_rtp < packets and self._failure is None:
                    self._news.clear()
                    await self._news.wait()

    async def close(self) -> None:
        """Says good-bye and closes the channel. May be called whatever happened before."""
        channel, self._channel = self._channel, None
        self._stop_timer()
        self._connection.close(self._loop.time())
        if channel is not None:
            for _, data in self._connection.datagrams_to_send(self._loop.time()):
                channel.send(data)
            await channel.close()

    def _go_on(self) -> None:
        """After every call into the connection: sends, hears what happened, sets the timer."""
        channel = self._channel
        if channel is None:
            return
        for _, data in self._connection.datagrams_to_send(self._loop.time()):
            channel.send(data)
        for event in self._connection.events():
            self._take(event)
        due_at = None if self._failure else self._connection.next_timer()
        if self._timer is not None and self._timer.when() != due_at:
            self._stop_timer()
        if due_at is not None and self._timer is None:
            self._timer = self._loop.call_at(due_at, self._on_timer)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        self._connection.handle_timer(self._loop.time())
        self._go_on()

    def _take(self, event: Event) -> None:
        match event:
            case RtpReceived():
                self._received_rtp += 1
                self._news.set()
            case RtcpReceived() if self._connection.rtt_s is not None:
                self.rtts_s.append(self._connection.rtt_s)
            case DtlsConnected():
                self._connected.set()
            case Failed(stage, reason, code):
                silence = Silence("a connectivity check") if self._connection.expired else None
                self._fail(stage, f"{reason}; {self.warning}" if self.warning else reason, silence, code)
            case Closed():
                self._fail(self._connection.stage, "the far end ended the session")
            case _:
                pass  # it is in the books

    def _fail(self, stage: str, reason: str, trouble: NetworkError | None = None, code: int | None = None) -> None:
        if self._failure is None:
            stage = "media" if self._connected.is_set() else stage
            self._failure = CallFailed(stage, reason, trouble, code)
            self._stop_timer()
            self._connected.set()
            self._news.set()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _is_decided(self, timeout_s: float) -> bool:
        """Waits until the call has come up or failed; False where neither came of it in `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._connected.wait()
        return self._connected.is_set()

    def _unfinished(self) -> str:
        """Why nothing was decided."""
        path = self.books.paths[0]
        if self._connection.stage == "ice":
            return f"no connectivity check was answered: {path.stun_out} sent"
        again = f", {self.books.dtls_retransmissions} of them again" if self.books.dtls_retransmissions else ""
        return f"the DTLS handshake came to no end: {path.dtls_out} datagrams sent{again}, {path.dtls_in} received"
