"""Causes on the way to the media port: what tells one from its neighbours."""

from __future__ import annotations

import pytest

from calls_doctor.diagnosis.media_evidence import SERVE_RUNS
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Lost, Party
from calls_doctor.model.report import Confidence
from calls_doctor.model.site import Phase
from tests.diagnosis import findings as f

API_PASSES = f.result("port.api-tcp", Status.PASS, f.API)
TCP_SHUT = f.tcp(trouble="silent", sent=0)


def test_both_ends_counts_stand_in_the_sentence_and_name_the_direction() -> None:
    (inbound,) = f.diagnosed(f.udp(trouble="silent", arrived=0), f.tcp(24, arrived=24))
    assert inbound.summary == f"none of 24 UDP datagrams to {f.UDP} arrived there"
    assert (inbound.flow.lost, inbound.flow.port, inbound.flow.protocol) == (Lost.REQUEST, 8443, "udp")
    (back,) = f.diagnosed(f.udp(trouble="silent", arrived=20), f.tcp(24, arrived=24))
    assert back.summary == f"20 of 24 UDP datagrams arrived at {f.UDP}, none of its answers came back"
    assert back.flow.lost is Lost.REPLY


def test_blocked_udp_explains_the_relays_failure_too_but_not_the_turn_servers() -> None:
    results = [f.udp(trouble="silent", arrived=0), f.tcp(24, arrived=24), f.relay_range()]
    (found,) = f.diagnosed(*results)
    assert found.because == ["port.rtc-udp-echo", "turn.relay-range"]
    allocate = f.turn("turn.allocate", f.turn_row(f.TURN_UDP, "refused-request", 486))
    assert f.causes(*results, allocate) == ["media.udp-blocked-inbound", "turn.quota"]


def test_where_no_path_brings_the_books_either_way_may_be_blocked_and_both_are_only_possible() -> None:
    found = f.diagnosed(f.udp(trouble="silent"), f.tcp(24))
    assert [(one.cause, one.confidence) for one in found] == [
        ("media.udp-blocked-inbound", Confidence.POSSIBLE),
        ("media.udp-blocked-return", Confidence.POSSIBLE),
    ]


def test_udp_and_tcp_shut_on_a_host_that_is_alive_is_one_cause() -> None:
    (found,) = f.diagnosed(f.udp(trouble="silent"), TCP_SHUT, API_PASSES)
    assert (found.cause, found.confidence) == ("media.blocked", Confidence.LIKELY)
    assert "though the host is alive" in found.summary
    assert found.remedy.steps[0] == SERVE_RUNS, "the stand-in was never recognised"


@pytest.mark.parametrize(
    "no_sign_of_life",
    [
        [],
        [f.api("connect", "silent")],
        [f.result("port.api-tcp", Status.PASS, "http://another.example.com:8045")],
        [f.result("stun.reach", Status.PASS, "stun:stun.example.com:3478")],
    ],
)
def test_a_host_that_gives_no_sign_of_life_is_only_possibly_blocked(no_sign_of_life: list[CheckResult]) -> None:
    found = f.diagnosed(f.udp(trouble="silent"), TCP_SHUT, *no_sign_of_life)
    media = next(one for one in found if one.cause == "media.blocked")
    assert (media.confidence, media.party) == (Confidence.POSSIBLE, Party.UNDECIDED)
    assert "alive" not in media.summary


def test_in_the_self_test_the_host_is_alive() -> None:
    (found,) = f.diagnosed(f.udp(trouble="silent"), TCP_SHUT, phase=Phase.SELF_TEST)
    assert (found.cause, found.confidence) == ("media.blocked", Confidence.CERTAIN)


def test_one_port_refused_and_the_other_silent_is_most_likely_nothing_that_listens() -> None:
    for results in ([f.udp(trouble="refused"), TCP_SHUT], [f.udp(trouble="silent"), f.tcp(trouble="refused", sent=0)]):
        (found,) = f.diagnosed(*results, phase=Phase.POST)
        assert (found.cause, found.confidence, found.party) == (
            "media.not-running",
            Confidence.LIKELY,
            Party.UNDECIDED,
        )


def test_a_refusal_beside_books_that_were_had_is_a_firewalls() -> None:
    """Whatever path brought them, the far end runs."""
    assert f.causes(f.udp(trouble="refused", arrived=0), f.tcp(24, arrived=24)) == ["media.udp-rejected"]
    tcp = f.tcp(trouble="refused", sent=0)
    assert f.causes(f.udp(trouble="silent", arrived=24), tcp) == ["media.udp-blocked-return", "media.tcp-rejected"]


def test_rtcd_that_is_down_is_one_cause_for_its_media_port_and_its_api() -> None:
    down = [f.udp(trouble="refused"), f.tcp(trouble="refused", sent=0), f.api("connect", "refused")]
    (found,) = f.diagnosed(*down)
    assert found.cause == "media.not-running"
    assert "port.api-tcp" in found.because
    elsewhere = f.api("connect", "refused", target="http://another.example.com:8045")
    assert sorted(f.causes(*down[:2], elsewhere)) == ["api.refused", "media.not-running"]


@pytest.mark.parametrize("stage", ["ice", "dtls", "media"])
def test_a_media_host_that_dies_in_the_middle_of_a_call_is_named(stage: str) -> None:
    (found,) = f.diagnosed(
        *f.good_echoes(), f.call("media.call-udp", stage, "refused"), f.call("media.self", stage, "refused")
    )
    assert (found.cause, found.confidence) == ("media.not-running", Confidence.CERTAIN)
    assert "went away during the run" in found.summary


