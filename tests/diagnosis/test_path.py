"""Causes on a path that carries packets, badly: each fault by itself."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from calls_doctor.diagnosis import path
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Lost, Party
from calls_doctor.model.report import Confidence, Impact
from tests.diagnosis import findings as f


def test_a_path_that_loses_and_delays_has_both_causes() -> None:
    found = f.diagnosed(f.udp(24, arrived=24), f.path(("loss", "to_far"), ("latency", ""), ("jitter", "from_far")))
    assert {one.cause for one in found} == {"path.loss", "path.latency", "path.jitter"}
    assert {one.party for one in found} == {Party.PATH}
    assert {one.impact for one in found} == {Impact.DEGRADED}
    assert {one.confidence for one in found} == {Confidence.CERTAIN}


@pytest.mark.parametrize(
    ("directions", "lost"),
    [(["to_far"], Lost.REQUEST), (["from_far"], Lost.REPLY), (["to_far", "from_far"], Lost.BOTH), ([""], None)],
)
def test_the_flow_names_the_way_that_is_bad(directions: list[str], lost: Lost | None) -> None:
    (found,) = f.diagnosed(f.udp(24), f.path(*(("jitter", direction) for direction in directions)))
    assert (found.flow.lost, found.flow.to.address, found.flow.port) == (lost, f.MEDIA_HOST, 8443)


def test_loss_explains_the_probes_and_the_call_that_suffered_from_it_at_the_same_vantage() -> None:
    lossy = f.call("media.call-udp", "media", "", (300, 280), (280, 279), status=Status.WARN)
    elsewhere = f.udp(21, arrived=22, at="media")
    (found,) = f.diagnosed(f.udp(21, arrived=22), lossy, f.path(("loss", "to_far")), elsewhere)
    assert found.because == ["media.call-udp", "port.rtc-udp-echo", "quality.path"]


def test_so_many_probes_lost_that_no_call_was_tried_is_likely_loss() -> None:
    (found,) = f.diagnosed(f.udp(12, arrived=20), f.tcp(24, arrived=24))
    assert (found.cause, found.confidence) == ("path.loss", Confidence.LIKELY)


def test_where_large_packets_vanish_what_stalls_for_it_has_no_cause_of_its_own() -> None:
    stalled = f.tcp(returned=2, trouble="silent", arrived=4)
    lossy = f.udp(20, arrived=24)
    (found,) = f.diagnosed(lossy, stalled, f.mtu(1172, "reply"))
    assert found.cause == "path.mtu-blackhole"
    assert set(found.because) == {"port.rtc-udp-echo", "port.rtc-tcp-echo", "quality.mtu"}
    assert (found.flow.lost, found.impact) == (Lost.REPLY, Impact.DEGRADED)


def test_a_limit_above_what_calls_need_hits_none_so_far() -> None:
    (found,) = f.diagnosed(*f.good_echoes(), f.mtu(1252))
    assert (found.cause, found.impact, found.flow.lost) == ("path.mtu-blackhole", Impact.NONE_NOW, Lost.REQUEST)


def test_tcp_that_never_connected_is_not_for_want_of_large_packets() -> None:
    found = f.diagnosed(f.udp(24, arrived=24), f.tcp(trouble="silent", sent=0), f.mtu(1252))
    assert {one.cause for one in found} == {"media.tcp-blocked", "path.mtu-blackhole"}


TURN_SILENT = f.turn("turn.challenge", f.turn_row(f.TURN_UDP, "silent"), f.turn_row(f.TURN_TCP))


def test_the_books_tell_on_which_way_an_echo_was_lost() -> None:
    for arrived, lost in ((12, Lost.REQUEST), (24, Lost.REPLY), (18, Lost.BOTH), (None, None)):
        (one,) = f.diagnosed(f.udp(12, "silent", arrived))
        assert (one.cause, one.flow.lost) == ("path.loss", lost)


def test_much_loss_explains_what_did_not_come_up_and_little_does_not() -> None:
    stuck = [f.tcp(trouble="silent", sent=0), TURN_SILENT]
    assert f.causes(f.udp(12, "silent", 18), *stuck) == ["path.loss"]
    little = [f.udp(23, "silent", 23), f.path(("loss", "to_far"))]
    assert set(f.causes(*little, *stuck)) == {"path.loss", "media.tcp-blocked", "turn.udp-blocked"}


def test_a_thin_link_is_no_lossy_one_and_explains_delay() -> None:
    late = f.path(("latency", ""), ("loss", "to_far"))
    assert f.causes(f.thin_link(), late, f.tcp(24)) == ["path.bandwidth"]
    enough = f.thin_link(rate_bits_per_s=200_000)
    assert f.causes(enough) == ["path.loss"]


def test_a_thin_link_that_lost_no_probe_is_named_by_the_calls_that_it_starves() -> None:
    starved = f.call("media.call-udp", "media", "", (300, None), (None, 172))
    starved.evidence["there_and_back"] = f.way(300, 172)
    tcp = f.call("media.call-tcp", "media", "", (300, None), (None, 123), status=Status.WARN)
    tcp.evidence["there_and_back"] = f.way(300, 123)
    link = replace(f.thin_link(returned=24, rate_bits_per_s=26_547), status=Status.PASS)
    (found,) = f.diagnosed(link, f.tcp(24, arrived=24), starved, tcp)
    assert (found.cause, found.because) == ("path.bandwidth", ["media.call-tcp", "media.call-udp"])
    assert f.diagnosed(link, f.tcp(24, arrived=24)) == []


def test_a_link_so_thin_that_its_rate_is_unknown_is_not_said_to_lose_packets() -> None:
    """Four came back, ever later: a queue was full, and of which link nobody can tell."""
    few = f.thin_link(returned=4)
    few.evidence["rate_bits_per_s"] = None
    lossy = f.call("media.call-udp", "media", "", (100, 60), (60, 60))
    assert f.causes(few) == f.causes(few, lossy) == []
    few.evidence["rtt_p95_s"] = few.evidence["rtt_min_s"] + 0.01
    assert f.causes(few) == ["path.loss"]


@pytest.mark.parametrize(
    ("before", "returned", "causes"),
    [(9, 16, ["media.udp-rate-limited"]), (13, 15, ["path.loss"]), (17, 15, ["path.loss"])],
)
def test_what_loses_the_less_the_slower_probes_come_counts_packets(
    before: int, returned: int, causes: list[str]
) -> None:
    echo = f.echo("port.rtc-udp-echo", returned, arrived=returned, before=before)
    (found,) = f.diagnosed(echo, f.tcp(24, arrived=24))
    assert [found.cause] == causes
    doubt = Confidence.POSSIBLE if causes == ["media.udp-rate-limited"] else Confidence.LIKELY
    assert (found.confidence, found.flow.lost) == (doubt, Lost.REQUEST)


@pytest.mark.parametrize(
    ("echo", "near", "blocked"),
    [
        (f.udp(24, arrived=24), {"dtls_out": 6, "dtls_in": 0}, True),
        (f.udp(24, arrived=24), {"dtls_out": 2, "dtls_in": 0}, False),
        (f.udp(24, arrived=24), {"dtls_out": 6, "dtls_in": 3}, True),
        (f.udp(20, "silent", 22), {"dtls_out": 6, "dtls_in": 0}, True),
        (f.udp(20, "silent", 22), {"dtls_out": 6, "dtls_in": 3}, False),
        (f.echo("port.rtc-udp-echo", 24, arrived=24, before=18), {"dtls_out": 6, "dtls_in": 3}, False),
    ],
)
def test_a_handshake_that_fails_by_chance_is_not_blocked(
    echo: CheckResult, near: dict[str, int], blocked: bool
) -> None:
    call = f.call("media.call-udp", "dtls")
    call.evidence["near"] = near
    assert ("media.dtls-blocked" in f.causes(echo, call, f.tcp(24, arrived=24))) is blocked


def test_a_far_end_without_room_has_said_nothing_of_the_network() -> None:
    full = f.call("media.call-tcp", "ice", status=Status.WARN)
    full.evidence["code"] = 508
    assert f.causes(full, *f.good_echoes()) == []


def test_some_probes_lost_beside_a_call_that_failed_are_loss_and_alone_they_are_nothing() -> None:
    failed = f.call("media.call-udp", "dtls")
    failed.evidence["near"] = {"dtls_out": 5, "dtls_in": 2}
    assert f.causes(f.udp(20, "silent", 20), failed, TURN_SILENT) == ["path.loss"]
    assert f.causes(f.udp(20, "silent", 20)) == []
    assert f.causes(f.udp(22, "silent", 22), f.tcp(24)) == []


def test_a_relayed_call_that_lost_some_is_a_lossy_path_and_one_that_lost_most_a_relay_that_carries_nothing() -> None:
    failed = f.call("media.call-udp", "dtls")
    failed.evidence["near"] = {"dtls_out": 5, "dtls_in": 2}
    few = f.call("media.call-relay", "media", to_far=(300, 240), from_far=(240, 240), status=Status.WARN)
    (one,) = f.diagnosed(f.udp(22, "silent", 22), f.tcp(24, arrived=24), failed, few, TURN_SILENT)
    assert (one.cause, one.confidence, one.flow.lost) == ("path.loss", Confidence.CERTAIN, Lost.REQUEST)
    straight = f.call("media.call-udp", "media", to_far=(300, 300), from_far=(300, 300), status=Status.PASS)
    assert f.causes(*f.good_echoes(), straight, few) == [], "it is lost on the way by the relay, which no call takes"
    most = f.call("media.call-relay", "media", to_far=(300, 20), from_far=(20, 20), status=Status.WARN)
    assert f.causes(*f.good_echoes(), most) == ["turn.relay-blocked"]


def test_three_probes_lost_beside_a_failed_call_prove_loss_and_another_trouble_does_not() -> None:
    failed = f.call("media.call-udp", "dtls")
    failed.evidence["near"] = {"dtls_out": 5, "dtls_in": 2}
    assert path.loss(f.evidence([f.udp(21, "silent", 21), failed])) is not None
    assert path.loss(f.evidence([f.udp(22, "silent", 22), failed])) is None
    assert path.loss(f.evidence([f.udp(12, "refused", 12)])) is None


def test_the_sentence_of_a_loss_is_of_what_shows_it() -> None:
    probes, stream = (
        path.loss(f.evidence([f.udp(12, "silent", 12)])),
        path.loss(f.evidence([f.path(("loss", "to_far"))])),
    )
    assert probes is not None and probes.summary == "12 of 24 probes came back, the others were lost"
    assert stream is not None and (stream.summary, stream.flow.lost) == ("quality.path warn", Lost.REQUEST)


def test_what_was_lost_there_and_back_has_no_way() -> None:
    call = f.call("media.call-udp", "media", to_far=(100, None), from_far=(None, 90), status=Status.WARN)
    call.evidence["there_and_back"] = f.way(100, 90)
    found = path.loss(f.evidence([*f.good_echoes(), call]))
    assert found is not None and found.flow.lost is None


def test_loss_behind_a_full_link_is_the_links_even_where_every_probe_came_back() -> None:
    lossy = f.call("media.call-udp", "media", "", (100, 90), (90, 90), status=Status.WARN)
    assert path.loss(f.evidence([f.thin_link(), lossy])) is None
    found = path.bandwidth(f.evidence([f.thin_link(returned=24), f.path(("latency", ""))]))
    assert found is not None and ("quality.path", "client", "latency") in found.explains
    assert path.bandwidth(f.evidence([f.thin_link(returned=24)])) is None
    assert found.summary.startswith("about 64 kbit/s come through") and "a call needs 100 at least" in found.summary


def test_a_link_that_carries_no_call_carries_no_screen() -> None:
    screen = f.result("quality.bandwidth", Status.WARN)
    found = path.bandwidth(f.evidence([f.thin_link(), screen]))
    assert found is not None and ("quality.bandwidth", "client", "") in found.explains
    assert f.causes(*f.good_echoes(), screen) == [], "alone it is a warning, and a call needs less"


def test_much_loss_explains_a_handshake_over_tcp_too() -> None:
    assert f.causes(f.udp(12, "silent", 18), f.call("media.call-tcp", "dtls")) == ["path.loss"]


def test_a_black_hole_explains_what_stalls_and_not_what_was_cut() -> None:
    assert path.mtu_blackhole(f.evidence([f.mtu(1172, stage="")])) is None
    for trouble, is_explained in (("silent", True), ("cut", False)):
        hole = path.mtu_blackhole(f.evidence([f.tcp(2, trouble, 4), f.mtu(1172)]))
        assert hole is not None and (("port.rtc-tcp-echo", "client", "") in hole.explains) is is_explained
    (found,) = f.diagnosed(*f.good_echoes(), f.mtu(1200))
    assert found.impact is Impact.NONE_NOW, "as large as WebRTC's packets get"


def test_loss_swallows_no_echo_whole_that_it_would_have_let_through() -> None:
    """What is measured through a relay says nothing of why the media port is silent."""
    silent, lossy = f.udp(trouble="silent", arrived=0), f.path(("loss", "to_far"), loss_ratio=0.2)
    well = f.good_echoes(at="Oslo")
    assert set(f.causes(silent, lossy, *well)) == {"path.loss", "client.port-blocked"}
    refused = f.udp(trouble="refused", arrived=0)
    assert set(f.causes(refused, lossy, *well)) == {"path.loss", "client.port-blocked"}
    hardly_any = f.path(("loss", "to_far"), loss_ratio=0.8)
    assert f.causes(silent, hardly_any, *well) == ["path.loss"]


def test_large_packets_that_vanish_behind_a_relay_are_a_fault_beside_the_one_that_shuts_the_port() -> None:
    large = f.result(
        "quality.relay-mtu",
        Status.WARN,
        f.UDP,
        payload_max_bytes=200,
        tried_max_bytes=1272,
        stage="black-hole",
        lost=None,
    )
    shut = [
        f.udp(trouble="silent", arrived=0),
        f.udp(trouble="silent", arrived=0, at="Oslo"),
        *f.passed("x", at="Oslo"),
    ]
    found = f.causes(*shut, f.tcp(24), f.tcp(24, at="Oslo"), large, f.call("media.call-relay", "dtls", "silent"))
    assert set(found) == {"media.udp-blocked-inbound", "path.mtu-blackhole"}


def test_a_relayed_call_tells_of_a_thin_link_where_the_media_port_is_shut() -> None:
    def thin(rtt_p95_s: float, rate_bits_per_s: int) -> list[CheckResult]:
        relayed = f.call("media.call-relay", "media", "", (300, 150), (300, 150), status=Status.WARN)
        relayed.evidence["rtt_p95_s"] = rtt_p95_s
        for way in ("to_far", "from_far"):
            relayed.evidence[way]["carried_bits_per_s"] = rate_bits_per_s
        return [relayed, f.path(("loss", "to_far"), ("latency", ""), loss_ratio=0.5)]

    shut = [f.udp(trouble="refused"), f.udp(trouble="refused", at="Oslo"), f.tcp(24), f.tcp(24, at="Oslo")]
    turn = f.turn("turn.challenge", f.turn_row(f.TURN_UDP, rtt_s=0.02))
    assert set(f.causes(*shut, turn, *thin(0.9, 62_000))) == {"media.udp-rejected", "path.bandwidth"}
    only_this_end_counted = thin(0.9, 62_000)
    ways = only_this_end_counted[0].evidence
    ways |= {"to_far": {"sent": 300}, "from_far": {"received": 150}, "there_and_back": ways["to_far"]}
    assert set(f.causes(*shut, turn, *only_this_end_counted)) == {"media.udp-rejected", "path.bandwidth"}
    over_tcp = f.call("media.call-tcp", "media", "", (300, 150), (300, 150), status=Status.WARN)
    over_tcp.evidence.update(thin(0.9, 62_000)[0].evidence)
    assert set(f.causes(*shut, turn, over_tcp)) == {"media.udp-rejected", "path.bandwidth"}
    lossy = {"media.udp-rejected", "path.loss", "path.latency"}
    assert set(f.causes(*shut, turn, *thin(0.9, 110_000))) == set(f.causes(*shut, turn, *thin(0.05, 62_000))) == lossy


def test_a_relay_that_carries_not_all_and_a_call_that_fails_through_it_are_likely_loss_where_udp_is_shut() -> None:
    def relayed(returned: int) -> list[CheckResult]:
        through = replace(f.relay_range(8, 20), status=Status.PASS)
        through.evidence.update(sent=24, returned=returned)
        return [through, f.call("media.call-relay", "dtls", "silent")]

    shut = [f.udp(trouble="silent", arrived=6), f.udp(trouble="silent", arrived=6, at="Oslo")]
    alive = [f.tcp(24), f.tcp(24, at="Oslo")]
    assert set(f.causes(*shut, *alive, *relayed(18))) == {"media.udp-blocked-return", "path.loss"}
    assert f.causes(*shut, *alive, *relayed(24)) == ["media.udp-blocked-return"]
    assert "path.loss" not in f.causes(*f.good_echoes(), *relayed(18)), "where UDP is open, the straight way tells"


def test_a_screen_that_freezes_has_the_loss_that_a_call_shows_and_one_that_is_black_has_not() -> None:
    lossy = f.call("media.call-udp", "media", "", (300, 280), (280, 279), status=Status.WARN)
    screen = f.result("media.video", Status.WARN, "", lossy.vantage, "98 of 100", stage="media", loss_ratio=0.02)
    (found,) = f.diagnosed(*f.good_echoes(), lossy, screen)
    assert (found.cause, found.because) == ("path.loss", ["media.call-udp", "media.video"])
    black = f.result("media.video", Status.FAIL, "", lossy.vantage, "fails at media", stage="media", detail="black")
    assert all("media.video" not in one.because for one in f.diagnosed(*f.good_echoes(), lossy, black))
    assert f.diagnosed(*f.good_echoes(), screen) == [], "alone it may be rtcd's doing"
