"""Words for what the checks of the media port have found: where each begins to hold, and where it ends."""

from __future__ import annotations

import pytest

from calls_doctor.diagnosis import media_evidence as said
from calls_doctor.model.check import TCP_ECHO, UDP_ECHO, CheckResult, Status
from calls_doctor.model.flow import Lost
from calls_doctor.model.site import Phase
from tests.diagnosis import findings as f

INSIDE, BERLIN = "mattermost", "Berlin"
UDP_SILENT = f.udp(trouble="silent", at=BERLIN)


@pytest.mark.parametrize(("echo", "is_known"), [
    (f.udp(3, arrived=None), True), (f.udp(0, "silent", 0), True), (f.astray(arrived=None), True),
    (f.udp(0, "silent", None), False), (f.udp(0, "refused", None), False),
], ids=["answered", "its books were had", "answered from elsewhere", "silent", "refused"])  # fmt: skip
def test_what_shows_that_a_service_runs(echo: CheckResult, is_known: bool) -> None:
    assert said.listens(f.evidence([echo]), f.CLIENT) is is_known


def test_one_call_that_came_up_is_enough() -> None:
    evidence = f.evidence(f.passed("media.self"))
    assert said.comes_up(evidence, *said.UDP_CALLS)(f.CLIENT)
    assert not said.comes_up(evidence, said.TCP_CALL)(f.CLIENT)


@pytest.mark.parametrize(("direct", "udp", "tcp", "answers"), [
    (["10.0.1.20"], 0, 0, True), ([], 3, 0, True), ([], 0, 3, True), ([], 0, 0, False),
])  # fmt: skip
def test_a_host_lives_that_answers_a_server_at_any_address_by_any_protocol(
    direct: list[str], udp: int, tcp: int, answers: bool
) -> None:
    inside = f.hairpin(udp, tcp, at=INSIDE)
    inside.evidence["direct"] = direct
    inside.evidence["rows"].append({"address": "203.0.113.21", "udp": 0, "tcp": 0})
    assert said.answers_inside(f.evidence([UDP_SILENT, inside]), UDP_SILENT) is answers


@pytest.mark.parametrize(("bits_per_s", "is_full"), [(99_999, True), (100_000, False)])
def test_a_link_is_full_that_carries_less_than_a_call_needs_behind_a_queue(bits_per_s: int, is_full: bool) -> None:
    assert said.is_full(f.thin_link(rate_bits_per_s=bits_per_s)) is is_full
    no_queue = f.thin_link(rate_bits_per_s=bits_per_s)
    no_queue.evidence["rtt_p95_s"] = no_queue.evidence["rtt_min_s"] + 0.09
    assert not said.is_full(no_queue)


@pytest.mark.parametrize(("sent", "arrived", "returned", "way"), [
    (24, 4, 4, Lost.REQUEST), (24, 24, 4, Lost.REPLY), (24, 14, 4, Lost.BOTH), (24, 24, 24, None), (0, 0, 1, None),
    (24, None, 4, None),
])  # fmt: skip
def test_on_which_way_an_echo_was_lost(sent: int, arrived: int | None, returned: int, way: Lost | None) -> None:
    assert said.echo_lost_way(f.echo("port.rtc-udp-echo", returned, "silent", arrived, sent)) is way


@pytest.mark.parametrize(("udp", "tcp", "also"), [(0, 3, True), (3, 0, False), (0, 0, False)])
def test_inside_fails_for_the_same_reason_what_fails_outside_and_nothing_more(udp: int, tcp: int, also: bool) -> None:
    inside = f.hairpin(udp, tcp, at=INSIDE)
    shut = [UDP_SILENT, f.tcp(24, at=BERLIN), inside]
    found = said.inside_too(f.evidence(shut), UDP_ECHO)
    assert found == ([inside] if also else [])
    assert said.inside_too(f.evidence(shut, Phase.SELF_TEST), UDP_ECHO) == []


@pytest.mark.parametrize(("stage", "trouble", "received", "is_lossy"), [
    ("media", "", 90, True), ("media", "silent", 90, True), ("media", "cut", 90, False),
    ("media", "refused", 90, False), ("media", "", 96, False), ("media", "", 60, False),
])  # fmt: skip
def test_a_call_is_lossy_that_lasted_and_lost_more_than_it_should(
    stage: str, trouble: str, received: int, is_lossy: bool
) -> None:
    call = f.call("media.call-udp", stage, trouble, to_far=(100, received), from_far=(100, 100))
    assert said.is_lossy(call) is is_lossy


@pytest.mark.parametrize(("sent", "is_accident"), [(3, True), (4, False)])
def test_a_handshake_of_which_hardly_any_was_sent_may_fail_by_accident(sent: int, is_accident: bool) -> None:
    call = f.call("media.call-udp", "dtls")
    call.evidence["near"] = {"dtls_out": sent, "dtls_in": 0}
    assert said.by_chance(f.evidence([*f.good_echoes(), call]), call) is is_accident


def test_where_there_was_no_room_for_an_echo_nobody_knows_what_is_an_accident() -> None:
    call = f.call("media.call-udp", "dtls")
    refused = f.result("port.rtc-udp-echo", Status.UNKNOWN, code=508)
    assert said.by_chance(f.evidence([refused, call]), call)
    assert f.causes(refused, call) == []


def test_where_no_probe_of_the_same_protocol_went_nothing_speaks_for_an_accident() -> None:
    call = f.call("media.call-tcp", "dtls")
    for echo in ([f.tcp(trouble="silent", sent=0)], [f.result(TCP_ECHO, Status.SKIP)], []):
        assert not said.by_chance(f.evidence([f.udp(12, "silent", 12), *echo, call]), call)


@pytest.mark.parametrize(("there", "back", "way"), [
    (20, 100, Lost.REQUEST), (100, 20, Lost.REPLY), (20, 20, Lost.BOTH), (100, 100, None),
])  # fmt: skip
def test_on_which_way_a_stream_was_lost(there: int, back: int, way: Lost | None) -> None:
    call = f.call("media.call-udp", "media", to_far=(100, there), from_far=(100, back))
    assert said.lost_way(call) is way
    assert said.is_unusable(call) is (way is not None)


@pytest.mark.parametrize(("returned", "sent", "is_shut"), [(0, 0, True), (0, 24, False), (3, 24, False)])
def test_tcp_is_shut_where_it_never_opened(returned: int, sent: int, is_shut: bool) -> None:
    assert said.is_shut(f.tcp(returned, "silent", sent=sent)) is is_shut
    assert not said.is_shut(f.result(TCP_ECHO, Status.SKIP, trouble="silent"))
