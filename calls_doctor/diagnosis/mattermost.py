"""Causes at the Mattermost site as a caller finds it, without a login. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from calls_doctor.diagnosis.callers import blamed, caller
from calls_doctor.diagnosis.cause import Cause, Evidence, Prediction, outcomes
from calls_doctor.diagnosis.media_evidence import stage, trouble
from calls_doctor.diagnosis.place import Place, at_the_far_end, flow_of, own_machine
from calls_doctor.diagnosis.tls import SITE, WEBSOCKET
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Lost, Party, Role
from calls_doctor.model.report import Confidence, Impact, Remedy

HTTPS_PORT = 443
ON_THE_WAY = ("silent", "unreachable")
"""What a firewall makes of it, whoever's."""


def unreachable(evidence: Evidence) -> Prediction | None:
    """Nobody answers, or what answers is not Mattermost or is not well."""
    shown = [r for r in evidence.bad(SITE, WEBSOCKET) if stage(r) in ("connect", "http") and trouble(r) != "tls"]
    if not shown:
        return None
    first = shown[0]
    connecting = stage(first) == "connect"
    lost = Lost.BOTH if connecting and trouble(first) in ON_THE_WAY else None
    return _prediction(evidence, shown, first.summary, lost, not connecting)


def websocket_blocked(evidence: Evidence) -> Prediction | None:
    """HTTP works and the WebSocket does not, or it does not last."""
    shown = [r for r in evidence.bad(WEBSOCKET) if stage(r) in ("websocket", "hold")]
    return _prediction(evidence, shown, shown[0].summary, None, True) if shown else None


def _prediction(
    evidence: Evidence, shown: list[CheckResult], summary: str, lost: Lost | None, answered: bool
) -> Prediction:
    place = _whose(evidence, shown, lost, answered)
    return Prediction(
        explains=outcomes(shown),
        flow=flow_of(evidence, shown[0], Role.MATTERMOST, "tcp", HTTPS_PORT, lost),
        summary=summary,
        subject=shown[0].target,
        party=place.party,
        confidence=place.confidence,
    )


def _whose(evidence: Evidence, shown: Iterable[CheckResult], lost: Lost | None, answered: bool) -> Place:
    """An answer is the servers' side's, unless another caller gets a better one; silence and a refusal, which any
    firewall may say, are decided by who else is well."""
    if own := own_machine(evidence):
        return own
    place = blamed(evidence, shown, lambda vantage: works(evidence, vantage))
    if place is None:
        return caller(evidence)
    if answered:
        return at_the_far_end(evidence)
    before_it = lost is not None or bool(evidence.of(WEBSOCKET, Status.PASS))  # somebody inside is well
    sure = place.confidence is Confidence.CERTAIN
    return Place(Party.SERVER_NETWORK, place.confidence) if before_it and sure else place


def works(evidence: Evidence, vantage: str) -> bool:
    """True where the site is well for a caller there."""
    return evidence.passed(WEBSOCKET, vantage)


def kept_from(evidence: Evidence, vantages: Iterable[str]) -> list[CheckResult]:
    """Where these vantages had no answer from the site, for whatever else keeps it from them."""
    bad = evidence.bad_at(set(vantages), SITE, WEBSOCKET)
    return [r for r in bad if trouble(r) in ("silent", "unreachable", "refused", "cut")]


_LOOK = "On a caller's machine: `curl -v https://SITE/api/v4/system/ping` must answer JSON with status OK"

CAUSES = (
    Cause(
        id="mattermost.unreachable",
        party=Party.MATTERMOST_HOST,
        impact=Impact.NO_CALLS,
        meaning="The Mattermost site does not answer callers, or what answers is not Mattermost.",
        predicts=unreachable,
        remedy=Remedy(
            summary="Have the site answer callers",
            steps=[
                _LOOK,
                "On the Mattermost host, after 502, 503 or 504 (the proxy does not reach Mattermost): `systemctl "
                "status mattermost`, and `curl -v http://127.0.0.1:8065/api/v4/system/ping`",
                "After silence, allow TCP 443 (or the port of its URL) from callers to the site",
            ],
            firewall_rows=["FW-01"],
        ),
        deciding_test="On the Mattermost host, or its proxy's: `ss -ltnp` says whether anything listens on the port of "
        "the site's URL; open the site from another network too (a phone's hotspot): where it listens and fails from "
        "both, the block stands before it",
    ),
    Cause(
        id="mattermost.websocket-blocked",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="The site answers over HTTP, and its WebSocket does not open or does not last.",
        predicts=websocket_blocked,
        remedy=Remedy(
            summary="Pass the WebSocket through every proxy before Mattermost",
            steps=[
                "nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "
                '"upgrade"; proxy_set_header Host $http_host; for /api/v4/websocket',
                "Let what is idle live: proxy_read_timeout 600s, and a load balancer's idle timeout of 90 s or more",
                "400 to a page of the site's own address: Host must be the site's, and ServiceSettings.SiteURL what "
                "callers open",
                "On a caller's machine: `curl -i -N --http1.1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H "
                "'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==' "
                "https://SITE/api/v4/websocket` must answer 101",
            ],
            firewall_rows=["FW-01"],
        ),
    ),
)
