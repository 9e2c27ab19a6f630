"""What to type next, and where: it follows from the diagnosis, three commands at most."""

from __future__ import annotations

from typing import Any  # what a run is made of

import msgspec
import pytest

from calls_doctor.diagnosis.causes import CAUSES
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Party
from calls_doctor.model.report import Diagnosis, NextStep, Vantage
from calls_doctor.model.site import Mode, Phase
from calls_doctor.next_steps import NEXT_MAX, Run, next_steps
from tests.reports.samples import cause, result

TYPED = "calls-doctor check --peer LINK --label Berlin"
GAP = {"vantage": "mattermost", "command": "calls-doctor check --peer LINK --from mattermost"}


def named(name: str) -> Diagnosis:
    return msgspec.structs.replace(cause(), cause=name, summary=f"{name} it is")


def undecided(name: str) -> Diagnosis:
    """A cause as the diagnosis hands it out where nobody can tell whose it is."""
    declared = next(one for one in CAUSES if one.id == name)
    steps = [declared.deciding_test, *declared.remedy.steps]
    remedy = msgspec.structs.replace(declared.remedy, steps=steps)
    return msgspec.structs.replace(named(name), party=Party.UNDECIDED, remedy=remedy)


def steps(*found: Diagnosis, results: list[CheckResult] | None = None, **more: Any) -> list[NextStep]:
    plain: dict[str, Any] = {"phase": Phase.PRE, "command": TYPED}
    return next_steps(Run(results=results or [], found=found, **{**plain, **more}))


def commands(*found: Diagnosis, results: list[CheckResult] | None = None, **more: Any) -> list[str]:
    return [step.command for step in steps(*found, results=results, **more)]


def test_a_healthy_run_leaves_nothing_to_do() -> None:
    assert steps(results=[result("stun.reach", Status.PASS, "s")]) == []


def test_what_is_decided_is_explained_and_then_the_same_check_is_made_again() -> None:
    first, last = steps(named("a.x"))
    assert (first.command, first.why) == ("calls-doctor explain a.x", "how to mend it: a.x it is")
    assert (last.command, last.on_host) == (TYPED, "this machine")
    assert last.why == "the same check again, once a.x is mended: is it gone?"


def test_there_are_three_at_most_and_the_last_is_always_the_check_again() -> None:
    found = [named("a.x"), named("b.x"), named("a.x"), named("c.x"), named("d.x")]
    assert commands(*found) == ["calls-doctor explain a.x", "calls-doctor explain b.x", TYPED]
    assert NEXT_MAX == 3


def test_two_of_one_kind_are_explained_once_in_the_words_of_the_more_important() -> None:
    first = msgspec.structs.replace(named("a.x"), summary="the first")
    assert steps(first, named("a.x"))[0].why == "how to mend it: the first"
    assert commands(first, named("a.x")) == ["calls-doctor explain a.x", TYPED]


def test_the_test_that_decides_comes_before_the_missing_vantage_and_that_before_the_check_again() -> None:
    deciding, missing, again = steps(named("a.x"), undecided("api.blocked"), missing=[GAP])
    assert (deciding.command, deciding.on_host) == ("ss -ltnp 'sport = :8045'", "the rtcd host")
    assert deciding.why.startswith("whose is api.blocked? says whether it listens")
    assert (missing.command, missing.on_host) == (GAP["command"], "a Mattermost node")
    assert again.command == TYPED


@pytest.mark.parametrize("name", [one.id for one in CAUSES if one.deciding_test])
def test_every_cause_that_may_be_undecided_has_a_command_that_decides_and_a_place_for_it(name: str) -> None:
    first = steps(undecided(name))[0]
    assert first.on_host
    assert f"`{first.command}`" in next(one.deciding_test for one in CAUSES if one.id == name)


