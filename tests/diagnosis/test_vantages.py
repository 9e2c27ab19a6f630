"""What several vantages add up to: whose a fault is, where one of them alone cannot tell.

Berlin and London are callers with addresses of their own; the office shares the servers' network; a Mattermost node and
the media host are servers.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Lost, Party
from calls_doctor.model.report import Confidence, Diagnosis, Impact, Vantage
from calls_doctor.model.site import Mode, Phase
from tests.diagnosis import findings as f

BERLIN, LONDON, OFFICE, NODE, HOST = "Berlin", "London", "office", "mattermost", "media"
PLACES = (
    f.here(BERLIN, "client", "192.0.2.7"), f.here(LONDON, "client", "198.51.100.9"),
    f.here(OFFICE, "client", "203.0.113.1"), f.here(NODE, "mattermost", "203.0.113.10"),
    f.here(HOST, "media", "203.0.113.20"),
)  # fmt: skip
OUTSIDE = (BERLIN, LONDON)
SERVERS_SIDE = (Confidence.CERTAIN, Party.SERVER_NETWORK)
UNDECIDED = (Confidence.LIKELY, Party.UNDECIDED)
CALLERS_OWN = (Confidence.CERTAIN, Party.CALLER_NETWORK)
TURN_ROWS = (f.turn_row(f.TURN_UDP, "silent"), f.turn_row(f.TURN_TCP, "silent"))
TURN_WELL = f.result("turn.challenge", Status.PASS, servers=[f.turn_row(f.TURN_UDP), f.turn_row(f.TURN_TCP)])


def found(
    *results: CheckResult, places: tuple[Vantage, ...] = PLACES, mode: Mode | None = Mode.RTCD
) -> list[Diagnosis]:
    return f.diagnosed(*results, places=places, mode=mode)


def told(*results: CheckResult, places: tuple[Vantage, ...] = PLACES) -> dict[str, tuple[Confidence, Party]]:
    """Cause -> how sure, and whose."""
    return {one.cause: (one.confidence, one.party) for one in found(*results, places=places)}


def at(vantage: str, result: CheckResult) -> CheckResult:
    """The same result, made there."""
    return f.result(result.id, result.status, result.target, vantage, result.summary, **result.evidence)


def inside(vantage: str = OFFICE) -> CheckResult:
    """A caller whom the media host answers by its private address, and by the public one as well."""
    return f.hairpin(3, 3, at=vantage)


def well(*vantages: str) -> list[CheckResult]:
    return [result for one in vantages for result in f.good_echoes(at=one)]


def udp_shut(vantage: str, arrived: int | None = 0) -> list[CheckResult]:
    return [f.udp(trouble="silent", arrived=arrived, at=vantage), f.tcp(24, arrived=24, at=vantage)]


def tcp_shut(vantage: str, trouble: str = "silent") -> list[CheckResult]:
    return [f.udp(24, arrived=24, at=vantage), f.tcp(trouble=trouble, sent=0, at=vantage)]


def all_shut(vantage: str) -> list[CheckResult]:
    return [f.udp(trouble="silent", arrived=0, at=vantage), f.tcp(trouble="silent", sent=0, at=vantage)]


def unheard(vantage: str) -> list[CheckResult]:
    """The same where not even the far end's books came by any way."""
    return [f.udp(trouble="silent", at=vantage), f.tcp(trouble="silent", sent=0, at=vantage)]


def refused(vantage: str) -> list[CheckResult]:
    return [f.udp(trouble="refused", at=vantage), f.tcp(trouble="refused", sent=0, at=vantage)]


def rejected(vantage: str) -> list[CheckResult]:
    return [f.udp(trouble="refused", arrived=0, at=vantage), f.tcp(24, arrived=24, at=vantage)]


AT_THE_MEDIA_PORT: dict[str, Callable[[str], list[CheckResult]]] = {
    "media.udp-blocked-inbound": udp_shut,
    "media.udp-blocked-return": lambda vantage: udp_shut(vantage, arrived=6),
    "media.udp-rejected": rejected,
    "media.tcp-blocked": tcp_shut,
    "media.tcp-rejected": lambda vantage: tcp_shut(vantage, "refused"),
    "media.blocked": all_shut,
}


@pytest.mark.parametrize("cause", AT_THE_MEDIA_PORT)
def test_two_networks_that_fail_decide_for_the_servers_side(cause: str) -> None:
    shut = AT_THE_MEDIA_PORT[cause]
    assert told(*shut(BERLIN), *shut(LONDON)) == {cause: SERVERS_SIDE}
    assert told(*shut(BERLIN), *shut(LONDON), *well(OFFICE), inside()) == {cause: SERVERS_SIDE}, "inside is not outside"


