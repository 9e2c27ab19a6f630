"""Causes at the TURN server: rows of one server are read together, rows of two apart."""

from __future__ import annotations

import pytest

from calls_doctor.diagnosis import turn_signs
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Lost, Party
from calls_doctor.model.report import Confidence
from calls_doctor.model.site import Phase
from tests.diagnosis import findings as f

OTHER = "turn:other.example.com:3478?transport=udp"


def challenge(**troubles: str) -> list[str]:
    uris = {"udp": f.TURN_UDP, "tcp": f.TURN_TCP, "tls": f.TURNS}
    return f.causes(f.turn("turn.challenge", *(f.turn_row(uris[name], trouble) for name, trouble in troubles.items())))


@pytest.mark.parametrize(
    ("troubles", "causes"),
    [
        ({"udp": "silent", "tcp": ""}, ["turn.udp-blocked"]),
        ({"udp": "refused", "tcp": ""}, ["turn.udp-blocked"]),
        ({"udp": "", "tcp": "refused"}, ["turn.tcp-blocked"]),
        ({"udp": "", "tcp": "", "tls": "silent"}, ["turn.tcp-blocked"]),
        ({"udp": "silent"}, ["turn.udp-blocked"]),
        ({"udp": "refused"}, ["turn.not-running"]),
        ({"udp": "silent", "tcp": "silent"}, ["turn.blocked"]),
        ({"udp": "silent", "tcp": "silent", "tls": "unreachable"}, ["turn.blocked"]),
        ({"udp": "refused", "tcp": "refused"}, ["turn.not-running"]),
        ({"udp": "silent", "tcp": "refused"}, ["turn.not-running"]),
        ({"udp": "silent", "tcp": "not-turn"}, ["turn.udp-blocked", "turn.wrong-service"]),
        ({"udp": "", "tcp": "", "tls": "tls"}, ["turn.tls-invalid"]),
        ({"udp": "silent", "tls": "tls"}, ["turn.tls-invalid", "turn.udp-blocked"]),
    ],
)
def test_a_listener_in_trouble(troubles: dict[str, str], causes: list[str]) -> None:
    assert sorted(challenge(**troubles)) == causes


@pytest.mark.parametrize(
    ("troubles", "causes"),
    [
        ({"udp": "refused", "tcp": "refused"}, ["turn.blocked"]),
        ({"udp": "silent", "tcp": "refused"}, ["turn.blocked"]),
        ({"udp": "refused", "tcp": ""}, ["turn.udp-blocked"]),
        ({"udp": "", "tcp": "refused"}, ["turn.tcp-blocked"]),
        ({"udp": "", "tcp": "not-turn"}, []),
    ],
)
def test_a_stand_in_that_serves_turn_listens_so_a_refusal_is_somebody_elses(
    troubles: dict[str, str], causes: list[str]
) -> None:
    uris = {"udp": f.TURN_UDP, "tcp": f.TURN_TCP}
    rows = (f.turn_row(uris[name], trouble) | {"stands_in": True} for name, trouble in troubles.items())
    assert f.causes(f.turn("turn.challenge", *rows)) == causes


@pytest.mark.parametrize("code", [401, 403, 486, 500])
def test_nobodys_settings_are_to_blame_for_the_stand_ins_own_turn_server(code: int) -> None:
    row = f.turn_row(f.TURN_UDP, "refused-request", code) | {"stands_in": True}
    for check in ("turn.allocate", "turn.permission"):
        assert f.causes(f.turn(check, row | {"peer": f.MEDIA_HOST})) == []
    lost = f.result("turn.relay-range", Status.FAIL, stage="allocate", code=code, stands_in=True, arrived=0, sent=4)
    assert f.causes(lost) == []
    assert f.causes(f.result("turn.relay-range", Status.FAIL, stands_in=True, arrived=0, sent=4)) == []
    assert f.causes(f.result("turn.relay-range", Status.FAIL, arrived=0, sent=4)) == ["turn.relay-blocked"]


def test_two_servers_broken_in_two_ways_are_two_causes_and_in_one_way_one() -> None:
    both = f.turn("turn.challenge", f.turn_row(f.TURN_UDP, "silent"), f.turn_row(OTHER, "refused"))
    found = {one.cause: one.subject for one in f.diagnosed(both)}
    assert found == {"turn.udp-blocked": f.TURN_UDP, "turn.not-running": OTHER}
    (same,) = f.diagnosed(f.turn("turn.challenge", f.turn_row(f.TURN_UDP, "silent"), f.turn_row(OTHER, "silent")))
    assert (same.cause, same.subject) == ("turn.udp-blocked", f"{f.TURN_UDP}, {OTHER}")


