"""What counts as named of two faults, and which pairs are played; the network itself is the benchmark's."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from benchmarks.fault_lab import Row
from benchmarks.fault_pairs import HIDES, chosen, drawn, hidden, pairs, word

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


def test_where_one_leaves_nothing_to_be_seen_of_the_other_naming_it_is_all_there_is() -> None:
    scenarios = SCENARIOS | {
        "rtcd-down": {"family": "media", "causes": ["media.not-running"], "also": []},
        "loss-20": {"family": "quality", "causes": ["path.loss"], "also": []},
    }

    def said(pair: str, *got: str) -> str:
        return word({"scenario": pair, "got": list(got)}, scenarios)

    assert said("rtcd-down+loss-20", "media.not-running") == said("loss-20+rtcd-down", "media.not-running") == "hidden"
    assert said("rtcd-down+loss-20") == "none"
    assert said("rtcd-down+loss-20", "media.not-running", "path.loss") == "both"
    assert said("rtcd-down+loss-20", "media.not-running", "api.refused") == "wrong"
    assert said("rtcd-down+dns", "media.not-running") == "one" and not hidden("rtcd-down", "dns")
    assert all(why for *_, why in HIDES)


def test_every_scenario_is_met_about_as_often_as_any_other() -> None:
    every = [(one, other) for one, other in itertools.combinations("abcdefghijklmnop", 2)]
    for seed in range(5):
        met = Counter(name for pair in drawn(every, 40, seed) for name in pair)
        assert len(met) == 16 and max(met.values()) - min(met.values()) <= 2
    assert drawn(every, 18, 1) == drawn(every, 18, 1) != drawn(every, 18, 2)
    assert len(drawn(every, 999, 1)) == len(every)


def test_some_are_drawn_all_are_played_or_those_that_are_named() -> None:
    every = list(pairs(SCENARIOS))
    assert chosen(["all"], every, 1) == every
    assert chosen(["1"], every, 1) in ([every[0]], [every[1]])
    assert chosen(["a+b", "c+d"], every, 1) == [("a", "b"), ("c", "d")]