@pytest.mark.parametrize("cause", AT_THE_MEDIA_PORT)
def test_one_network_alone_decides_nothing(cause: str) -> None:
    shut = AT_THE_MEDIA_PORT[cause]
    assert told(*shut(BERLIN)) == {cause: UNDECIDED}
    assert told(*shut(BERLIN), *well(OFFICE), inside()) == {cause: UNDECIDED}
    twice = (f.here(BERLIN, address="192.0.2.7"), f.here("Berlin 2", address="192.0.2.7"))
    assert told(*shut(BERLIN), *shut("Berlin 2"), places=twice) == {cause: UNDECIDED}, "one network, two machines"
    nameless = (f.here(BERLIN), f.here(LONDON))
    assert told(*shut(BERLIN), *shut(LONDON), places=nameless) == {cause: UNDECIDED}, "nobody knows their addresses"


@pytest.mark.parametrize(
    ("side", "arrived", "expected"),
    [
        ("servers", 0, (Confidence.LIKELY, Party.SERVER_NETWORK)),
        ("", 0, UNDECIDED),
        ("servers", None, UNDECIDED),
    ],
    ids=["on the servers' side", "somewhere", "on the servers' side, but perhaps the answers are lost"],
)
def test_the_last_hop_that_answered_decides_where_it_is_the_servers_and_nothing_arrived(
    side: str, arrived: int | None, expected: tuple[Confidence, Party]
) -> None:
    shut = udp_shut(BERLIN, arrived)
    shut[0].evidence["last_hop"] = {"address": "203.0.113.1", "ttl": 7, "side": side}
    assert told(*shut) == {"media.udp-blocked-inbound": expected} or arrived is None
    if arrived is None:
        assert set(told(*shut).values()) == {(Confidence.POSSIBLE, Party.UNDECIDED)}
    others = told(*shut, *well(LONDON))
    theirs = {"media.udp-blocked-inbound": expected}
    assert others == (theirs if expected != UNDECIDED else {"client.port-blocked": CALLERS_OWN})


def test_a_host_that_opens_the_way_itself_is_lost_to_some_callers_only() -> None:
    shut = udp_shut(BERLIN)
    shut[0].evidence["opens_from_inside"] = True
    (one,) = found(*shut)
    assert (one.cause, one.impact) == ("media.udp-blocked-inbound", Impact.SOME_CALLERS)
    (one,) = found(*shut, *udp_shut(LONDON))
    assert one.impact is Impact.NO_CALLS, "London was not reached"


def test_a_caller_inside_is_never_far_from_a_hop_of_the_servers() -> None:
    shut = udp_shut(OFFICE)
    shut[0].evidence["last_hop"] = {"address": "203.0.113.1", "ttl": 1, "side": "servers"}
    assert told(*shut, f.hairpin(3, 3, at=OFFICE), *well(*OUTSIDE)) == {"client.port-blocked": CALLERS_OWN}


def test_the_last_hop_is_told() -> None:
    shut = udp_shut(BERLIN)
    shut[0].evidence["last_hop"] = {"address": "192.0.2.1", "ttl": 1, "side": ""}
    (one,) = found(*shut)
    assert "the last hop that answered is 192.0.2.1 (TTL 1)" in one.summary


@pytest.mark.parametrize(
    ("address", "own", "other", "expected"),
    [
        ("192.0.2.7", "192.0.2.7", "10.0.0.9", SERVERS_SIDE),
        ("192.0.2.7", "10.0.0.8", "10.0.0.9", UNDECIDED),
        ("192.0.2.7", "192.0.2.7", "", UNDECIDED),
        ("", "", "10.0.0.9", UNDECIDED),
    ],
    ids=["a public address of its own", "both behind NAT: perhaps one", "no echo", "nobody knows any"],
)
def test_a_caller_behind_nat_is_another_network_than_one_without_nat(
    address: str, own: str, other: str, expected: tuple[Confidence, Party]
) -> None:
    shut = [*all_shut(BERLIN), *all_shut(LONDON)]
    for one in shut:
        one.evidence["own_address"] = own if one.vantage == BERLIN else other
    places = (f.here(BERLIN, address=address), f.here(LONDON))
    assert told(*shut, places=places) == {"media.blocked": expected}


@pytest.mark.parametrize("cause", AT_THE_MEDIA_PORT)
def test_one_network_that_fails_where_another_is_well_has_itself_to_blame(cause: str) -> None:
    shut = AT_THE_MEDIA_PORT[cause]
    assert told(*shut(BERLIN), *well(LONDON)) == {"client.port-blocked": CALLERS_OWN}
    assert told(*shut(BERLIN), *well(LONDON, OFFICE), inside()) == {"client.port-blocked": CALLERS_OWN}


