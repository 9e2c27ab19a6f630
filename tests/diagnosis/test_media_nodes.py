"""Several media hosts: what is about which, and one that nobody reaches where another answers."""

from __future__ import annotations

import pytest
from msgspec import structs

from calls_doctor import conclusion
from calls_doctor.diagnosis.cause import Evidence
from calls_doctor.diagnosis.media_nodes import by_host, node_unreachable, unreachable
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Party
from calls_doctor.model.report import Diagnosis, Impact
from calls_doctor.model.site import Phase, Site
from tests.diagnosis import findings as f

A, B = "203.0.113.20:8443", "203.0.113.21:8443"


def at(host: str, results: list[CheckResult], vantage: str = f.CLIENT) -> list[CheckResult]:
    """The same results about this host."""
    target = {"203.0.113.20:8443/udp": f"{host}/udp", "203.0.113.20:8443/tcp": f"{host}/tcp"}
    return [
        structs.replace(one, host=host, vantage=vantage, target=target.get(one.target, one.target)) for one in results
    ]


def shut(trouble: str = "silent") -> list[CheckResult]:
    """Neither UDP nor TCP is answered."""
    return [f.udp(trouble=trouble, arrived=None), f.tcp(trouble=trouble, sent=0)]


def diagnosed(*results: CheckResult, vantages: tuple[str, ...] = (f.CLIENT,)) -> list[Diagnosis]:
    return conclusion.diagnosis(Site(phase=Phase.PRE), results, [f.here(one) for one in vantages])


def gone(results: list[CheckResult]) -> dict[str, list[CheckResult]]:
    return unreachable(f.evidence(results), by_host(results))


def kinds(found: list[Diagnosis]) -> list[tuple[str, str, str]]:
    return [(one.cause, str(one.party), one.host) for one in found]


def test_one_host_is_one_group_and_what_is_about_none_belongs_to_each() -> None:
    assert by_host(f.good_echoes()) == {"": f.good_echoes()}
    shared = f.result("stun.reach", Status.PASS)
    groups = by_host([shared, *at(A, f.good_echoes()), *at(B, shut())])
    assert {host: len(results) for host, results in groups.items()} == {A: 3, B: 3}
    assert all(shared in results for results in groups.values())


def test_a_vantage_that_tested_one_host_alone_speaks_of_that_one() -> None:
    alone = [structs.replace(one, vantage="London", target=f"{A}/udp") for one in f.good_echoes()[:1]]
    other = f.result("turn.challenge", Status.FAIL, at="London")
    groups = by_host([*at(A, shut()), *at(B, f.good_echoes()), *alone, other])
    assert {one.vantage for one in groups[A]} == {f.CLIENT, "London"}
    assert {one.vantage for one in groups[B]} == {f.CLIENT}
    elsewhere = [structs.replace(one, vantage="London", target="192.0.2.1:8443/udp") for one in alone]
    assert all(elsewhere[0] in of for of in by_host([*at(A, shut()), *at(B, f.good_echoes()), *elsewhere]).values())


@pytest.mark.parametrize(("trouble", "party"), [("silent", Party.UNDECIDED), ("refused", Party.MEDIA_HOST)])
def test_a_host_that_nobody_reaches_where_another_answers_is_the_one_cause(trouble: str, party: Party) -> None:
    skip = f.result("media.call-udp", Status.SKIP)
    found = diagnosed(*at(A, f.good_echoes()), *at(B, [*shut(trouble), skip]))
    assert kinds(found) == [("media.node-unreachable", str(party), B)]
    assert (found[0].subject, found[0].flow.to.address) == (B, "203.0.113.21")
    assert found[0].because == ["port.rtc-tcp-echo", "port.rtc-udp-echo"]


def test_one_that_this_very_machine_forbids_is_no_fault_of_that_host() -> None:
    forbidden = [f.udp(trouble="forbidden"), f.tcp(trouble="silent", sent=0)]
    found = diagnosed(*at(A, f.good_echoes()), *at(B, forbidden))
    assert kinds(found) == [("host.firewall", str(Party.CALLER_MACHINE), B)]


def test_where_no_host_answers_it_is_no_matter_of_one() -> None:
    found = diagnosed(*at(A, shut()), *at(B, shut()))
    assert len(found) == 1, "the same at each host is said once"
    assert found[0].cause != "media.node-unreachable"
    assert (found[0].host, found[0].subject) == ("", f"{A}/udp, {B}/udp")


def test_what_another_caller_reaches_is_not_unreachable() -> None:
    results = [
        *at(A, f.good_echoes()),
        *at(B, shut()),
        *at(B, f.good_echoes(), "London"),
        *at(A, f.good_echoes(), "London"),
    ]
    assert gone(results) == {}
    assert {one.cause for one in diagnosed(*results, vantages=(f.CLIENT, "London"))}.isdisjoint(
        {"media.node-unreachable"}
    )


