"""What counts as named of two faults, and which pairs are played; the network itself is the benchmark's."""

from __future__ import annotations

import pytest

from benchmarks.fault_lab import Row
from benchmarks.fault_pairs import chosen, pairs, word

SCENARIOS: dict[str, Row] = {
    "healthy": {"family": "nat", "causes": [], "also": []},
    "udp": {"family": "media", "causes": ["media.udp-blocked-inbound"], "also": []},
    "tcp": {"family": "media", "causes": ["media.tcp-blocked"], "also": []},
    "dns": {"family": "dns", "causes": ["dns.nxdomain"], "also": ["advertise.nothing"]},
}


def test_pairs_are_of_two_faults_of_different_families() -> None:
    assert list(pairs(SCENARIOS)) == [("udp", "dns"), ("tcp", "dns")]


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (["dns.nxdomain", "media.udp-blocked-inbound"], "both"),
        (["media.udp-blocked-inbound", "dns.nxdomain", "advertise.nothing"], "both"),
        (["dns.nxdomain", "advertise.nothing"], "one"),
        (["advertise.nothing"], "none"),
        ([], "none"),
        (["dns.nxdomain", "media.udp-blocked-inbound", "path.loss"], "wrong"),
    ],
)
def test_both_must_be_named_and_nothing_else(got: list[str], expected: str) -> None:
    assert word({"scenario": "udp+dns", "got": got}, SCENARIOS) == expected


def test_some_are_drawn_all_are_played_or_those_that_are_named() -> None:
    every = list(pairs(SCENARIOS))
    assert chosen(["all"], every, 1) == every
    assert chosen(["1"], every, 1) in ([every[0]], [every[1]])
    assert chosen(["a+b", "c+d"], every, 1) == [("a", "b"), ("c", "d")]
