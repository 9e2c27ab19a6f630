"""The number of the media port: callers are handed one that leads nowhere, and another leads to the media host. Pure.

Which other: the site's port override, a link, or what STUN servers see; no port is guessed. That the same stand-in
answers there is shown by its key.
"""

from __future__ import annotations

from calls_doctor.diagnosis.advertise import settings_of
from calls_doctor.diagnosis.callers import blamed
from calls_doctor.diagnosis.cause import BAD, Cause, Evidence, Prediction, outcomes
from calls_doctor.diagnosis.media import WHOSE_FIREWALL
from calls_doctor.diagnosis.media_evidence import ADVERTISED, after_udp, bad, host, other_port, trouble
from calls_doctor.diagnosis.media_nodes import Groups, answered_at, at_another_port, by_host, silent_hosts
from calls_doctor.diagnosis.place import Place, flow_of, host_and_port, on_the_path, vantages_of
from calls_doctor.model.check import UDP_ECHO, CheckResult
from calls_doctor.model.flow import Lost, Party, Role, bracketed
from calls_doctor.model.report import Impact, Remedy
from calls_doctor.modes import MEDIA_PORT


def port_rewritten(evidence: Evidence) -> Prediction | None:
    """Of several addresses that were tested one is silent, where the same stand-in answers at another port; or what
    callers are handed is, where a known port answers. A caller who reaches what is handed out contradicts it."""
    groups = by_host(evidence.results)
    return _among_hosts(evidence, groups) if len(groups) > 1 else _handed_in_vain(evidence)


def _handed_in_vain(evidence: Evidence) -> Prediction | None:
    shown = _at_another_port(evidence)
    place = blamed(evidence, shown, lambda one: evidence.passed(ADVERTISED, one)) if shown else None
    if place is None:
        return None
    leads = other_port(shown[0])
    assert leads is not None, "that is what was looked for"
    handed = next(row for row in shown[0].evidence["candidates"] if row["address"] == leads["address"])
    asked = [r for r in bad(evidence, UDP_ECHO) if trouble(r) == "silent" and not r.evidence.get("returned")]
    hosts = {host(r) for r in asked if r.vantage in vantages_of(shown)}
    alike = [r for r in asked if host(r) in hosts]
    echo = next(iter(alike), None) or evidence.at(UDP_ECHO, shown[0].vantage) or shown[0]
    named = f"{bracketed(handed['address'])}:{handed['port']}"
    explained = [*shown, *alike, *after_udp(evidence, alike)]
    return _prediction(evidence, explained, echo, place, named, str(leads["port"]))


def _at_another_port(evidence: Evidence) -> list[CheckResult]:
    return [r for r in evidence.bad(ADVERTISED) if other_port(r) is not None]


def rewritten(evidence: Evidence, groups: Groups) -> dict[str, list[str]]:
    """Silent addresses -> the others at which the same stand-in answers, at another port, whoever tried both."""
    handed, found = _at_another_port(evidence), {}
    for name, echoes in silent_hosts(evidence, groups).items():
        tried = vantages_of([*echoes, *handed])
        if there := [one for one in at_another_port(groups, name) if answered_at(groups, one) & tried]:
            found[name] = there
    return found


def _among_hosts(evidence: Evidence, groups: Groups) -> Prediction | None:
    found, silent = rewritten(evidence, groups), silent_hosts(evidence, groups)
    if not found:
        return None
    shown, handed = [r for name in found for r in silent[name]], _at_another_port(evidence)
    place = blamed(evidence, [*shown, *handed], lambda _vantage: False) or on_the_path(evidence)
    about = [r for name in found for r in groups[name] if r.host == name]
    ports = dict.fromkeys(str(host_and_port(one)[1]) for there in found.values() for one in there)
    return _prediction(evidence, [*shown, *handed, *about], shown[0], place, ", ".join(found), ", ".join(ports))


def _prediction(
    evidence: Evidence, explained: list[CheckResult], echo: CheckResult, place: Place, named: str, port: str
) -> Prediction:
    """`named` leads nowhere; `port` does."""
    return Prediction(
        explains=outcomes(r for r in explained if r.status in BAD),
        flow=flow_of(evidence, echo, Role.MEDIA, "udp", MEDIA_PORT, Lost.BOTH),
        summary=f"{named} leads nowhere; the media host answers at port {port}",
        subject=named,
        party=place.party or settings_of(evidence),
        confidence=place.confidence,
    )


CAUSES = (
    Cause(
        id="media.port-rewritten",
        party=Party.RTCD_SETTINGS,
        impact=Impact.NO_CALLS,
        meaning="Another public port leads to the media port; the one that callers are handed does not.",
        predicts=port_rewritten,
        remedy=Remedy(
            summary="Announce the port that leads to the media host, or forward the one that is announced",
            steps=[
                "Set the ICE host port override to the public port (rtcd: rtc.ice_host_port_override; plugin: ICE Host "
                "Port Override in the System Console), for UDP and TCP alike, and restart it",
                "Or have the firewall, load balancer or NodePort before the media host forward UDP and TCP 8443 as "
                "they are",
            ],
            firewall_rows=["FW-11", "FW-12", "FW-13"],
            guide_steps=["2A.2.3"],
        ),
        deciding_test=WHOSE_FIREWALL,
    ),
)
