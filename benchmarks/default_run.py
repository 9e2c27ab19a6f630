"""How long does the default `check` take on a healthy network, its media window of 3 s included?

python -m benchmarks.default_run [RUNS]

`serve` and `check` run in namespaces of the tests' lab, a caller behind a NAT and the media host behind another; TURN
and the relayed call are part of it. Each run is a whole process. Needs root, ip and nft; where one is missing it says
so and exits 0.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple  # a report is JSON

from benchmarks.quality import Figure, record
from tests.lab.namespaces import why_not
from tests.lab.network import draw_seed, network
from tests.lab.two_hosts import COMMAND, HERE, serving

BAR_S, MEDIA_TIME_S, RUNS = 8.0, 3.0, 5
CALLS = ("media.call-udp", "media.call-tcp", "media.call-relay")


class Run(NamedTuple):
    """One check: how long the process took, and what it did not find well."""

    took_s: float
    not_well: tuple[str, ...]


def judged(took_s: float, report: dict[str, Any]) -> Run:
    """What speaks against it: a cause, a check that is not well, a call that was not held or not for so long."""
    status = {one["id"]: one["status"] for one in report["checks"]}
    wrong = [one["cause"] for one in report["diagnosis"]]
    wrong += [name for name, said in status.items() if said in ("fail", "warn", "error")]
    wrong += [name for name in CALLS if status.get(name) != "pass"]
    window_s = next((one["evidence"]["window_s"] for one in report["checks"] if one["id"] == "quality.path"), 0.0)
    return Run(took_s, tuple(dict.fromkeys([*wrong, *(["quality.path"] if window_s < MEDIA_TIME_S else [])])))


def figure(runs: Sequence[Run]) -> Figure:
    """The slowest of them against the bar."""
    slowest_s = max(run.took_s for run in runs)
    not_well = sorted({name for run in runs for name in run.not_well})
    said = f"{slowest_s:.2f} s (from {min(run.took_s for run in runs):.2f} s)"
    return Figure(
        f"`check` on a healthy network, the slowest of {len(runs)}, its media window of {MEDIA_TIME_S:g} s included",
        f"at most {BAR_S:g} s, every call held", said + (f"; not well: {', '.join(not_well)}" if not_well else ""),
        slowest_s <= BAR_S and not not_well, "python -m benchmarks.default_run",
    )  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Plays, prints and writes down."""
    if why := why_not():
        sys.stdout.write(f"no lab here: {why}\n")
        return 0
    seed, runs = draw_seed(), []
    sys.stdout.write(f"CALLS_DOCTOR_LAB_SEED={seed}\n")
    with tempfile.TemporaryDirectory() as directory, network(seed) as net:
        public, target = net.addresses.public, Path(directory, "report.json")
        roles = ["--as", "media", "--as", "api", "--as", "turn"]
        with serving(net, Path(directory), ["--host", public, *roles]) as stand:
            words = ["check", "--peer", stand.link_to(public), "--stun", f"stun:{public}:3478", "-o", str(target)]
            for _ in range(int(arguments[0]) if arguments else RUNS):
                began = time.monotonic()
                command = net.caller.command([*COMMAND, *words])
                subprocess.run(command, check=False, capture_output=True, cwd=directory, env=HERE)
                runs.append(judged(time.monotonic() - began, json.loads(target.read_text())))
                sys.stdout.write(f"{runs[-1].took_s:.2f} s {', '.join(runs[-1].not_well)}\n")
    return record(figure(runs))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
