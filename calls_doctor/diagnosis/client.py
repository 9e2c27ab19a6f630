"""Causes in a caller's own network: what it lets out, while other callers are well. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from calls_doctor.diagnosis.callers import EGRESS, blamed, caller
from calls_doctor.diagnosis.cause import Cause, Evidence, Outcome, Prediction, Row, bad_rows, outcome_of, outcomes
from calls_doctor.diagnosis.mattermost import kept_from
from calls_doctor.diagnosis.media_evidence import (
    ADVERTISED,
    TCP_CALL,
    UDP_CALLS,
    answers,
    bad,
    gets_there,
    is_shut,
    never_opened,
    protocol_of,
    trouble,
)
from calls_doctor.diagnosis.nat import TYPE
from calls_doctor.diagnosis.place import Place, flow_of, host_and_port, vantages_of
from calls_doctor.diagnosis.stun import REACH
from calls_doctor.diagnosis.turn_signs import LISTENERS, kind_of, port_of
from calls_doctor.model.check import API, TCP_ECHO, UDP_ECHO, CheckResult, Status
from calls_doctor.model.flow import Lost, Party, Role
from calls_doctor.model.report import Confidence, Impact, Remedy
from calls_doctor.modes import MEDIA_PORT

CONTROL = "env.control"
HTTPS_PORT = 443
SHUT = ("silent", "refused", "unreachable")


def udp_blocked(evidence: Evidence) -> Prediction | None:
    """Whoever is asked over UDP from here, nobody answers."""
    shown = evidence.of(EGRESS, Status.FAIL)
    if not shown:
        return None
    where = vantages_of(shown)
    udp = [*evidence.bad_at(where, REACH, UDP_ECHO, *UDP_CALLS, ADVERTISED, TYPE)]
    names = ", ".join(sorted(where))
    return Prediction(
        explains=outcomes([*shown, *udp]) | _turn_rows(evidence, where, lambda row: kind_of(row) == "udp"),
        flow=flow_of(evidence, evidence.at(UDP_ECHO, shown[0].vantage) or shown[0], Role.MEDIA, "udp", MEDIA_PORT,
                     Lost.BOTH),
        summary=f"no UDP datagram from {names} is answered by anybody",
        subject=names,
        party=(place := _whose(evidence, shown)).party,
        confidence=place.confidence,
    )  # fmt: skip


def _whose(evidence: Evidence, shown: list[CheckResult]) -> Place:
    """Certain where UDP works for another caller: then the servers are not silent as such."""
    return blamed(evidence, shown, lambda vantage: evidence.passed(EGRESS, vantage)) or caller(evidence)


def _turn_rows(evidence: Evidence, where: Iterable[str], holds: Callable[[Row], bool]) -> frozenset[Outcome]:
    results = evidence.bad_at(set(where), *LISTENERS)
    return frozenset(outcome_of(r, row) for r in results for row in bad_rows(r) if holds(row))


def only_443(evidence: Evidence) -> Prediction | None:
    """Nothing passes but TCP to port 443."""
    shown = [r for r in evidence.of(EGRESS, Status.FAIL) if _nothing_but_443(evidence, r.vantage)]
    if not shown:
        return None
    where = vantages_of(shown)
    udp = udp_blocked(evidence)
    tcp = [*evidence.bad_at(where, TCP_ECHO, TCP_CALL, API), *_elsewhere_than_443(kept_from(evidence, where))]
    names = ", ".join(sorted(where))
    place = _whose(evidence, shown)
    here = frozenset(one for one in (udp.explains if udp else ()) if one[1] in where)
    return Prediction(
        explains=here | outcomes(tcp) | _turn_rows(evidence, where, lambda row: row["trouble"] in SHUT),
        flow=flow_of(evidence, evidence.at(TCP_ECHO, shown[0].vantage) or shown[0], Role.MEDIA, "tcp", MEDIA_PORT,
                     Lost.BOTH),
        summary=f"from {names} nothing is answered but TCP on port {HTTPS_PORT}",
        subject=names,
        party=place.party,
        confidence=place.confidence,
    )  # fmt: skip


def _elsewhere_than_443(site: Iterable[CheckResult]) -> list[CheckResult]:
    """A site on a port that such a network lets nobody reach."""
    named = [(r, host_and_port(r.target)[1]) for r in site]
    return [r for r, port in named if (port or (HTTPS_PORT if r.target.startswith("https") else 0)) != HTTPS_PORT]


def _nothing_but_443(evidence: Evidence, vantage: str) -> bool:
    if not is_shut(evidence.at(TCP_ECHO, vantage), SHUT):
        return False
    rows = [row for check in LISTENERS if (r := evidence.at(check, vantage)) for row in r.evidence.get("servers", ())]
    tcp = [row for row in rows if kind_of(row) == "tcp"]
    https = [row for row in tcp if port_of(row) == HTTPS_PORT]
    return bool(https) and all(row["ok"] is (row in https) for row in tcp)


def port_blocked(evidence: Evidence) -> Prediction | None:
    """The media port is shut from here, and other callers reach it."""
    udp = _mine(evidence, [r for r in bad(evidence, UDP_ECHO) if not r.evidence.get("returned")]) or _held_back(
        evidence
    )
    tcp = _mine(evidence, [r for r in bad(evidence, TCP_ECHO) if never_opened(r) and trouble(r) in SHUT])
    shown = [*udp, *tcp]
    if not shown:
        return None
    where = vantages_of(shown)
    also = [
        *evidence.bad_at(vantages_of(udp), *UDP_CALLS, ADVERTISED),
        *evidence.bad_at(vantages_of(tcp), TCP_CALL),
    ]
    host, port = host_and_port(shown[0].target)
    both = "UDP and TCP" if udp and tcp else "UDP" if udp else "TCP"
    arrived = shown[0].evidence.get("arrived") if udp else None
    place = caller(evidence)
    return Prediction(
        explains=outcomes([*shown, *also]),
        flow=flow_of(evidence, shown[0], Role.MEDIA, protocol_of(shown), MEDIA_PORT,
                     Lost.BOTH if arrived is None else Lost.REPLY if arrived else Lost.REQUEST),
        summary=f"{both} to {host}:{port or MEDIA_PORT} is shut from {', '.join(sorted(where))}, and other callers "
        "reach it",
        subject=", ".join(sorted(where)),
        party=place.party,
        confidence=place.confidence,
    )  # fmt: skip


def _held_back(evidence: Evidence) -> list[CheckResult]:
    """Whose datagrams do not come as far as others' do, whom something else keeps from an answer."""
    there = gets_there(evidence)
    lost = [r for r in bad(evidence, UDP_ECHO) if r.evidence.get("arrived") == 0 and not there(r.vantage)]
    return lost if lost and blamed(evidence, lost, there) is None else []


