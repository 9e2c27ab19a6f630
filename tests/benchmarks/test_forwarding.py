"""The benchmark of forwarding: whatever SFU it is, what came is counted, and its process is weighed."""

from __future__ import annotations

import math
import os

import pytest

from benchmarks.forwarding import RECEIVERS, Measured, Start, against, measured
from benchmarks.rtcd_sfu import rtcd
from benchmarks.sfus import aiortc, ours
from tests.servers.rtcd_server import BINARY

STARTS: list[Start] = [ours, aiortc, *([rtcd] if BINARY in os.environ else [])]


@pytest.mark.parametrize("start", STARTS)
async def test_every_receiver_hears_every_packet_of_the_sender(start: Start) -> None:
    outcome = await measured(start, 50, 0.5)
    assert outcome.name == start.__name__
    assert outcome.received == outcome.expected == 25 * RECEIVERS
    assert outcome.cpu_s > 0 and outcome.late_s < 1


def row(name: str, cpu_s: float, received: int = 1000) -> Measured:
    return Measured(name=name, expected=1000, received=received, cpu_s=cpu_s, late_s=0.001)


def test_a_ratio_is_of_one_round_and_the_median_counts() -> None:
    rounds = [[row("ours", ours_s), row("rtcd", 0.02)] for ours_s in (0.01, 0.016, 0.06)]
    figure = against("rtcd", rounds, 800, 1)
    assert figure.holds
    assert figure.measured.startswith(
        "0.8 times (median of 3 rounds, 0.5 to 3): 16.0 µs (10.0 to 60.0), 0 of 3000 lost"
    )
    assert "against 20.0 µs (20.0 to 20.0), 0 of 3000 lost" in figure.measured
    assert not against("rtcd", rounds, 800, 0.7).holds


def test_who_loses_packets_does_not_gain_by_it() -> None:
    assert row("ours", 0.01, received=500).cpu_per_packet_s == pytest.approx(20e-6)
    assert math.isinf(row("ours", 0.01, received=0).cpu_per_packet_s)
    assert not against("rtcd", [[row("ours", 0.01, received=999), row("rtcd", 0.02)]], 800, 1).holds
