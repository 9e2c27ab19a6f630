"""Causes at STUN: whose silence it is, and when answers contradict each other."""

from __future__ import annotations

import pytest

from calls_doctor.model.check import Status
from calls_doctor.model.report import Impact
from tests.diagnosis import findings as f

URI = "stun:stun.example.com:3478"


@pytest.mark.parametrize(
    ("at", "cause", "impact"),
    [
        ("client", "stun.blocked-client", Impact.NONE_NOW),
        ("media", "stun.blocked-server", Impact.NO_CALLS),
        ("mattermost", "stun.blocked-server", Impact.NO_CALLS),
    ],
)
def test_silence_is_a_callers_or_the_servers(at: str, cause: str, impact: Impact) -> None:
    (found,) = f.diagnosed(f.result("stun.reach", Status.FAIL, URI, at=at))
    assert (found.cause, found.impact, found.subject) == (cause, impact, URI)
    assert (found.flow.to.address, found.flow.port) == ("stun.example.com", 3478)


def test_one_server_of_two_that_answers_is_enough() -> None:
    assert f.diagnosed(f.result("stun.reach", Status.WARN, URI)) == []


def test_servers_that_contradict_each_other_are_named() -> None:
    (found,) = f.diagnosed(f.public_ip({URI: ["198.51.100.7"], "stun:other:3478": ["10.0.0.7"]}))
    assert found.cause == "stun.wrong-answer"


def test_a_nat_with_a_pool_of_addresses_is_odd_and_no_servers_fault() -> None:
    """On a healthy network, however odd its NAT, the diagnosis is empty (contract section 6)."""
    assert f.diagnosed(f.public_ip({URI: ["198.51.100.7", "198.51.100.8"]})) == []
    assert f.diagnosed(f.public_ip({URI: ["198.51.100.7", "198.51.100.8"], "stun:other:3478": ["198.51.100.9"]})) == []


def test_a_name_without_an_address_is_nobodys_firewall() -> None:
    rows = [{"uri": URI, "answered": 0, "trouble": "unresolved"}]
    assert f.diagnosed(f.result("stun.reach", Status.FAIL, URI, servers=rows)) == []


def test_an_ipv4_and_an_ipv6_address_are_no_contradiction() -> None:
    assert f.diagnosed(f.public_ip({URI: ["198.51.100.7", "2001:db8::7"]})) == []
    mixed = f.public_ip({URI: ["198.51.100.7", "2001:db8::7"], "stun:other:3478": ["198.51.100.8", "2001:db8::7"]})
    assert [one.cause for one in f.diagnosed(mixed)] == ["stun.wrong-answer"]
