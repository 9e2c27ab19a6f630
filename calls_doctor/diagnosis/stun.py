"""Causes at STUN. Pure."""

from __future__ import annotations

from collections.abc import Callable

from calls_doctor.diagnosis.cause import Cause, Evidence, Prediction, outcomes
from calls_doctor.diagnosis.place import flow_of, on_the_path, own_machine, role_of
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Lost, Party, Role
from calls_doctor.model.report import Impact, Remedy
from calls_doctor.modes import STUN_PORT

SERVER_SIDE = (Role.MEDIA, Role.MATTERMOST)


def _blocked(server_side: bool) -> Callable[[Evidence], Prediction | None]:
    """No STUN server answers at all: a caller, or the media host."""

    def predicts(evidence: Evidence) -> Prediction | None:
        failed = [r for r in evidence.of("stun.reach", Status.FAIL) if not _unresolved(r)]
        shown = [r for r in failed if (role_of(evidence, r) in SERVER_SIDE) is server_side]
        if not shown:
            return None
        place = on_the_path(evidence)
        return Prediction(
            explains=outcomes(shown),
            flow=flow_of(evidence, shown[0], Role.STUN, "udp", STUN_PORT, Lost.BOTH),
            summary=shown[0].summary,
            subject=shown[0].target,
            party=place.party,
            confidence=place.confidence,
        )

    return predicts


def _unresolved(result: CheckResult) -> bool:
    """No server's name has an address, so nothing was sent that could have been blocked."""
    rows = result.evidence.get("servers", ())
    return bool(rows) and all(row["trouble"] == "unresolved" for row in rows)


def wrong_answer(evidence: Evidence) -> Prediction | None:
    """Servers that disagree about the public address."""
    shown = [r for r in evidence.bad("stun.public-ip") if _servers_disagree(r)]
    if not shown:
        return None
    reach = evidence.at("stun.reach", shown[0].vantage) or shown[0]
    return Prediction(
        explains=outcomes(shown),
        flow=flow_of(evidence, reach, Role.STUN, "udp", STUN_PORT),
        summary=shown[0].summary,
        subject=reach.target,
        party=place.party if (place := own_machine(evidence)) else None,
    )


def _servers_disagree(result: CheckResult) -> bool:
    """Each server always says the same, and not what another says.

    A NAT that gives every socket another address of its pool makes one server contradict itself: that is odd, and no
    server's fault.
    """
    said = [set(addresses) for addresses in result.evidence.get("mapped", {}).values()]
    families = ([{ip for ip in one if (":" in ip) is ipv6} for one in said] for ipv6 in (False, True))
    return any(
        all(len(addresses) <= 1 for addresses in family) and len(set().union(*family)) > 1 for family in families
    )


_REMEDY = Remedy(
    summary="Let UDP 3478 out to the STUN server, or do without it",
    steps=[
        "Allow UDP 3478 outbound",
        "Where the public address is fixed, set the ICE host override: no STUN is needed then",
    ],
    firewall_rows=["FW-50"],
    guide_steps=["1.3.1"],
)

_DECIDES = (
    "Ask another STUN server, and the same one from a second network: a server that is down answers nobody, a firewall "
    "keeps every server from answering here"
)

CAUSES = (
    Cause(
        id="stun.blocked-client",
        party=Party.CALLER_NETWORK,
        impact=Impact.NONE_NOW,
        meaning="A caller gets no STUN answer; nothing to mend while 8443 works.",
        predicts=_blocked(server_side=False),
        remedy=_REMEDY,
        deciding_test=_DECIDES,
    ),
    Cause(
        id="stun.blocked-server",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="The media host gets no STUN answer and needs one.",
        predicts=_blocked(server_side=True),
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
