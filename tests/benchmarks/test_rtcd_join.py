"""The benchmark of joining a call of rtcd's: what is compared, and what a row says."""

from __future__ import annotations

import os

import pytest

from benchmarks import rtcd_join
from benchmarks.rtcd_join import Rounds, figure
from tests.servers.rtcd_server import BINARY, why_not


def test_medians_over_udp_are_compared() -> None:
    found = Rounds(over_udp=[0.05, 0.04, 0.9], over_tcp=[0.045], aiortc=[0.07, 0.06, 0.05])
    row = figure(found)
    assert row.holds
    assert row.measured == (
        "50.0 ms (40.0 to 900.0) against 60.0 ms (50.0 to 70.0), 3 rounds; over ICE-TCP 45.0 ms (45.0 to 45.0)"
    )
    assert not figure(Rounds(over_udp=[0.0601], over_tcp=[0.1], aiortc=[0.06])).holds


def test_without_an_rtcd_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv(BINARY, raising=False)
    assert rtcd_join.main([]) == 0
    assert capsys.readouterr().out == f"skipped: {BINARY} names no binary\n"


@pytest.mark.skipif(BINARY not in os.environ, reason=f"no rtcd here: {why_not()}")
async def test_each_has_its_turn_in_every_round() -> None:
    found = await rtcd_join.measured(1)
    assert [len(times) for times in (found.over_udp, found.over_tcp, found.aiortc)] == [1, 1, 1]
    assert all(0.0 < times[0] < rtcd_join.FIRST_S for times in (found.over_udp, found.over_tcp, found.aiortc))
