"""Causes at STUN: whose silence it is, and when answers contradict each other."""

from __future__ import annotations

import pytest
from msgspec import structs

from calls_doctor.diagnosis import stun
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.report import Confidence, Impact
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


def silent(at: str = "client", status: Status = Status.FAIL, uri: str = URI, **more: object) -> CheckResult:
    row = {"uri": uri, "answered": 0, "trouble": "silent"} | more
    return f.result("stun.reach", status, uri, at=at, servers=[row])


def test_turn_over_udp_on_the_same_port_is_silent_for_the_same_reason_and_nothing_else_is() -> None:
    turn = f.turn(
        "turn.challenge", f.turn_row("turn:a?transport=udp", "silent"), f.turn_row("turn:b?transport=tcp", "silent"),
        f.turn_row("turn:c?transport=udp", "refused"), f.turn_row("turn:d:443?transport=udp", "silent"),
    )  # fmt: skip
    found = stun.blocked_client(f.evidence([silent(), turn, f.udp(24)]))
    assert found is not None and {part for _, _, part in found.explains} == {"", "turn:a?transport=udp"}
    no_udp = stun.blocked_client(f.evidence([silent(), turn, f.udp(trouble="silent")]))
    assert no_udp is not None and {part for _, _, part in no_udp.explains} == {""}, "UDP as a whole is another fault"


@pytest.mark.parametrize(("uri", "port"), [("stun:s.example.com:19302", 19302), ("stun:s.example.com", 3478)])
def test_the_same_port_is_the_servers_own_or_the_standards(uri: str, port: int) -> None:
    turns = [f"turn:t.example.com:{one}?transport=udp" for one in (19302, 3478)]
    turn = f.turn("turn.challenge", *(f.turn_row(one, "silent") for one in turns))
    found = stun.blocked_client(f.evidence([silent(uri=uri), turn, f.udp(24)]))
    assert found is not None
    assert {part for _, _, part in found.explains} == {"", f"turn:t.example.com:{port}?transport=udp"}


def test_a_server_that_answers_once_is_not_silent_and_a_warning_counts_where_none_did() -> None:
    assert stun.blocked_client(f.evidence([silent(answered=1)])) is None
    assert stun.blocked_client(f.evidence([silent(status=Status.WARN)])) is not None
    assert stun.blocked_client(f.evidence([f.result("stun.reach", Status.WARN, URI)])) is None


def test_one_name_without_an_address_hides_no_server_that_is_silent() -> None:
    both = silent()
    both.evidence["servers"].append({"uri": "stun:nobody.invalid", "answered": 0, "trouble": "unresolved"})
    assert stun.blocked_client(f.evidence([both])) is not None


def test_it_is_this_network_where_another_is_answered() -> None:
    alone = stun.blocked_client(f.evidence([silent()]))
    assert alone is not None and alone.confidence is Confidence.LIKELY
    beside = stun.blocked_client(f.evidence([silent(), f.stun_reach(works=True, at="Berlin")]))
    assert beside is not None and beside.confidence is Confidence.CERTAIN


def test_the_flow_has_the_servers_own_port() -> None:
    (found,) = f.diagnosed(silent(uri="stun:stun.example.com:19302"))
    assert found.flow.port == 19302
    (found,) = f.diagnosed(silent(uri="stun:stun.example.com"))
    assert found.flow.port == 3478
    contradiction = f.public_ip({URI: ["198.51.100.7"], "stun:other:3478": ["10.0.0.7"]})
    (found,) = f.diagnosed(f.result("stun.reach", Status.PASS, "stun:stun.example.com:19302"), contradiction)
    assert (found.flow.port, found.subject) == (19302, "stun:stun.example.com:19302")


def test_of_a_media_host_two_addresses_of_one_name_are_two_servers_and_of_a_caller_they_are_none() -> None:
    rows = [
        {"uri": URI, "address": address, "answered": 2, "trouble": "", "mapped": [[seen, 50000], [seen, 50001]]}
        for address, seen in (("192.0.2.50", "198.51.100.7"), ("192.0.2.51", "198.51.100.8"))
    ]

    def seen(at: str, needed: bool = True) -> list[str]:
        reach = f.result("stun.reach", Status.PASS, URI, at=at, servers=rows, needed=needed)
        return f.causes(reach, structs.replace(f.public_ip({URI: ["198.51.100.7", "198.51.100.8"]}), vantage=at))

    assert (seen("media"), seen("client")) == (["stun.wrong-answer"], [])
    assert seen("media", needed=False) == [], "an override tells better"
    rows[0]["mapped"] = [["198.51.100.7", 50000], ["198.51.100.9", 50001]]
    assert seen("media") == [], "a pool of addresses"


def test_where_udp_leaves_this_network_the_silence_of_the_standard_port_is_one_fault() -> None:
    """Whose media port is shut besides has no answer over UDP at all."""
    turn = f.turn("turn.challenge", f.turn_row(f.TURN_UDP, "silent"), f.turn_row(f.TURN_TCP))
    leaves = f.result("client.udp-egress", Status.UNKNOWN)
    shut = f.udp(trouble="silent", arrived=0)
    found = f.causes(shut, f.tcp(24), f.stun_reach(), f.stun_reach(True, at="Oslo"), turn, leaves)
    assert found == ["media.udp-blocked-inbound", "stun.blocked-client"]
