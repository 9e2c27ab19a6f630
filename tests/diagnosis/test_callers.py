"""Who counts as a witness: callers outside, each network once, and none whose own trouble it is."""

from __future__ import annotations

import pytest

from calls_doctor.diagnosis.callers import blamed, blamed_somewhere, caller, is_inside, outside, works_outside
from calls_doctor.diagnosis.cause import Evidence
from calls_doctor.diagnosis.place import Place
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Party
from calls_doctor.model.report import Confidence
from calls_doctor.model.site import Phase
from tests.diagnosis import findings as f

BERLIN, LONDON, OFFICE, NODE, HOST = "Berlin", "London", "office", "mattermost", "media"
PLACES = (
    f.here(BERLIN, "client", "192.0.2.7"), f.here(LONDON, "client", "198.51.100.9"),
    f.here(OFFICE, "client", "203.0.113.1"), f.here(NODE, "mattermost", "203.0.113.10"),
    f.here(HOST, "media", "203.0.113.20"),
)  # fmt: skip


def test_inside_are_servers_and_callers_whom_the_media_host_answers_by_its_private_address() -> None:
    elsewhere = f.hairpin(0, 0, at=BERLIN, status=Status.SKIP)
    elsewhere.evidence["inside"] = False
    evidence = f.evidence([f.hairpin(3, 3, at=OFFICE), *f.good_echoes(at=BERLIN), elsewhere], places=PLACES)
    assert [one for one in (BERLIN, LONDON, OFFICE, NODE, HOST) if is_inside(evidence, one)] == [OFFICE, NODE, HOST]
    assert outside(evidence) == [BERLIN, LONDON]


def test_who_fails_is_no_witness_that_it_works() -> None:
    results = f.udp(12, "refused", 12, at=BERLIN)
    evidence = f.evidence([results], places=PLACES)
    assert works_outside(evidence, lambda vantage: vantage == BERLIN)
    assert not works_outside(evidence, lambda vantage: vantage == BERLIN, but=[results])
    assert blamed(evidence, [results], lambda vantage: vantage == LONDON) is None
    assert blamed_somewhere(evidence, [results], lambda vantage: vantage == LONDON).party is Party.CALLER_NETWORK


SERVERS, NOBODY_KNOWS = Place(None, Confidence.CERTAIN), Place(Party.UNDECIDED, Confidence.LIKELY)


def nowhere(_vantage: str) -> bool:
    return False


def silent(vantage: str, own_address: str = "") -> CheckResult:
    return f.result("port.rtc-udp-echo", Status.FAIL, f.UDP, vantage, arrived=0, own_address=own_address)


def test_one_block_behind_the_servers_last_hop_is_theirs_whatever_else_fails_or_works() -> None:
    stopped = silent(BERLIN)
    stopped.evidence["last_hop"] = {"side": "servers"}
    evidence = f.evidence([stopped, silent(LONDON)], places=PLACES)
    assert blamed(evidence, evidence.results, lambda vantage: vantage == OFFICE) == SERVERS
    alone = f.evidence([stopped], places=PLACES)
    likely = Place(None, Confidence.LIKELY)
    assert blamed(alone, alone.results, lambda vantage: vantage == OFFICE) == likely, "on one caller's word"
    stopped.evidence["arrived"] = 3
    assert blamed(evidence, evidence.results, lambda vantage: vantage == OFFICE) == NOBODY_KNOWS, "it came through"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("2001:db8:1:2::a", "2001:db8:1:2:3:4:5:6", NOBODY_KNOWS),
        ("2001:db8:1:2::a", "2001:db8:1:3::a", SERVERS),
        ("192.0.2.7", "192.0.2.7", NOBODY_KNOWS),
        ("A", "A", NOBODY_KNOWS),
        ("192.0.2.7", "::ffff:192.0.2.7", NOBODY_KNOWS),
        ("192.0.2.7", "192.0.2.8", SERVERS),
        ("192.0.2.7", "2001:db8:1:2::a", SERVERS),
    ],
)
def test_machines_of_one_network_are_one_witness(one: str, other: str, expected: Place) -> None:
    """Behind one NAT they have one IPv4 address; over IPv6 each has its own, of one /64."""
    shown = [silent(BERLIN), silent(LONDON)]
    evidence = f.evidence(shown, places=[f.here(BERLIN, "client", one), f.here(LONDON, "client", other)])
    assert blamed(evidence, shown, nowhere) == expected