def test_two_causes_that_one_test_decides_ask_for_it_once() -> None:
    both = commands(undecided("media.udp-blocked-inbound"), undecided("media.tcp-blocked"))
    assert both.count("calls-doctor check --peer LINK") == 1


def test_a_vantage_is_missing_from_a_healthy_run_too() -> None:
    (step,) = steps(missing=[GAP])
    assert (step.command, step.on_host) == (GAP["command"], "a Mattermost node")


def test_of_merged_vantages_the_one_that_shows_it_looks_again() -> None:
    places = [
        Vantage(id=one, label=label, role=role, started="2026-03-01T12:00:00Z")
        for one, label, role in (("Berlin", "Berlin", "client"), ("mattermost", "", "mattermost"))
    ]

    def again(*at: str) -> tuple[str, str]:
        shown = [result("port.rtc-udp-echo", Status.FAIL, "s", vantage=one) for one in at]
        last = steps(named("a.x"), results=shown, vantages=places, mode=Mode.RTCD, rtcd_url="http://r:8045")[-1]
        return last.command, last.on_host

    assert again("Berlin") == ("calls-doctor check --peer LINK", "a caller's machine (Berlin)")
    at_mattermost = "calls-doctor check --peer LINK --from mattermost --rtcd-url http://r:8045"
    assert again("mattermost") == (at_mattermost, "a Mattermost node")


def test_after_a_trial_over_loopback_comes_the_media_host_itself() -> None:
    (step,) = steps(results=[result("stun.reach", Status.PASS, "s")], over_loopback=True)
    assert (step.command, step.on_host) == ("calls-doctor serve --host NAME|ADDRESS", "the media host")
    assert step.why.startswith("this was a trial on one machine")
    assert commands(named("a.x"), over_loopback=True) == ["calls-doctor explain a.x", TYPED]


def test_a_failure_without_a_cause_is_explained_by_itself() -> None:
    assert commands(results=[result("stun.reach", Status.FAIL, "s")]) == ["calls-doctor explain stun.reach"]


def test_after_a_self_test_in_which_all_is_well_the_readers_own_deployment_comes() -> None:
    well = [result("stun.reach", Status.PASS, "s")]
    assert commands(results=well, phase=Phase.SELF_TEST) == ["calls-doctor check --mode rtcd --list"]


@pytest.mark.parametrize("word", ["unauthorised", "other-certificate"])
def test_where_the_link_is_not_known_there_the_link_comes_first(word: str) -> None:
    unknown = msgspec.structs.replace(result("media.call-udp", Status.UNKNOWN, "s"), evidence={"trouble": word})
    found = steps(named("a.x"), results=[unknown])
    assert [step.command for step in found] == ["calls-doctor check --peer LINK", "calls-doctor explain a.x", TYPED]
    assert found[0].why.startswith("is this the link of the `serve` that runs now?")


def test_where_the_link_is_of_another_network_the_public_address_comes_first() -> None:
    silent = msgspec.structs.replace(
        result("port.rtc-udp-echo", Status.UNKNOWN, "s"), evidence={"trouble": "other-network"}
    )
    (step,) = steps(results=[silent])
    assert step.command.startswith("calls-doctor serve --host") and step.on_host == "the media host"
    assert "this machine is on another network" in step.why


def test_our_own_fault_asks_for_the_report_of_the_same_command() -> None:
    broken = [result("stun.reach", Status.ERROR, "s")]
    assert commands(results=broken, command="calls-doctor check --stun stun:a") == [
        "calls-doctor check --stun stun:a -o calls-doctor-report.json"
    ]


def test_a_run_that_was_cut_short_is_to_be_run_again() -> None:
    typed = "calls-doctor check --timeout 1s"
    well = [result("stun.reach", Status.PASS, "s")]
    assert commands(results=well, phase=Phase.SELF_TEST, command=typed, complete=False) == [typed]
    assert commands(named("a.x"), command=typed, complete=False) == ["calls-doctor explain a.x", typed]
