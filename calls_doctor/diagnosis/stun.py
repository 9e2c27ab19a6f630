"""Causes at STUN. Pure."""

from __future__ import annotations

from calls_doctor.diagnosis.cause import Cause, Evidence, Prediction, outcomes
from calls_doctor.diagnosis.place import flow_of, on_the_path, port_of
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Lost, Party, Role
from calls_doctor.model.report import Impact, Remedy
from calls_doctor.modes import STUN_PORT

SERVER_SIDE = (Role.MEDIA, Role.MATTERMOST)


def _unanswered(evidence: Evidence, server_side: bool) -> CheckResult | None:
    return next(
        (r for r in evidence.of("stun.reach", Status.FAIL) if (_role(evidence, r) in SERVER_SIDE) is server_side), None
    )


def _role(evidence: Evidence, result: CheckResult) -> str:
    vantage = evidence.vantages.get(result.vantage)
    return vantage.role if vantage else result.vantage


def _blocked(evidence: Evidence, result: CheckResult) -> Prediction:
    place = on_the_path(evidence)
    flow = flow_of(result, Role.STUN, "udp", port_of(result, STUN_PORT), Lost.BOTH)
    return Prediction(
        explains=outcomes([result]), flow=flow, summary=result.summary, subject=result.target,
        party=place.party, confidence=place.confidence,
    )  # fmt: skip


def blocked_client(evidence: Evidence) -> Prediction | None:
    """No STUN server answers a caller."""
    result = _unanswered(evidence, server_side=False)
    return None if result is None else _blocked(evidence, result)


def blocked_server(evidence: Evidence) -> Prediction | None:
    """No STUN server answers the media host."""
    result = _unanswered(evidence, server_side=True)
    return None if result is None else _blocked(evidence, result)


def wrong_answer(evidence: Evidence) -> Prediction | None:
    """Servers that disagree about the public address."""
    result = next((r for r in evidence.bad("stun.public-ip") if not r.evidence.get("servers_agree", True)), None)
    if result is None:
        return None
    reach = next(iter(evidence.of("stun.reach")), result)
    return Prediction(
        explains=outcomes([result]),
        flow=flow_of(reach, Role.STUN, "udp", port_of(reach, STUN_PORT)),
        summary=result.summary,
        subject=reach.target,
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

CAUSES = (
    Cause(
        id="stun.blocked-client",
        party=Party.CALLER_NETWORK,
        impact=Impact.NONE_NOW,
        meaning="A caller gets no STUN answer; nothing to mend while 8443 works.",
        predicts=blocked_client,
        remedy=_REMEDY,
    ),
    Cause(
        id="stun.blocked-server",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="The media host gets no STUN answer and needs one.",
        predicts=blocked_server,
        remedy=_REMEDY,
    ),
    Cause(
        id="stun.wrong-answer",
        party=Party.SERVER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="STUN servers disagree about the public address.",
        predicts=wrong_answer,
        remedy=Remedy(
            summary="Use one STUN server outside the network, or set the address yourself",
            steps=["A STUN server inside the network sees private addresses: name one on the internet",
                   "With several ways out, set the ICE host override to the address that forwards 8443"],
            guide_steps=["1.3.1", "2A.2.3"],
        ),
    ),
)  # fmt: skip
