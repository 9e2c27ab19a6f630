"""Are two faults at once both named, and nothing else? Pairs of the fault lab's scenarios, of different families.

python -m benchmarks.fault_pairs [N]        N pairs drawn from a new seed (24), written down
python -m benchmarks.fault_pairs all        every pair (more than an hour)
python -m benchmarks.fault_pairs A+B ...    these

The judge plays them as scenarios of its own (CDLAB_EXTRA): each is what both break, laid over each other. Pairs that
want one thing to be two ways at once (two kinds of the caller's NAT) are none.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.fault_lab import LAB, Row, missing, play
from benchmarks.quality import Figure, record

DRAWN = 24
AT_A_TIME = 20
"""As many as one run of the judge has time for."""
NAMED_RATIO = 0.9
Pair = tuple[str, str]

LAID_OVER = '''
from dataclasses import fields

def laid_over(one, other):
    """Both scenarios' faults in one network; None where they want one thing to be two ways."""
    both = {}
    for f in fields(Scenario):
        a, b = getattr(one, f.name), getattr(other, f.name)
        default = getattr(Scenario("", "", "", "", ""), f.name)
        if f.name in ("name", "group", "where", "truth", "expect", "cause", "also", "party", "lost", "alone", "sees"):
            continue
        if f.name in ("nft", "dns", "turn", "advertise", "shim"):
            both[f.name] = {**a, **b}
            for key in a.keys() & b.keys():
                if isinstance(a[key], list):
                    both[f.name][key] = a[key] + b[key]
                elif isinstance(a[key], dict):
                    both[f.name][key] = {**a[key], **b[key]}
                elif a[key] != b[key]:
                    return None
        elif f.name == "down":
            both[f.name] = tuple({*a, *b})
        elif f.name in ("benign", "lossy", "slow", "nodes"):
            both[f.name] = min(a, b) if f.name == "benign" else max(a, b)
        elif a != default and b != default and a != b:
            return None
        else:
            both[f.name] = b if a == default else a
    return both

for _one, _other in PAIRS:
    _by_name = {s.name: s for s in S}
    _both = laid_over(_by_name[_one], _by_name[_other])
    if _both is not None:
        _patient = "nat" if {_by_name[_one].group, _by_name[_other].group} & {"nat"} else "pair"
        add(_one + "+" + _other, _patient, "-", "-", "-", **_both)
        CAUSES[_one + "+" + _other] = CAUSES[_one] + CAUSES[_other]
        ALSO[_one + "+" + _other] = ALSO.get(_one, ()) + ALSO.get(_other, ())
'''
"""What the lab runs after its own scenarios, where it sees their names."""
TOLD = """
import json, scenarios as s
print(json.dumps([
    {"name": one.name, "family": one.group, "causes": one.cause, "also": one.also} for one in s.SCENARIOS.values()
]))
"""


def told(extra: Path | None = None) -> dict[str, Row]:
    """The lab's scenarios by name: family, and what may be named of each."""
    env = os.environ | ({"CDLAB_EXTRA": str(extra)} if extra else {})
    done = subprocess.run([sys.executable, "-c", TOLD], cwd=LAB, check=True, capture_output=True, text=True, env=env)
    return {row["name"]: row for row in json.loads(done.stdout)}


def pairs(scenarios: dict[str, Row]) -> Iterator[Pair]:
    """Every two faults of different families."""
    faults = [name for name, row in scenarios.items() if row["causes"]]
    for one, other in itertools.combinations(faults, 2):
        if scenarios[one]["family"] != scenarios[other]["family"]:
            yield one, other


def word(row: Row, scenarios: dict[str, Row]) -> str:
    """`both`, `one` or `none` of the two faults named; `wrong` where anything else is."""
    parts = [scenarios[name] for name in row["scenario"].split("+")]
    if set(row["got"]) - {cause for part in parts for cause in (*part["causes"], *part["also"])}:
        return "wrong"
    named = sum(bool(set(part["causes"]) & set(row["got"])) for part in parts)
    return ("none", "one", "both")[named]


def chosen(arguments: Sequence[str], every: Sequence[Pair], seed: int) -> list[Pair]:
    """The pairs that were asked for."""
    if list(arguments) == ["all"]:
        return list(every)
    if arguments and "+" in arguments[0]:
        return [(one, other) for one, _, other in (word.partition("+") for word in arguments)]
    return random.Random(seed).sample(every, int(arguments[0]) if arguments else DRAWN)


def main(arguments: Sequence[str]) -> int:
    """Plays, prints, and writes down."""
    if why := missing():
        sys.stdout.write(f"the fault lab is not played: {why}\n")
        return 0
    scenarios, seed = told(), secrets.randbelow(10_000)
    sys.stdout.write(f"seed {seed}\n")
    asked = chosen(arguments, list(pairs(scenarios)), seed)
    with tempfile.TemporaryDirectory() as directory:
        extra = Path(directory, "pairs.py")
        extra.write_text(f"PAIRS = {asked!r}\n{LAID_OVER}")
        os.environ["CDLAB_EXTRA"] = str(extra)
        names = [name for name in told(extra) if "+" in name]
        rows = [row for at in range(0, len(names), AT_A_TIME) for row in play(names[at : at + AT_A_TIME], seed)]
    words = [word(row, scenarios) for row in rows]
    for row, what in zip(rows, words, strict=True):
        got = ", ".join(row["got"]) or "nothing"
        sys.stdout.write(f"{what:5} {row['scenario']:45} {row['seconds']:5.1f} s  {got}  {row['note']}\n")
    named = words.count("both") / len(words)
    measured = ", ".join(f"{words.count(what)} {what}" for what in ("both", "one", "none", "wrong"))
    return record(
        Figure(f"two faults of different families at once, {len(words)} pairs", f"both named in {NAMED_RATIO:.0%}",
               f"{named:.0%}: {measured} (seed {seed})", named >= NAMED_RATIO, "python -m benchmarks.fault_pairs")
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
