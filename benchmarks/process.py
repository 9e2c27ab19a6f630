"""Whole processes, timed and weighed from outside; Linux only. It judges nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

CALLS_DOCTOR = str(Path(sys.executable).with_name("calls-doctor"))
LIMIT_S = 60.0
SAMPLE_EVERY_S = 0.01


@dataclass(frozen=True)
class Times:
    """What several runs of one command took, in seconds."""

    all_s: Sequence[float]

    @property
    def median_s(self) -> float:
        return median(self.all_s)

    def __str__(self) -> str:
        return f"{self.median_s * 1000:.0f} ms ({min(self.all_s) * 1000:.0f} to {max(self.all_s) * 1000:.0f})"


def timed_s(command: Sequence[str]) -> float:
    """How long the command takes from start to end. Raises CalledProcessError where it fails."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, timeout=LIMIT_S)
    return time.perf_counter() - began


def interleaved(rounds: int, *commands: Sequence[str]) -> list[Times]:
    """Each command once in each round, so that what the machine does meanwhile hits all alike.

    One round more than is counted warms up.
    """
    taken: list[list[float]] = [[] for _ in commands]
    for number in range(rounds + 1):
        for times, command in zip(taken, commands, strict=True):
            took = timed_s(command)
            if number:
                times.append(took)
    return [Times(times) for times in taken]


def peak_pss_bytes(command: Sequence[str]) -> int:
    """The largest sum, over the process and all below it, of the proportional set size: what is shared counts once."""
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, sum(_pss_bytes(pid) for pid in _family(process.pid)))
            time.sleep(SAMPLE_EVERY_S)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return peak


def _family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for one in found:
        try:
            found.extend(int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except OSError:
            continue  # it ended meanwhile
    return found


def _pss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it ended meanwhile
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def without_credentials() -> dict[str, str]:
    """The environment without what would shape a run."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CALLS_DOCTOR_")}
