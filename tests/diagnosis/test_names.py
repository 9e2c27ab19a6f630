"""Causes of names: what each explains, and whose it is by what several vantages say."""

from __future__ import annotations

from typing import Any  # evidence is JSON

import pytest

from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Party
from calls_doctor.model.report import Confidence, Impact
from tests.diagnosis import findings as f

NAME, TURN = "rtc.example.com", "turn.example.com"
BERLIN, OSLO = f.here("Berlin", address="198.51.100.7"), f.here("Oslo", address="192.0.2.9")
HOST, NODE = f.here("media", "media", "203.0.113.20"), f.here("mattermost", "mattermost", "203.0.113.10")
PLACES = (BERLIN, OSLO, HOST, NODE)
RIGHT, PRIVATE, WRONG = "203.0.113.20", "10.0.1.20", "203.0.113.99"


def names(*rows: dict[str, Any], at: str = "Berlin", check: str = "dns.media-names") -> CheckResult:
    """A result of these rows."""
    faults = [fault for row in rows for fault in row["faults"]]
    status = Status.FAIL if faults else Status.PASS
    return f.result(check, status, at=at, names=list(rows), faults=faults)


def row(
    what: str = "", *addresses: str, name: str = NAME, use: str = "media", dead: tuple[str, ...] = (),
    hosts_file: bool = False, told: bool = False, **resolver: Any,
) -> dict[str, Any]:  # fmt: skip
    """A name that leads to these addresses, with this fault."""
    fault = {
        "name": name, "what": f"dns.{what}", "addresses": list(dead), "used_for": [use], "by_hosts_file": hosts_file,
        "told_otherwise": told, "detail": "is broken",
    }  # fmt: skip
    one = {"server": "192.0.2.53", "outcome": "found", "answers_root": None} | resolver
    found = [
        {"address": a, "private": a.startswith("10."), "answers": a not in dead, "known": False} for a in addresses
    ]
    return {
        "name": name, "used_for": [use], "addresses": found, "resolvers": [one], "faults": [fault] if what else [],
        "hosts_file": list(addresses) if hosts_file else [],
    }  # fmt: skip


def whose(*results: CheckResult) -> dict[str, tuple[Party, Confidence]]:
    """Cause -> whose it is."""
    return {one.cause: (one.party, one.confidence) for one in f.diagnosed(*results, places=PLACES)}


ZONE, RESOLVER = (Party.DNS_ZONE, Confidence.CERTAIN), (Party.DNS_RESOLVER, Confidence.CERTAIN)
UNDECIDED = (Party.UNDECIDED, Confidence.LIKELY)
NOWHERE = [("nxdomain", "nxdomain"), ("servfail", "servfail"), ("timeout", "silent")]


@pytest.mark.parametrize(("what", "outcome"), NOWHERE)
def test_a_name_that_fails_for_all_is_the_zones_and_one_that_fails_here_alone_the_resolvers(
    what: str, outcome: str
) -> None:
    here, there = (names(row(what, outcome=outcome, answers_root=True), at=at) for at in ("Berlin", "Oslo"))
    well = names(row("", RIGHT), at="Oslo")
    assert whose(here) == {f"dns.{what}": UNDECIDED}
    assert whose(here, there) == {f"dns.{what}": ZONE}
    assert whose(here, well) == {f"dns.{what}": RESOLVER}


def test_a_name_that_is_there_inside_alone_is_missing_outside() -> None:
    inside = names(row("", PRIVATE, use="override"), at="media")
    berlin, oslo = (names(row("nxdomain", outcome="nxdomain"), at=at) for at in ("Berlin", "Oslo"))
    assert whose(berlin, inside) == {"dns.nxdomain": UNDECIDED}
    assert whose(berlin, oslo, inside) == {"dns.nxdomain": ZONE}


@pytest.mark.parametrize("what", ["timeout", "slow"])
def test_a_resolver_that_does_not_answer_for_the_root_either_is_known_from_one_vantage(what: str) -> None:
    addresses = () if what == "timeout" else (RIGHT,)
    outcome = "silent" if what == "timeout" else "found"
    assert whose(names(row(what, *addresses, outcome=outcome, answers_root=False))) == {f"dns.{what}": RESOLVER}


@pytest.mark.parametrize(("what", "address"), [("private-answer", PRIVATE), ("wrong-answer", WRONG)])
def test_where_a_name_leads_is_judged_by_those_who_have_tried(what: str, address: str) -> None:
    berlin, oslo = (names(row(what, address, dead=(address,)), at=at) for at in ("Berlin", "Oslo"))
    untried = row("", address, use="override")
    untried["addresses"][0]["answers"] = None
    cause = f"dns.{what}"
    assert whose(berlin) == whose(berlin, names(untried, at="media")) == {cause: UNDECIDED}
    assert whose(berlin, oslo) == {cause: ZONE}
    assert whose(berlin, names(row("", RIGHT), at="Oslo")) == {cause: RESOLVER}


