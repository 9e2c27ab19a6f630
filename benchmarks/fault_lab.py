"""Is what is broken named? The fault lab beside the checkout plays known faults, and its judge compares.

python -m benchmarks.fault_lab          every scenario, written down by family
python -m benchmarks.fault_lab stop     one of each family: exit 1 where one is judged wrong, or undecided

Needs ../shared/lab, root and coturn; where one is missing it says so and exits 0. Addresses and names are drawn from a
new seed, which is printed.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any  # a row of the judge's is JSON

from benchmarks.process import CALLS_DOCTOR
from benchmarks.quality import ROOT, Figure, record

LAB = ROOT.parent / "shared" / "lab"
LIMIT_S = 1500.0
AT_ONCE = 2
ONE_OF_EACH_FAMILY = (
    "none",
    "nat-timeout-5",
    "udp-8443-drop-in",
    "host-override-missing",
    "api-8045-drop",
    "turn-udp-blocked",
    "client-8443-udp-drop",
    "dns-nxdomain",
    "loss-20-up",
)
NOT_YET = frozenset({
    "dns-nxdomain", "dns-private", "dns-wrong", "dns-servfail", "dns-timeout", "dns-slow",
})  # fmt: skip
"""No check looks at names so far: nothing may be said of these, and nothing wrong."""
Row = dict[str, Any]


def missing(lab: Path = LAB) -> str:
    """Why the lab cannot be played here; "" where it can."""
    if not (lab / "judge.py").is_file():
        return "../shared/lab is not there"
    if os.geteuid() != 0:
        return "network namespaces need root"
    return "" if shutil.which("turnserver") else "coturn is not installed"


def families(lab: Path = LAB) -> dict[str, str]:
    """The family of each scenario, in the lab's order."""
    code = "import json, scenarios; print(json.dumps({s.name: s.group for s in scenarios.SCENARIOS.values()}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=lab, check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def play(names: Sequence[str], seed: int) -> list[Row]:
    """The judge's rows. Raises ValueError where it gave none."""
    command = [sys.executable, str(LAB / "judge.py"), "--doctor", CALLS_DOCTOR, "-j", str(AT_ONCE), "--json"]
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            [*command, "--seed", str(seed), *names], env={**os.environ, "TMPDIR": directory},
            capture_output=True, text=True, check=False, timeout=LIMIT_S,
        )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    if not lines:
        raise ValueError(f"the judge gave no rows: {done.stdout}{done.stderr}")
    rows: list[Row] = json.loads(lines[0])
    return rows


def word(row: Row) -> str:
    """`right`, `undecided` (nothing is named though something is broken, or nobody's it is) or `wrong`."""
    if row["right"] and not row["extra"]:
        return "undecided" if row["undecided"] else "right"
    return "undecided" if row["ran"] and row["expected"] and not row["got"] else "wrong"


def passes(row: Row) -> bool:
    """False where a stop must fail: all is to be decided but what no check looks at yet."""
    return word(row) == "right" or (row["scenario"] in NOT_YET and word(row) == "undecided")


def by_family(rows: Sequence[Row], family: Mapping[str, str]) -> str:
    """`baseline 2 right, dns 6 undecided, ...`"""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(family[row["scenario"]], Counter())[word(row)] += 1
    return "; ".join(f"{name} " + ", ".join(f"{n} {what}" for what, n in one.items()) for name, one in counts.items())


def main(arguments: Sequence[str]) -> int:
    """Plays, prints, and writes down where all were played."""
    if why := missing():
        sys.stdout.write(f"the fault lab is not played: {why}\n")
        return 0
    family, stop, seed = families(), list(arguments) == ["stop"], secrets.randbelow(10_000)
    sys.stdout.write(f"seed {seed}\n")
    rows = play(ONE_OF_EACH_FAMILY if stop else list(family), seed)
    for row in rows:
        got = ", ".join(row["got"]) or "nothing"
        sys.stdout.write(f"{word(row):9} {row['scenario']:25} {row['seconds']:5.1f} s  {got}  {row['note']}\n")
    sys.stdout.write(f"{by_family(rows, family)}\n")
    if stop:
        return 0 if all(map(passes, rows)) else 1
    right = sum(word(row) == "right" for row in rows)
    measured = f"{right} of {len(rows)} right: {by_family(rows, family)} (seed {seed})"
    return record(
        Figure("the fault lab's scenarios that are named right", "none: for information", measured, True,
               "python -m benchmarks.fault_lab")
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
