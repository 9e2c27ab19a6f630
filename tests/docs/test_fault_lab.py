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
    ("judged", "said", "passes"),
    [
        (row(), "right", True),
        (row("none", expected=[], got=[]), "right", True),
        (row(undecided=1), "undecided", False),
        (row(right=False, got=[]), "undecided", False),
        (row("dns-nxdomain", right=False, got=[]), "undecided", True),
        (row("dns-nxdomain", right=False, got=["advertise.nothing"]), "wrong", False),
        (row("dns-nxdomain", right=False, ran=False, got=[]), "wrong", False),
        (row(right=False, got=["media.y"]), "wrong", False),
        (row("none", right=False, expected=[], got=["media.y"]), "wrong", False),
        (row(extra=["media.y"]), "wrong", False),
    ],
)  # fmt: skip
def test_only_what_is_right_passes_or_what_no_check_looks_at_yet(
    judged: fault_lab.Row, said: str, passes: bool
) -> None:
    assert (fault_lab.word(judged), fault_lab.passes(judged)) == (said, passes)


def test_they_are_counted_by_family() -> None:
    rows = [row("a"), row("b", right=False, got=[]), row("c")]
    assert fault_lab.by_family(rows, {"a": "nat", "b": "dns", "c": "nat"}) == "nat 2 right; dns 1 undecided"


def test_without_the_lab_it_is_said(tmp_path: Path) -> None:
    assert fault_lab.missing(tmp_path) == "../shared/lab is not there"