def test_a_hosts_file_is_its_own_machines() -> None:
    shown = names(row("wrong-answer", WRONG, dead=(WRONG,), hosts_file=True))
    (found,) = f.diagnosed(shown, places=PLACES)
    assert found.party is Party.CALLER_MACHINE
    assert any("/etc/hosts" in step for step in found.remedy.steps)


def test_a_dead_address_that_the_site_does_not_name_is_the_zones() -> None:
    stale = row("stale-record", RIGHT, WRONG, dead=(WRONG,))
    told = row("stale-record", RIGHT, WRONG, dead=(WRONG,), told=True)
    assert whose(names(stale)) == {"dns.stale-record": UNDECIDED}
    assert whose(names(told)) == {"dns.stale-record": (Party.DNS_ZONE, Confidence.LIKELY)}


def test_dead_ipv6_is_one_cause_with_the_turn_rows_that_it_leaves_silent() -> None:
    dead = names(row("ipv6-dead", "2001:db8::1", RIGHT, name=TURN, use="turn", dead=("2001:db8::1",)), at="client")
    silent = f.turn("turn.challenge", f.turn_row(f.TURN_UDP, "silent"), f.turn_row(f.TURN_TCP, "silent"))
    assert f.causes(dead, silent) == ["dns.ipv6-dead"]


@pytest.mark.parametrize("what", ["wrong-answer", "stale-record"])
def test_an_address_that_answers_elsewhere_is_no_fault_of_the_name(what: str) -> None:
    there = names(row("", RIGHT, WRONG), at="Oslo")
    assert whose(names(row(what, RIGHT, WRONG, dead=(WRONG,))), there) == {}


def test_dead_ipv6_that_works_elsewhere_is_the_callers_networks() -> None:
    dead, without = row("ipv6-dead", "2001:db8::1", RIGHT, dead=("2001:db8::1",)), row("", RIGHT)
    assert whose(names(dead), names(without, at="Oslo")) == {"dns.ipv6-dead": UNDECIDED}, "it has no IPv6"
    works = names(row("", "2001:db8::1", RIGHT), at="Oslo")
    assert whose(names(dead), works) == {"dns.ipv6-dead": (Party.CALLER_NETWORK, Confidence.CERTAIN)}


def test_a_private_address_that_is_not_for_one_caller_is_for_none_to_whom_it_is_silent() -> None:
    """Who has a private address himself cannot tell."""
    fault = row("private-answer", PRIVATE, use="site", dead=(PRIVATE,))
    no_word = row("", PRIVATE, use="site") | {"addresses": fault["addresses"]}
    site = f"http://{NAME}:8065"
    silent = [f.result("signal.websocket", Status.FAIL, site, at, stage="connect", trouble="silent")
              for at in ("Berlin", "Oslo")]  # fmt: skip
    shown = (names(fault, check="dns.site"), names(no_word, at="Oslo", check="dns.site"))
    assert whose(*shown, *silent) == {"dns.private-answer": ZONE}
    answering = names(row("", PRIVATE, use="site"), at="Oslo", check="dns.site")
    assert whose(shown[0], answering, silent[0])["dns.private-answer"] == RESOLVER


# what a fault of a name explains


def unresolved(at: str = "client") -> list[CheckResult]:
    """STUN, TURN and the API, where no name can be looked up."""
    uri = "stun:stun.example.com:3478"
    rows = [f.turn_row(f.TURN_UDP, "unresolved"), f.turn_row(f.TURN_TCP, "unresolved")]
    missed = [{"uri": uri, "tries": 3, "answered": 0, "trouble": "unresolved"}]
    return [
        f.result("stun.reach", Status.FAIL, uri, at, servers=missed),
        f.turn("turn.challenge", *rows, at=at),
        f.turn("port.turn-listener", *rows, at=at),
        f.api("connect", "unresolved", at=at, target="http://rtcd.example.com:8045"),
    ]


def test_all_that_fails_by_a_name_is_explained_by_it() -> None:
    every = [(TURN, "turn"), ("stun.example.com", "stun"), ("rtcd.example.com", "rtcd")]
    shown = names(*(row("timeout", name=name, use=use, outcome="silent") for name, use in every), at="client")
    (found,) = f.diagnosed(shown, *unresolved())
    assert (found.cause, found.subject) == ("dns.timeout", "turn.example.com, stun.example.com, rtcd.example.com")
    assert set(found.because) == {one.id for one in (shown, *unresolved())}
    assert f.causes(shown, *unresolved(at="offloader")) == ["dns.timeout"], "elsewhere it says nothing"
    assert "offloader" not in {vantage for one in f.diagnosed(shown) for vantage in one.because}