@pytest.mark.parametrize("cause", AT_THE_MEDIA_PORT)
def test_two_networks_that_fail_beside_one_that_is_well_stay_undecided(cause: str) -> None:
    """A rule for some sources, or two networks with the same rule."""
    shut = AT_THE_MEDIA_PORT[cause]
    tokyo = (*PLACES, f.here("Tokyo", address="192.0.2.200"))
    assert told(*shut(BERLIN), *shut(LONDON), *well("Tokyo"), places=tokyo) == {cause: UNDECIDED}


@pytest.mark.parametrize(
    ("results", "lost"),
    [(udp_shut(BERLIN), Lost.REQUEST), (udp_shut(BERLIN, 6), Lost.REPLY), (udp_shut(BERLIN, None), Lost.BOTH)],
)
def test_the_way_that_is_shut_at_a_caller_is_named_as_far_as_the_books_tell(
    results: list[CheckResult], lost: Lost
) -> None:
    (one,) = found(*results, *well(LONDON))
    assert (one.cause, one.flow.lost, one.flow.protocol) == ("client.port-blocked", lost, "udp")
    assert one.subject == BERLIN


def test_the_books_of_one_caller_speak_for_one_who_had_none() -> None:
    (one,) = found(*udp_shut(BERLIN, None), *udp_shut(LONDON, 6))
    assert (one.cause, one.party, one.flow.lost) == ("media.udp-blocked-return", Party.SERVER_NETWORK, Lost.REPLY)
    assert one.summary.startswith("6 of 24")


def test_answers_from_elsewhere_explain_the_silence_of_callers_who_cannot_see_them() -> None:
    far = (Confidence.CERTAIN, Party.MEDIA_HOST)
    seen = [f.astray(at=BERLIN), f.tcp(24, arrived=24, at=BERLIN)]
    assert told(*seen) == {"media.reply-address-changed": far}
    for arrived in (6, None):
        (one,) = found(*seen, *udp_shut(LONDON, arrived))
        assert (one.cause, one.flow.lost) == ("media.reply-address-changed", Lost.REPLY)
        assert "203.0.113.99" in one.summary
    assert told(*seen, *udp_shut(LONDON, 0)) == {
        "media.reply-address-changed": far,
        "client.port-blocked": CALLERS_OWN,
    }, "nothing of London's arrived: that is another fault"


def test_an_answer_from_elsewhere_proves_that_the_host_lives() -> None:
    (one,) = found(f.astray(arrived=None, at=BERLIN), f.tcp(trouble="silent", sent=0, at=BERLIN))[:1]
    assert one.cause == "media.reply-address-changed"


def test_books_that_contradict_each_other_are_two_causes() -> None:
    """London's requests arrive, so what keeps Berlin's is Berlin's own."""
    assert told(*udp_shut(BERLIN, 0), *udp_shut(LONDON, 6)) == {
        "client.port-blocked": CALLERS_OWN,
        "media.udp-blocked-return": UNDECIDED,
    }


def test_a_shut_port_explains_what_needs_it_and_the_servers_that_fail_alike() -> None:
    also = [f.advertised("reachable", f.candidate(), at=BERLIN), f.relay_range(at=BERLIN), f.hairpin(0, 0)]
    shut = [*all_shut(BERLIN), *all_shut(LONDON)]
    (one,) = found(*shut, *also, f.tcp(24, arrived=24, at=OFFICE), inside())
    assert one.cause == "media.blocked"
    assert set(one.because) == {"nat.advertised-reachable", "nat.hairpin", "port.rtc-tcp-echo", "port.rtc-udp-echo",
                                "turn.relay-range"}  # fmt: skip


def test_a_node_that_reaches_the_host_proves_that_it_lives() -> None:
    shut = [*unheard(BERLIN), *unheard(LONDON)]
    assert told(*shut) == {"media.blocked": (Confidence.POSSIBLE, Party.UNDECIDED)}
    (one,) = found(*shut, f.hairpin(3, 3))
    assert (one.confidence, one.party) == SERVERS_SIDE
    assert not any("still runs" in step for step in one.remedy.steps), "the node was answered by it"
    assert told(*shut, f.hairpin(0, 3, at=HOST)) == {"media.blocked": SERVERS_SIDE}


def test_a_node_that_reaches_another_host_or_none_proves_nothing() -> None:
    shut = [*unheard(BERLIN), *unheard(LONDON)]
    other = f.hairpin(3, 3)
    other.evidence["rows"][0]["address"] = "203.0.113.99"
    silent = f.hairpin(0, 0)
    silent.evidence["direct"] = []
    for proof in (other, silent):
        assert told(*shut, proof) == {"media.blocked": (Confidence.POSSIBLE, Party.UNDECIDED)}


