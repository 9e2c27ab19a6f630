"""What a run's results add up to: diagnosis, verdict, exit code, guide steps, what is left open. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any  # the report's clock is JSON

from msgspec import structs

from calls_doctor.diagnosis import media_nodes, media_ports
from calls_doctor.diagnosis.cause import BAD, Evidence
from calls_doctor.diagnosis.causes import CAUSES
from calls_doctor.diagnosis.clock_signs import SKEW
from calls_doctor.diagnosis.cover import diagnose, importance
from calls_doctor.diagnosis.media_nodes import Groups, by_host, over_the_other_family, unreachable
from calls_doctor.diagnosis.media_ports import rewritten
from calls_doctor.engine.select import CheckPlan
from calls_doctor.guide import STEPS
from calls_doctor.model.check import API, ECHOES, CheckResult, Status
from calls_doctor.model.flow import Role, address_class
from calls_doctor.model.report import (
    Diagnosis,
    GuideStep,
    GuideVerdict,
    Impact,
    NextStep,
    NotTested,
    Report,
    Vantage,
    Verdict,
)
from calls_doctor.model.site import Mode, Phase, Site
from calls_doctor.modes import MODES, Need
from calls_doctor.next_steps import Run, command_at, next_steps
from calls_doctor.spec import CheckSpec, rtcd_versions
from calls_doctor.wire.rtcd_version import is_stand_in

UNNAMED = "unnamed"
"""A build that its makers gave no version."""


def diagnosis(site: Site, results: Sequence[CheckResult], vantages: Sequence[Vantage]) -> list[Diagnosis]:
    """The fewest causes that explain the results.

    Of several media hosts each is diagnosed by itself, from what is about it and what is about none; those that nobody
    reaches where the others answer have a cause of their own, and say nothing else. So has a port that leads nowhere,
    where the same host answers at another.
    """

    def given(of: Sequence[CheckResult]) -> Evidence:
        return Evidence(site.phase, of, {v.id: v for v in vantages}, site.mode)

    groups = by_host(results)
    if len(groups) == 1:
        return diagnose(given(results), CAUSES)
    together = given(results)
    gone = {*unreachable(together, groups), *rewritten(together, groups)}
    nodes = diagnose(together, (*media_nodes.CAUSES, *media_ports.CAUSES))
    nodes = [structs.replace(one, host=one.subject if one.subject in groups else "") for one in nodes]
    said = {one.cause for one in nodes}
    left = {
        host: [one for one in diagnose(given(of), CAUSES) if one.cause not in said]
        for host, of in groups.items() if host not in gone
    }  # fmt: skip
    return sorted([*nodes, *_joined(left, groups)], key=importance)


def _joined(found: Mapping[str, list[Diagnosis]], groups: Groups) -> list[Diagnosis]:
    """Every cause once: what is wrong with all hosts alike is about none of them, and the rest says about which."""
    kinds: dict[tuple[str, str], dict[str, Diagnosis]] = {}
    for host, causes in found.items():
        for one in causes:
            kinds.setdefault((one.cause, one.party), {})[host] = one
    joined = []
    for of in kinds.values():
        if len(of) < len(groups):
            about = ((host if _is_about(one, host, groups) else "", one) for host, one in of.items())
            named = {
                (host, one.subject): structs.replace(one, host=host, impact=_impact(one, host, groups))
                for host, one in about
            }
            joined += list(named.values())
            continue
        one = max(of.values(), key=importance)  # no surer than at the host where it is least sure
        subjects = list(dict.fromkeys(each.subject for each in of.values()))
        because = sorted({check for each in of.values() for check in each.because})
        joined.append(structs.replace(one, subject=", ".join(subjects), because=because))
    return joined


def _impact(one: Diagnosis, host: str, groups: Groups) -> Impact:
    """What is broken over one IP version leaves callers the other."""
    left = host and one.impact is Impact.NO_CALLS and over_the_other_family(groups, host)
    return Impact.SOME_CALLERS if left else one.impact


def _is_about(one: Diagnosis, host: str, groups: Groups) -> bool:
    """Whether anything that it explains is about this host, and not about all that were tested."""
    shared = [r for r in groups[host] if all(r in results for results in groups.values())]
    return any(r.id in one.because and r.status in BAD for r in groups[host] if r not in shared)


def verdict(results: Sequence[CheckResult], specs: Sequence[CheckSpec], *, complete: bool = True) -> Verdict:
    """One word for the whole run; the order is that of the exit codes. A run that was cut short gives no all-clear."""
    statuses = {r.status for r in results}
    if Status.FAIL in statuses:
        return Verdict.FAILED
    if Status.ERROR in statuses:
        return Verdict.BROKEN
    if not complete or undecided(results, specs):
        return Verdict.UNDECIDED
    return Verdict.WARNINGS if Status.WARN in statuses else Verdict.OK


def undecided(results: Sequence[CheckResult], specs: Sequence[CheckSpec]) -> list[str]:
    """Ids of required flows that could not be decided."""
    required = {spec.id for spec in specs if spec.required}
    return [r.id for r in results if r.id in required and r.status is Status.UNKNOWN]


def exit_code(report: Report, fail_on: str) -> int:
    """1 a check failed, 5 the doctor failed, 4 undecided, 3 warnings (with `fail_on` "warn"), 0."""
    codes = {Verdict.FAILED: 1, Verdict.BROKEN: 5, Verdict.UNDECIDED: 4}
    if report.verdict is Verdict.WARNINGS and fail_on == "warn":
        return 3
    return codes.get(report.verdict, 0)


def recognised(site: Site, results: Sequence[CheckResult]) -> Site:
    """The site in the phase that the results show: what calls itself rtcd, or a stand-in, is there. Where somebody said
    the phase, or gave a link, it stays."""
    if site.phase is not Phase.UNDETERMINED or "phase" in site.settings:
        return site
    told = [version for result in results for version in rtcd_versions({result.id: result}).values()]
    if not told:
        return site
    return structs.replace(site, phase=Phase.PRE if all(map(is_stand_in, told)) else Phase.POST)


def versions(results: Sequence[CheckResult]) -> dict[str, str]:
    """What the far ends said that they are."""
    said = next((r.evidence.get("version") for r in results if r.id == API), None)
    return {} if said is None else {"rtcd": said or UNNAMED}


def clock(results: Sequence[CheckResult]) -> dict[str, Any]:
    """By vantage: the other clocks that were read there, each by its offset from that machine's, in seconds."""
    read = [r for r in results if r.id == SKEW and r.evidence.get("clocks")]
    return {r.vantage: {key: r.evidence[key] for key in ("clocks", "apart_s", "turn_is_timed")} for r in read}


