"""What nft prints, read for one packet. Expressions are as nft 1.0.6 printed them of these rules."""

from __future__ import annotations

from typing import Any  # JSON

import pytest

from calls_doctor.wire.nftables import managers, rules_for
from calls_doctor.wire.ruleset import Packet, Ruling, Verdict, ruling

UDP, TCP, API = Packet("udp", 8443), Packet("tcp", 8443), Packet("tcp", 8045)


def match(left: Any, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def dport(right: Any, protocol: str = "udp", op: str = "==") -> dict[str, Any]:
    return match({"payload": {"protocol": protocol, "field": "dport"}}, right, op)


STATE = {"ct": {"key": "state"}}
FROM_TEN = match({"payload": {"protocol": "ip", "field": "saddr"}}, {"prefix": {"addr": "10.0.0.0", "len": 8}})


def rule(*expressions: dict[str, Any], chain: str = "input", handle: int = 7, family: str = "inet") -> dict[str, Any]:
    return {"rule": {"family": family, "table": "filter", "chain": chain, "handle": handle, "expr": list(expressions)}}


def chain(name: str = "input", hook: str = "input", policy: str = "accept", **more: Any) -> dict[str, Any]:
    base = {"family": "inet", "table": "filter", "name": name, "hook": hook, "policy": policy, "prio": 0}
    return {"chain": base | more}


def found(*entries: dict[str, Any], packet: Packet = UDP, policy: str = "accept") -> Ruling:
    document = {"nftables": [{"metainfo": {"version": "1.0.6"}}, chain(policy=policy), *entries]}
    return ruling(rules_for(document, packet))


ACCEPT, DROP, REJECT = {"accept": None}, {"drop": None}, {"reject": {"type": "icmpx", "expr": "port-unreachable"}}


def test_the_rule_that_shuts_a_port_is_named() -> None:
    assert found(rule(dport(8443), {"counter": {"packets": 0, "bytes": 0}}, DROP)) == Ruling(
        Verdict.DROPPED, "inet filter input handle 7"
    )
    assert found(rule(dport(8443), REJECT)).verdict is Verdict.REJECTED
    assert found(policy="drop") == Ruling(Verdict.DROPPED, "the policy of inet filter input")


def test_an_answer_meets_the_rules_for_what_goes_out_as_part_of_a_conversation_that_is_known() -> None:
    answer = Packet("udp", 8443, answer=True)
    sport = match({"payload": {"protocol": "udp", "field": "sport"}}, 8443)
    out = chain("output", "output", "drop")
    assert found(rule(sport, DROP, chain="output"), chain("output", "output"), packet=answer).verdict is Verdict.DROPPED
    assert found(rule(sport, DROP, chain="output"), chain("output", "output")).verdict is Verdict.ACCEPTED
    known = rule(match(STATE, {"set": ["established", "related"]}), ACCEPT, chain="output")
    assert found(out, known, packet=answer, policy="drop").verdict is Verdict.ACCEPTED
    assert found(out, rule(match(STATE, "new"), ACCEPT, chain="output"), packet=answer).verdict is Verdict.DROPPED
    nat = chain("output", "output", "drop", type="nat")
    assert found(nat, packet=answer).verdict is Verdict.ACCEPTED, "nat was decided for the first packet"
    assert found(out, rule(match({"meta": {"key": "oifname"}}, "lo"), ACCEPT, chain="output"), packet=answer) == Ruling(
        Verdict.DROPPED, "the policy of inet filter output"
    )


@pytest.mark.parametrize(
    ("expression", "applies"),
    [
        (dport(8443), True),
        (dport(8443, op="!="), False),
        (dport(8443, "tcp"), False),
        (dport({"set": [53, 8443]}), True),
        (dport({"set": [53, {"range": [8000, 9000]}]}), True),
        (dport({"range": [1, 1023]}), False),
        (dport(8443, "th"), True),
        (match({"meta": {"key": "l4proto"}}, {"set": ["tcp", "udp"]}), True),
        (match({"meta": {"key": "l4proto"}}, 6), False),
        (match({"payload": {"protocol": "ip", "field": "protocol"}}, "udp"), True),
        (match({"payload": {"protocol": "ip6", "field": "nexthdr"}}, "udp"), False),
        (match({"meta": {"key": "nfproto"}}, "ipv6"), False),
        (match({"meta": {"key": "iifname"}}, "lo"), False),
        (match(STATE, ["established", "related"], "in"), False),
        (match(STATE, "new", "in"), True),
        (match({"meta": {"key": "iifname"}}, "eth0"), None),
        (FROM_TEN, None),
        ({"limit": {"rate": 10, "per": "second"}}, None),
        ({"xt": None}, None),
        (match("something new", 1), None),
    ],
)
def test_what_a_match_says_of_a_callers_first_packet(expression: dict[str, Any], applies: bool | None) -> None:
    verdict = found(rule(expression, DROP)).verdict
    assert verdict is {True: Verdict.DROPPED, False: Verdict.ACCEPTED, None: Verdict.DEPENDS}[applies]


def test_a_named_set_is_looked_up() -> None:
    calls = {"set": {"family": "inet", "table": "filter", "name": "calls", "elem": [53, {"elem": {"val": 8443}}]}}
    assert found(calls, rule(dport("@calls"), DROP)).verdict is Verdict.DROPPED
    assert found(calls, rule(dport("@others"), DROP)).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize(("key", "verdict"), [("established", Verdict.DROPPED), ("new", Verdict.ACCEPTED)])
def test_a_map_of_verdicts_is_read(key: str, verdict: Verdict) -> None:
    states = {"vmap": {"key": STATE, "data": {"set": [["invalid", DROP], [key, ACCEPT]]}}}
    assert found(rule(states), policy="drop").verdict is verdict
    unknown = {"vmap": {"key": {"meta": {"key": "iifname"}}, "data": {"set": [["eth0", ACCEPT]]}}}
    assert found(rule(unknown), policy="drop").verdict is Verdict.DEPENDS


def test_chains_of_its_own_are_followed() -> None:
    jump = rule({"jump": {"target": "calls"}})
    own = rule(dport(8443), ACCEPT, chain="calls", handle=9)
    assert found(jump, own, policy="drop") == Ruling(Verdict.ACCEPTED, "inet filter calls handle 9")
    api = rule(dport(8045, "tcp"), FROM_TEN, ACCEPT, chain="calls")
    assert found(jump, api, policy="drop", packet=API).verdict is Verdict.DEPENDS
    assert found(jump, api, policy="drop", packet=TCP).verdict is Verdict.DROPPED


def test_a_published_port_of_a_container_is_forwarded() -> None:
    nat = chain("pre", "prerouting", table="nat", prio=-100)
    publish = rule(dport(8443), {"dnat": {"addr": "172.17.0.2", "port": 8443}}, chain="pre")
    publish["rule"]["table"] = "nat"
    assert found(nat, publish, policy="drop").verdict is Verdict.FORWARDED


def test_another_familys_rules_are_none_of_this_packets() -> None:
    assert found(rule(dport(8443), DROP, family="ip6")).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("document", [None, [], {}, {"nftables": 1}, {"nftables": [1, {"rule": 1}, {"chain": {}}]}])
def test_what_is_no_ruleset_has_no_rules(document: Any) -> None:
    assert ruling(rules_for(document, UDP)).verdict is Verdict.ACCEPTED
    assert managers(document) == []


def test_who_keeps_rules_is_known_by_their_names() -> None:
    entries = [chain("ufw-user-input"), {"table": {"family": "inet", "name": "firewalld"}}, chain("DOCKER-USER")]
    assert managers({"nftables": entries}) == ["ufw", "firewalld", "docker"]
