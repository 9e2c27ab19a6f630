"""Causes of certificates, at the site and at rtcd's API; TURN's are the TURN server's own. Pure."""

from __future__ import annotations

from calls_doctor.diagnosis.callers import blamed
from calls_doctor.diagnosis.cause import BAD, Cause, Evidence, Prediction, outcomes
from calls_doctor.diagnosis.clock_signs import certificate_is_at_fault
from calls_doctor.diagnosis.media_evidence import stage, trouble
from calls_doctor.diagnosis.place import Place, at_the_far_end, flow_of, own_machine
from calls_doctor.model.certificate import OF_TIME, TlsFault
from calls_doctor.model.check import API, CheckResult, Status
from calls_doctor.model.flow import Party, Role
from calls_doctor.model.report import Confidence, Impact, Remedy
from calls_doctor.modes import API_PORT

SITE, WEBSOCKET, RTCD = "tls.site", "signal.websocket", "tls.rtcd"
HTTPS_PORT = 443
OF_AN_AUTHORITY = (TlsFault.SELF_SIGNED, TlsFault.UNKNOWN_AUTHORITY, TlsFault.WRONG_NAME)
"""What one who inspects TLS on the caller's way makes of any certificate."""


def invalid(evidence: Evidence) -> Prediction | None:
    """No TLS where it is wanted, or a certificate that is wrong whatever the time."""
    api = [r for r in evidence.bad(API) if _is_invalid_api(evidence, r)]
    slow = evidence.of(RTCD, Status.FAIL)
    if slow and not api:
        return _at(evidence, slow, Role.MEDIA, at_the_far_end(evidence), f"{slow[0].target}: {slow[0].summary}")
    site = [r for r in evidence.bad(SITE) if stage(r) == "tls" and _is_invalid(evidence, r)]
    site += [r for r in evidence.bad(WEBSOCKET) if trouble(r) == "tls"]
    if site:
        return _at(evidence, [*site, *api], Role.MATTERMOST, _whose(evidence, site), site[0].summary)
    said = "and what answers there do not agree on TLS, or its certificate cannot be trusted"
    return _at(evidence, api, Role.MEDIA, at_the_far_end(evidence), f"{api[0].target} {said}") if api else None


def _is_invalid_api(evidence: Evidence, result: CheckResult) -> bool:
    if stage(result) == "http":
        return trouble(result) == "wants-tls"
    return stage(result) == "connect" and trouble(result) == "tls" and _is_invalid(evidence, result)


def _is_invalid(evidence: Evidence, result: CheckResult) -> bool:
    if _has_expired(result):
        return False
    of_time = result.evidence.get("fault") in OF_TIME
    return not of_time or certificate_is_at_fault(evidence, result.vantage, result.evidence) is not None


def _has_expired(result: CheckResult) -> bool:
    return result.evidence.get("fault") == TlsFault.EXPIRED


def _whose(evidence: Evidence, site: list[CheckResult]) -> Place:
    """Where another vantage trusts the site, somebody between it and this one may show a certificate of his own. What
    several networks are shown is the site's."""
    if own := own_machine(evidence):
        return own
    if any(r.status not in BAD or r.evidence.get("ok") for r in evidence.of(SITE, Status.PASS, Status.WARN)):
        return Place(Party.UNDECIDED, Confidence.LIKELY)
    sure = all(r.evidence.get("fault") not in OF_AN_AUTHORITY for r in site)
    everywhere = blamed(evidence, site, lambda vantage: evidence.passed(SITE, vantage))
    sure = sure or (everywhere is not None and everywhere.confidence is Confidence.CERTAIN)
    return Place(Party.MATTERMOST_HOST, Confidence.CERTAIN if sure else Confidence.LIKELY)


def expired(evidence: Evidence) -> Prediction | None:
    """Its time is over, by this machine's clock and by any other that could be asked."""
    site = [r for r in evidence.bad(SITE) if _has_expired(r)]
    api = [r for r in evidence.bad(API) if stage(r) == "connect" and _has_expired(r)]
    sure = {id(r): certificate_is_at_fault(evidence, r.vantage, r.evidence) for r in (*site, *api)}
    shown = [r for r in (*site, *api) if sure[id(r)] is not None]
    if not shown:
        return None
    role = Role.MATTERMOST if shown[0] in site else Role.MEDIA
    party = None if role is Role.MATTERMOST else Party.MEDIA_HOST
    certain = any(sure[id(r)] is Confidence.CERTAIN for r in shown)
    place = own_machine(evidence) or Place(party, Confidence.CERTAIN if certain else Confidence.LIKELY)
    return _at(evidence, shown, role, place, shown[0].summary)


def _at(evidence: Evidence, shown: list[CheckResult], role: Role, place: Place, summary: str) -> Prediction:
    port = HTTPS_PORT if role is Role.MATTERMOST else API_PORT
    return Prediction(
        explains=outcomes(shown),
        flow=flow_of(evidence, shown[0], role, "tcp", port),
        summary=summary,
        subject=", ".join(dict.fromkeys(r.target for r in shown)),
        party=place.party,
        confidence=place.confidence,
    )


_SHOW = "`openssl s_client -connect HOST:PORT -servername HOST -showcerts`"

CAUSES = (
    Cause(
        id="tls.invalid",
        party=Party.MEDIA_HOST,
        impact=Impact.NO_CALLS,
        meaning="TLS cannot be used where the URL says https, or is wanted where it says http.",
        predicts=invalid,
        remedy=Remedy(
            summary="Serve a certificate that is trusted, with its chain, for the name in the URL",
            steps=[
                f"On the machine where it shows: {_SHOW} shows the chain, and whether TLS is spoken at all",
                "At the site's proxy: the certificate and all that lead from it to its authority, in one file (nginx: "
                "ssl_certificate), for the name in the site's URL; a private authority must be in every caller's store",
                "At rtcd's API: https only where rtcd's api.http.tls is enabled, with the full chain, not expired, "
                "that every Mattermost node trusts; without it write http, and keep 8045 inside the servers' network",
            ],
            firewall_rows=["FW-20"],
            guide_steps=["2B.3.4", "2B.2.1"],
        ),
        deciding_test=f"On a machine in each of two networks: {_SHOW}: another issuer in one of them means that "
        "something on its way inspects TLS",
    ),
    Cause(
        id="tls.expired",
        party=Party.MATTERMOST_HOST,
        impact=Impact.NO_CALLS,
        meaning="A certificate's time is over.",
        predicts=expired,
        remedy=Remedy(
            summary="Renew the certificate, and have what serves it load it",
            steps=[
                "On the host that serves it: `openssl x509 -noout -enddate -in CERTIFICATE.pem` tells when it ended; "
                "renew it by `certbot renew`, or at your authority",
                "On the host that serves it: `systemctl reload nginx`, or whatever serves it; a file that was renewed "
                "and not loaded counts for nothing",
                "On the host that serves it: `systemctl list-timers` must show that renewal runs by itself",
            ],
        ),
    ),
)
