"""What wants explaining in a result: the whole, or each of its rows that is not well."""

from __future__ import annotations

from calls_doctor.diagnosis.cause import outcome_of, outcomes
from calls_doctor.model.check import Status
from tests.diagnosis import findings as f


def test_a_check_that_looks_at_one_thing_is_one_outcome() -> None:
    assert outcomes([f.udp(trouble="silent")]) == {("port.rtc-udp-echo", "client", "")}


def test_each_server_that_is_not_well_is_an_outcome_of_its_own() -> None:
    result = f.turn(
        "turn.challenge", f.turn_row(f.TURN_UDP, "silent"), f.turn_row(f.TURN_TCP), f.turn_row(f.TURNS, "tls")
    )
    assert outcomes([result]) == {("turn.challenge", "client", f.TURN_UDP), ("turn.challenge", "client", f.TURNS)}


def test_a_private_relay_address_is_not_well_though_the_server_answers() -> None:
    row = f.turn_row(f.TURN_UDP, relayed_private=True)
    assert outcomes([f.turn("turn.allocate", row)]) == {("turn.allocate", "client", f.TURN_UDP)}


def test_peers_of_one_server_are_told_apart_and_so_are_faults_of_one_path() -> None:
    rows = [f.turn_row(f.TURN_UDP, "refused-request", 403, peer=peer) for peer in ("192.0.2.1", "192.0.2.2")]
    result = f.turn("turn.permission", *rows)
    assert outcomes([result]) == {outcome_of(result, row) for row in rows}
    assert len(outcomes([result])) == 2
    both_ways = f.path(("loss", "to_far"), ("loss", "from_far"), ("jitter", "to_far"))
    assert outcomes([both_ways]) == {("quality.path", "client", "loss"), ("quality.path", "client", "jitter")}


def test_evidence_is_asked_by_check_vantage_and_status() -> None:
    here, there = f.udp(24), f.udp(trouble="silent", at="media")
    evidence = f.evidence([here, there])
    assert evidence.of("port.rtc-udp-echo") == [here, there]
    assert evidence.of("port.rtc-udp-echo", Status.PASS) == [here]
    assert evidence.bad("port.rtc-udp-echo") == [there]
    assert evidence.bad_at({"client"}, "port.rtc-udp-echo") == []
    assert evidence.at("port.rtc-udp-echo", "media") is there
    assert evidence.at("port.rtc-udp-echo", "turn") is None
    assert evidence.passed("port.rtc-udp-echo", "client")
    assert not evidence.passed("port.rtc-udp-echo", "media")


def test_an_address_that_was_left_out_is_no_word_of_a_check() -> None:
    skip, made = f.result("port.rtc-udp-echo", Status.SKIP), f.udp(24)
    assert f.evidence([skip, made]).at("port.rtc-udp-echo", f.CLIENT) == made
    assert f.evidence([skip]).at("port.rtc-udp-echo", f.CLIENT) == skip
