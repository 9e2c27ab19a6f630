"""Are two faults at once both named, and nothing else? Pairs of the fault lab's scenarios, of different families.

python -m benchmarks.fault_pairs [N]        N pairs drawn from a new seed (100), written down
python -m benchmarks.fault_pairs all        every pair (more than an hour)
python -m benchmarks.fault_pairs A+B ...    these

The judge plays them as scenarios of its own (CDLAB_EXTRA): each is what both break, laid over each other. Pairs that
want one thing to be two ways at once (two kinds of the caller's NAT) are none. They are drawn so that every scenario is
met as often as any other. Where one fault leaves nothing to be seen of the other (HIDES), naming the one is all that
can be done: such a pair is counted by itself, and printed with the reason.
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
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.fault_lab import LAB, Row, missing, play
from benchmarks.quality import Figure, record

DRAWN = 100
AT_A_TIME = 20
"""As many as one run of the judge has time for."""
NAMED_RATIO = 0.9
Pair = tuple[str, str]
PATH = ("mtu-blackhole-1280", "mtu-blackhole-1200", "loss-20", "loss-20-up", "jitter-50", "delay-150", "bw-64k")
SHUT_FOR_THE_CLIENT = ("client-8443-udp-drop", "client-8443-drop")
SHUT_OVER_UDP = (
    "udp-8443-drop-in", "udp-8443-stateful-drop-in", "udp-8443-drop-out", "udp-8443-reject", "media-8443-drop",
    "port-rewrite-18443", "client-udp-blocked", *SHUT_FOR_THE_CLIENT,
)  # fmt: skip
Hidden = tuple[str, tuple[str, ...], str]
HIDES: tuple[Hidden, ...] = (
    (
        "rtcd-down", (*PATH, "nat-timeout-5", "host-override-missing", *SHUT_FOR_THE_CLIENT, "turn-relay-blocked"),
        "nobody answers at the media port: what is lost or late on the way there, and what callers are handed, only "
        "who answers could tell, and silence there is unknown (contract section 1)",
    ),
    ("rtcd-down", ("api-8045-reject",), "the API of a host on which nothing listens is refused by the host itself"),
    (
        "nat-timeout-5", SHUT_OVER_UDP,
        "how long a NAT remembers a silent flow is tried on flows to the media port, and none comes up over UDP",
    ),
    *(
        (one, SHUT_FOR_THE_CLIENT, "what this caller's network drops, no other caller gets through either")
        for one in ("media-8443-drop", "port-rewrite-18443")
    ),
    *(
        (one, ("client-8443-udp-drop",), "what this caller's network drops, no other caller gets through either")
        for one in ("udp-8443-drop-in", "udp-8443-stateful-drop-in")
    ),
    ("client-udp-blocked", ("stun-drop-client",), "UDP 3478 is dropped with all other UDP of the same caller"),
)  # fmt: skip
"""(a fault, those of which it leaves nothing to be seen, what would have shown them and why it does not)."""

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
    """Every two faults of different families, those among them that want one thing to be two ways."""
    faults = [name for name, row in scenarios.items() if row["causes"]]
    for one, other in itertools.combinations(faults, 2):
        if scenarios[one]["family"] != scenarios[other]["family"]:
            yield one, other


def playable(some: Sequence[Pair], directory: Path) -> list[Pair]:
    """Gives the lab these pairs to play; those of them that it can."""
    extra = directory / "pairs.py"
    extra.write_text(f"PAIRS = {list(some)!r}\n{LAID_OVER}")
    os.environ["CDLAB_EXTRA"] = str(extra)
    known = told(extra)
    return [pair for pair in some if "+".join(pair) in known]


def hidden(one: str, other: str) -> str:
    """Why one of the two leaves nothing to be seen of the other; "" where it does."""
    return next((why for fault, those, why in HIDES if {one, other} in [{fault, each} for each in those]), "")


def word(row: Row, scenarios: dict[str, Row]) -> str:
    """`both`, `one` or `none` of the two faults named, `hidden` where one is all that can be; `wrong` where anything
    else is."""
    names = row["scenario"].split("+")
    parts = [scenarios[name] for name in names]
    if set(row["got"]) - {cause for part in parts for cause in (*part["causes"], *part["also"])}:
        return "wrong"
    named = sum(bool(set(part["causes"]) & set(row["got"])) for part in parts)
    return "hidden" if named == 1 and hidden(*names) else ("none", "one", "both")[named]


def drawn(every: Sequence[Pair], number: int, seed: int) -> list[Pair]:
    """So many pairs, in which every scenario is met as often as any other, as far as they go."""
    chance = random.Random(seed)
    left, met = list(every), Counter[str]()
    chance.shuffle(left)
    found: list[Pair] = []
    while left and len(found) < number:
        fewest = min(left, key=lambda pair: (min(met[pair[0]], met[pair[1]]), met[pair[0]] + met[pair[1]]))
        left.remove(fewest)
        found.append(fewest)
        met.update(fewest)
    return found


def chosen(arguments: Sequence[str], every: Sequence[Pair], seed: int) -> list[Pair]:
    """The pairs that were asked for."""
    if list(arguments) == ["all"]:
        return list(every)
    if arguments and "+" in arguments[0]:
        return [(one, other) for one, _, other in (word.partition("+") for word in arguments)]
    return drawn(every, int(arguments[0]) if arguments else DRAWN, seed)


def main(arguments: Sequence[str]) -> int:
    """Plays, prints, and writes down."""
    if why := missing():
        sys.stdout.write(f"the fault lab is not played: {why}\n")
        return 0
    scenarios, seed = told(), secrets.randbelow(10_000)
    sys.stdout.write(f"seed {seed}\n")
    with tempfile.TemporaryDirectory() as directory:
        asked = chosen(arguments, playable(list(pairs(scenarios)), Path(directory)), seed)
        names = ["+".join(pair) for pair in playable(asked, Path(directory))]
        rows = [row for at in range(0, len(names), AT_A_TIME) for row in play(names[at : at + AT_A_TIME], seed)]
    words = [word(row, scenarios) for row in rows]
    for row, what in zip(rows, words, strict=True):
        said = f"{', '.join(row['got']) or 'nothing'}  {row['note']}"
        why = f" ({hidden(*row['scenario'].split('+'))})" if what == "hidden" else ""
        sys.stdout.write(f"{what:6} {row['scenario']:45} {row['seconds']:5.1f} s  {said}{why}\n")
    seen = len(words) - words.count("hidden")
    named = words.count("both") / seen if seen else 1.0
    measured = ", ".join(f"{words.count(what)} {what}" for what in ("both", "one", "none", "wrong", "hidden"))
    return record(
        Figure("two faults of different families at once",
               f"both named in {NAMED_RATIO:.0%} of those of which both can be seen",
               f"{named:.0%}: {measured} of {len(words)} pairs (seed {seed})", named >= NAMED_RATIO,
               "python -m benchmarks.fault_pairs")
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