def test_a_host_that_refuses_one_network_may_have_a_firewall_and_one_that_refuses_all_is_down() -> None:
    assert told(*refused(BERLIN)) == {"media.not-running": UNDECIDED}
    down = (Confidence.CERTAIN, Party.MEDIA_HOST)
    api = f.api("connect", "refused", at=NODE, target="http://rtcd.internal:8045")
    undetermined = f.diagnosed(*refused(BERLIN), *refused(LONDON), api, phase=Phase.UNDETERMINED, places=PLACES)
    (one,) = undetermined
    assert (one.cause, one.confidence, one.party) == ("media.not-running", *down)
    assert "port.api-tcp" in one.because, "one program serves both"
    (one,) = f.diagnosed(*refused(BERLIN), api, phase=Phase.UNDETERMINED, places=PLACES)
    assert (one.confidence, one.party) == down, "a server is refused too"


def test_a_host_that_refuses_some_and_answers_others_is_not_down() -> None:
    assert told(*refused(BERLIN), *refused(LONDON), *well(OFFICE), inside()) == {"media.blocked": SERVERS_SIDE}
    assert told(*refused(BERLIN), *well(LONDON)) == {"client.port-blocked": CALLERS_OWN}


def test_callers_share_a_limit_at_the_servers_and_an_echo_may_be_too_fast_for_it_too() -> None:
    limited = [*well(BERLIN), f.call("media.call-udp", "media", to_far=(300, 100), from_far=(100, 100), at=BERLIN)]
    echo = f.udp(18, "silent", 18, at=LONDON)
    (one,) = found(*limited, echo)
    assert (one.cause, one.because) == ("media.udp-rate-limited", ["media.call-udp", "port.rtc-udp-echo"])
    assert one.party is Party.SERVER_NETWORK, "both meet it"
    other_way = f.udp(18, "silent", 24, at=LONDON)
    assert set(told(*limited, other_way)) == {"media.udp-rate-limited", "path.loss"}


def test_where_callers_share_a_limit_the_handshake_of_one_starves_and_is_not_blocked() -> None:
    stream = f.call("media.call-udp", "media", to_far=(300, 100), from_far=(100, 100), at=BERLIN)
    starved = f.call("media.call-udp", "dtls", at=LONDON)
    starved.evidence["near"] = {"dtls_out": 8, "dtls_in": 0}
    (one,) = found(*well(BERLIN), stream, *well(LONDON), starved)
    assert (one.cause, one.party) == ("media.udp-rate-limited", Party.SERVER_NETWORK)


def test_a_route_that_the_callers_machine_lacks_is_nobody_elses_fault() -> None:
    lacking = [f.udp(0, "no-route", at=BERLIN), f.tcp(0, "no-route", sent=0, at=BERLIN)]
    lacking[0].evidence["sent"] = 0
    lacking.append(f.call("media.call-tcp", "ice", "no-route", at=BERLIN))
    silent = f.stun_reach(at=BERLIN)
    silent.evidence["servers"][0]["trouble"] = "no-route"
    turn = f.turn("turn.challenge", f.turn_row(f.TURN_UDP, "no-route"), f.turn_row(f.TURN_TCP, "no-route"), at=BERLIN)
    assert told(*lacking, silent, turn) == {}
    assert told(*lacking, silent, turn, *well(LONDON)) == {}


# --- the caller's own network ---

NO_UDP = (
    f.egress(works=False, at=BERLIN),
    f.stun_reach(at=BERLIN),
    f.turn("turn.challenge", f.turn_row(f.TURN_UDP, "silent"), f.turn_row(f.TURN_TCP), at=BERLIN),
    *udp_shut(BERLIN),
)


def test_no_udp_at_all_is_one_cause_and_surely_the_callers_where_another_is_well() -> None:
    assert told(*NO_UDP) == {"client.udp-blocked": UNDECIDED}
    (one,) = found(*NO_UDP, *well(LONDON), f.egress(works=True, at=LONDON))
    assert (one.cause, one.confidence, one.party) == ("client.udp-blocked", *CALLERS_OWN)
    assert set(one.because) == {"client.udp-egress", "port.rtc-udp-echo", "stun.reach", "turn.challenge"}


def test_a_network_without_udp_proves_nothing_of_the_media_port() -> None:
    """Both faults are there: the caller without UDP is no second witness against the servers' side."""
    results = (*NO_UDP, *udp_shut(LONDON), f.egress(works=True, at=LONDON))
    assert told(*results) == {"client.udp-blocked": CALLERS_OWN, "media.udp-blocked-inbound": UNDECIDED}


