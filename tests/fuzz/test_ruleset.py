# Invariant: whatever nft or iptables-save prints, there is a verdict and nothing is raised; and whatever a proxy's
# variable holds, no password of it is told.

from __future__ import annotations

from typing import Any  # JSON

from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.wire import iptables, nftables, proxy_rules
from calls_doctor.wire.ruleset import Packet, Verdict, ruling

KEYS = """
accept drop match vmap jump target left right op payload protocol field dport udp th meta ct key state new set range
elem val data xt limit lo iifname l4proto
"""
WORDS = st.sampled_from([*KEYS.split(), "==", "!=", "@s"])
ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers(0, 65535) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
EXPRESSIONS = st.lists(st.dictionaries(WORDS, ANY, min_size=1, max_size=2) | ANY, max_size=4)
PACKETS = st.builds(Packet, st.sampled_from(["udp", "tcp"]), st.integers(1, 65535))
HOME = {"family": "inet", "table": "t"}


@given(st.lists(EXPRESSIONS | ANY, max_size=4), ANY, PACKETS)
def test_a_ruleset_of_nft(rules: list[Any], elements: Any, packet: Packet) -> None:
    entries = [
        {"chain": {**HOME, "name": "in", "hook": "input", "prio": 0}}, {"set": {**HOME, "name": "s", "elem": elements}},
        *({"rule": {**HOME, "chain": "in", "handle": 1, "expr": one}} for one in rules),
    ]  # fmt: skip
    assert ruling(nftables.rules_for({"nftables": entries}, packet)).verdict in Verdict


@given(ANY, PACKETS)
def test_what_is_no_ruleset(document: Any, packet: Packet) -> None:
    for whole in (document, {"nftables": document}):
        assert ruling(nftables.rules_for(whole, packet)).verdict in Verdict
        nftables.managers(whole)


OPTION_WORDS = """
-p udp tcp -m --dport 8443 : 1:9 9: ! -j -g ACCEPT own -i lo --ctstate NEW ' " -s --dports x,1
"""
OPTIONS = st.lists(st.sampled_from(OPTION_WORDS.split()))


@given(st.lists(st.one_of(OPTIONS.map(" ".join).map("-A INPUT ".__add__), st.text(max_size=20)), max_size=6), PACKETS)
def test_what_iptables_saves(lines: list[str], packet: Packet) -> None:
    for text in ("\n".join(lines), "\n".join(["*filter", ":INPUT DROP [0:0]", ":own - [0:0]", *lines])):
        assert ruling(iptables.rules_for(text, packet)).verdict in Verdict


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_proxy_variable_is_never_told_as_it_stands(secret: str, no_proxy: str) -> None:
    told = {"HTTP_PROXY": f"http://user:s3cr3t{secret}@proxy:3128", "NO_PROXY": no_proxy}
    found = proxy_rules.choice("http://rtcd.example.com:8045", told)
    assert "s3cr3t" not in found.proxy
