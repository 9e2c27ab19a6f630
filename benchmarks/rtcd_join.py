"""From the WebSocket's opening to the first RTP packet at the other session, through rtcd itself: our call and
aiortc's, in turns.

python -m benchmarks.rtcd_join [ROUNDS]

Both speak as the client in a browser does: a data channel first, the lock, then a voice. Ours is the doctor's own call,
in which both sessions have a voice; of aiortc's the first alone has one, as it has less to do. Both wait for rtcd's
hello; ours is counted from before it, aiortc's from after it. RTCD_BIN names rtcd's binary; Linux only.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.quality import Figure, record
from calls_doctor.model.credentials import Secret
from calls_doctor.model.flow import Transport
from calls_doctor.net import rtcd_call
from calls_doctor.net.rtcd_access import RtcdAccess, straight
from tests.servers.rtcd_callers import Room
from tests.servers.rtcd_server import BINARY, RtcdServer, rtcd_server

ROUNDS = 25
MEDIA_TIME_S, FIRST_S, BETWEEN_S = 0.1, 5.0, 0.2
COMMAND = "python -m benchmarks.rtcd_join"


@dataclass(frozen=True)
class Rounds:
    """Times in seconds, one for each round."""

    over_udp: list[float] = field(default_factory=list)
    over_tcp: list[float] = field(default_factory=list)
    aiortc: list[float] = field(default_factory=list)
    """Over UDP: it knows no ICE-TCP."""


async def ours(server: RtcdServer, transport: Transport) -> float:
    """Raises the call's failure."""
    access = RtcdAccess(url=server.url, authorization=Secret(server.authorization[1]))
    outcome = await rtcd_call.hold(access, [straight(transport)] * 2, MEDIA_TIME_S)
    if outcome.call.failure is not None:
        raise outcome.call.failure
    first_rtp_s: float = outcome.signalling["first_rtp_s"]
    return first_rtp_s


async def aiortcs(server: RtcdServer) -> float:
    """Raises TimeoutError."""
    room = Room(server)
    try:
        await room.open()
        began_at = asyncio.get_running_loop().time()
        async with asyncio.timeout(FIRST_S):
            speaker, listener = await room.both_join()
            await speaker.opened.wait()
            speaker.publish()
            await listener.heard.wait()
        return listener.heard_at - began_at
    finally:
        await room.close()


async def measured(rounds: int) -> Rounds:
    """Each has its turn in every round; the first round warms all up and is not counted."""
    found = Rounds()
    async with rtcd_server() as server:
        for number in range(1 + rounds):
            for times, one in (
                (found.over_udp, ours(server, Transport.UDP)),
                (found.aiortc, aiortcs(server)),
                (found.over_tcp, ours(server, Transport.TCP)),
            ):
                took_s = await one
                if number:
                    times.append(took_s)
                await asyncio.sleep(BETWEEN_S)
    return found


def shown(times_s: Sequence[float]) -> str:
    """Median and range."""
    return f"{median(times_s) * 1000:.1f} ms ({min(times_s) * 1000:.1f} to {max(times_s) * 1000:.1f})"


def figure(found: Rounds) -> Figure:
    """The bar: our median over UDP is not above aiortc's."""
    return Figure(
        "a call through rtcd, from its WebSocket's opening to the first RTP at the other session",
        "median over UDP not above aiortc's",
        f"{shown(found.over_udp)} against {shown(found.aiortc)}, {len(found.aiortc)} rounds; "
        f"over ICE-TCP {shown(found.over_tcp)}",
        median(found.over_udp) <= median(found.aiortc),
        COMMAND,
    )


def main(arguments: Sequence[str]) -> int:
    """Measures, prints, writes down; without an rtcd it says so."""
    if BINARY not in os.environ:
        sys.stdout.write(f"skipped: {BINARY} names no binary\n")
        return 0
    return record(figure(asyncio.run(measured(int(arguments[0]) if arguments else ROUNDS))))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