def seen_as(site: Site, results: Sequence[CheckResult]) -> tuple[str, str]:
    """The address by which the STUN servers see this machine, and its class; where none was asked or answered, the one
    by which the media host does, if that is public; where that did not answer either, this machine's own, if that is.
    "" where they do not agree, or all is on loopback."""
    if site.phase is Phase.SELF_TEST:
        return "", ""
    told = next((r.evidence for r in results if r.id == "stun.public-ip" and "servers_agree" in r.evidence), None)
    if told is not None:
        return (told["addresses"][0], str(told["address_class"])) if told["servers_agree"] else ("", "")
    # A media host in the same network sees a private address, by which nobody else knows this machine.
    echoes = [r.evidence for r in results if r.id in ECHOES]
    mapped = [echo["mapped"][0] for echo in echoes if echo.get("mapped")]
    own = [echo["own_address"] for echo in echoes if echo.get("own_address")]
    seen = next(iter([*mapped, *own]), "")
    return (seen, str(address_class(seen))) if seen and not address_class(seen).is_private else ("", "")


def guide(site: Site, results: Sequence[CheckResult]) -> list[GuideStep]:
    """Every step of the guide; a trial on one machine, the self-test among them, passes none: no network was tested."""
    there_is_a_network = site.phase is not Phase.SELF_TEST and not site.over_loopback
    steps = []
    for step in STEPS:
        proving = [r for r in results if step.number in r.guide_steps]
        made = there_is_a_network and site.vantage is step.from_ and proving
        word: GuideVerdict = "manual" if step.manual else _step_verdict(proving) if made else "not tested"
        steps.append(
            GuideStep(step=step.number, verdict=word, from_=step.from_, to=step.to, checks=[r.id for r in proving])
        )
    return steps


