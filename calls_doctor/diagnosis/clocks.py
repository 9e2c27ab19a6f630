"""The cause of clocks that do not agree. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from calls_doctor.diagnosis import clock_signs as signs
from calls_doctor.diagnosis.cause import Cause, Evidence, Outcome, Prediction, bad_rows, outcome_of, outcomes
from calls_doctor.diagnosis.clock_signs import APART_S, SKEW, Scale
from calls_doctor.diagnosis.place import at_the_far_end, flow_of, vantages_of
from calls_doctor.diagnosis.tls import SITE
from calls_doctor.diagnosis.turn_signs import ALLOCATE, EXPIRY, LISTENERS, TURN_TLS, WRONG_CREDENTIALS_CODES
from calls_doctor.model.certificate import OF_TIME
from calls_doctor.model.check import API, CheckResult, Status
from calls_doctor.model.flow import Party, Role
from calls_doctor.model.report import Confidence, Impact, Remedy

HTTPS_PORT = 443


def skewed(evidence: Evidence) -> Prediction | None:
    """Clocks are farther apart than credentials bear, or than a certificate does."""
    certificates, credentials = _certificates(evidence), _credentials(evidence)
    apart = [r for r in evidence.bad(SKEW) if r.evidence.get("apart_s", 0.0) > APART_S]
    failed = [r for r in apart if r.status is Status.FAIL]
    if not failed and not certificates and not credentials:
        return None
    scale = max(signs.scales(evidence), key=lambda one: one.apart_s, default=None)
    if scale is None or not apart:
        return None
    parties = list(dict.fromkeys(signs.party_of(evidence, one) for one in scale.wrong))
    party = parties[0] if len(parties) == 1 else Party.UNDECIDED
    own = at_the_far_end(evidence).party
    return Prediction(
        explains=outcomes(apart) | certificates | credentials,
        flow=flow_of(evidence, apart[0], Role.MATTERMOST, "tcp", HTTPS_PORT),
        summary=_summary(scale, apart),
        subject=", ".join(one.where for one in scale.wrong) or apart[0].target,
        party=own or party,
        confidence=Confidence.CERTAIN if own or party is not Party.UNDECIDED else Confidence.LIKELY,
    )


def _summary(scale: Scale, apart: list[CheckResult]) -> str:
    if not scale.wrong:
        return apart[0].summary
    right_s = sum(scale.offsets_s[one] for one in scale.right) / len(scale.right)
    off = {one.where: scale.offsets_s[one] - right_s for one in scale.wrong}
    words = (f"{where} is {abs(by_s):.0f} s {'ahead' if by_s > 0 else 'behind'}" for where, by_s in off.items())
    return f"the clock of {', '.join(words)}: others agree with each other"


def _certificates(evidence: Evidence) -> frozenset[Outcome]:
    """What takes a certificate for expired, or for one of the future, that is valid by another clock."""
    site = [r for r in evidence.bad(SITE, API) if r.evidence.get("fault") in OF_TIME and _is_a_clocks(evidence, r)]
    found = set(outcomes(site))
    for result in evidence.bad(TURN_TLS):
        rows = [row for row in bad_rows(result) if row.get("fault") in OF_TIME]
        uris = {row["uri"] for row in rows if not signs.certificate_is_at_fault(evidence, result.vantage, row)}
        found |= {outcome_of(r, row) for r, row in _tls_rows(evidence, result.vantage) if row["uri"] in uris}
        found |= {outcome_of(result, row) for row in rows if row["uri"] in uris}
    return frozenset(found)


def _is_a_clocks(evidence: Evidence, result: CheckResult) -> bool:
    return signs.certificate_is_at_fault(evidence, result.vantage, result.evidence) is None


def _tls_rows(evidence: Evidence, vantage: str) -> Iterable[tuple[CheckResult, dict[str, object]]]:
    """What the listener's checks say of TURN over TLS there."""
    results = evidence.bad_at({vantage}, *LISTENERS)
    return [(r, row) for r in results for row in bad_rows(r) if row.get("trouble") == "tls"]


def _credentials(evidence: Evidence) -> frozenset[Outcome]:
    """What a TURN server refuses since one clock made it and another judges it."""
    rows = [
        (r, row)
        for r in evidence.bad(ALLOCATE)
        for row in bad_rows(r)
        if row.get("code") in WRONG_CREDENTIALS_CODES and signs.expired_by_a_clock(evidence, r.vantage, row)
    ]
    expiry = [
        r
        for r in evidence.bad_at(vantages_of(r for r, _ in rows), EXPIRY)
        if signs.expired_by_a_clock(evidence, r.vantage, r.evidence)
    ]
    return frozenset(outcome_of(r, row) for r, row in rows) | outcomes([*expiry, *_by_own_clock(evidence)])


def _by_own_clock(evidence: Evidence) -> list[CheckResult]:
    """A user name that has expired by a clock that is wrong, and by the right one has not."""
    return [
        r
        for r in evidence.bad(EXPIRY)
        if r.evidence.get("expires_in_s", 0.0) < 0 and signs.has_expired(evidence, r.vantage, r.evidence) is not True
    ]


CAUSES = (
    Cause(
        id="clock.skewed",
        party=Party.UNDECIDED,
        impact=Impact.SOME_CALLERS,
        meaning="Machines of a call do not agree on the time.",
        predicts=skewed,
        remedy=Remedy(
            summary="Set the clock that is wrong by NTP",
            steps=[
                "On the machine whose clock is wrong: `timedatectl` says whether it is synchronized, `timedatectl "
                "set-ntp true` has it so; where chrony keeps it, `chronyc tracking` says why it is not",
                "In a virtual machine or a container the host's clock is the one to set; UDP 123 must be let out",
                "Credentials and certificates need no change: check again once the clock is right",
            ],
            firewall_rows=["FW-52"],
            guide_steps=["2A.2.4"],
        ),
        deciding_test="On each of the two machines: `timedatectl`, compared with a third clock; or check from another "
        "machine and merge the reports",
    ),
)