def test_in_the_self_test_the_callers_network_is_this_machine() -> None:
    assert caller(f.evidence([], Phase.SELF_TEST)).party is Party.CALLER_MACHINE
    assert caller(f.evidence([])).party is Party.CALLER_NETWORK


@pytest.mark.parametrize(("check", "expected"), [
    ("port.rtc-udp-echo", NOBODY_KNOWS), ("port.rtc-tcp-echo", SERVERS), ("media.call-tcp", SERVERS),
    ("port.api-tcp", SERVERS),
])  # fmt: skip
def test_a_network_that_lets_no_udp_out_is_a_witness_of_tcp_alone(check: str, expected: Place) -> None:
    shown = [f.result(check, Status.FAIL, at=one) for one in (BERLIN, LONDON)]
    evidence = f.evidence([*shown, f.egress(works=False, at=LONDON), f.egress(works=True, at=BERLIN)], places=PLACES)
    assert blamed(evidence, shown, nowhere) == expected
    both_let_it_out = [f.egress(works=True, at=one) for one in (BERLIN, LONDON)]
    assert blamed(f.evidence([*shown, *both_let_it_out], places=PLACES), shown, nowhere) == SERVERS


def test_servers_and_callers_of_whom_nothing_is_known_are_no_networks() -> None:
    for other in (OFFICE, NODE):
        shown = [silent(BERLIN), silent(other)]
        evidence = f.evidence([*shown, f.hairpin(3, 3, at=OFFICE)], places=PLACES)
        assert blamed(evidence, shown, nowhere) == NOBODY_KNOWS, other
    results = [silent(BERLIN), silent("Tokyo")]
    assert blamed(Evidence(Phase.PRE, results, {BERLIN: PLACES[0]}), results, nowhere) == NOBODY_KNOWS


@pytest.mark.parametrize(("known", "one", "other", "expected"), [
    ("192.0.2.7", "192.0.2.7", "10.0.0.4", SERVERS), ("192.0.2.7", "10.0.0.3", "10.0.0.4", NOBODY_KNOWS),
    ("192.0.2.7", "192.0.2.7", "198.51.100.9", NOBODY_KNOWS), ("192.0.2.7", "192.0.2.7", "", NOBODY_KNOWS),
    ("", "192.0.2.7", "10.0.0.4", NOBODY_KNOWS), ("192.0.2.7", "", "10.0.0.4", NOBODY_KNOWS),
], ids=["behind a NAT, beside one of its own", "both behind one", "none behind one", "who knows", "neither known",
        "own address unknown"])  # fmt: skip
def test_a_nat_whose_address_nobody_told_is_another_network_than_a_caller_with_a_public_address(
    known: str, one: str, other: str, expected: Place
) -> None:
    places = (f.here(BERLIN, address=known), f.here(LONDON))
    shown = [silent(BERLIN, one), silent(LONDON, other)]
    assert blamed(f.evidence(shown, places=places), shown, nowhere) == expected


def test_a_known_address_behind_a_nat_is_the_nats() -> None:
    places = (f.here(BERLIN, address="192.0.2.7"), f.here(LONDON, address="192.0.2.7"))
    shown = [silent(BERLIN, "192.0.2.7"), silent(LONDON, "10.0.0.4")]
    assert blamed(f.evidence(shown, places=places), shown, nowhere) == NOBODY_KNOWS
