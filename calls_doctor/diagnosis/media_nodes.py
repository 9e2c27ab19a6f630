"""Several media hosts: which results are about which, and one that nobody reaches where the others answer. Pure.

Each host is diagnosed by itself (conclusion.py); only what tells them apart is read here, from all results at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from calls_doctor.diagnosis.cause import BAD, Cause, Evidence, Prediction, outcomes
from calls_doctor.diagnosis.media_evidence import SERVE_RUNS, trouble
from calls_doctor.diagnosis.place import flow_of, host_and_port, vantages_of
from calls_doctor.model.check import ECHOES, NOT_SENT, TCP_ECHO, UDP_ECHO, CheckResult, Status
from calls_doctor.model.flow import Lost, Party, Role, bracketed
from calls_doctor.model.report import Confidence, Impact, Remedy
from calls_doctor.modes import MEDIA_PORT
from calls_doctor.wire.direct import RUN_CHARS

Groups = Mapping[str, list[CheckResult]]
"""HOST:PORT of a media host -> all results that say something of it, those that are about no host among them."""


def by_host(results: Sequence[CheckResult]) -> Groups:
    """One group, named "", where all is about one host as far as anybody can tell.

    A vantage that tested one host alone belongs to that one's group: the host of the same name, or where a stand-in
    with the same key answers. Where nothing tells which it is, it belongs to each.
    """
    runs: dict[str, set[str]] = {}
    for r in results:
        if r.host and r.status is not Status.SKIP:
            runs.setdefault(r.host, set()).add(_run(r))
    alone = {r.vantage: r for check in (TCP_ECHO, UDP_ECHO) for r in results if r.id == check and not r.host}
    belongs: dict[str, str] = {}
    for vantage, echo in sorted(alone.items(), key=lambda one: not _run(one[1])):
        name, run = _asked(echo), _run(echo)
        if name not in runs:
            name = next((host for host, seen in runs.items() if run and run in seen), name if run else "")
        if name:
            runs.setdefault(name, set()).add(run)
            belongs[vantage] = name
    if len(runs) < 2:
        return {"": list(results)}
    return {
        host: [r for r in results if r.host == host or (not r.host and belongs.get(r.vantage, host) == host)]
        for host in runs
    }


def _run(result: CheckResult) -> str:
    """The run of the stand-in that was asked, which tells two hosts apart; "" where no session with it is known."""
    return str(result.evidence.get("session") or "")[:RUN_CHARS]


def _asked(echo: CheckResult) -> str:
    """The media host as a result of several would name it."""
    host, port = host_and_port(echo.target)
    return f"{bracketed(host)}:{port}"


def unreachable(groups: Groups) -> dict[str, list[CheckResult]]:
    """Hosts that answer nobody, each with the echoes that show it, while every caller who asked reaches another."""
    found = {}
    for host, results in groups.items():
        echoes = [r for r in results if r.id in ECHOES and r.status is not Status.SKIP]
        silent = all(_is_unheard(r) for r in echoes)
        elsewhere = {r.vantage for name, others in groups.items() if name != host for r in others if _answered(r)}
        if silent and any(r.id == UDP_ECHO for r in echoes) and vantages_of(echoes) <= elsewhere:
            found[host] = echoes
    return found


def _is_unheard(echo: CheckResult) -> bool:
    """It was sent, and nothing came of it."""
    heard = echo.evidence.get("returned") or echo.evidence.get("arrived")
    return echo.status in BAD and not heard and trouble(echo) not in NOT_SENT


def _answered(result: CheckResult) -> bool:
    return result.id in ECHOES and bool(result.evidence.get("returned"))


def node_unreachable(evidence: Evidence) -> Prediction | None:
    """Refused is the host's own word; silence may be the host, or a firewall before it."""
    found = unreachable(by_host(evidence.results))
    if not found:
        return None
    shown = [r for echoes in found.values() for r in echoes]
    refused = all(trouble(r) == "refused" for r in shown)
    names = ", ".join(found)
    answer = "refuses UDP and TCP" if refused else "is never answered"
    about = [r for r in evidence.results if r.status in BAD and r.host in found]
    return Prediction(
        explains=outcomes([*shown, *about]),
        flow=flow_of(evidence, shown[0], Role.MEDIA, "udp", MEDIA_PORT, Lost.BOTH),
        summary=f"{names} {answer}, from where another media host answers",
        subject=names,
        party=Party.MEDIA_HOST if refused else Party.UNDECIDED,
        confidence=Confidence.LIKELY,
        steps_first=(SERVE_RUNS,),
    )


CAUSES = (
    Cause(
        id="media.node-unreachable",
        party=Party.MEDIA_HOST,
        impact=Impact.SOME_CALLERS,
        meaning="One of several media hosts fails where the others work.",
        predicts=node_unreachable,
        remedy=Remedy(
            summary="Make this media host reachable as the others are, or take it out",
            steps=[
                "Compare it with a host that works: what listens there, its firewall, security group and NAT rule",
                "Calls that are placed on it fail: until it is mended, take it out of the cluster or of rtcd's name",
            ],
            firewall_rows=["FW-11", "FW-12", "FW-13"],
            guide_steps=["1.6.1", "1.6.3"],
        ),
        deciding_test="On that host: `ss -lnptu 'sport = :8443'` says whether anything listens; where it does, a "
        "firewall or a missing NAT rule stands before it",
    ),
)
