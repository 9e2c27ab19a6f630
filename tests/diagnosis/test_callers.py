"""Who counts as a witness: callers outside, each network once, and none whose own trouble it is."""

from __future__ import annotations

from calls_doctor.diagnosis.callers import blamed, blamed_somewhere, is_inside, outside, works_outside
from calls_doctor.model.flow import Party
from tests.diagnosis import findings as f

BERLIN, LONDON, OFFICE, NODE, HOST = "Berlin", "London", "office", "mattermost", "media"
PLACES = (
    f.here(BERLIN, "client", "192.0.2.7"), f.here(LONDON, "client", "198.51.100.9"),
    f.here(OFFICE, "client", "203.0.113.1"), f.here(NODE, "mattermost", "203.0.113.10"),
    f.here(HOST, "media", "203.0.113.20"),
)  # fmt: skip


def test_inside_are_servers_and_callers_whom_the_media_host_answers_by_its_private_address() -> None:
    evidence = f.evidence([f.hairpin(3, 3, at=OFFICE), *f.good_echoes(at=BERLIN)], places=PLACES)
    assert [one for one in (BERLIN, LONDON, OFFICE, NODE, HOST) if is_inside(evidence, one)] == [OFFICE, NODE, HOST]
    assert outside(evidence) == [BERLIN, LONDON]


def test_who_fails_is_no_witness_that_it_works() -> None:
    results = f.udp(12, "refused", 12, at=BERLIN)
    evidence = f.evidence([results], places=PLACES)
    assert works_outside(evidence, lambda vantage: vantage == BERLIN)
    assert not works_outside(evidence, lambda vantage: vantage == BERLIN, but=[results])
    assert blamed(evidence, [results], lambda vantage: vantage == LONDON) is None
    assert blamed_somewhere(evidence, [results], lambda vantage: vantage == LONDON).party is Party.CALLER_NETWORK
