"""The benchmark of a call in which everybody talks: its counts are whole, and it sees what is lost."""

from __future__ import annotations

import math

from benchmarks.conference import Outcome, at, hold


async def test_a_short_call_is_counted_whole_and_weighed() -> None:
    outcome = await hold(3, 50, 0.5)
    assert (outcome.sent, outcome.expected, outcome.received) == (75, 150, 150)
    assert len(outcome.delays_s) == 150 and len(outcome.lateness_s) == 75
    assert 0 < at(outcome.delays_s, 0.5) < 1
    assert outcome.cpu_s >= 0


def test_what_did_not_come_is_said_to_be_lost() -> None:
    outcome = Outcome(sent=10, expected=20, received=19, delays_s=[0.001] * 19, lateness_s=[0.0] * 10, cpu_s=0.00019)
    assert str(outcome).startswith("1 of 20 lost; delay p50 1.00 ms, p99 1.00 ms; 10.0 µs")


def test_of_no_packet_at_all_no_delay_is_short() -> None:
    assert math.isinf(at([], 0.99))
