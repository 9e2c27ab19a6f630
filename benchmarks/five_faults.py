"""Are five faults at once all named, and nothing else? UDP blocked inbound, a wrong TURN secret, a stale DNS address, a
WebSocket that is stripped, and a relay range that is shut: in the fault lab, where one TURN server has both its faults.

python -m benchmarks.five_faults        twice: the WebSocket of rtcd's API, and that of the site; written down

With two TURN servers, and with whose to mend each is, tests/lab/test_five_faults.py plays the same.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from pathlib import Path

from benchmarks.fault_lab import Row, missing, play
from benchmarks.fault_pairs import LAID_OVER, told
from benchmarks.quality import Figure, record

FAULTS = (
    ("udp-8443-drop-in", "turn-wrong-secret", "dns-stale", "api-8045-strip-upgrade", "turn-relay-blocked"),
    ("udp-8443-drop-in", "turn-wrong-secret", "dns-stale", "site-strip-upgrade", "turn-relay-blocked"),
)
MORE = """
add("turn-wrong-secret", "turn", "credential issuer", "the issuer has another secret", "401 with a name that is valid",
    turn={"issuer_secret": "another-secret"})
add("dns-stale", "dns", "DNS zone", "a second address of rtcd.lab.test is dead", "one of two addresses is dead",
    dns=_dns(["203.0.113.20", "203.0.113.99"]))
add("site-strip-upgrade", "site", "mm", "a proxy before the site strips the Upgrade headers", "no WebSocket",
    mm_redirect="strip")
CAUSES |= {"turn-wrong-secret": ("turn.secret-mismatch",), "dns-stale": ("dns.stale-record",),
           "site-strip-upgrade": ("mattermost.websocket-blocked",)}
"""


def laid_over_one_by_one(faults: tuple[str, ...]) -> list[tuple[str, str]]:
    """Pairs of what has been laid over each other so far and the next."""
    return [("+".join(faults[:n]), faults[n]) for n in range(1, len(faults))]


def unnamed(row: Row, scenarios: dict[str, Row]) -> list[str]:
    """Faults of which no cause is named."""
    parts = row["scenario"].split("+")
    return [one for one in parts if not set(scenarios[one]["causes"]) & set(row["got"])]


def too_many(row: Row, scenarios: dict[str, Row]) -> list[str]:
    """Causes that no fault stands for."""
    parts = [scenarios[one] for one in row["scenario"].split("+")]
    return sorted(set(row["got"]) - {cause for part in parts for cause in (*part["causes"], *part["also"])})


def main() -> int:
    """Plays, prints, and writes down."""
    if why := missing():
        sys.stdout.write(f"the fault lab is not played: {why}\n")
        return 0
    seed = secrets.randbelow(10_000)
    with tempfile.TemporaryDirectory() as directory:
        extra = Path(directory, "five.py")
        steps = list(dict.fromkeys(step for faults in FAULTS for step in laid_over_one_by_one(faults)))
        extra.write_text(f"{MORE}\nPAIRS = {steps!r}\n{LAID_OVER}")
        os.environ["CDLAB_EXTRA"] = str(extra)
        scenarios = told(extra)
        rows = play(["+".join(faults) for faults in FAULTS], seed)
    for row in rows:
        left_out, beside = unnamed(row, scenarios), too_many(row, scenarios)
        said = f"not named: {', '.join(left_out) or 'none'}; too many: {', '.join(beside) or 'none'}"
        sys.stdout.write(f"{row['scenario']} {row['seconds']:.1f} s  {', '.join(row['got'])}; {said}  {row['note']}\n")
    named = [len(FAULTS[0]) - len(unnamed(row, scenarios)) for row in rows]
    beside = [cause for row in rows for cause in too_many(row, scenarios)]
    measured = f"{' and '.join(map(str, named))} named, {len(beside)} causes too many (seed {seed})"
    return record(
        Figure("five faults at once, one of them at a WebSocket: rtcd's API's, and the site's", "all 5, none too many",
               measured, min(named) == len(FAULTS[0]) and not beside, "python -m benchmarks.five_faults")
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