def _step_verdict(proving: Sequence[CheckResult]) -> GuideVerdict:
    statuses = {r.status for r in proving}
    if Status.FAIL in statuses:
        return "failed"
    return "passed" if statuses <= {Status.PASS} else "not tested"


def not_tested(plan: CheckPlan, idle: Sequence[CheckResult] = ()) -> list[NotTested]:
    """What was left out, and why; what turned out to have nothing to do is `idle`."""
    left_out = [NotTested(what=out.id, why=out.why, unfit=out.unfit) for out in plan.left_out if not out.asked]
    hosts = ((one, f", at {one.host}" if one.host else "") for one in idle)
    return [*left_out, *(NotTested(what=one.id, why=f"{one.summary}{where}") for one, where in hosts)]


def wanted_vantages(mode: Mode | None, specs: Sequence[CheckSpec]) -> list[Role]:
    """From where a check can prove a flow that calls need: the roles that open one. Where nobody said the mode, those
    that every mode has."""
    made_from = {spec.id: spec.vantages for spec in specs}

    def roles(one: Mode) -> dict[Role, None]:
        flows = [flow for flow in MODES[one].flows if flow.need is Need.REQUIRED]
        return {flow.from_: None for flow in flows if any(flow.from_ in made_from[check] for check in flow.proven_by)}

    if mode is not None:
        return list(roles(mode))
    return [role for role in roles(Mode.INTEGRATED) if all(role in roles(other) for other in Mode)]


def next_of_one_vantage(
    site: Site,
    results: list[CheckResult],
    found: list[Diagnosis],
    vantage: Vantage,
    specs: Sequence[CheckSpec],
    *,
    command: str,
    complete: bool,
) -> list[NextStep]:
    """What to type after a run of this machine's own; `command` led to it. Where a stand-in was tested over a network,
    the other vantages of the mode are wanted too."""
    networked = site.paired and site.phase is not Phase.SELF_TEST and not site.over_loopback
    unseen = missing(site.mode, [vantage], specs, rtcd_url=site.rtcd_url) if networked else []
    return next_steps(
        Run(
            phase=site.phase, results=results, found=found, missing=unseen, complete=complete, command=command,
            over_loopback=site.over_loopback,
        )
    )  # fmt: skip


def missing(
    mode: Mode | None,
    vantages: Sequence[Vantage],
    specs: Sequence[CheckSpec],
    *,
    peer: str = "LINK",
    rtcd_url: str = "",
) -> list[dict[str, str]]:
    """Vantages of the mode that nobody has looked from, as rows of a report, with what to type there.

    `peer` is the stand-in as the command names it: its link on the terminal of `serve`, HOST:PORT in a report.
    """
    seen = {one.role for one in vantages}
    rows = []
    for role in wanted_vantages(mode, specs):
        if role in seen:
            continue
        rows.append({"vantage": str(role), "command": command_at(role, mode, peer=peer, rtcd_url=rtcd_url)})
    return rows


def merged_not_tested(reports: Sequence[Report], checks: Sequence[CheckResult]) -> list[NotTested]:
    """What no vantage tested, each reason once."""
    tested = {one.id for one in checks}
    rows = {(one.what, one.why): one for report in reports for one in report.not_tested if one.what not in tested}
    return list(rows.values())


def merged_guide(reports: Sequence[Report]) -> list[GuideStep]:
    """Every step by the best that any vantage can say of it: failed anywhere is failed."""
    order: list[GuideVerdict] = ["failed", "passed", "manual", "not tested"]
    steps: dict[str, list[GuideStep]] = {}
    for one in (step for report in reports for step in report.guide):
        steps.setdefault(one.step, []).append(one)
    return [min(rows, key=lambda row: order.index(row.verdict)) for rows in steps.values()]
