"""Is what is broken named? The fault lab beside the checkout plays known faults, and its judge compares.

python -m benchmarks.fault_lab [SWEEPS]         every scenario, three times in a row, written down by family
python -m benchmarks.fault_lab alone [SWEEPS]   likewise of the caller's report alone
python -m benchmarks.fault_lab stop             one of each family: exit 1 where one is judged wrong, or undecided

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
SWEEPS = 3
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


def play(names: Sequence[str], seed: int, *, alone: bool = False) -> list[Row]:
    """The judge's rows, of all vantages' reports or the caller's alone. Raises ValueError where it gave none."""
    command = [sys.executable, str(LAB / "judge.py"), "--doctor", CALLS_DOCTOR, "-j", str(AT_ONCE), "--json"]
    command += ["--only-from", "client"] if alone else []
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


def word(row: Row, *, alone: bool = False) -> str:
    """`right`, `undecided` (nothing is named though something is broken, or nobody's it is) or `wrong`.

    One vantage alone may be right about what is broken and not know whose it is: the judge holds it to that.
    """
    if row["right"] and not row["extra"]:
        return "undecided" if row["undecided"] and not alone else "right"
    return "undecided" if row["ran"] and row["expected"] and not row["got"] else "wrong"


def by_family(rows: Sequence[Row], family: Mapping[str, str], *, alone: bool = False) -> str:
    """`baseline 2 right, dns 6 undecided, ...`"""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(family[row["scenario"]], Counter())[word(row, alone=alone)] += 1
    return "; ".join(f"{name} " + ", ".join(f"{n} {what}" for what, n in one.items()) for name, one in counts.items())


def sweep(family: Mapping[str, str], *, alone: bool) -> tuple[bool, str]:
    """Every scenario once, with addresses and names of its own: whether all are right, and how many are."""
    seed = secrets.randbelow(10_000)
    rows = play(list(family), seed, alone=alone)
    tell(rows, alone=alone)
    right = sum(word(row, alone=alone) == "right" for row in rows)
    return right == len(rows), f"{right} of {len(rows)} right: {by_family(rows, family, alone=alone)} (seed {seed})"


def tell(rows: Sequence[Row], *, alone: bool = False) -> None:
    """A line for each."""
    for row in rows:
        got = ", ".join(row["got"]) or "nothing"
        said = f"{word(row, alone=alone):9} {row['scenario']:25} {row['seconds']:5.1f} s  {got}  {row['note']}"
        sys.stdout.write(f"{said.rstrip()}\n")


def main(arguments: Sequence[str]) -> int:
    """Plays, prints, and writes down where all were played."""
    if why := missing():
        sys.stdout.write(f"the fault lab is not played: {why}\n")
        return 0
    family = families()
    if list(arguments) == ["stop"]:
        seed = secrets.randbelow(10_000)
        sys.stdout.write(f"seed {seed}\n")
        rows = play(ONE_OF_EACH_FAMILY, seed)
        tell(rows)
        sys.stdout.write(f"{by_family(rows, family)}\n")
        return 0 if all(word(row) == "right" for row in rows) else 1
    alone, times = "alone" in arguments, [int(one) for one in arguments if one.isdigit()] or [SWEEPS]
    sweeps = [sweep(family, alone=alone) for _ in range(times[0])]
    who = "the caller's report alone" if alone else "all vantages"
    return record(
        Figure(f"the fault lab's scenarios, {who}, {len(sweeps)} times in a row", "all right, nothing else named",
               "; then ".join(said for _, said in sweeps), all(well for well, _ in sweeps),
               f"python -m benchmarks.fault_lab{' alone' if alone else ''}")
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
