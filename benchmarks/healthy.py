"""Does a healthy network stay without a cause? Many checks behind every kind of NAT, three at once against one `serve`.

python -m benchmarks.healthy [RUNS [KIND...]]     KIND as tests/lab/network.py names it, `none`: a public address,
or `one_percent_lost`: each way, before an ordinary NAT

Needs root, ip and nft; where one is missing it says so and exits 0. Addresses, name and port are drawn from a seed.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.quality import Figure, record
from tests.lab.namespaces import why_not
from tests.lab.network import Nat, draw_seed, lose_one_percent, network
from tests.lab.two_hosts import checking, diagnosed, serving

RUNS, AT_ONCE = 20, 3
MEDIA_TIME, WHOLE_WINDOW = "0.5s", "3s"
"""Where something is lost, the thresholds want a whole window."""
LIMIT_S = 60.0
"""Not what is judged here: a value near its threshold is measured for 12 s more, three checks at once."""
NO_NAT, LOSSY = "none", "one_percent_lost"
KINDS = (*(nat.name.lower() for nat in Nat), NO_NAT, LOSSY)


def causes(kind: str, runs: int, seed: int) -> list[frozenset[str]]:
    """What each check behind this NAT named."""
    found: list[frozenset[str]] = []
    nat = Nat.PORT_RESTRICTED if kind in (NO_NAT, LOSSY) else Nat[kind.upper()]
    media_time = WHOLE_WINDOW if kind == LOSSY else MEDIA_TIME
    with tempfile.TemporaryDirectory() as directory, network(seed, nat) as net:
        caller, at = net.outside if kind == NO_NAT else net.caller, net.addresses
        if kind == LOSSY:
            lose_one_percent(net)
        with serving(net, Path(directory), ["--host", at.public, "--media-port", str(at.port)]) as stand:
            link = stand.link_to(at.public)
            while len(found) < runs:
                names = [f"{kind}-{len(found) + n}" for n in range(min(AT_ONCE, runs - len(found)))]
                vantages = [(caller.known_as(name), link, ()) for name in names]
                reports = checking(Path(directory), vantages, media_time=media_time, limit_s=LIMIT_S)
                found += [frozenset(cause for cause, _ in diagnosed(report)) for report in reports]
    return found


def figure(kind: str, found: Sequence[frozenset[str]]) -> Figure:
    """`20 of 20 without a cause`, and what was named where it is fewer."""
    well = sum(not one for one in found)
    named = Counter(cause for one in found for cause in one)
    said = "".join(f"; {count} x {cause}" for cause, count in sorted(named.items()))
    return Figure(
        f"checks of a healthy network, the caller's NAT: {kind}", "all without a cause",
        f"{well} of {len(found)} without a cause{said}", well == len(found),
        f"python -m benchmarks.healthy {len(found)} {kind}",
    )  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Plays each kind and writes its figure down."""
    if why := why_not():
        sys.stdout.write(f"no lab here: {why}\n")
        return 0
    runs, kinds, seed = int(arguments[0]) if arguments else RUNS, arguments[1:] or KINDS, draw_seed()
    sys.stdout.write(f"seed {seed}\n")
    return max([record(figure(kind, causes(kind, runs, seed))) for kind in kinds])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
