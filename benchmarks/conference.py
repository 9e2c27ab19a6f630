"""A call in which everybody talks: what the stand-in, a process of its own, loses, how long it takes, what it costs.

python -m benchmarks.conference [SECONDS]

First the call of the bar, then calls of ever more participants until packets are lost: where it breaks. There only ten
of them decrypt and count what they hear, or this process would break before the stand-in's.
The participants are our own DTLS-SRTP clients, all in this process; the delay is from the moment a packet was given to
the socket to the moment its copy was decrypted, so it holds this process's own queues too: an upper bound. Linux only.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.participant import Participant, sent_at
from benchmarks.quality import Figure, record
from calls_doctor.model.flow import Transport
from calls_doctor.model.site import MediaAddress
from calls_doctor.net.paired import PairedHost
from calls_doctor.standin.launch import Options, StandInProcess
from calls_doctor.wire.direct import CONFERENCE_LEGS

PARTICIPANTS, PACKETS_PER_S, DURATION_S = 10, 50, 60.0
P99_BAR_S = 0.010
STEPS, STEP_S, LISTENERS = (15, 20, 25, 30, 35, 40, 50, 60), 6.0, 10
"""Participants of the calls that look for the end, and how long each lasts. A stand-in has room for 64 sessions."""
BEGIN_S, DRAIN_S = 0.02, 0.5
PAYLOAD_BYTES, TIMESTAMP_STEP = 100, 960
"""Of 20 ms of speech: 40 kbit/s; Opus counts 48000 a second."""
COMMAND = "python -m benchmarks.conference"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one call."""

    participants: int
    listeners: int
    sent: int
    expected: int
    """By those who listen."""
    received: int
    delays_s: Sequence[float]
    """Of every packet received, ascending."""
    lateness_s: Sequence[float]
    """How late each packet was sent by the clients, ascending: what the load itself adds."""
    cpu_s: float
    """User and system time of the stand-in's process while media flowed."""
    load_cpu_s: float
    """The same of this process."""
    duration_s: float

    @property
    def holds(self) -> bool:
        """None lost, none late."""
        return self.received == self.expected and at(self.delays_s, 0.99) < P99_BAR_S

    @property
    def cpu_per_packet_s(self) -> float:
        """Of one packet that a participant really got, or would have counted had it listened."""
        return self.cpu_s / max(1, self.received) * self.listeners / self.participants

    def __str__(self) -> str:
        p50_ms, p99_ms, late_ms = (
            at(values, ratio) * 1000
            for values, ratio in ((self.delays_s, 0.5), (self.delays_s, 0.99), (self.lateness_s, 0.99))
        )
        return (
            f"{self.expected - self.received} of {self.expected} lost, delay p50 {p50_ms:.2f} ms, p99 {p99_ms:.2f} ms, "
            f"{self.cpu_per_packet_s * 1e6:.1f} µs of CPU per packet forwarded, "
            f"{self.cpu_s / self.duration_s:.0%} of a core; the load {self.load_cpu_s / self.duration_s:.0%} of one, "
            f"late by p99 {late_ms:.2f} ms"
        )


def at(ascending: Sequence[float], ratio: float) -> float:
    """The value below which this share of the values lies; infinite where there are none."""
    return ascending[min(len(ascending) - 1, int(len(ascending) * ratio))] if ascending else float("inf")


async def hold(participants: int, packets_per_s: int, duration_s: float, listeners: int) -> Outcome:
    """One call against a stand-in of its own. Raises TimeoutError where a participant does not come in."""
    process = StandInProcess(Options(without=frozenset({"api", "stun", "turn"})))
    async with process as ready:
        link = ready.pairing
        paired = PairedHost(link, MediaAddress(host=link.address, udp_port=link.port, tcp_port=link.port))
        call = paired.new_call()
        delays_s: list[float] = []

        def heard(packet: bytes, now: float) -> None:
            delays_s.append(now - sent_at(packet))

        people = [Participant(paired.session_settings(CONFERENCE_LEGS[0], call), heard) for _ in range(participants)]
        try:
            for one in people:
                await one.connect(paired.opener(Transport.UDP))
            for one in people[listeners:]:
                one.listens = False
            before_s, load_before_s = cpu_s(process.pid), cpu_s(os.getpid())
            begin_at = asyncio.get_running_loop().time() + BEGIN_S
            packets = round(duration_s * packets_per_s)
            await asyncio.gather(*(
                one.talk(
                    packets, packets_per_s, begin_at + number / participants / packets_per_s,
                    PAYLOAD_BYTES, TIMESTAMP_STEP,
                )
                for number, one in enumerate(people)
            ))  # fmt: skip
            await asyncio.sleep(DRAIN_S)
            used_s, load_used_s = cpu_s(process.pid) - before_s, cpu_s(os.getpid()) - load_before_s
        finally:
            for one in people:
                await one.close()
    sent = sum(one.sent for one in people)
    return Outcome(
        participants=participants,
        sent=sent,
        listeners=min(listeners, participants),
        expected=sum(sent - one.sent for one in people[:listeners]),
        received=len(delays_s),
        delays_s=sorted(delays_s),
        lateness_s=sorted(late for one in people for late in one.lateness_s),
        cpu_s=used_s,
        load_cpu_s=load_used_s,
        duration_s=duration_s,
    )


def cpu_s(pid: int) -> float:
    """User and system time of a process so far, to the nanosecond: its CPU clock (clock_getcpuclockid(3)), whose number
    Linux makes of the process id. Raises OSError where the process has ended."""
    return time.clock_gettime(~pid << 3 | 2)


async def step_up(steps: Sequence[int], packets_per_s: int, step_s: float) -> Figure:
    """Calls of so many participants, up to the first that loses packets."""
    rows: list[Outcome] = []
    for participants in steps:
        rows.append(await hold(participants, packets_per_s, step_s, LISTENERS))
        if rows[-1].received < rows[-1].expected:
            break
    whole = [one.participants for one in rows if one.received == one.expected]
    in_time = [one.participants for one in rows if one.holds]
    return Figure(
        f"ever more participants all talking at {packets_per_s} packets/s for {step_s:g} s: where it breaks",
        "stated",
        f"up to {max(whole, default=0)} none lost, up to {max(in_time, default=0)} p99 under {P99_BAR_S * 1000:g} ms. "
        + "; ".join(f"{one.participants}: {one}" for one in rows),
        bool(in_time),
        COMMAND,
    )


def main(arguments: Sequence[str]) -> int:
    """Measures, prints, writes down."""
    duration_s = float(arguments[0]) if arguments else DURATION_S
    outcome = asyncio.run(hold(PARTICIPANTS, PACKETS_PER_S, duration_s, PARTICIPANTS))
    return record(
        Figure(
            f"{PARTICIPANTS} participants all talking at {PACKETS_PER_S} packets/s for {duration_s:g} s",
            f"none lost, delay p99 under {P99_BAR_S * 1000:g} ms",
            str(outcome),
            outcome.holds,
            COMMAND,
        ),
        asyncio.run(step_up(STEPS, PACKETS_PER_S, STEP_S)),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