def test_only_443_is_told_from_no_udp_by_what_tcp_does() -> None:
    https = f.turn("turn.challenge", *TURN_ROWS, f.turn_row(f.TURN_443), at=BERLIN)
    alone = (f.egress(works=False, at=BERLIN), *all_shut(BERLIN), https)
    assert told(*alone) == {"client.only-443": UNDECIDED}
    others = (*well(LONDON), f.egress(works=True, at=LONDON))
    assert told(*alone, *others) == {"client.only-443": CALLERS_OWN}
    nothing = f.turn("turn.challenge", *TURN_ROWS, f.turn_row(f.TURN_443, "silent"), at=BERLIN)
    assert "client.only-443" not in told(f.egress(works=False, at=BERLIN), *all_shut(BERLIN), nothing)


def test_stun_and_turn_on_one_port_are_one_fault_of_the_callers_network() -> None:
    turn = f.turn("turn.challenge", f.turn_row(f.TURN_UDP, "silent"), f.turn_row(f.TURN_TCP), at=BERLIN)
    mine = (*well(BERLIN), f.stun_reach(at=BERLIN), turn)
    (one,) = found(*mine, f.stun_reach(works=True, at=LONDON), *well(LONDON), at(LONDON, TURN_WELL))
    assert (one.cause, one.party, one.because) == (
        "stun.blocked-client", Party.CALLER_NETWORK, ["stun.reach", "turn.challenge"],
    )  # fmt: skip


# --- the site ---


def test_a_site_that_two_networks_do_not_reach_is_the_servers_also_where_one_of_them_lets_no_udp_out() -> None:
    silent = [f.site("connect", "silent", at=one) for one in OUTSIDE]
    told_of_both = {"mattermost.unreachable": SERVERS_SIDE, "client.udp-blocked": CALLERS_OWN}
    no_udp = (f.egress(works=False, at=BERLIN), f.egress(works=True, at=LONDON))
    assert told(*silent, *no_udp, *well(LONDON)) == told_of_both


def test_a_refusal_of_one_caller_is_anybodys_and_of_all_outside_the_sites_or_the_firewalls_before_it() -> None:
    refused = [f.site("connect", "refused", at=one) for one in OUTSIDE]
    cause = "mattermost.unreachable"
    assert told(refused[0]) == {cause: UNDECIDED}
    assert told(*refused) == {cause: (Confidence.CERTAIN, Party.MATTERMOST_HOST)}
    inside_well = f.result("signal.websocket", Status.PASS, at=OFFICE)
    assert told(*refused, inside(), inside_well) == {cause: SERVERS_SIDE}


def test_a_certificate_that_several_networks_are_shown_is_the_sites_own() -> None:
    shown = [f.certificate("unknown-authority", at=one) for one in OUTSIDE]
    assert told(shown[0]) == {"tls.invalid": (Confidence.LIKELY, Party.MATTERMOST_HOST)}
    assert told(*shown) == {"tls.invalid": (Confidence.CERTAIN, Party.MATTERMOST_HOST)}


# --- TURN ---


def turn_udp(vantage: str) -> CheckResult:
    return f.turn("turn.challenge", f.turn_row(f.TURN_UDP, "silent"), f.turn_row(f.TURN_TCP), at=vantage)


def test_a_turn_listener_is_the_servers_the_callers_or_undecided() -> None:
    assert told(turn_udp(BERLIN)) == {"turn.udp-blocked": UNDECIDED}
    assert told(turn_udp(BERLIN), turn_udp(LONDON), at(NODE, TURN_WELL)) == {"turn.udp-blocked": SERVERS_SIDE}
    assert told(turn_udp(BERLIN), at(LONDON, TURN_WELL)) == {"turn.udp-blocked": CALLERS_OWN}


def test_a_turn_server_that_somebody_hears_runs_so_what_refuses_others_stands_before_it() -> None:
    rows = f.turn_row(f.TURN_UDP, "refused"), f.turn_row(f.TURN_TCP, "refused")
    berlin, london = (f.turn("turn.challenge", *rows, at=one) for one in OUTSIDE)
    assert told(berlin, london, at(NODE, TURN_WELL)) == {"turn.blocked": SERVERS_SIDE}
    assert told(berlin, at(LONDON, TURN_WELL)) == {"turn.blocked": CALLERS_OWN}
    down = {"turn.not-running": (Confidence.CERTAIN, Party.TURN_HOST)}
    assert told(berlin, london) == told(f.turn("turn.challenge", *rows, at=NODE), berlin) == down


