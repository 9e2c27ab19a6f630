"""What a caller's own network is blamed for: what lies there, and nothing that another cause is for."""

from __future__ import annotations

import pytest

from calls_doctor.diagnosis.cause import Evidence
from calls_doctor.diagnosis.client import only_443, port_blocked, proxied, udp_blocked
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Party
from calls_doctor.model.report import Confidence
from tests.diagnosis import findings as f

BERLIN, LONDON = "Berlin", "London"
PLACES = (f.here(BERLIN, address="192.0.2.7"), f.here(LONDON, address="198.51.100.9"))
SHUT = [f.udp(trouble="silent", at=BERLIN), f.tcp(trouble="silent", sent=0, at=BERLIN)]
UDP_443 = "turn:turn.example.com:443?transport=udp"


def given(*results: CheckResult) -> Evidence:
    return f.evidence(results, places=PLACES)


def challenge(at: str = BERLIN, **troubles: str) -> CheckResult:
    uris = {"udp": f.TURN_UDP, "tcp": f.TURN_TCP, "https": f.TURN_443, "udp443": UDP_443}
    return f.turn("turn.challenge", *(f.turn_row(uris[name], word) for name, word in troubles.items()), at=at)


def test_no_udp_is_told_of_a_caller_who_asked_anybody_and_explains_no_tcp() -> None:
    assert udp_blocked(given(f.egress(works=False, at=BERLIN))) is not None
    blocked = udp_blocked(given(f.egress(works=False, at=BERLIN), challenge(udp="silent", tcp="silent")))
    assert blocked is not None and {part for _, _, part in blocked.explains} == {"", f.TURN_UDP}


@pytest.mark.parametrize(("troubles", "is_shown"), [
    ({"tcp": "silent", "https": ""}, True), ({"https": ""}, True), ({"tcp": "silent"}, False), ({}, False),
    ({"tcp": "", "https": ""}, False), ({"tcp": "silent", "https": "silent"}, False),
    ({"udp443": "silent", "https": "", "tcp": "silent"}, True), ({"udp": "silent", "https": ""}, True),
])  # fmt: skip
def test_only_443_needs_one_that_answers_there_and_none_that_answers_elsewhere(
    troubles: dict[str, str], is_shown: bool
) -> None:
    found = only_443(given(f.egress(works=False, at=BERLIN), *SHUT, challenge(**troubles)))
    assert (found is not None) is is_shown
    if found is not None:
        assert (found.flow.to.address, found.flow.protocol, found.flow.port) == (f.MEDIA_HOST, "tcp", 8443)


def test_only_443_of_one_caller_explains_nothing_of_another() -> None:
    results = (f.egress(works=False, at=BERLIN), *SHUT, challenge(tcp="silent", https=""),
               f.egress(works=False, at=LONDON), f.udp(trouble="silent", at=LONDON), f.tcp(24, at=LONDON))  # fmt: skip
    found = only_443(given(*results))
    assert found is not None and {vantage for _, vantage, _ in found.explains} == {BERLIN}


@pytest.mark.parametrize(("results", "says"), [
    (SHUT, "UDP and TCP to"), ([SHUT[0]], "UDP to"), ([SHUT[1]], "TCP to"),
    ([f.tcp(trouble="silent", at=BERLIN)], ""), ([f.tcp(trouble="cut", sent=0, at=BERLIN)], ""),
], ids=["both", "UDP", "TCP", "TCP that opened", "TCP that was cut"])  # fmt: skip
def test_the_port_is_shut_from_here_by_the_protocols_that_were_never_answered(
    results: list[CheckResult], says: str
) -> None:
    found = port_blocked(given(*results, *f.good_echoes(at=LONDON)))
    assert (found.summary if found else "").startswith(says)
    assert (found is not None) is (says != "")
    if found is not None:
        assert f" {f.MEDIA_HOST}:8443 is shut from {BERLIN}" in found.summary


def test_what_opens_connections_in_the_hosts_name_explains_what_stalls_on_them() -> None:
    opened = f.result("env.control", Status.FAIL, f.TCP, BERLIN)
    never = f.evidence([opened, f.tcp(trouble="silent", sent=0, at=BERLIN)], places=PLACES)
    stuck = f.evidence([opened, f.tcp(trouble="silent", at=BERLIN), f.call("media.call-tcp", "ice", at=BERLIN)])
    checks = [{check for check, _, _ in found.explains} for one in (never, stuck) if (found := proxied(one))]
    assert checks == [{"env.control"}, {"env.control", "port.rtc-tcp-echo", "media.call-tcp"}]


def test_it_is_the_callers_network_where_another_caller_meets_no_such_thing() -> None:
    opened, closed = (f.result("env.control", status, f.TCP, at) for status, at in (
        (Status.FAIL, BERLIN), (Status.PASS, LONDON),
    ))  # fmt: skip
    alone, beside = proxied(given(opened)), proxied(given(opened, closed))
    assert alone is not None and (alone.party, alone.confidence) == (Party.UNDECIDED, Confidence.LIKELY)
    assert beside is not None and (beside.party, beside.confidence) == (None, Confidence.CERTAIN)


@pytest.mark.parametrize(("theirs", "cause"), [
    (f.udp(trouble="silent", arrived=6, at=LONDON), "media.udp-blocked-return"),
    (f.udp(trouble="refused", arrived=0, at=LONDON), "media.udp-rejected"),
], ids=["whose answers are lost", "who is refused"])  # fmt: skip
def test_who_comes_less_far_than_another_caller_is_kept_back_by_the_own_network(
    theirs: CheckResult, cause: str
) -> None:
    mine = f.udp(trouble="silent", arrived=0, at=BERLIN)
    found = f.causes(mine, theirs, f.tcp(24, at=BERLIN), f.tcp(24, at=LONDON), places=PLACES)
    assert set(found) == {"client.port-blocked", cause}
    assert port_blocked(given(mine, f.udp(trouble="silent", arrived=0, at=LONDON))) is None
