"""What the causes of address translation take as theirs, and what they leave to others."""

from __future__ import annotations

import pytest

from calls_doctor.diagnosis.cause import Evidence
from calls_doctor.diagnosis.nat import hairpin_missing, port_not_preserved
from calls_doctor.model.check import CheckResult, Status
from tests.diagnosis import findings as f

BERLIN, OFFICE, NODE = "Berlin", "office", "mattermost"
PLACES = (f.here(BERLIN), f.here(OFFICE), f.here(NODE, NODE))
NO_HAIRPIN, INSIDE = f.hairpin(0, 0), f.hairpin(3, 3, at=OFFICE)
TURN_WELL = f.result("turn.challenge", Status.PASS, at=BERLIN, servers=[f.turn_row(f.TURN_UDP)])


def given(*results: CheckResult) -> Evidence:
    return f.evidence(results, places=PLACES)


def explained(*results: CheckResult) -> set[tuple[str, str]]:
    """Check and vantage of what a missing hairpin explains."""
    missing = hairpin_missing(given(*results))
    assert missing is not None
    return {(check, vantage) for check, vantage, _ in missing.explains}


def udp_shut(at: str) -> list[CheckResult]:
    return [f.udp(trouble="silent", at=at), f.tcp(24, at=at)]


def test_what_works_for_nobody_is_no_missing_hairpin_and_one_protocol_that_works_is_enough() -> None:
    shut = [f.udp(trouble="silent", at=BERLIN), f.tcp(trouble="silent", sent=0, at=BERLIN)]
    assert hairpin_missing(given(NO_HAIRPIN, *shut)) is None
    assert hairpin_missing(given(NO_HAIRPIN, *udp_shut(BERLIN))) is not None


def test_where_the_media_port_is_shut_for_all_a_turn_server_and_the_site_show_that_nothing_is_reflected() -> None:
    shut = [f.udp(trouble="silent", at=BERLIN), f.tcp(trouble="silent", sent=0, at=BERLIN)]
    turn = f.turn("turn.challenge", f.turn_row(f.TURN_UDP, "silent"), at=NODE)
    site = f.site("connect", "silent", "tls.site", at=OFFICE)
    site_well = f.result("signal.websocket", Status.PASS, at=BERLIN)
    assert ("turn.challenge", NODE) in explained(NO_HAIRPIN, *shut, TURN_WELL, turn)
    assert ("tls.site", OFFICE) in explained(NO_HAIRPIN, INSIDE, *shut, site_well, site)
    missing = hairpin_missing(given(NO_HAIRPIN, *shut, TURN_WELL, turn))
    assert missing is not None and "nor what else callers outside do reach" in missing.summary
    assert hairpin_missing(given(NO_HAIRPIN, *shut, turn)) is None, "nobody reaches that one either"


def test_it_says_whether_anybody_outside_has_tried() -> None:
    alone, tried = hairpin_missing(given(NO_HAIRPIN)), hairpin_missing(given(NO_HAIRPIN, *f.good_echoes(at=BERLIN)))
    assert alone is not None and "the private address does" in alone.summary
    assert tried is not None and "works from outside" in tried.summary


def test_it_explains_no_echo_from_outside_and_none_that_was_answered() -> None:
    lossy = f.udp(12, "silent", 12, at=OFFICE)
    assert explained(NO_HAIRPIN, INSIDE, *udp_shut(BERLIN), lossy) == {("nat.hairpin", NODE)}
    assert ("port.rtc-udp-echo", OFFICE) in explained(NO_HAIRPIN, INSIDE, *f.good_echoes(at=BERLIN), *udp_shut(OFFICE))


@pytest.mark.parametrize(("arrived", "is_explained"), [(0, True), (None, True), (16, False)])
def test_a_relay_whose_packets_arrived_is_not_before_the_hairpin(arrived: int | None, is_explained: bool) -> None:
    turn = f.turn("turn.challenge", f.turn_row(f.TURN_UDP, "silent"), at=NODE)
    relay = f.relay_range(arrived=arrived, at=BERLIN)
    found = explained(NO_HAIRPIN, *f.good_echoes(at=BERLIN), TURN_WELL, turn, relay)
    assert (("turn.relay-range", BERLIN) in found) is is_explained and ("turn.challenge", NODE) in found


@pytest.mark.parametrize(("hairpin", "candidates", "is_explained"), [
    (NO_HAIRPIN, [f.candidate(), f.candidate("10.0.1.21")], True), (f.hairpin(3, 0), [f.candidate()], False),
    (NO_HAIRPIN, [f.candidate("10.0.1.21")], False), (NO_HAIRPIN, [f.candidate(), f.candidate("203.0.113.9")], False),
], ids=["not reflected", "reflected for UDP", "private alone", "another address too"])  # fmt: skip
def test_what_callers_inside_are_handed_in_vain(
    hairpin: CheckResult, candidates: list[dict[str, object]], is_explained: bool
) -> None:
    handed = f.advertised("reachable", *candidates, at=OFFICE)
    found = explained(hairpin, INSIDE, *f.good_echoes(at=BERLIN), handed)
    assert (("nat.advertised-reachable", OFFICE) in found) is is_explained


HERE, OTHER_PORT, OTHER_HOST = f.candidate(), f.candidate(port=40123), f.candidate("203.0.113.9", port=40123)


@pytest.mark.parametrize(("candidates", "is_shown"), [
    ([OTHER_PORT], True), ([f.candidate("10.0.1.20"), OTHER_PORT], True), ([OTHER_PORT, HERE], False),
    ([OTHER_PORT, OTHER_HOST], False), ([OTHER_HOST], False), ([HERE], False), ([f.candidate("10.0.1.20")], False),
])  # fmt: skip
def test_a_port_is_not_preserved_where_all_that_is_public_is_the_hosts_at_another(
    candidates: list[dict[str, object]], is_shown: bool
) -> None:
    odd = [f.result("nat.type", Status.WARN, at=one) for one in (NODE, BERLIN)]
    handed = f.advertised("reachable", *candidates, at=BERLIN)
    found = port_not_preserved(given(*f.good_echoes(at=BERLIN), handed, *odd))
    assert (found is not None) is is_shown
    if found is not None:
        assert found.subject == f"{f.MEDIA_HOST}:40123" and found.flow.to.address == f.MEDIA_HOST
        types = {vantage for check, vantage, _ in found.explains if check == "nat.type"}
        assert types == {NODE}, "a caller's own NAT is another"