def test_turn_is_for_callers_and_a_server_that_does_not_reach_it_misses_nothing() -> None:
    assert told(turn_udp(NODE), at(BERLIN, TURN_WELL)) == {}
    assert told(turn_udp(NODE)) == {"turn.udp-blocked": UNDECIDED}, "nobody else tried"
    other_uri = at(BERLIN, f.result("turn.challenge", Status.PASS, servers=[f.turn_row(f.TURN_TCP)]))
    assert told(turn_udp(NODE), other_uri) == {"turn.udp-blocked": UNDECIDED}, "nobody else tried this one"


def test_a_relay_that_carries_nothing_for_anybody_is_the_servers_side() -> None:
    assert told(f.relay_range(at=BERLIN)) == {"turn.relay-blocked": UNDECIDED}
    assert told(f.relay_range(at=BERLIN), f.relay_range(at=LONDON)) == {"turn.relay-blocked": SERVERS_SIDE}


def test_a_relayed_call_that_hardly_began_says_nothing_of_a_relay_that_carried_all() -> None:
    call = f.call("media.call-relay", "dtls", at=BERLIN)
    call.evidence["near"] = {"dtls_out": 2, "dtls_in": 0}
    carried = f.result("turn.relay-range", Status.PASS, f.TURN_UDP, BERLIN)
    assert told(call, carried, *well(BERLIN)) == {}
    assert told(call, *well(BERLIN)) == {"turn.relay-blocked": UNDECIDED}


# --- hairpin ---


def no_hairpin() -> list[CheckResult]:
    turn = [f.turn("turn.challenge", *TURN_ROWS, at=one) for one in (OFFICE, NODE)]
    relay = [f.relay_range(at=one) for one in OUTSIDE]
    return [*all_shut(OFFICE), f.hairpin(0, 0, at=OFFICE), f.hairpin(0, 0), *turn, *relay]


def test_a_missing_hairpin_is_one_cause_for_callers_inside_for_servers_and_for_the_relay() -> None:
    outside_well = [*well(*OUTSIDE), *(at(one, TURN_WELL) for one in OUTSIDE)]
    (one,) = found(*no_hairpin(), *outside_well)
    assert (one.cause, one.confidence, one.party) == ("nat.hairpin-missing", *SERVERS_SIDE)
    assert set(one.because) == {"nat.hairpin", "port.rtc-tcp-echo", "port.rtc-udp-echo", "turn.challenge",
                                "turn.relay-range"}  # fmt: skip


def test_a_relay_elsewhere_is_not_for_want_of_a_hairpin() -> None:
    results = [f.hairpin(0, 0), f.relay_range(at=BERLIN), *well(BERLIN)]
    assert set(told(*results)) == {"nat.hairpin-missing", "turn.relay-blocked"}


def test_without_a_caller_outside_the_public_address_may_be_shut_for_all() -> None:
    possible = (Confidence.POSSIBLE, Party.UNDECIDED)
    alone = [*all_shut(OFFICE), f.hairpin(0, 0, at=OFFICE)]
    assert told(*alone) == {"nat.hairpin-missing": possible, "media.blocked": possible}
    assert told(*alone, *well(BERLIN)) == {"nat.hairpin-missing": SERVERS_SIDE}
    assert told(*alone, *all_shut(BERLIN), *all_shut(LONDON)) == {"media.blocked": SERVERS_SIDE}


def test_where_tcp_is_not_wanted_the_public_address_is_silent_inside_over_udp_alone() -> None:
    shut = [f.udp(0, "silent", 0, at=one) for one in OUTSIDE]
    (one,) = found(*shut, f.hairpin(0, None))
    assert (one.cause, one.because) == ("media.udp-blocked-inbound", ["nat.hairpin", "port.rtc-udp-echo"])


def test_a_hairpin_that_nobody_needs_has_no_cause() -> None:
    assert told(f.hairpin(0, 0, status=Status.WARN), *well(BERLIN)) == {}


def test_what_is_handed_to_a_caller_inside_is_silent_for_want_of_a_reflection_alone() -> None:
    by_private_address = [
        f.result(r.id, r.status, r.target.replace(f.MEDIA_HOST, "10.0.1.20"), OFFICE, **r.evidence)
        for r in f.good_echoes()
    ]
    alone = [*by_private_address, f.hairpin(0, 0, at=OFFICE)]
    handed = f.advertised("reachable", f.candidate(), f.candidate("10.0.1.21", kind="host"), at=OFFICE)
    assert told(*alone, handed) == {"nat.hairpin-missing": UNDECIDED}
    assert told(*alone, handed, *well(BERLIN)) == {"nat.hairpin-missing": SERVERS_SIDE}
    elsewhere = f.advertised("reachable", f.candidate(), f.candidate("203.0.113.99"), at=OFFICE)
    assert set(told(*alone, elsewhere)) == {"nat.hairpin-missing", "advertise.wrong-address"}


# --- what is announced ---


