"""What of the judge's rows lets a stop pass, and how they are counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import fault_lab


def row(scenario: str = "udp-8443-drop-in", **changed: object) -> fault_lab.Row:
    """As the judge writes one where all is right."""
    well = {"ran": True, "right": True, "undecided": 0, "extra": [], "expected": ["media.x"], "got": ["media.x"]}
    return {"scenario": scenario, **well, **changed}


@pytest.mark.parametrize(
    ("judged", "said", "said_alone"),
    [
        (row(), "right", "right"),
        (row("none", expected=[], got=[]), "right", "right"),
        (row(undecided=1), "undecided", "right"),
        (row(right=False, got=[]), "undecided", "undecided"),
        (row(right=False, ran=False, got=[]), "wrong", "wrong"),
        (row(right=False, got=["media.y"]), "wrong", "wrong"),
        (row("none", right=False, expected=[], got=["media.y"]), "wrong", "wrong"),
        (row(extra=["media.y"]), "wrong", "wrong"),
    ],
)  # fmt: skip
def test_one_vantage_alone_may_not_know_whose_it_is(judged: fault_lab.Row, said: str, said_alone: str) -> None:
    assert (fault_lab.word(judged), fault_lab.word(judged, alone=True)) == (said, said_alone)


def test_they_are_counted_by_family() -> None:
    rows = [row("a"), row("b", right=False, got=[]), row("c")]
    assert fault_lab.by_family(rows, {"a": "nat", "b": "dns", "c": "nat"}) == "nat 2 right; dns 1 undecided"


def test_without_the_lab_it_is_said(tmp_path: Path) -> None:
    assert fault_lab.missing(tmp_path) == "../shared/lab is not there"
