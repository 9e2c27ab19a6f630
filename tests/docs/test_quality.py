"""The table of what was measured: a figure's newest row replaces its older one, and the others stay."""

from __future__ import annotations

from benchmarks.quality import Figure, written

SPEED = Figure("`check`, median", "at most 1.5 s", "900 ms", True, "python -m benchmarks.self_test")
WEIGHT = Figure("memory | peak", "at most 150 MB", "160 MB", False, "python -m benchmarks.self_test")


def test_each_figure_has_one_row_with_all_that_belongs_to_it() -> None:
    page = written("", [SPEED, WEIGHT], "abc1234", "2026-01-02")
    row = "| `check`, median | at most 1.5 s | 900 ms | yes | `python -m benchmarks.self_test` | abc1234 | 2026-01-02 |"
    assert page.count(row) == 1
    assert "| memory / peak | at most 150 MB | 160 MB | **no** |" in page


def test_a_new_measurement_replaces_its_own_row_alone() -> None:
    page = written("", [SPEED, WEIGHT], "abc1234", "2026-01-02")
    again = written(page, [SPEED], "def5678", "2026-01-03")
    assert again.count("`check`, median") == 1
    assert "def5678 | 2026-01-03" in again
    assert "**no** | `python -m benchmarks.self_test` | abc1234 | 2026-01-02" in again
    assert written(again, [], "x", "y") == again
