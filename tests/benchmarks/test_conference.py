"""The benchmark of a call in which everybody talks: its counts are whole, and it sees what is lost."""

from __future__ import annotations

import math

import pytest

from benchmarks.conference import Outcome, at, hold, step_up


async def test_a_short_call_is_counted_whole_and_weighed() -> None:
    outcome = await hold(3, 50, 0.5, 3)
    assert (outcome.sent, outcome.expected, outcome.received) == (75, 150, 150)
    assert len(outcome.delays_s) == 150 and len(outcome.lateness_s) == 75
    assert 0 < at(outcome.delays_s, 0.5) < 1
    assert outcome.cpu_s >= 0


def test_what_did_not_come_is_said_to_be_lost() -> None:
    outcome = Outcome(
        participants=3, listeners=3, sent=10, expected=20, received=19, delays_s=[0.001] * 19, lateness_s=[0.0] * 10,
        cpu_s=0.00019, load_cpu_s=0.0005, duration_s=0.001,
    )  # fmt: skip
    assert str(outcome).startswith("1 of 20 lost, delay p50 1.00 ms, p99 1.00 ms, 10.0 µs")
    assert "19% of a core; the load 50% of one" in str(outcome)
    assert not outcome.holds


async def test_who_does_not_listen_is_neither_counted_nor_missed() -> None:
    outcome = await hold(3, 50, 0.5, 1)
    assert (outcome.sent, outcome.expected, outcome.received) == (75, 50, 50)
    assert outcome.cpu_per_packet_s == pytest.approx(outcome.cpu_s / 150)


async def test_calls_grow_and_the_largest_that_holds_is_stated() -> None:
    figure = await step_up((2, 3), 50, 0.2)
    assert figure.measured.startswith("up to 3 none lost, up to ") and figure.holds
    assert "2: 0 of 20 lost" in figure.measured and "; 3: 0 of 60 lost" in figure.measured
    figure = await step_up((1,), 50, 0.2)  # a call of one hears nothing, and of no packet at all no delay is short
    assert figure.measured.startswith("up to 1 none lost, up to 0 p99") and not figure.holds


def test_of_no_packet_at_all_no_delay_is_short() -> None:
    assert math.isinf(at([], 0.99))