def test_a_host_that_answers_over_tcp_is_diagnosed_by_itself() -> None:
    blocked = [f.udp(trouble="silent", arrived=0), f.tcp(24, arrived=24)]
    found = diagnosed(*at(A, f.good_echoes()), *at(B, blocked))
    assert kinds(found) == [("media.udp-blocked-inbound", "undecided", B)]


def test_well_hosts_have_no_cause_and_one_host_is_never_compared() -> None:
    assert diagnosed(*at(A, f.good_echoes()), *at(B, f.good_echoes())) == []
    assert node_unreachable(Evidence(Phase.PRE, shut())) is None


def asked(vantage: str, host: str, run: str, results: list[CheckResult]) -> list[CheckResult]:
    """The same results of a caller who tested this host alone, with a stand-in's run behind it."""
    found = [structs.replace(one, host="") for one in at(host, results, vantage)]
    return [
        structs.replace(one, evidence=one.evidence | {"session": f"{run}uxxxxxxxx" if run else ""}) for one in found
    ]


def test_two_callers_with_two_stand_ins_speak_of_two_hosts() -> None:
    """Berlin's own host is silent; that London reaches another one is nothing against Berlin's network."""
    results = [*asked("Berlin", A, "RunOfA00", shut()), *asked("London", B, "RunOfB00", f.good_echoes())]
    places = [f.here("Berlin", address="192.0.2.1"), f.here("London", address="198.51.100.1")]
    found = conclusion.diagnosis(Site(phase=Phase.PRE), results, places)
    assert [one.cause for one in found] == [
        one.cause for one in conclusion.diagnosis(Site(phase=Phase.PRE), results[:2], places[:1])
    ]
    assert "client.port-blocked" not in {one.cause for one in found}
    assert {one.host for one in found} == {A}


def test_one_stand_in_at_two_addresses_is_one_host_and_so_is_one_address_with_two_runs() -> None:
    same_run = [*asked("Berlin", A, "RunOfA00", shut()), *asked("London", B, "RunOfA00", f.good_echoes())]
    same_name = [*asked("Berlin", A, "RunOfA00", shut()), *asked("London", A, "RunOfA11", f.good_echoes())]
    unknown = [*asked("Berlin", A, "RunOfA00", shut()), *asked("London", B, "", f.good_echoes())]
    for results in (same_run, same_name, unknown):
        assert list(by_host(results)) == [""]


def test_a_cause_beside_a_host_that_is_gone_names_its_own_host_or_none() -> None:
    """What is about no host is said once, whatever became of the hosts."""
    refuses = f.turn("turn.challenge", f.turn_row(f.TURN_UDP, "refused"))
    stalled = [f.udp(f.SENT, arrived=f.SENT), f.tcp(trouble="silent", sent=0)]
    found = diagnosed(refuses, *at(A, stalled), *at(B, shut()))
    assert {(one.cause, one.host) for one in found} == {
        ("media.node-unreachable", B), ("media.tcp-blocked", A), ("turn.not-running", ""),
    }  # fmt: skip
    both = diagnosed(refuses, *at(A, stalled), *at(B, f.good_echoes()))
    assert {(one.cause, one.host) for one in both} == {("media.tcp-blocked", A), ("turn.not-running", "")}


V6 = "[2001:db8::20]:8443"


def over_ipv6(results: list[CheckResult], run: str = "RunOfA00") -> list[CheckResult]:
    """The same stand-in, asked at its IPv6 address, or another's."""
    asked_there = asked(f.CLIENT, V6, run, results)
    return [structs.replace(one, host=V6) for one in asked_there]


def over_ipv4() -> list[CheckResult]:
    return [structs.replace(one, host=A) for one in asked(f.CLIENT, A, "RunOfA00", f.good_echoes())]


def test_one_stand_in_that_is_silent_over_ipv6_is_no_node_beside_another() -> None:
    (found,) = diagnosed(*over_ipv4(), *over_ipv6(shut()))
    assert (found.cause, found.host, found.impact) == ("media.blocked", V6, Impact.SOME_CALLERS)
    assert [one.cause for one in diagnosed(*over_ipv4(), *over_ipv6(shut(), run="RunOfB00"))] == [
        "media.node-unreachable"
    ]


def test_udp_that_is_dropped_over_ipv6_alone_leaves_callers_ipv4() -> None:
    dropped = [f.udp(trouble="silent", arrived=0), f.tcp(f.SENT, arrived=f.SENT)]
    (found,) = diagnosed(*over_ipv4(), *over_ipv6(dropped))
    assert (found.cause, found.host, found.impact) == ("media.udp-blocked-inbound", V6, Impact.SOME_CALLERS)
    assert found.flow.to.address == "2001:db8::20"


