"""One peer of a call: a wire Connection, its channels, a clock and a timer. It decides nothing about ICE, DTLS or RTP.

Where a call fails, CallFailed names the stage: "ice", "dtls" or "media". What was counted is in the connection's books.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from calls_doctor.errors import CallsDoctorError, Cut, NetworkError, Refused, Silence
from calls_doctor.model.books import SessionBooks
from calls_doctor.model.check import Evidence
from calls_doctor.model.flow import Path
from calls_doctor.net.sockets import Channel, ChannelOpener, trouble_word
from calls_doctor.wire.connection import (
    Closed,
    Connection,
    DataReceived,
    DtlsConnected,
    Event,
    Failed,
    IceConnected,
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

    def evidence(self) -> Evidence:
        """At which stage, and what was seen there."""
        evidence: Evidence = {"stage": self.stage, "detail": self.reason}
        if self.trouble is not None:
            evidence["trouble"] = trouble_word(self.trouble)
        if self.code is not None:
            evidence["code"] = self.code
        return evidence


class Peer:
    """One session: over one channel, whose receiver it is itself, or over each that it is told to `try_way`.

    `random(n)` gives n random bytes; `data` is given what DTLS brings that is no media, `rtcp` each compound packet,
    `failed` why the call ended.
    """

    def __init__(
        self,
        settings: SessionSettings,
        random: Random,
        *,
        data: Callable[[bytes], None] | None = None,
        rtcp: Callable[[bytes], None] | None = None,
        failed: Callable[[CallFailed], None] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings, self._data, self._rtcp, self._failed = settings, data, rtcp, failed
        self._connection = Connection(settings, random, self._loop.time())
        self._channels: dict[Path, Channel] = {}
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
        self._received_rtp = self._sent_rtp = 0
        self.first_sent = int.from_bytes(random(2), "big")
        """Sequence number of the first RTP packet that is sent."""
        self.first_heard: int | None = None
        """That of the first that came."""
        self.first_heard_at = self.heard_at = 0.0
        """When that and the last one came, in the loop's time."""
        self.answered_at: float | None = None
        """When the first connectivity check was sent that was answered, in the loop's time."""
        self._timestamp = int.from_bytes(random(4), "big")

    @property
    def books(self) -> SessionBooks:
        """What this end counted, as it stands now."""
        return self._connection.books

    @property
    def answered(self) -> frozenset[Path]:
        """The paths on which a check of ours was answered."""
        return self._connection.answered

    @property
    def rtt_s(self) -> float | None:
        """Round trip in seconds, None before the first answer."""
        return self._connection.rtt_s

    @property
    def stage(self) -> str:
        """What the call is at: "ice", "dtls" or "media"."""
        return "media" if self._connection.stage == "rtp" else self._connection.stage

    def packet(self, data: bytes) -> None:
        """One packet from the channel."""
        for path in self._channels:
            self._receive(data, path)
            return

    def trouble(self, error: NetworkError) -> None:
        """A closed port or a cut connection ends the call; after any other ICMP error packets may still pass."""
        if isinstance(error, Refused | Cut):
            self._fail(self._connection.stage, str(error), error)
        else:
            self.warning = error

    async def connect(self, channel: Channel, timeout_s: float, slow_s: float = 0.0) -> None:
        """Runs ICE and DTLS over the channel, which is this peer's from now on. Raises what `come_up` raises."""
        self._add(channel)
        await self.come_up(timeout_s, slow_s)

    async def try_way(self, opener: ChannelOpener) -> Path:
        """One more way, beside others: what ends it ends the call only where no other is left. Raises NetworkError."""
        way = _Way(self)
        way.channel = await opener(way)
        self._add(way.channel)
        return way.channel.path

    async def come_up(self, timeout_s: float, slow_s: float = 0.0) -> None:
        """Runs ICE and DTLS over what there is.

        Raises CallFailed with the stage that failed, or that was not done in `timeout_s` of its own; a handshake that
        the far end has begun to answer by then may take until `slow_s`: each lost flight costs it a second and more.
        """
        decided = await self._is_decided(timeout_s)
        if not decided and not self._dtls_in:
            decided = await self._is_decided(self.books.timeline.get("ice", 0.0))  # checks that were answered late
        if not decided and self._dtls_in:
            await self._is_decided(slow_s - timeout_s)
        if not self._connected.is_set():
            self._fail(self._connection.stage, self._unfinished())
        self._raise_failure()

    async def talk(self, duration_s: float, packets_per_s: int, payload_bytes: int = PAYLOAD_BYTES) -> None:
        """Sends RTP at this rate, each packet at its own time from the first, and takes what comes meanwhile.

        Raises CallFailed as soon as the far end is gone.
        """
        began_at = self._loop.time()
        for number in range(round(duration_s * packets_per_s)):
            due_at = began_at + number / packets_per_s
            await asyncio.sleep(due_at - self._loop.time())
            self.lateness_s.append(self._loop.time() - due_at)
            self._raise_failure()
            if number == round(SETTLE_S * packets_per_s):
                self.rtts_s.clear()
            packet = RtpPacket(
                payload_type=self._settings.payload_type,
                sequence=(self.first_sent + self._sent_rtp) & 0xFFFF,
                timestamp=(self._timestamp + self._sent_rtp * CLOCK_RATE_HZ // packets_per_s) & 0xFFFFFFFF,
                ssrc=self._settings.ssrc,
                payload=bytes(payload_bytes),
                marker=number == 0,
            )
            self._sent_rtp += 1
            self._connection.send_rtp(bytes(packet), self._loop.time())
            self._go_on()
        self._raise_failure()

    def send_rtp(self, packet: RtpPacket) -> None:
        """Sends one packet of another stream than the voice. Raises CallFailed as soon as the far end is gone."""
        self._raise_failure()
        self._connection.send_rtp(bytes(packet), self._loop.time())
        self._go_on()

    def send_rtcp(self, packet: bytes) -> None:
        """Sends one compound packet."""
        self._connection.send_rtcp(packet, self._loop.time())
        self._go_on()

    def watch(self, *, closely: bool) -> None:
        """Whether a far end that is gone is to be found out as soon as while a handshake runs."""
        self._connection.watch(self._loop.time(), closely=closely)
        self._go_on()

    def send_data(self, data: bytes) -> None:
        """Sends what is no media over DTLS, where that is up."""
        self._connection.send_data(data, self._loop.time())
        self._go_on()

    async def heard(self, packets: int, timeout_s: float) -> None:
        """Waits until so many RTP packets have come in all, at most `timeout_s`: what was sent last is on its way."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._received_rtp < packets and self._failure is None:
                    self._news.clear()
                    await self._news.wait()

    def give_up(self, failure: CallFailed) -> None:
        """The call is over, here for a reason that others know; the first one counts."""
        if self._failure is None:
            self._failure = failure
            self._stop_timer()
            self._connected.set()
            self._news.set()
            if self._failed is not None:
                self._failed(failure)

    async def close(self) -> None:
        """Says good-bye and closes the channels. May be called whatever happened before."""
        channels, self._channels = self._channels, {}
        self._stop_timer()
        self._connection.close(self._loop.time())
        for path, data in self._connection.datagrams_to_send(self._loop.time()):
            if path in channels:
                channels[path].send(data)
        await asyncio.gather(*(channel.close() for channel in channels.values()))

    def _add(self, channel: Channel) -> None:
        self._channels[channel.path] = channel
        self._connection.add_path(channel.path, self._loop.time())
        self._go_on()

    def _receive(self, data: bytes, path: Path) -> None:
        if path in self._channels:
            self._connection.receive(data, path, self._loop.time())
            self._go_on()

    def _lose(self, path: Path, error: NetworkError) -> None:
        """A way is gone."""
        self.warning = error
        if path in self._channels:
            self._connection.remove_path(path, self._loop.time())
            self._go_on()

    def _go_on(self) -> None:
        """After every call into the connection: sends, hears what happened, sets the timer."""
        if not self._channels:
            return
        for path, data in self._connection.datagrams_to_send(self._loop.time()):
            if path in self._channels:
                self._channels[path].send(data)
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
            case RtpReceived(packet):
                self._received_rtp += 1
                self.heard_at = self._loop.time()
                if self.first_heard is None:
                    self.first_heard, self.first_heard_at = int.from_bytes(packet[2:4], "big"), self.heard_at
                self._news.set()
            case RtcpReceived(packet=packet):
                self._take_rtcp(packet)
            case DataReceived(data) if self._data is not None:
                self._data(data)
            case IceConnected():
                self.answered_at = self._loop.time() - (self._connection.rtt_s or 0.0)
            case DtlsConnected():
                self._connected.set()
            case Failed(stage, reason, code):
                self._fail(stage, f"{reason}; {self.warning}" if self.warning else reason, self._end_of_ways(), code)
            case Closed():
                self._fail(self._connection.stage, "the far end ended the session")
            case _:
                pass  # it is in the books

    def _take_rtcp(self, packet: bytes) -> None:
        if self._connection.rtt_s is not None:
            self.rtts_s.append(self._connection.rtt_s)
        if self._rtcp is not None:
            self._rtcp(packet)

    def _fail(self, stage: str, reason: str, trouble: NetworkError | None = None, code: int | None = None) -> None:
        stage = "media" if self._connected.is_set() and self._failure is None else stage
        self.give_up(CallFailed(stage, reason, trouble, code))

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _end_of_ways(self) -> NetworkError | None:
        """What the network said that left no way."""
        if self._connection.expired:
            return Silence("a connectivity check")
        return self.warning if isinstance(self.warning, Refused | Cut) else None

    async def _is_decided(self, timeout_s: float) -> bool:
        """Waits until the call has come up or failed; False where neither came of it in `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._connected.wait()
        return self._connected.is_set()

    def _unfinished(self) -> str:
        """Why nothing was decided."""
        paths = self.books.paths
        if self._connection.stage == "ice":
            return f"no connectivity check was answered: {sum(path.stun_out for path in paths)} sent"
        again = f", {self.books.dtls_retransmissions} of them again" if self.books.dtls_retransmissions else ""
        sent = sum(path.dtls_out for path in paths)
        return f"the DTLS handshake came to no end: {sent} datagrams sent{again}, {self._dtls_in} received"

    @property
    def _dtls_in(self) -> int:
        return sum(path.dtls_in for path in self.books.paths)


class _Way:
    """Who takes what one of several channels brings."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.channel: Channel | None = None

    def packet(self, data: bytes) -> None:
        if self.channel is not None:
            self._peer._receive(data, self.channel.path)

    def trouble(self, error: NetworkError) -> None:
        if isinstance(error, Refused | Cut) and self.channel is not None:
            self._peer._lose(self.channel.path, error)
        else:
            self._peer.warning = error