def test_a_router_that_refuses_in_a_servers_name_tells_nothing_of_what_listens_there() -> None:
    rows = [f.turn_row(uri, "refused", on_the_way=True) for uri in (f.TURN_UDP, f.TURN_TCP)]
    assert f.causes(f.turn("turn.challenge", *rows)) == ["turn.blocked"]
    assert f.causes(f.turn("turn.challenge", rows[0])) == ["turn.udp-blocked"]


def test_a_server_that_refuses_one_caller_is_likely_down() -> None:
    rows = f.turn_row(f.TURN_UDP, "refused"), f.turn_row(f.TURN_TCP, "refused")
    (down,) = f.diagnosed(f.turn("turn.challenge", *rows))
    assert (down.confidence, down.party) == (Confidence.LIKELY, Party.UNDECIDED), (
        "a firewall that rejects says the same"
    )
    (half,) = f.diagnosed(f.turn("turn.challenge", f.turn_row(f.TURN_UDP, "silent"), rows[1]))
    assert (half.confidence, half.party) == (Confidence.LIKELY, Party.UNDECIDED)


def test_a_server_that_is_shut_is_named_by_its_host() -> None:
    (shut,) = f.diagnosed(f.turn("turn.challenge", f.turn_row(f.TURN_UDP, "silent"), f.turn_row(f.TURN_TCP, "silent")))
    assert shut.summary == "the TURN server at turn.example.com answers neither over UDP nor over TCP"


def test_a_relayed_call_that_was_hardly_tried_is_no_relay_that_loses() -> None:
    """Through a relay that carried all else; any other call, or a handshake of some packets, is."""

    def lost(check: str, dtls_out: int, *others: CheckResult) -> bool:
        call = f.call(check, "dtls")
        call.evidence["near"] = {"dtls_out": dtls_out}
        return turn_signs.relay_blocked(f.evidence([call, *others])) is not None

    carried = f.result("turn.relay-range", Status.PASS)
    assert [lost("media.call-relay", sent, carried) for sent in (3, 4)] == [False, True]
    assert lost("media.call-relay", 3), "nothing says that the relay carries"


def test_the_flow_is_the_rows_own() -> None:
    (found,) = f.diagnosed(f.turn("turn.challenge", f.turn_row(f.TURN_UDP), f.turn_row(f.TURNS, "silent")))
    assert (found.flow.to.address, found.flow.port, found.flow.protocol) == ("turn.example.com", 5349, "tcp")


@pytest.mark.parametrize("code", [401, 441])
def test_an_expired_user_name_is_told_from_a_wrong_secret(code: int) -> None:
    def cause(expired_s: float | None) -> list[str]:
        return f.causes(f.turn("turn.allocate", f.turn_row(f.TURN_UDP, "refused-request", code, expired_s=expired_s)))

    assert cause(3.0) == ["turn.credentials-expired"]
    assert cause(0.0) == ["turn.credentials-expired"]
    assert cause(None) == ["turn.secret-mismatch"]


def test_a_name_that_carries_a_time_is_surely_refused_for_its_secret_where_the_servers_clock_is_known() -> None:
    def said(*results: CheckResult) -> tuple[str, Confidence, Party, bool]:
        (found,) = f.diagnosed(*results)
        return found.cause, found.confidence, found.party, "timedatectl" in found.remedy.steps[0]

    mismatch, settings = "turn.secret-mismatch", Party.TURN_SETTINGS
    assert said(f.refused(None)) == (mismatch, Confidence.CERTAIN, settings, False)
    assert said(f.refused(7200.0)) == (mismatch, Confidence.LIKELY, settings, True)
    assert said(f.refused(7200.0), f.clocks(site=0.0, turn=0.0)) == (mismatch, Confidence.CERTAIN, settings, False)


@pytest.mark.parametrize("code", [486, 508])
def test_no_room_is_a_quota_wherever_it_is_met(code: int) -> None:
    assert f.causes(f.turn("turn.allocate", f.turn_row(f.TURN_UDP, "refused-request", code))) == ["turn.quota"]
    assert f.causes(f.relay_range(codes=[code] * 8)) == ["turn.quota"]
    call = f.call("media.call-relay", "allocate")
    call.evidence["code"] = code
    assert f.causes(call, phase=Phase.SELF_TEST) == ["turn.quota"]


def test_room_for_some_ports_but_not_for_all_eight_at_once_is_no_fault() -> None:
    assert f.causes(f.relay_range(carried=5, arrived=10, codes=[486] * 3)) == []


