"""CPU per forwarded packet, one sender to nine receivers: the stand-in's SFU against others, in turns.

python -m benchmarks.forwarding [ROUNDS]

The clients, all in this process, are the same everywhere (benchmarks/participant.py). What is divided is the user and
system time of the SFU's process while the sender talked, what is divided by are the packets that the receivers
decrypted: an SFU that loses does not gain by it. Each round has every SFU once, so that what else the machine does
meets all; a ratio is of two measurements of one round. aiortc decodes and encodes, and is compared a second time at a
rate that it can carry. rtcd takes part where RTCD_BIN names its binary. Linux only.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from statistics import median

from benchmarks.conference import at, cpu_s
from benchmarks.participant import Participant
from benchmarks.quality import Figure, record
from benchmarks.rtcd_sfu import rtcd
from benchmarks.sfus import Sfu, aiortc, ours
from tests.servers.rtcd_server import BINARY

ROUNDS, RECEIVERS, PACKETS_PER_S, SPEECH_PACKETS_PER_S, DURATION_S = 3, 9, 800, 50, 5.0
PAYLOAD_BYTES, TIMESTAMP_STEP = 160, 160
"""20 ms of PCMU."""
WARM_UP_S, WARM_UP_PACKETS, BEGIN_S, DRAIN_S = 5.0, 25, 0.02, 0.5
COMMAND = "python -m benchmarks.forwarding"

Start = Callable[[], AbstractAsyncContextManager[Sfu]]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One SFU in one round."""

    name: str
    expected: int
    received: int
    cpu_s: float
    late_s: float
    """p99 of how late the sender was."""

    @property
    def cpu_per_packet_s(self) -> float:
        """Of one packet that a receiver really got; infinite where none did."""
        return self.cpu_s / self.received if self.received else float("inf")


async def measured(start: Start, packets_per_s: int, duration_s: float) -> Measured:
    """One SFU, from its start to its end. Raises TimeoutError where a client does not come in or hears nothing."""
    async with start() as sfu:
        clients: list[Participant] = []
        try:
            for _ in range(1 + RECEIVERS):
                clients.append(await sfu.join())
            sender, *receivers = clients
            await _warm_up(sender, receivers)
            before, before_s = sum(one.received for one in receivers), cpu_s(sfu.pid)
            sender.lateness_s.clear()
            packets = round(duration_s * packets_per_s)
            await _talk(sender, packets, packets_per_s)
            await asyncio.sleep(DRAIN_S)
            return Measured(
                name=sfu.name,
                expected=packets * RECEIVERS,
                received=sum(one.received for one in receivers) - before,
                cpu_s=cpu_s(sfu.pid) - before_s,
                late_s=at(sorted(sender.lateness_s), 0.99),
            )
        finally:
            for one in clients:
                await one.close()


async def _warm_up(sender: Participant, receivers: Sequence[Participant]) -> None:
    """Talks until all hear it: rtcd offers a track when its first packet comes."""
    async with asyncio.timeout(WARM_UP_S):
        while not all(one.received for one in receivers):
            await _talk(sender, WARM_UP_PACKETS, SPEECH_PACKETS_PER_S)
    await asyncio.sleep(DRAIN_S)


async def _talk(sender: Participant, packets: int, packets_per_s: int) -> None:
    begin_at = asyncio.get_running_loop().time() + BEGIN_S
    await sender.talk(packets, packets_per_s, begin_at, PAYLOAD_BYTES, TIMESTAMP_STEP)


def against(name: str, rounds: Sequence[Sequence[Measured]], packets_per_s: int, most: float) -> Figure:
    """Ours against the one of this name; the bar: at most this ratio, and every packet of ours received."""
    mine, others = (_of(one, rounds) for one in ("ours", name))
    ratios = [one.cpu_per_packet_s / other.cpu_per_packet_s for one, other in zip(mine, others, strict=True)]
    return Figure(
        f"CPU per forwarded packet against {name}'s, 1 sender to {RECEIVERS} receivers at {packets_per_s} packets/s",
        f"at most {most:g} times, none lost",
        f"{median(ratios):.3g} times (median of {len(ratios)} rounds, {min(ratios):.3g} to {max(ratios):.3g}): "
        f"{_shown(mine)} against {_shown(others)}; "
        f"the sender late by p99 {max(one.late_s for one in mine) * 1000:.2f} ms",
        median(ratios) <= most and all(one.received == one.expected for one in mine),
        COMMAND,
    )


def _of(name: str, rounds: Sequence[Sequence[Measured]]) -> list[Measured]:
    return [one for row in rounds for one in row if one.name == name]


def _shown(rows: Sequence[Measured]) -> str:
    costs_us = [one.cpu_per_packet_s * 1e6 for one in rows]
    expected, received = sum(one.expected for one in rows), sum(one.received for one in rows)
    return (
        f"{median(costs_us):.1f} µs ({min(costs_us):.1f} to {max(costs_us):.1f}), "
        f"{expected - received} of {expected} lost"
    )


async def _rounds(starts: Sequence[Start], packets_per_s: int, rounds: int) -> list[list[Measured]]:
    return [[await measured(start, packets_per_s, DURATION_S) for start in starts] for _ in range(rounds)]


def main(arguments: Sequence[str]) -> int:
    """Measures, prints, writes down."""
    rounds = int(arguments[0]) if arguments else ROUNDS
    rtcds: list[Start] = [rtcd] if BINARY in os.environ else []
    fast = asyncio.run(_rounds([ours, *rtcds, aiortc], PACKETS_PER_S, rounds))
    slow = asyncio.run(_rounds([ours, aiortc], SPEECH_PACKETS_PER_S, rounds))
    return record(
        *(against("rtcd", fast, PACKETS_PER_S, 1) for _ in rtcds),
        against("aiortc", fast, PACKETS_PER_S, 1),
        against("aiortc", slow, SPEECH_PACKETS_PER_S, 1),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
