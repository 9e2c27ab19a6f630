"""A healthy path on which each packet takes 100 ms more each way: how many round trips does each answer take?

python -m benchmarks.round_trips

`serve` and `check` run in namespaces of the tests' lab; the router between them delays. Needs root; Linux only.
From the first probe's start to each check's end, less the media windows that it waited for: its own, where it holds a
call, and those of the longest chain of checks before it. No silence is part of a healthy run but what proves that a
port is closed; such proofs run beside the others and are left out by name. A round trip of 200 ms is so near its
threshold that quality.path measures it for 12 s more, in a second call: all of that repetition is printed, and is
left out of the figure, as a window of media with its own handshake and books.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.quality import Figure, record
from calls_doctor import run
from calls_doctor.model.check import CheckResult, Status
from checks import CHECKS
from tests.lab.delay import delaying
from tests.lab.network import Network, draw_seed, network
from tests.lab.two_hosts import HERE, serving

COMMAND = "python -m benchmarks.round_trips"
DELAY_S, ROUND_TRIPS, REST_S = 0.1, 12, 0.6
ROUND_TRIP_S = 2 * DELAY_S
BAR_S = ROUND_TRIPS * ROUND_TRIP_S + REST_S
MEDIA_TIME_S = 1.0
LIMIT_S = 60.0
BY_SILENCE = ("env.control", "port.api-exposure")
"""They prove that nothing answers: the bar allows them 2.55 s of their own."""
REPEATED = "quality.path"
CALLS = ("media.call-udp", "media.call-tcp", "media.call-relay")


@dataclass(frozen=True)
class Moment:
    """When one check was done."""

    check: str
    status: str
    began_s: float
    """Since the first probe began; so is `ended_s`."""
    ended_s: float
    media_s: float
    """Of calls of its own."""


class Clock:
    """An observer that notes when."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self.moments: list[Moment] = []

    def planned(self, ids: list[str]) -> None:
        """Nothing has begun."""

    def started(self, check: str) -> None:
        self._began[check] = time.monotonic()

    def finished(self, result: CheckResult) -> None:
        if result.id not in self._began:
            return  # a skip
        first = min(self._began.values())
        began_s, ended_s = self._began[result.id] - first, time.monotonic() - first
        media_s = MEDIA_TIME_S if result.id in CALLS else 0.0
        if result.id == REPEATED and result.evidence["window_s"] > MEDIA_TIME_S:
            media_s = ended_s - began_s
        self.moments.append(Moment(result.id, result.status, began_s, ended_s, media_s))

    def said(self, text: str) -> None:
        """Nothing that takes time."""


async def _inside(link: str, stun: str) -> list[Moment]:
    clock = Clock()
    request = run.Request(peers=(link,), stun=(stun,), media_time_s=MEDIA_TIME_S)
    await run.check(request, os.environ, clock)
    return clock.moments


def outside(net: Network, directory: Path) -> list[Moment]:
    """The run, in the caller's namespace."""
    public = net.addresses.public
    with (
        delaying(net.router, DELAY_S, ("access", "servers")),
        serving(net, directory, ["--host", public, "--as", "media", "--as", "api", "--as", "turn"]) as stand,
    ):
        words = [sys.executable, "-m", "benchmarks.round_trips", stand.link_to(public), f"stun:{public}:3478"]
        done = subprocess.run(
            net.caller.command(words), stdout=subprocess.PIPE, check=True, timeout=LIMIT_S, cwd=directory, env=HERE
        )
    return [Moment(**row) for row in json.loads(done.stdout)]


def media_before_s(check: str, media_s: Mapping[str, float]) -> float:
    """The media windows of its own and of the longest chain before it."""
    before = next([*spec.needs, *spec.uses] for spec in CHECKS if spec.id == check)
    longest_s = max((media_before_s(one, media_s) for one in before if one in media_s), default=0.0)
    return media_s[check] + longest_s


def table(moments: Sequence[Moment]) -> list[tuple[Moment, float]]:
    """Each check that is not a proof by silence, and how long it took without media; the slowest last."""
    media_s = {one.check: one.media_s for one in moments}
    rows = [(one, one.ended_s - media_before_s(one.check, media_s)) for one in moments if one.check not in BY_SILENCE]
    return sorted(rows, key=lambda row: row[1])


def main(arguments: Sequence[str]) -> int:
    """The table and its figure; with a link and a STUN server, the run itself."""
    if arguments:
        moments = asyncio.run(_inside(*arguments))
        sys.stdout.write(json.dumps([asdict(one) for one in moments]))
        return 0
    seed = draw_seed()
    sys.stdout.write(f"CALLS_DOCTOR_LAB_SEED={seed}\n")
    with tempfile.TemporaryDirectory() as directory, network(seed) as net:
        moments = outside(net, Path(directory))
    rows = table(moments)
    for one, took_s in rows:
        trips = f"{took_s / ROUND_TRIP_S:5.1f} round trips, {took_s:.2f} s"
        media = f" beside {one.ended_s - took_s:.1f} s of media" if one.ended_s - took_s > 0.01 else ""
        sys.stdout.write(f"{one.check:24} {one.status:8} {trips}{media} (began at {one.began_s:.2f} s)\n")
    slowest, took_s = rows[-1]
    bad = [one.check for one in moments if one.status in (Status.FAIL, Status.WARN, Status.ERROR)]
    said = f"{took_s:.2f} s ({slowest.check})" + (f"; not well: {', '.join(bad)}" if bad else "")
    name = f"healthy, {DELAY_S * 1000:.0f} ms added each way: the last positive check is done, its media windows aside"
    bar = f"at most {ROUND_TRIPS} round trips + {REST_S} s = {BAR_S:.1f} s"
    return record(Figure(name, bar, said, not bad and took_s <= BAR_S, COMMAND))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