@pytest.mark.parametrize(
    ("mode", "party"),
    [(Mode.RTCD, Party.RTCD_SETTINGS), (Mode.INTEGRATED, Party.MATTERMOST_SETTINGS), (None, Party.RTCD_SETTINGS)],
)
def test_what_is_announced_is_set_where_the_mode_sets_it(mode: Mode | None, party: Party) -> None:
    handed = f.advertised("class", f.candidate("10.0.1.20", kind="host"), at=BERLIN)
    (one,) = found(*well(BERLIN), handed, mode=mode)
    assert (one.cause, one.party) == ("advertise.private-address", party)


def test_a_private_address_goes_before_the_stun_server_that_would_have_mended_it() -> None:
    handed = f.advertised("class", f.candidate("10.0.1.20", kind="host"), at=BERLIN)
    silent = f.stun_reach(at=HOST, needed=True)
    assert [one.cause for one in found(*well(BERLIN), handed, silent)] == [
        "advertise.private-address", "stun.blocked-server",
    ]  # fmt: skip


def test_a_media_host_that_needs_no_stun_misses_none() -> None:
    assert told(f.stun_reach(at=HOST, needed=False), *well(BERLIN)) == {}


def test_another_port_is_told_from_another_address_and_neither_where_the_port_itself_is_shut() -> None:
    wrong = f.advertised("reachable", f.candidate("203.0.113.99"), at=BERLIN)
    port = f.advertised("reachable", f.candidate(port=40123, kind="mapped"), at=BERLIN)
    assert list(told(*well(BERLIN), wrong)) == ["advertise.wrong-address"]
    assert list(told(*well(BERLIN), port)) == ["nat.port-not-preserved"]
    assert list(told(*udp_shut(BERLIN), wrong)) == ["media.udp-blocked-inbound"]


@pytest.mark.parametrize(
    ("check", "announced", "causes"),
    [
        ("class", (), []),  # nobody has said why the name gives nothing
        ("class", ("10.0.1.20",), ["dns.private-answer"]),
        ("reachable", ("10.0.1.20",), ["dns.private-answer"]),
        ("reachable", ("203.0.113.99",), ["dns.wrong-answer"]),
    ],
    ids=["nothing", "private", "private, tried", "another host's"],
)
def test_what_a_name_gave_is_not_blamed_on_the_settings(
    check: str, announced: tuple[str, ...], causes: list[str]
) -> None:
    rows = [f.candidate(address) for address in announced]
    assert [one.split(".")[0] for one in told(*well(BERLIN), f.advertised(check, *rows, at=BERLIN))] == ["advertise"]
    assert list(told(*well(BERLIN), f.advertised(check, *rows, at=BERLIN, name="calls.example.com"))) == causes


# --- the API ---


def test_between_servers_silence_is_the_servers_network_where_the_service_is_known_to_run() -> None:
    silent = f.api("connect", "silent", at=NODE)
    assert told(silent) == {"api.blocked": UNDECIDED}
    assert told(silent, *well(BERLIN)) == {"api.blocked": SERVERS_SIDE}
    assert told(at(BERLIN, silent), *well(BERLIN)) == {"api.blocked": UNDECIDED}, "a caller has firewalls of his own"


# --- all together ---

SITUATIONS: dict[str, list[CheckResult]] = {
    "two callers shut": [*udp_shut(BERLIN), *udp_shut(LONDON), *well(OFFICE), inside()],
    "one caller shut": [*all_shut(BERLIN), *well(LONDON)],
    "no hairpin": [*no_hairpin(), *well(*OUTSIDE), *(at(one, TURN_WELL) for one in OUTSIDE)],
    "no UDP": [*NO_UDP, *well(LONDON), f.egress(works=True, at=LONDON)],
    "API": [f.api("connect", "silent", at=NODE), *well(BERLIN)],
    "TURN": [turn_udp(BERLIN), turn_udp(LONDON), at(NODE, TURN_WELL)],
    "loss": [f.udp(12, "silent", 12, at=BERLIN), *well(LONDON)],
    "announced": [*well(BERLIN), f.advertised("class", f.candidate("10.0.1.20"), at=BERLIN), f.stun_reach(at=HOST)],
    "healthy": [*well(BERLIN, LONDON, OFFICE), inside(), f.egress(works=True, at=BERLIN)],
}
UNRELATED = ("env.platform", "env.port-free", "dns.site", "tls.site", "signal.websocket")


@pytest.mark.parametrize("name", SITUATIONS)
def test_each_situation_has_one_answer_and_a_healthy_one_none(name: str) -> None:
    expected = {"healthy": 0, "announced": 2}.get(name, 1)
    assert len(found(*SITUATIONS[name])) == expected