@pytest.mark.parametrize(("arrived", "lost"), [(0, Lost.REQUEST), (16, Lost.REPLY), (None, Lost.BOTH)])
def test_the_far_ends_books_tell_which_way_the_relay_loses(arrived: int | None, lost: Lost) -> None:
    (found,) = f.diagnosed(f.relay_range(arrived=arrived))
    assert (found.cause, found.flow.lost) == ("turn.relay-blocked", lost)


def test_where_some_ports_carry_no_way_is_named_as_lost() -> None:
    (found,) = f.diagnosed(f.relay_range(carried=5, arrived=12))
    assert (found.cause, found.flow.lost) == ("turn.relay-blocked", None)


def test_a_denied_peer_is_one_and_a_permission_refused_otherwise_another() -> None:
    def cause(code: int | None, peer: str = f.MEDIA_HOST, trouble: str = "refused-request") -> list[str]:
        return f.causes(f.turn("turn.permission", f.turn_row(f.TURN_UDP, trouble, code, peer=peer)))

    assert cause(403) == ["turn.peer-denied"]
    assert cause(403, peer="") == ["turn.not-allocating"]
    assert cause(400) == ["turn.not-allocating"]
    assert cause(401) == ["turn.secret-mismatch"]
    assert cause(None, trouble="silent") == ["turn.not-allocating"]


def test_what_has_shown_itself_as_no_turn_server_is_not_blocked_where_it_is_silent_too() -> None:
    """A web server waits for a whole request."""
    asked = f.turn("turn.challenge", f.turn_row(f.TURN_UDP), f.turn_row(f.TURN_443, "not-turn"))
    bound = f.turn("port.turn-listener", f.turn_row(f.TURN_UDP), f.turn_row(f.TURN_443, "silent"))
    (found,) = f.diagnosed(asked, bound)
    assert (found.cause, found.because) == ("turn.wrong-service", ["port.turn-listener", "turn.challenge"])


def test_tls_that_is_asked_for_where_there_is_none_is_one_fault_where_the_port_is_silent_too() -> None:
    """As coturn is without TLS: it waits for the rest of a long message."""
    asked = f.turn("turn.challenge", f.turn_row(f.TURNS, "tls"))
    bound = f.turn("port.turn-listener", f.turn_row(f.TURNS, "silent"))
    (found,) = f.diagnosed(asked, bound)
    assert (found.cause, found.because) == ("turn.tls-invalid", ["port.turn-listener", "turn.challenge"])


def test_a_server_that_hangs_up_is_no_turn_server_and_one_that_names_another_is() -> None:
    assert f.causes(f.turn("turn.challenge", f.turn_row(f.TURN_TCP, "cut"))) == ["turn.wrong-service"]
    redirected = f.turn_row(f.TURN_UDP, "refused-request", 300)
    assert f.causes(f.turn("turn.challenge", redirected)) == ["turn.not-allocating"]


def test_a_name_without_an_address_is_nobodys_firewall_and_hides_no_other_fault() -> None:
    unresolved = f.turn_row("turn:nobody.invalid:3478?transport=udp", "unresolved")
    assert f.causes(f.turn("turn.challenge", unresolved)) == []
    (found,) = f.diagnosed(f.turn("turn.challenge", unresolved, f.turn_row(f.TURN_UDP, "silent")))
    assert (found.cause, found.subject) == ("turn.udp-blocked", f.TURN_UDP)


def test_a_listener_that_answers_another_time_is_not_shut() -> None:
    silent = f.turn("turn.challenge", f.turn_row(f.TURN_UDP), f.turn_row(f.TURN_443, "silent"))
    later = f.turn("port.turn-listener", f.turn_row(f.TURN_443, "silent"))
    assert f.causes(silent, later) == ["turn.tcp-blocked"]
    assert f.causes(silent, f.turn("port.turn-listener", f.turn_row(f.TURN_443))) == []


def test_relay_ports_that_are_shut_are_likely_so_where_nothing_allocates_and_the_same_fault_where_it_does() -> None:
    shut = f.result("turn.relay-ports", Status.WARN, at="media")
    (alone,) = f.diagnosed(shut)
    assert (alone.cause, alone.confidence, alone.flow.lost) == ("turn.relay-blocked", Confidence.LIKELY, Lost.BOTH)
    (both,) = f.diagnosed(shut, f.relay_range())
    assert both.because == ["turn.relay-ports", "turn.relay-range"]
    assert set(f.causes(shut, f.refused(600.0))) == {"turn.relay-blocked", "turn.secret-mismatch"}
