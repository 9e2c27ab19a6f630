"""The guide's steps as data: numbers are unique and sorted, and what is set by hand is proven by no check."""

from __future__ import annotations

import pytest

from calls_doctor import conclusion
from calls_doctor.guide import STEP_BY_NUMBER, STEPS
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Role
from calls_doctor.model.site import Phase, Site
from checks import CHECKS


def _sorted_by(number: str) -> list[tuple[int, str]]:
    parts = number.split(".")
    return [(int(part.rstrip("AB")), part[len(part.rstrip("AB")) :]) for part in parts]


def test_steps_are_in_the_guides_order_and_none_comes_twice() -> None:
    numbers = [step.number for step in STEPS]
    assert numbers == sorted(numbers, key=_sorted_by)
    assert len(STEP_BY_NUMBER) == len(STEPS)


def test_every_step_that_is_not_set_by_hand_has_a_check_made_from_where_it_counts() -> None:
    for step in STEPS:
        proving = [spec for spec in CHECKS if step.number in spec.guide_steps]
        assert bool(proving) is not step.manual, step
        assert not proving or any(step.from_ in spec.vantages for spec in proving), step


def _found(status: Status, *steps: str) -> CheckResult:
    return CheckResult(
        id="port.x", title="x", category="port", status=status, vantage="client", guide_steps=list(steps)
    )


@pytest.mark.parametrize(
    ("site", "status", "verdict"),
    [
        (Site(vantage=Role.CLIENT, phase=Phase.PRE), Status.PASS, "passed"),
        (Site(vantage=Role.CLIENT, phase=Phase.PRE), Status.FAIL, "failed"),
        (Site(vantage=Role.CLIENT, phase=Phase.PRE), Status.WARN, "not tested"),
        (Site(vantage=Role.CLIENT, phase=Phase.PRE), Status.UNKNOWN, "not tested"),
        (Site(vantage=Role.MEDIA, phase=Phase.PRE), Status.PASS, "not tested"),
        (Site(vantage=Role.CLIENT, phase=Phase.SELF_TEST), Status.PASS, "not tested"),
    ],
)
def test_a_step_is_passed_only_by_a_check_made_from_the_vantage_it_names(
    site: Site, status: Status, verdict: str
) -> None:
    steps = {step.step: step for step in conclusion.guide(site, [_found(status, "1.6.1")])}
    assert steps["1.6.1"].verdict == verdict
    assert steps["1.6.1"].checks == ["port.x"]
    assert steps["1.6.2"].verdict == "not tested"
    assert steps["2B.3.4"].verdict == "manual"