def _mine(evidence: Evidence, shown: list[CheckResult]) -> list[CheckResult]:
    """These, where their own network is to blame for them."""
    if not shown:
        return []
    return [] if blamed(evidence, shown, answers(evidence, shown[0].id)) else shown


def proxied(evidence: Evidence) -> Prediction | None:
    """Something opens TCP connections in the media host's name, to ports on which nothing listens there."""
    shown = evidence.of(CONTROL, Status.FAIL)
    if not shown:
        return None
    where = vantages_of(shown)
    stuck = [r for r in evidence.bad_at(where, TCP_ECHO, TCP_CALL) if r.id == TCP_CALL or not never_opened(r)]
    well = [r for r in evidence.of(CONTROL, Status.PASS) if r.vantage not in where]
    return Prediction(
        explains=outcomes([*shown, *stuck]),
        flow=flow_of(evidence, shown[0], Role.MEDIA, "tcp", MEDIA_PORT),
        summary=shown[0].summary,
        subject=shown[0].target,
        party=None if well else Party.UNDECIDED,
        confidence=Confidence.CERTAIN if well else Confidence.LIKELY,
    )


_ANOTHER_NETWORK = (
    "On a machine in another network, a phone's hotspot say: `calls-doctor check --peer LINK`; where it passes, the "
    "first network is to blame; where it fails alike, the servers' side is"
)

CAUSES = (
    Cause(
        id="client.udp-blocked",
        party=Party.CALLER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="The caller's own network lets no UDP out or back at all.",
        predicts=udp_blocked,
        remedy=Remedy(
            summary="Let UDP 8443 out to the media host, or have calls use TCP 8443 or TURN over TCP",
            steps=[
                "Ask this network's operator to allow UDP to port 8443 of the media host and its answers",
                "Until then TCP 8443 of the media host, or a TURN server over TCP or TLS, carries these callers",
            ],
            firewall_rows=["FW-15"],
            guide_steps=["1.6.1", "1.6.3"],
        ),
        deciding_test=_ANOTHER_NETWORK,
    ),
    Cause(
        id="client.only-443",
        party=Party.CALLER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="The caller's own network lets out nothing but TCP to port 443.",
        predicts=only_443,
        remedy=Remedy(
            summary="Give these callers a TURN server on port 443",
            steps=[
                "turns: on TCP 443 passes such networks; it needs an address of its own, beside Mattermost's",
                "Name it in the ICE servers that callers are handed (System Console, Plugins, Calls)",
                "Or ask this network's operator to allow UDP and TCP 8443 to the media host",
            ],
            firewall_rows=["FW-42", "FW-15"],
            guide_steps=["1.6.1", "1.6.2", "1.6.3", "1.6.4", "2A.2.4"],
        ),
        deciding_test=_ANOTHER_NETWORK,
    ),
    Cause(
        id="client.port-blocked",
        party=Party.CALLER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="The caller's own network shuts the media port; other callers reach it.",
        predicts=port_blocked,
        remedy=Remedy(
            summary="Let UDP and TCP 8443 out to the media host from this network",
            steps=[
                "Ask this network's operator to allow port 8443 of the media host outbound",
                "Until then a TURN server on 3478 or 443 carries these callers, where one is configured",
            ],
            firewall_rows=["FW-15"],
            guide_steps=["1.6.1", "1.6.2", "1.6.3", "1.6.4"],
        ),
    ),
    Cause(
        id="client.proxied",
        party=Party.CALLER_NETWORK,
        impact=Impact.NONE_NOW,
        meaning="Something on the caller's way answers TCP connections in the media host's name.",
        predicts=proxied,
        remedy=Remedy(
            summary="Take the media host out of the transparent proxy",
            steps=[
                "Look for a transparent proxy, a SYN proxy or an antivirus that opens connections by itself",
                "Take the media host's TCP 8443 out of it: what it opens proves nothing, and may carry nothing",
            ],
            firewall_rows=["FW-13", "FW-15"],
            guide_steps=["1.6.2", "1.6.4"],
        ),
        deciding_test=_ANOTHER_NETWORK,
    ),
)