def test_a_call_that_hangs_in_dtls_through_the_relay_alone_says_nothing_of_the_media_port() -> None:
    relayed = f.call("media.call-relay", "dtls")
    assert f.causes(*f.good_echoes(), relayed) == ["turn.relay-blocked"]
    (found,) = f.diagnosed(*f.good_echoes(), f.call("media.call-udp", "dtls"), relayed)
    assert (found.cause, found.because) == ("media.dtls-blocked", ["media.call-relay", "media.call-udp"])


def test_a_far_end_that_falls_silent_in_dtls_is_cut_off_where_it_gave_its_books_and_else_may_be_gone() -> None:
    silent = f.call("media.call-udp", "dtls", "silent")
    silent.evidence["far"] = {"dtls_in": 1}
    assert f.causes(*f.good_echoes(), silent) == ["media.dtls-blocked"]
    silent.evidence["far"] = None
    (found,) = f.diagnosed(*f.good_echoes(), silent)
    assert (found.cause, found.party, found.confidence) == (
        "media.not-running",
        Party.UNDECIDED,
        Confidence.POSSIBLE,
    )
    assert "fell silent in the middle of a DTLS handshake" in found.summary
    tcp = f.result("media.call-tcp", Status.PASS)
    assert f.causes(*f.good_echoes(), silent, tcp) == ["media.dtls-blocked"]


def test_media_lost_on_every_way_through_the_media_port_is_one_cause() -> None:
    checks = ("media.self", "media.call-udp", "media.call-relay")
    calls = [f.call(check, "media", "", to_far=(15, 0), from_far=(0, 0)) for check in checks]
    (found,) = f.diagnosed(*f.good_echoes(), *calls)
    assert (found.cause, found.flow.lost) == ("media.udp-rate-limited", Lost.REQUEST)
    assert "lost to the media host" in found.summary


def test_where_only_this_end_counted_the_lost_way_is_left_open() -> None:
    call = f.call("media.call-udp", "media", "", (15, None), (None, 0))
    call.evidence["there_and_back"] = f.way(15, 0)
    (found,) = f.diagnosed(*f.good_echoes(), call)
    assert (found.cause, found.flow.lost) == ("media.udp-rate-limited", None)


def test_two_vantages_with_two_faults_are_two_causes() -> None:
    berlin = [f.udp(trouble="silent", arrived=0, at="client"), f.tcp(24, arrived=24, at="client")]
    bonn = [f.udp(trouble="refused", arrived=0, at="mattermost"), f.tcp(24, arrived=24, at="mattermost")]
    found = f.diagnosed(*berlin, *bonn, f.call("media.call-udp", "ice", at="mattermost"))
    assert {one.cause: one.because for one in found} == {
        "media.udp-blocked-inbound": ["port.rtc-udp-echo"],
        "media.udp-rejected": ["media.call-udp", "port.rtc-udp-echo"],
    }


@pytest.mark.parametrize(
    ("role", "party"), [("media", Party.MEDIA_HOST), ("mattermost", Party.MATTERMOST_HOST), ("turn", Party.TURN_HOST)]
)
def test_a_port_that_is_taken_is_named_with_its_owner_where_calls_is_to_be_installed(role: str, party: Party) -> None:
    (found,) = f.diagnosed(f.taken(at=role))
    assert (found.cause, found.subject, found.party) == ("media.port-taken", "tomcat (pid 7)", party)
    assert (found.flow.port, found.flow.from_.role) == (8443, role)


def test_a_port_that_is_taken_where_nothing_is_to_be_installed_has_no_cause() -> None:
    taken = f.result("env.port-free", Status.WARN, taken=[{"transport": "udp", "port": 8443, "owner": "rtcd"}])
    assert f.diagnosed(taken, phase=Phase.SELF_TEST) == []


def test_a_few_probes_that_went_astray_have_no_cause() -> None:
    assert f.diagnosed(f.udp(21, arrived=22), f.tcp(24, arrived=24)) == []


def test_a_name_without_an_address_is_nobodys_firewall() -> None:
    assert f.diagnosed(f.udp(trouble="unresolved"), f.tcp(trouble="unresolved", sent=0)) == []


def test_udp_that_is_shut_explains_no_loss_on_what_came_through_a_relay() -> None:
    lossy = f.call("media.call-relay", "media", "", (300, 230), (230, 230), status=Status.WARN)
    shut = [f.udp(trouble="refused", at=at) for at in ("client", "Oslo")]
    lives = [f.tcp(24, at=at) for at in ("client", "Oslo")]
    assert set(f.causes(*shut, *lives, lossy)) == {"media.udp-rejected", "path.loss"}
    assert f.causes(*shut, *lives, f.call("media.call-relay", "ice", "silent")) == ["media.udp-rejected"]


def test_where_nobody_is_asked_the_media_host_itself_says_that_nothing_runs_on_it() -> None:
    free = f.result("env.port-free", Status.PASS, at="media", taken=[])
    api = f.api("connect", "refused", at="mattermost")
    (found,) = f.diagnosed(api, free, phase=Phase.UNDETERMINED)
    assert (found.cause, found.party, found.because) == ("media.not-running", Party.MEDIA_HOST, ["port.api-tcp"])
    held = f.result("env.port-free", Status.WARN, at="media", taken=[{"port": 8443}])
    for others in ([held], []):
        assert f.causes(api, *others, phase=Phase.UNDETERMINED) == ["api.refused"]
    assert f.causes(api, free) == ["api.refused"], "the stand-in is elsewhere"