def test_of_rtcds_addresses_a_dead_one_explains_itself_alone() -> None:
    url = f"http://{NAME}:8045"
    rows = [{"address": RIGHT, "ok": True}, {"address": WRONG, "ok": False}]
    api = f.result("port.api-tcp", Status.FAIL, url, "mattermost", stage="connect", trouble="silent", addresses=rows)
    stale = row("stale-record", RIGHT, WRONG, use="rtcd", dead=(WRONG,))
    other = row("stale-record", RIGHT, "203.0.113.98", use="rtcd", dead=("203.0.113.98",))
    assert f.causes(names(stale, at="mattermost", check="dns.rtcd"), api) == ["dns.stale-record"]
    assert set(f.causes(names(other, at="mattermost", check="dns.rtcd"), api)) == {"api.blocked", "dns.stale-record"}


# what callers are handed by the name of an override


def handed(check: str, *addresses: str) -> list[CheckResult]:
    return [*f.good_echoes(), f.advertised(check, *map(f.candidate, addresses), name=NAME)]


def test_a_name_that_gives_the_media_host_nothing_leaves_callers_with_nothing() -> None:
    shown = names(row("nxdomain", use="override", outcome="nxdomain"), at="media")
    (found,) = f.diagnosed(shown, *handed("class"))
    assert (found.cause, found.impact) == ("dns.nxdomain", Impact.NO_CALLS)
    assert set(found.because) == {"dns.media-names", "nat.advertised-class"}
    assert f.causes(*handed("class")) == [], "nobody has looked it up"


@pytest.mark.parametrize("word", ["nxdomain", "servfail", "timeout", "slow"])
def test_the_media_host_itself_says_why_its_override_gives_it_nothing(word: str) -> None:
    nothing = f.advertised("class", name=NAME, trouble=word)
    assert whose(*f.good_echoes(), nothing) == {f"dns.{word}": UNDECIDED}
    (found,) = f.diagnosed(*f.good_echoes(), nothing, names(row("", RIGHT), at="client"))
    assert (found.cause, found.party) == (f"dns.{word}", Party.DNS_RESOLVER)
    assert found.remedy.steps[0].startswith("On the media host: `dig")


@pytest.mark.parametrize(
    ("check", "address", "cause"),
    [("class", PRIVATE, "dns.private-answer"), ("reachable", WRONG, "dns.wrong-answer")],
)
def test_what_the_name_gives_the_media_host_alone_is_its_resolvers(check: str, address: str, cause: str) -> None:
    assert whose(*handed(check, address)) == {cause: UNDECIDED}
    assert whose(*handed(check, address), names(row("", RIGHT), at="client")) == {cause: RESOLVER}
    by_file = names(row("", address, use="override", hosts_file=True), at="media")
    assert whose(*handed(check, address), by_file) == {cause: (Party.MEDIA_HOST, Confidence.CERTAIN)}


# who is hit


@pytest.mark.parametrize(
    ("use", "elsewhere", "impact"),
    [("media", "", Impact.NO_CALLS), ("turn", "", Impact.SOME_CALLERS), ("media", RIGHT, Impact.SOME_CALLERS)],
)
def test_who_is_hit(use: str, elsewhere: str, impact: Impact) -> None:
    well = [names(row("", elsewhere), at="Oslo")] if elsewhere else []
    (found,) = f.diagnosed(names(row("nxdomain", use=use, outcome="nxdomain")), *well, places=PLACES)
    assert found.impact is impact


def test_the_first_step_is_what_shows_it_by_hand_and_then_what_decides() -> None:
    (found,) = f.diagnosed(names(row("nxdomain", outcome="nxdomain")), places=PLACES)
    assert found.remedy.steps[0] == f"On client Berlin: `dig {NAME} A @192.0.2.53`"
    assert found.remedy.steps[1].startswith("On the machine where it shows: `dig +trace")


def test_a_name_that_is_wrong_by_the_site_file_alone_is_likely_so() -> None:
    def unasked(at: str) -> CheckResult:
        wrong = row("wrong-answer", WRONG, dead=(WRONG,), told=True)
        wrong["faults"][0]["asked"] = False
        return names(wrong, at=at)

    assert whose(unasked("Berlin"), unasked("Oslo")) == {"dns.wrong-answer": (Party.DNS_ZONE, Confidence.LIKELY)}
