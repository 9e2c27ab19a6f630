"""Several media hosts: which results are about which, and one that nobody reaches where the others answer. Pure.

Each host is diagnosed by itself (conclusion.py); only what tells them apart is read here, from all results at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from calls_doctor.diagnosis.callers import blamed, is_inside, outside
from calls_doctor.diagnosis.cause import BAD, Cause, Evidence, Prediction, outcomes
from calls_doctor.diagnosis.media_evidence import SERVE_RUNS, answers_inside, trouble
from calls_doctor.diagnosis.place import Place, flow_of, host_and_port, on_the_path, vantages_of
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
    with the same key answers at the same port. Where nothing tells which it is, it belongs to each.
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
            same_port = (host for host in runs if host_and_port(host)[1] == host_and_port(name)[1])
            name = next((host for host in same_port if run and run in runs[host]), name if run else "")
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


def silent_hosts(evidence: Evidence, groups: Groups) -> dict[str, list[CheckResult]]:
    """Hosts that answer no caller outside, each with the echoes that show it. What is found in the servers' network
    says that a host lives, and nothing of callers' way to it; it counts where nobody else asked."""
    outer, found = set(outside(evidence)), {}
    for host, results in groups.items():
        every = [r for r in results if r.id in ECHOES and r.status is not Status.SKIP]
        echoes = [r for r in every if r.vantage in outer] or every
        if all(_is_unheard(r) for r in echoes) and any(r.id == UDP_ECHO for r in echoes):
            found[host] = echoes
    return found


def unreachable(evidence: Evidence, groups: Groups) -> dict[str, list[CheckResult]]:
    """The silent ones of which every caller who asked reaches another host. One stand-in that is silent over IPv6 and
    answers over IPv4 is no other."""
    found = {}
    for host, echoes in silent_hosts(evidence, groups).items():
        elsewhere = {one for name in groups if name != host for one in answered_at(groups, name)}
        is_itself = at_another_port(groups, host) or over_the_other_family(groups, host)
        if vantages_of(echoes) <= elsewhere and not is_itself:
            found[host] = echoes
    return found


def answered_at(groups: Groups, host: str) -> set[str]:
    """The vantages that had an answer from this host."""
    return {r.vantage for r in groups[host] if r.id in ECHOES and r.evidence.get("returned")}


def at_another_port(groups: Groups, host: str) -> list[str]:
    """Other names under which the very stand-in of this host was tested, at another port: it is no other host."""
    port = host_and_port(host)[1]
    return [name for name in _the_same(groups, host) if host_and_port(name)[1] != port]


def over_the_other_family(groups: Groups, host: str) -> list[str]:
    """Likewise, those of the other IP version at which it answered over UDP."""
    other = [name for name in _the_same(groups, host) if _is_ipv6(name) is not _is_ipv6(host)]
    return [name for name in other if any(r.id == UDP_ECHO and r.evidence.get("returned") for r in groups[name])]


def _the_same(groups: Groups, host: str) -> list[str]:
    runs = {_run(r) for r in groups[host]} - {""}
    return [name for name in groups if name != host and any(_run(r) in runs for r in groups[name])]


def _is_ipv6(host: str) -> bool:
    return ":" in host_and_port(host)[0]


def _is_unheard(echo: CheckResult) -> bool:
    """It was sent, and nothing came of it."""
    heard = echo.evidence.get("returned") or echo.evidence.get("arrived")
    return echo.status in BAD and not heard and trouble(echo) not in NOT_SENT


def node_unreachable(evidence: Evidence) -> Prediction | None:
    """Refused is the host's own word, unless it answers in its own network; silence may be the host, or a firewall
    before it."""
    groups = by_host(evidence.results)
    found = unreachable(evidence, groups)
    if not found:
        return None
    shown = [r for echoes in found.values() for r in echoes]
    refused = all(trouble(r) == "refused" for r in shown)
    alive = all(_lives(evidence, groups, host) for host in found)
    if alive:
        place = blamed(evidence, shown, lambda _vantage: False) or on_the_path(evidence)
    else:
        place = Place(None if refused else Party.UNDECIDED, Confidence.LIKELY)
    names = ", ".join(found)
    answer = "refuses UDP and TCP" if refused else "is never answered"
    about = [r for r in evidence.results if r.status in BAD and r.host in found]
    return Prediction(
        explains=outcomes([*shown, *about]),
        flow=flow_of(evidence, shown[0], Role.MEDIA, "udp", MEDIA_PORT, Lost.BOTH),
        summary=f"{names} {answer}, from where another media host answers"
        + (", and in its own network it does" if alive else ""),
        subject=names,
        party=(place.party or Party.SERVER_NETWORK) if alive else place.party,
        confidence=place.confidence,
        steps_first=() if alive else (SERVE_RUNS,),
    )


def _lives(evidence: Evidence, groups: Groups, host: str) -> bool:
    """Somebody in the servers' network had an answer of this host."""
    about = replace(evidence, results=groups[host])
    asked = next(r for r in about.of(UDP_ECHO))
    return answers_inside(about, asked) or any(is_inside(about, one) for one in answered_at(groups, host))


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