@given(
    st.sampled_from(sorted(SITUATIONS)), st.sets(st.sampled_from(UNRELATED)),
    st.sampled_from([BERLIN, LONDON, OFFICE, NODE, HOST, "Tokyo"]), st.booleans(),
)  # fmt: skip
def test_an_unrelated_pass_from_anywhere_never_changes_the_answer(
    name: str, more: set[str], vantage: str, first: bool
) -> None:
    results, added = SITUATIONS[name], f.passed(*sorted(more), at=vantage)
    assert found(*(added + results if first else results + added)) == found(*results)


@given(st.data(), st.sampled_from(sorted(SITUATIONS)))
def test_the_order_of_results_and_of_vantages_changes_neither_causes_nor_parties(
    data: st.DataObject, name: str
) -> None:
    results = data.draw(st.permutations(SITUATIONS[name]))
    places = tuple(data.draw(st.permutations(PLACES)))
    assert told(*results, places=places) == told(*SITUATIONS[name])


def test_faults_that_have_nothing_to_do_with_each_other_are_all_named_from_several_vantages() -> None:
    shut = [*udp_shut(BERLIN), *udp_shut(LONDON)]
    turn, api = [turn_udp(BERLIN), turn_udp(LONDON)], f.api("connect", "silent", at=NODE)
    handed = f.advertised("class", f.candidate("10.0.1.20"), at=BERLIN)
    assert told(*shut, *turn, api, handed) == {
        "media.udp-blocked-inbound": SERVERS_SIDE,
        "turn.udp-blocked": SERVERS_SIDE,
        "api.blocked": SERVERS_SIDE,
        "advertise.private-address": (Confidence.CERTAIN, Party.RTCD_SETTINGS),
    }


def test_two_callers_with_a_fault_each_of_his_own_are_two_causes() -> None:
    tokyo = (*PLACES, f.here("Tokyo", address="192.0.2.200"))
    results = (*all_shut(BERLIN), f.udp(12, "silent", 12, at=LONDON), *well("Tokyo"))
    assert set(told(*results, places=tokyo)) == {"client.port-blocked", "path.loss"}


SHORT = "nat.binding-short"


@pytest.mark.parametrize(
    ("forgotten_s", "whose"),
    [
        ({BERLIN: 6.0}, UNDECIDED),
        ({BERLIN: 6.0, LONDON: 4.0}, SERVERS_SIDE),
        ({BERLIN: 6.0, LONDON: 4.0, OFFICE: None}, SERVERS_SIDE),
        ({BERLIN: 6.0, LONDON: None}, CALLERS_OWN),
        ({BERLIN: 6.0, LONDON: 25.0}, CALLERS_OWN),
        ({BERLIN: 6.0, LONDON: 15.0}, CALLERS_OWN),
        ({BERLIN: 6.0, LONDON: 10.0}, UNDECIDED),  # one timeout of six seconds may look like both
        ({BERLIN: 6.0, OFFICE: None}, UNDECIDED),
        ({LONDON: None, OFFICE: 6.0}, UNDECIDED),
    ],
)
def test_whose_timeout_it_is_the_others_tell(
    forgotten_s: dict[str, float | None], whose: tuple[Confidence, Party]
) -> None:
    flows = [f.idle(seconds, at=vantage) for vantage, seconds in forgotten_s.items()]
    assert told(*well(*forgotten_s), *flows, inside()) == {SHORT: whose}


def test_who_could_not_tell_is_no_witness_for_the_servers() -> None:
    silent = f.result("nat.idle", Status.UNKNOWN, f.UDP, LONDON)
    assert told(*well(BERLIN, LONDON), f.idle(at=BERLIN), silent) == {SHORT: UNDECIDED}


def test_a_timeout_that_ice_outruns_is_a_warning_and_no_cause() -> None:
    assert found(*well(BERLIN, LONDON), f.idle(15.0, at=BERLIN), f.idle(10.0, at=LONDON)) == []
    (one,) = found(*well(BERLIN, LONDON), f.idle(6.0, at=BERLIN), f.idle(15.0, at=LONDON))
    assert (one.cause, one.because, one.flow.lost, one.impact) == (SHORT, ["nat.idle"], Lost.REPLY, Impact.DEGRADED)
    assert one.flow.from_.role == "client" and one.flow.port == 8443


def test_one_network_alone_is_told_the_deciding_test_first() -> None:
    (alone,) = found(*well(BERLIN), f.idle(at=BERLIN))
    assert "in another network" in alone.remedy.steps[0]
    (both,) = found(*well(BERLIN, LONDON), f.idle(at=BERLIN), f.idle(at=LONDON))
    assert "from another network" not in both.remedy.steps[0]
