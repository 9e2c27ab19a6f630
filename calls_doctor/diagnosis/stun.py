"""Causes at STUN. Pure."""

from __future__ import annotations

from calls_doctor.diagnosis.callers import EGRESS, caller
from calls_doctor.diagnosis.cause import Cause, Evidence, Outcome, Prediction, bad_rows, outcome_of, outcomes
from calls_doctor.diagnosis.media_evidence import answers
from calls_doctor.diagnosis.place import (
    Place,
    at_the_far_end,
    flow_of,
    host_and_port,
    on_the_path,
    role_of,
    vantages_of,
)
from calls_doctor.diagnosis.turn_signs import LISTENERS, kind_of, port_of
from calls_doctor.model.check import NOT_SENT, UDP_ECHO, CheckResult, Status
from calls_doctor.model.flow import Lost, Party, Role
from calls_doctor.model.report import Impact, Remedy
from calls_doctor.modes import STUN_PORT

REACH = "stun.reach"
SERVER_SIDE = (Role.MEDIA, Role.MATTERMOST)


def blocked_client(evidence: Evidence) -> Prediction | None:
    """No STUN server answers a caller; nor does TURN over UDP, where it stands on the same port."""
    shown = _unanswered(evidence, of_servers=False)
    if not shown:
        return None
    where, ports = vantages_of(shown), {_port(r) for r in shown}
    # Who reaches nobody over UDP has another fault, and so has a TURN server that no caller reaches.
    well = {v for v in where if answers(evidence, UDP_ECHO)(v) or _lets_udp_out(evidence, v)}
    turn = frozenset(
        outcome_of(r, row)
        for r in evidence.bad_at(well, *LISTENERS)
        for row in bad_rows(r)
        if row["trouble"] == "silent" and kind_of(row) == "udp" and port_of(row) in ports
    )
    return _silent(evidence, shown, turn, answered_elsewhere=caller(evidence))


def _lets_udp_out(evidence: Evidence, vantage: str) -> bool:
    egress = evidence.at(EGRESS, vantage)
    return egress is not None and egress.status is not Status.FAIL


def blocked_server(evidence: Evidence) -> Prediction | None:
    """No STUN server answers the media host, which has no other way to know its public address."""
    shown = [r for r in _unanswered(evidence, of_servers=True) if r.evidence.get("needed", True)]
    return _silent(evidence, shown, answered_elsewhere=at_the_far_end(evidence)) if shown else None


def _unanswered(evidence: Evidence, of_servers: bool) -> list[CheckResult]:
    rows = [r for r in evidence.bad(REACH) if not _unsent(r)]
    rows = [r for r in rows if not any(row.get("answered") for row in r.evidence.get("servers", ()))]
    failed = [r for r in rows if r.evidence.get("servers") or r.status is Status.FAIL]
    return [r for r in failed if (role_of(evidence, r.vantage) in SERVER_SIDE) is of_servers]


def _silent(
    evidence: Evidence, shown: list[CheckResult], also: frozenset[Outcome] = frozenset(), *, answered_elsewhere: Place
) -> Prediction:
    """Where the same servers answer another network, this one keeps them from answering here."""
    mine = vantages_of(shown)
    elsewhere = any(r.vantage not in mine for r in evidence.of(REACH, Status.PASS))
    place = answered_elsewhere if elsewhere else on_the_path(evidence)
    return Prediction(
        explains=outcomes(shown) | also,
        flow=flow_of(evidence, shown[0], Role.STUN, "udp", STUN_PORT, Lost.BOTH),
        summary=shown[0].summary,
        subject=shown[0].target,
        party=place.party,
        confidence=place.confidence,
    )


def _port(result: CheckResult) -> int:
    return host_and_port(result.target)[1] or STUN_PORT


def _unsent(result: CheckResult) -> bool:
    """No server's name has an address to which this machine sends: nothing left it that could be blocked."""
    rows = result.evidence.get("servers", ())
    return bool(rows) and all(row["trouble"] in ("unresolved", *NOT_SENT) for row in rows)


def wrong_answer(evidence: Evidence) -> Prediction | None:
    """Servers that disagree about the public address."""
    shown = [r for r in evidence.bad("stun.public-ip") if _servers_disagree(evidence, r)]
    if not shown:
        return None
    reach = evidence.at(REACH, shown[0].vantage) or shown[0]
    return Prediction(
        explains=outcomes(shown),
        flow=flow_of(evidence, reach, Role.STUN, "udp", STUN_PORT),
        summary=shown[0].summary,
        subject=reach.target,
        party=at_the_far_end(evidence).party,
    )


def _servers_disagree(evidence: Evidence, result: CheckResult) -> bool:
    """Each server always says the same, and not what another says.

    A NAT that gives every socket another address of its pool makes one server contradict itself: that is odd, and no
    server's fault.
    """
    said = [set(addresses) for addresses in result.evidence.get("mapped", {}).values()]
    reach = evidence.at(REACH, result.vantage)
    if reach and role_of(evidence, result.vantage) in SERVER_SIDE:
        if not reach.evidence.get("needed", True):
            return False
        rows = reach.evidence.get("servers", ())  # rtcd asks one address of a name, whichever comes first
        said = [{ip for ip, _ in row["mapped"]} for row in rows if row.get("mapped")] or said
    families = ([{ip for ip in one if (":" in ip) is ipv6} for one in said] for ipv6 in (False, True))
    return any(
        all(len(addresses) <= 1 for addresses in family) and len(set().union(*family)) > 1 for family in families
    )


_REMEDY = Remedy(
    summary="Let UDP 3478 out to the STUN server, or do without it",
    steps=[
        "At this network's firewall, allow UDP 3478 outbound, from source port 8443 for the media host, and its "
        "answers",
        "Where the public address is fixed, set the ICE host override: no STUN is needed then",
    ],
    firewall_rows=["FW-50"],
    guide_steps=["1.3.1"],
)

_DECIDES = (
    "On a machine in a second network: `calls-doctor check --stun URI`, with the same server; and here with another: "
    "a server that is down answers nobody, a firewall keeps every server from answering here"
)

CAUSES = (
    Cause(
        id="stun.blocked-client",
        party=Party.CALLER_NETWORK,
        impact=Impact.NONE_NOW,
        meaning="A caller gets no STUN answer; nothing to mend while 8443 works.",
        predicts=blocked_client,
        remedy=_REMEDY,
        deciding_test=_DECIDES,
    ),
    Cause(
        id="stun.blocked-server",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="The media host gets no STUN answer and needs one.",
        predicts=blocked_server,
        remedy=_REMEDY,
        deciding_test=_DECIDES,
    ),
    Cause(
        id="stun.wrong-answer",
        party=Party.SERVER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="STUN servers disagree about the public address.",
        predicts=wrong_answer,
        remedy=Remedy(
            summary="Use one STUN server outside the network, or set the address yourself",
            steps=[
                "A STUN server inside the network sees private addresses: name one on the internet",
                "With several ways out, set the ICE host override to the address that forwards 8443",
            ],
            guide_steps=["1.3.1", "2A.2.3"],
        ),
    ),
)
