"""Causes of certificates at the site and at rtcd's API."""

from __future__ import annotations

import pytest

from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Party, Role
from calls_doctor.model.report import Confidence, Diagnosis
from tests.diagnosis import findings as f


def one(*results: CheckResult) -> Diagnosis:
    (found,) = f.diagnosed(*results)
    return found


@pytest.mark.parametrize(
    ("fault", "confidence"),
    [
        ("wrong-name", Confidence.LIKELY),
        ("self-signed", Confidence.LIKELY),
        ("unknown-authority", Confidence.LIKELY),
        ("incomplete-chain", Confidence.CERTAIN),
        ("untrusted", Confidence.CERTAIN),
        ("not-yet-valid", Confidence.CERTAIN),
    ],
)
def test_a_certificate_that_is_wrong_whatever_the_time(fault: str, confidence: Confidence) -> None:
    """Who inspects TLS on the way shows certificates of an authority of his own: alone, a caller cannot tell."""
    found = one(f.certificate(fault, 2.0 if fault == "not-yet-valid" else -90.0), f.clocks(site=0.1))
    assert (found.cause, found.party, found.confidence) == ("tls.invalid", Party.MATTERMOST_HOST, confidence)
    assert (found.flow.to.role, found.flow.to.address, found.flow.port) == (Role.MATTERMOST, "mm.example.com", 443)


def test_a_site_that_another_caller_trusts_may_be_inspected_on_this_ones_way() -> None:
    found = one(f.certificate("unknown-authority"), f.result("tls.site", Status.PASS, f.SITE, at="offloader", ok=True))
    assert (found.cause, found.party, found.confidence) == ("tls.invalid", Party.UNDECIDED, Confidence.LIKELY)
    assert "another issuer" in found.remedy.steps[0]


def test_a_port_that_speaks_no_tls() -> None:
    assert one(f.site("tls", "not-tls", "tls.site")).cause == "tls.invalid"
    assert one(f.site("connect", "tls")).cause == "tls.invalid", "another of several addresses than tls.site looked at"


def test_the_apis_certificate() -> None:
    expired = f.api("connect", "tls")
    expired.evidence["fault"] = "expired"
    found = one(expired)
    assert (found.cause, found.party, found.flow.port) == ("tls.expired", Party.MEDIA_HOST, 8045)
    expired.evidence["fault"] = "wrong-name"
    assert (one(expired).cause, one(expired).party) == ("tls.invalid", Party.MEDIA_HOST)


def test_the_same_fault_at_both_is_one_cause() -> None:
    expired = f.api("connect", "tls")
    expired.evidence["fault"] = "expired"
    found = one(f.expired(), expired, f.clocks(site=0.1))
    assert (found.cause, found.because) == ("tls.expired", ["port.api-tcp", "tls.site"])
    assert found.subject == f"{f.SITE}, {f.API}"
