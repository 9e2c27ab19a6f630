"""What speaks against a run, and the figure that is written down; the network itself is the benchmark's."""

from __future__ import annotations

from typing import Any  # a report is JSON

import pytest

from benchmarks.default_run import CALLS, Run, figure, judged


def report(**status: str) -> dict[str, Any]:
    checks = {name: "pass" for name in (*CALLS, "quality.path")} | status
    return {
        "diagnosis": [],
        "checks": [{"id": name, "status": said, "evidence": {"window_s": 3.0}} for name, said in checks.items()],
    }


def test_a_healthy_run_has_nothing_against_it() -> None:
    assert judged(4.0, report(**{"nat.hairpin": "skip", "nat.type": "unknown"})) == Run(4.0, ())


@pytest.mark.parametrize("status", ["skip", "fail", "unknown"])
def test_a_run_that_did_less_does_not_count(status: str) -> None:
    assert judged(4.0, report(**{"media.call-relay": status})).not_well == ("media.call-relay",)


def test_a_shorter_window_and_a_cause_speak_against_it() -> None:
    short = report()
    short["checks"][-1]["evidence"]["window_s"] = 1.0
    assert judged(4.0, short).not_well == ("quality.path",)
    assert judged(4.0, report(**{"stun.reach": "warn"})).not_well == ("stun.reach",)
    ill = report() | {"diagnosis": [{"cause": "path.loss"}]}
    assert judged(4.0, ill).not_well == ("path.loss",)


def test_the_slowest_counts_and_so_does_what_is_not_well() -> None:
    well = figure([Run(5.0, ()), Run(7.9, ())])
    assert well.holds and well.measured == "7.90 s (from 5.00 s)"
    assert not figure([Run(5.0, ()), Run(8.1, ())]).holds
    assert not figure([Run(5.0, ("path.loss",))]).holds