def test_ipv6_that_a_name_leads_to_in_vain_is_the_one_cause_of_what_is_silent_there() -> None:
    address = {"private": False, "known": True}
    rows = [address | {"address": "2001:db8::20", "answers": False}, address | {"address": A[:-5], "answers": True}]
    row = {"name": "rtc.example.com", "used_for": ["media"], "addresses": rows, "resolvers": [], "hosts_file": []}
    fault = {"name": "rtc.example.com", "what": "dns.ipv6-dead", "addresses": ["2001:db8::20"], "used_for": ["media"],
             "by_hosts_file": False, "told_otherwise": False, "detail": ""}  # fmt: skip
    names = f.result("dns.media-names", Status.WARN, "rtc.example.com", names=[row], faults=[fault])
    (found,) = diagnosed(names, *over_ipv4(), *over_ipv6(shut()))
    assert (found.cause, found.because) == (
        "dns.ipv6-dead", ["dns.media-names", "port.rtc-tcp-echo", "port.rtc-udp-echo"],
    )  # fmt: skip


TCP_SHUT = f.tcp(trouble="silent", sent=0)


@pytest.mark.parametrize(("echoes", "is_gone"), [
    ([f.udp(trouble="silent", arrived=0), TCP_SHUT], True), ([f.udp(trouble="silent", arrived=0)], True),
    ([f.udp(trouble="silent", arrived=6), TCP_SHUT], False), ([f.udp(3, "silent"), TCP_SHUT], False),
    ([TCP_SHUT], False), ([f.result("port.rtc-udp-echo", Status.UNKNOWN, f.UDP, trouble="silent"), TCP_SHUT], False),
], ids=["silent", "UDP alone", "its probes arrived", "some came back", "TCP alone", "undecided"])  # fmt: skip
def test_a_host_is_gone_where_every_echo_failed_and_nothing_of_any_was_heard(
    echoes: list[CheckResult], is_gone: bool
) -> None:
    beside = f.result("env.platform", Status.PASS)
    results = [*at(A, f.good_echoes()), *at(B, [*echoes, beside])]
    assert gone(results) == ({B: at(B, echoes)} if is_gone else {})


def test_a_relay_that_carries_is_no_echo_that_another_host_answered() -> None:
    relay = f.result("turn.relay-range", Status.PASS, returned=4)
    assert gone([*at(A, [*shut(), relay]), *at(B, shut())]) == {}


def test_it_explains_what_failed_at_that_host_and_a_refusal_is_its_word_where_every_protocol_is_refused() -> None:
    failed = f.call("media.call-udp", "ice", "silent")
    results = [*at(A, [*f.good_echoes(), failed]), *at(B, [*shut("refused"), failed])]
    found = node_unreachable(Evidence(Phase.PRE, [structs.replace(one, vantage=one.host) for one in results]))
    assert found is None, "whoever asked this host asked no other"
    found = node_unreachable(Evidence(Phase.PRE, results))
    assert found is not None and found.summary.startswith(f"{B} refuses UDP and TCP")
    assert len(found.explains) == 3
    half = [f.udp(trouble="refused"), TCP_SHUT]
    found = node_unreachable(Evidence(Phase.PRE, [*at(A, f.good_echoes()), *at(B, half), *at(A, [failed], "London")]))
    assert found is not None and (found.party, found.summary.split(",")[0]) == (
        Party.UNDECIDED,
        f"{B} is never answered",
    )
    assert {vantage for _, vantage, _ in found.explains} == {f.CLIENT}


def inside(host: str, at_vantage: str = "mattermost") -> CheckResult:
    """nat.hairpin of a server that reaches this host."""
    reached = f.hairpin(3, 3, at=at_vantage)
    reached.evidence["rows"][0]["address"] = host.rpartition(":")[0]
    return structs.replace(reached, host=host)


@pytest.mark.parametrize("trouble", ["silent", "refused"])
def test_what_the_servers_reach_is_shut_before_them_for_callers(trouble: str) -> None:
    """Whoever asks in the servers' network contradicts nothing: it is the firewall's."""
    london = [*at(A, f.good_echoes(), "London"), *at(B, shut(trouble), "London")]
    seen = [*at(A, f.good_echoes()), *at(B, shut(trouble)), inside(B), *london]
    places = [f.here(f.CLIENT, address="192.0.2.1"), f.here("London", address="198.51.100.1")]
    places.append(f.here("mattermost", "mattermost"))
    (found,) = conclusion.diagnosis(Site(phase=Phase.PRE), seen, places)
    assert (found.cause, found.party, found.confidence) == ("media.node-unreachable", Party.SERVER_NETWORK, "certain")
    assert found.summary.endswith("in its own network it does") and found.host == B
    office = [*at(A, f.good_echoes(), "office"), *at(B, f.good_echoes(), "office"), inside(B, "office")]
    (found,) = conclusion.diagnosis(Site(phase=Phase.PRE), [*seen, *office], [*places, f.here("office")])
    assert (found.cause, found.party) == ("media.node-unreachable", Party.SERVER_NETWORK)
