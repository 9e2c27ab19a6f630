"""What callers are handed, and when it is to blame."""

from __future__ import annotations

import pytest

from calls_doctor.model.check import CheckResult
from tests.diagnosis import findings as f

PRIVATE, PUBLIC, ELSEWHERE = f.candidate("10.0.1.20"), f.candidate(), f.candidate("203.0.113.99")


def found(check: CheckResult) -> list[tuple[str, str]]:
    return [(one.cause, one.summary) for one in f.diagnosed(*f.good_echoes(), check)]


@pytest.mark.parametrize(("check", "candidates", "cause"), [
    ("class", [PRIVATE], "advertise.private-address"), ("class", [], "advertise.nothing"),
    ("reachable", [PRIVATE, ELSEWHERE], "advertise.wrong-address"),
    ("reachable", [ELSEWHERE, PUBLIC], "advertise.wrong-address"),
    ("reachable", [PRIVATE], "advertise.private-address"),
])  # fmt: skip
def test_what_is_handed_out_is_named(check: str, candidates: list[dict[str, object]], cause: str) -> None:
    ((named, summary),) = found(f.advertised(check, *candidates))
    assert named == cause
    assert all(f"{row['address']}:8443" in summary for row in candidates)
    assert "nothing" not in summary and ("no address" in summary) is (not candidates)


def test_the_flow_leads_to_the_media_port_that_was_reached() -> None:
    (one,) = f.diagnosed(*f.good_echoes(), f.advertised("class", PRIVATE))
    assert one.flow.to.address == f.MEDIA_HOST
    (one,) = f.diagnosed(f.advertised("class", PRIVATE))
    assert one.cause == "advertise.private-address", "whether or not an echo was made"
