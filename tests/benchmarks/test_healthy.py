"""The figure that is written down; the networks themselves are the benchmark's."""

from __future__ import annotations

from benchmarks.healthy import figure


def test_one_check_that_names_a_cause_breaks_the_bar_and_is_told() -> None:
    well = figure("symmetric", [frozenset()] * 20)
    assert (well.holds, well.measured) == (True, "20 of 20 without a cause")
    ill = figure("symmetric", [frozenset()] * 19 + [frozenset({"path.loss"})])
    assert (ill.holds, ill.measured) == (False, "19 of 20 without a cause; 1 x path.loss")
