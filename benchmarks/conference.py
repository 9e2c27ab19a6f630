"""A call in which everybody talks: what the stand-in, a process of its own, loses, how long it takes, what it costs.

python -m benchmarks.conference [SECONDS]

The participants are our own DTLS-SRTP clients, all in this process; the delay is from the moment a packet was given to
the socket to the moment its copy was decrypted, so it holds this process's own queues too: an upper bound. Linux only.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.quality import Figure, record
from calls_doctor.errors import NetworkError
from calls_doctor.model.flow import Transport
from calls_doctor.model.site import MediaAddress
from calls_doctor.net.paired import PairedHost
from calls_doctor.net.sockets import Channel
from calls_doctor.standin.launch import Options, StandInProcess
from calls_doctor.wire.connection import Connection, DtlsConnected, SessionSettings
from calls_doctor.wire.direct import CONFERENCE_LEGS
from calls_doctor.wire.framing import PacketKind, packet_kind
from calls_doctor.wire.rtp import HEADER_BYTES, RtpPacket

PARTICIPANTS, PACKETS_PER_S, DURATION_S = 10, 50, 60.0
P99_BAR_S = 0.010
CONNECT_S, DRAIN_S, TICK_S = 5.0, 0.5, 0.02
PAYLOAD_BYTES = 100
SENT_AT = struct.Struct("!d")
COMMAND = "python -m benchmarks.conference"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one call."""

    sent: int
    expected: int
    received: int
    delays_s: Sequence[float]
    """Of every packet received, ascending."""
    lateness_s: Sequence[float]
    """How late each packet was sent by the clients, ascending: what the load itself adds."""
    cpu_s: float
    """User and system time of the stand-in's process while media flowed."""

    @property
    def cpu_per_packet_s(self) -> float:
        """Of one packet that a participant really got."""
        return self.cpu_s / max(1, self.received)

    def __str__(self) -> str:
        p50_ms, p99_ms = (at(self.delays_s, ratio) * 1000 for ratio in (0.5, 0.99))
        return (
            f"{self.expected - self.received} of {self.expected} lost; delay p50 {p50_ms:.2f} ms, p99 {p99_ms:.2f} ms; "
            f"{self.cpu_per_packet_s * 1e6:.1f} µs of CPU per packet forwarded; "
            f"the load late by p99 {at(self.lateness_s, 0.99) * 1000:.2f} ms"
        )


def at(ascending: Sequence[float], ratio: float) -> float:
    """The value below which this share of the values lies; infinite where there are none."""
    return ascending[min(len(ascending) - 1, int(len(ascending) * ratio))] if ascending else float("inf")


class Participant:
    """One session over UDP that talks and notes how long what it hears was on its way."""

    def __init__(self, settings: SessionSettings) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._connection = Connection(settings, secrets.token_bytes, self._loop.time())
        self._channel: Channel | None = None
        self.connected = asyncio.Event()
        self.sent = 0
        self.delays_s: list[float] = []
        self.lateness_s: list[float] = []

    def packet(self, data: bytes) -> None:
        """One packet from the channel."""
        assert self._channel is not None, "the channel is there before what it brings"
        now = self._loop.time()
        if packet_kind(data) is PacketKind.RTP:
            plain = self._connection.receive_rtp(data, self._channel.path, now)
            if plain is not None:
                self.delays_s.append(now - SENT_AT.unpack_from(plain, HEADER_BYTES)[0])
            return
        self._connection.receive(data, self._channel.path, now)
        self.go_on()

    def trouble(self, error: NetworkError) -> None:
        """What it costs is seen by what is not received."""

    async def connect(self, paired: PairedHost) -> None:
        """Raises TimeoutError where the call does not come up."""
        self._channel = await paired.opener(Transport.UDP)(self)
        self._connection.add_path(self._channel.path, self._loop.time())
        self.go_on()
        async with asyncio.timeout(CONNECT_S):
            while not self.connected.is_set():
                await asyncio.sleep(TICK_S)
                self.tick()

    async def talk(self, packets: int, packets_per_s: int, begin_at: float) -> None:
        """Sends each packet at its own time from the first."""
        for number in range(packets):
            due_at = begin_at + number / packets_per_s
            await asyncio.sleep(due_at - self._loop.time())
            now = self._loop.time()
            self.lateness_s.append(now - due_at)
            payload = SENT_AT.pack(now).ljust(PAYLOAD_BYTES, b"\0")
            packet = RtpPacket(self._settings.payload_type, number & 0xFFFF, number * 960, self._settings.ssrc, payload)
            self._connection.send_rtp(bytes(packet), now)
            self.sent += 1
            self.tick()

    def tick(self) -> None:
        """Does what the connection's timer wants done, and sends."""
        due_at = self._connection.next_timer()
        if due_at is not None and due_at <= self._loop.time():
            self._connection.handle_timer(self._loop.time())
        self.go_on()

    def go_on(self) -> None:
        """After every call into the connection."""
        if self._channel is not None:
            for _, data in self._connection.datagrams_to_send(self._loop.time()):
                self._channel.send(data)
        if any(isinstance(event, DtlsConnected) for event in self._connection.events()):
            self.connected.set()

    async def close(self) -> None:
        """Says good-bye."""
        self._connection.close(self._loop.time())
        self.go_on()
        if self._channel is not None:
            await self._channel.close()


async def hold(participants: int, packets_per_s: int, duration_s: float) -> Outcome:
    """One call against a stand-in of its own. Raises TimeoutError where a participant does not come in."""
    process = StandInProcess(Options(without=frozenset({"api", "stun", "turn"})))
    async with process as ready:
        link = ready.pairing
        paired = PairedHost(link, MediaAddress(host=link.address, udp_port=link.port, tcp_port=link.port))
        call = paired.new_call()
        people = [Participant(paired.session_settings(CONFERENCE_LEGS[0], call)) for _ in range(participants)]
        try:
            for one in people:
                await one.connect(paired)
            before_s = cpu_s(process.pid)
            begin_at = asyncio.get_running_loop().time() + TICK_S
            packets = round(duration_s * packets_per_s)
            await asyncio.gather(*(
                one.talk(packets, packets_per_s, begin_at + number / participants / packets_per_s)
                for number, one in enumerate(people)
            ))  # fmt: skip
            await asyncio.sleep(DRAIN_S)
            used_s = cpu_s(process.pid) - before_s
        finally:
            for one in people:
                await one.close()
    sent = sum(one.sent for one in people)
    return Outcome(
        sent=sent,
        expected=sent * (participants - 1),
        received=sum(len(one.delays_s) for one in people),
        delays_s=sorted(delay for one in people for delay in one.delays_s),
        lateness_s=sorted(late for one in people for late in one.lateness_s),
        cpu_s=used_s,
    )


def cpu_s(pid: int) -> float:
    """User and system time of a process so far (proc(5): fields 14 and 15 of stat, in ticks)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(arguments: Sequence[str]) -> int:
    """Measures, prints, writes down."""
    duration_s = float(arguments[0]) if arguments else DURATION_S
    outcome = asyncio.run(hold(PARTICIPANTS, PACKETS_PER_S, duration_s))
    return record(
        Figure(
            f"{PARTICIPANTS} participants all talking at {PACKETS_PER_S} packets/s for {duration_s:g} s",
            f"none lost, delay p99 under {P99_BAR_S * 1000:g} ms",
            str(outcome),
            outcome.received == outcome.expected and at(outcome.delays_s, 0.99) < P99_BAR_S,
            COMMAND,
        )
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
