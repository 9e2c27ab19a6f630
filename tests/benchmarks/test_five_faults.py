"""How five faults are laid over each other, and what counts as named; the network itself is the benchmark's."""

from __future__ import annotations

from benchmarks.fault_lab import Row
from benchmarks.five_faults import laid_over_one_by_one, too_many, unnamed

SCENARIOS: dict[str, Row] = {
    "udp": {"causes": ["media.udp-blocked-inbound"], "also": []},
    "dns": {"causes": ["dns.nxdomain", "dns.servfail"], "also": ["advertise.nothing"]},
}


def test_each_is_laid_over_all_before_it() -> None:
    assert laid_over_one_by_one(("a", "b", "c")) == [("a", "b"), ("a+b", "c")]


def test_one_cause_of_each_must_be_named_and_none_that_stands_for_nothing() -> None:
    def judged(*got: str) -> tuple[list[str], list[str]]:
        row = {"scenario": "udp+dns", "got": list(got)}
        return unnamed(row, SCENARIOS), too_many(row, SCENARIOS)

    assert judged("dns.servfail", "media.udp-blocked-inbound", "advertise.nothing") == ([], [])
    assert judged("advertise.nothing", "path.loss") == (["udp", "dns"], ["path.loss"])
