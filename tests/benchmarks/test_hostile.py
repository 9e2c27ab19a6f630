"""The stand-in's own process under fire; and the benchmark sees what it is there to see."""

from __future__ import annotations

import os
from dataclasses import replace

from benchmarks.hostile import PACKETS, Outcome, assault

SHORT_PACKETS = 20_000


async def test_a_stand_in_under_fire_lives_says_nothing_and_disturbs_no_call() -> None:
    packets = PACKETS if os.environ.get("CALLS_DOCTOR_LAB") == "all" else SHORT_PACKETS
    outcome = await assault(packets)
    assert outcome.disturbed == [] and outcome.said == ""
    assert outcome.holds, str(outcome)
    assert outcome.packets >= packets - 100 and outcome.calls >= 2


def test_whatever_went_wrong_is_no_pass() -> None:
    good = Outcome(packets=10, took_s=1.0, calls=1)
    assert good.holds
    for wrong in (
        replace(good, unanswered=1), replace(good, stranger_bytes=1), replace(good, larger=1), replace(good, calls=0),
        replace(good, disturbed=["U: lost"]), replace(good, said="Traceback"), replace(good, growth_bytes=1 << 30),
    ):  # fmt: skip
        assert not wrong.holds
    assert "NO SILENT standard error" in str(replace(good, said="Traceback"))
