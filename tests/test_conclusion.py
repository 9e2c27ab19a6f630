"""What results add up to: the verdict, the exit code in the contract's order, the next commands, the guide's steps."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from calls_doctor import conclusion
from calls_doctor.engine.select import CheckPlan, LeftOut
from calls_doctor.guide import STEPS
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Role
from calls_doctor.model.report import GuideStep, Report, Vantage, Verdict
from calls_doctor.model.site import MediaAddress, Mode, Phase, Setting, Site
from calls_doctor.next_steps import Run, next_steps
from checks import CHECKS
from tests.diagnosis import findings as f
from tests.reports.samples import healthy_report, result

REQUIRED = next(spec.id for spec in CHECKS if spec.required)
OPTIONAL = next(spec.id for spec in CHECKS if not spec.required)
CALLER = Site(vantage=Role.CLIENT, phase=Phase.PRE)
SELF_TEST = Site(phase=Phase.SELF_TEST)


def verdict(*statuses: Status, check: str = REQUIRED, complete: bool = True) -> Verdict:
    return conclusion.verdict([result(check, status, "s") for status in statuses], CHECKS, complete=complete)


@pytest.mark.parametrize(
    ("statuses", "word"),
    [
        ([Status.PASS], Verdict.OK),
        ([Status.PASS, Status.SKIP], Verdict.OK),
        ([Status.PASS, Status.WARN], Verdict.WARNINGS),
        ([Status.WARN, Status.UNKNOWN], Verdict.UNDECIDED),
        ([Status.UNKNOWN, Status.ERROR], Verdict.BROKEN),
        ([Status.FAIL, Status.ERROR, Status.UNKNOWN, Status.WARN], Verdict.FAILED),
        ([], Verdict.OK),
    ],
)
def test_the_worst_that_the_contract_puts_first_wins(statuses: list[Status], word: Verdict) -> None:
    for order in itertools.permutations(statuses):
        assert verdict(*order) is word


def test_a_warning_that_no_cause_explains_is_told_and_nothing_is_to_be_mended() -> None:
    """A NAT that forgets later than calls refresh (contract section 6)."""
    found = [f.idle(15.0), *f.good_echoes()]
    assert conclusion.verdict(found, CHECKS) is Verdict.WARNINGS
    assert conclusion.diagnosis(CALLER, found, []) == []
    assert next_steps(Run(phase=Phase.PRE, results=found)) == []


def test_an_undecided_flow_that_calls_can_do_without_is_no_undecided_run() -> None:
    assert verdict(Status.UNKNOWN, check=OPTIONAL) is Verdict.OK
    assert verdict(Status.UNKNOWN, check=REQUIRED) is Verdict.UNDECIDED


def test_a_run_that_was_cut_short_gives_no_all_clear_but_says_what_failed() -> None:
    assert verdict(Status.PASS, complete=False) is Verdict.UNDECIDED
    assert verdict(Status.FAIL, complete=False) is Verdict.FAILED


@pytest.mark.parametrize(
    ("word", "code", "code_on_warn"),
    [
        (Verdict.OK, 0, 0),
        (Verdict.WARNINGS, 0, 3),
        (Verdict.UNDECIDED, 4, 4),
        (Verdict.BROKEN, 5, 5),
        (Verdict.FAILED, 1, 1),
    ],
)
def test_exit_codes(word: Verdict, code: int, code_on_warn: int) -> None:
    report: Report = msgspec.structs.replace(healthy_report(), verdict=word)
    assert conclusion.exit_code(report, "fail") == code
    assert conclusion.exit_code(report, "warn") == code_on_warn


def steps_of(site: Site, *results: CheckResult) -> dict[str, GuideStep]:
    return {step.step: step for step in conclusion.guide(site, list(results))}


@pytest.mark.parametrize(
    ("statuses", "word"),
    [
        ([Status.PASS], "passed"),
        ([Status.FAIL], "failed"),
        ([Status.PASS, Status.FAIL], "failed"),
        ([Status.PASS, Status.UNKNOWN], "not tested"),
        ([Status.SKIP], "not tested"),
        ([Status.ERROR], "not tested"),
        ([], "not tested"),
    ],
)
def test_a_step_is_passed_only_by_checks_that_all_passed(statuses: list[Status], word: str) -> None:
    results = [result(f"a.{number}", status, "s", guide_steps=["1.6.3"]) for number, status in enumerate(statuses)]
    step = steps_of(CALLER, *results)["1.6.3"]
    assert step.verdict == word
    assert step.checks == [one.id for one in results]


def test_a_step_is_passed_only_from_the_vantage_that_it_names() -> None:
    passed = result("a.b", Status.PASS, "s", guide_steps=["1.6.3", "1.6.5"])
    steps = steps_of(CALLER, passed)
    assert (steps["1.6.3"].verdict, steps["1.6.5"].verdict) == ("passed", "not tested")


def test_the_self_test_passes_no_step_and_fails_none() -> None:
    every = result("a.b", Status.FAIL, "s", guide_steps=[step.number for step in STEPS])
    assert {step.verdict for step in steps_of(SELF_TEST, every).values()} == {"not tested", "manual"}


def test_a_trial_over_loopback_passes_no_step() -> None:
    every = result("a.b", Status.PASS, "s", guide_steps=[step.number for step in STEPS])
    trial = Site(vantage=Role.CLIENT, phase=Phase.PRE, paired=True, media=(MediaAddress(host="127.0.0.1"),))
    assert {step.verdict for step in steps_of(trial, every).values()} == {"not tested", "manual"}


def test_every_step_stands_in_the_report_and_what_sets_something_is_for_a_person() -> None:
    steps = steps_of(CALLER)
    assert list(steps) == [step.number for step in STEPS]
    assert all((steps[step.number].verdict == "manual") == step.manual for step in STEPS)


def test_what_was_left_out_is_told_unless_a_result_tells_it() -> None:
    plan = CheckPlan(SELF_TEST, (), (LeftOut("a.b", "no server"), LeftOut("c.d", "not wanted", asked=True)))
    assert [(one.what, one.why) for one in conclusion.not_tested(plan)] == [("a.b", "no server")]


def test_the_clocks_that_were_read_are_told_by_vantage() -> None:
    rows = [{"whose": "site", "target": "https://mm.example.com", "offset_s": 3.2, "uncertainty_s": 0.5}]
    read = {"clocks": rows, "apart_s": 2.7, "turn_is_timed": False}
    at = result("clocks.skew", Status.WARN, "s", evidence=read)
    assert conclusion.clock([at]) == {at.vantage: read}
    assert conclusion.clock([result("clocks.skew", Status.UNKNOWN, "s")]) == {} == conclusion.clock([])


def test_the_far_ends_version_comes_from_the_api() -> None:
    said = result("port.api-tcp", Status.PASS, "s", evidence={"version": "v1.2.6"})
    assert conclusion.versions([said]) == {"rtcd": "v1.2.6"}
    unnamed = result("port.api-tcp", Status.PASS, "s", evidence={"version": ""})
    assert conclusion.versions([unnamed]) == {"rtcd": "unnamed"}
    assert conclusion.versions([result("port.api-tcp", Status.FAIL, "s")]) == {}
    assert conclusion.versions([]) == {}


def test_the_public_address_is_what_the_stun_servers_agree_on() -> None:
    seen = {"servers_agree": True, "addresses": ["203.0.113.9"], "address_class": "public"}
    agreed = result("stun.public-ip", Status.PASS, "s", evidence=seen)
    assert conclusion.seen_as(CALLER, [agreed]) == ("203.0.113.9", "public")
    disagreed = result("stun.public-ip", Status.FAIL, "s", evidence=seen | {"servers_agree": False})
    assert conclusion.seen_as(CALLER, [disagreed]) == ("", "")
    assert conclusion.seen_as(SELF_TEST, [agreed]) == ("", "")


def test_where_nothing_answered_a_public_address_of_this_machine_is_its_public_address() -> None:
    def seen(**evidence: object) -> tuple[str, str]:
        echo = result("port.rtc-udp-echo", Status.FAIL, "s", evidence={"own_address": "203.0.113.9", **evidence})
        return conclusion.seen_as(CALLER, [echo])

    assert seen() == ("203.0.113.9", "public")
    assert seen(own_address="10.0.1.9") == seen(own_address="") == ("", "")
    assert seen(mapped=["198.51.100.1", 4000]) == ("198.51.100.1", "public")
    assert seen(mapped=["10.0.0.1", 4000]) == ("", ""), "the media host is in the same network"


def test_a_healthy_run_has_no_cause() -> None:
    vantage = Vantage(id="client", role="client", started="2026-03-01T12:00:00Z")
    assert conclusion.diagnosis(CALLER, [result("stun.reach", Status.PASS, "s")], [vantage]) == []


def vantage(role: str) -> Vantage:
    return Vantage(id=role, role=role, started="2026-03-01T12:00:00Z")


@pytest.mark.parametrize(("mode", "wanted"), [
    (None, [Role.CLIENT]), (Mode.INTEGRATED, [Role.CLIENT]), (Mode.HA_HANDLER, [Role.CLIENT]),
    (Mode.RTCD, [Role.CLIENT, Role.MATTERMOST]), (Mode.KUBERNETES, [Role.CLIENT, Role.MATTERMOST]),
])  # fmt: skip
def test_from_where_each_mode_is_to_be_looked_at(mode: Mode | None, wanted: list[Role]) -> None:
    assert conclusion.wanted_vantages(mode, CHECKS) == wanted


def test_what_is_missing_comes_with_what_to_type_there() -> None:
    rows = conclusion.missing(Mode.RTCD, [vantage("client")], CHECKS, peer="rtcd.example.com:8443")
    command = "calls-doctor check --peer rtcd.example.com:8443 --from mattermost --rtcd-url http://HOST:8045"
    assert rows == [{"vantage": "mattermost", "command": command}]
    both = conclusion.missing(Mode.RTCD, [], CHECKS, rtcd_url="http://rtcd.internal:8045")
    assert both[0] == {"vantage": "client", "command": "calls-doctor check --peer LINK"}
    assert both[1]["command"].endswith("--rtcd-url http://rtcd.internal:8045")
    assert conclusion.missing(Mode.RTCD, [vantage("client"), vantage("mattermost")], CHECKS) == []


@pytest.mark.parametrize(
    ("site", "versions", "phase"),
    [
        (Site(), ["v1.2.6"], Phase.POST),
        (Site(), [""], Phase.POST),
        (Site(), ["dev-calls-doctor-0"], Phase.PRE),
        (Site(), ["dev-calls-doctor-0", "v1.2.6"], Phase.POST),
        (Site(), [], Phase.UNDETERMINED),
        (Site(settings={"phase": Setting(value="undetermined", origin="--phase")}), ["v1.2.6"], Phase.UNDETERMINED),
        (Site(phase=Phase.PRE, paired=True), ["v1.2.6"], Phase.PRE),
        (Site(phase=Phase.SELF_TEST), ["dev-calls-doctor-0"], Phase.SELF_TEST),
    ],
)
def test_the_phase_is_that_of_who_answers(site: Site, versions: list[str], phase: Phase) -> None:
    rows: list[dict[str, str | None]] = [{"address": f"192.0.2.{n}", "version": one} for n, one in enumerate(versions)]
    rows.append({"address": "192.0.2.9", "version": None})
    assert (
        conclusion.recognised(site, [result("port.api-tcp", Status.PASS, "s", evidence={"addresses": rows})]).phase
        is phase
    )
