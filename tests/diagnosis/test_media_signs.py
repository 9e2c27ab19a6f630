"""Each sign at the media port by itself: what it takes as shown, and what it leaves to another cause."""

from __future__ import annotations

import pytest
from msgspec import structs

from calls_doctor.diagnosis import media_signs
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Lost, Party
from calls_doctor.model.report import Confidence
from calls_doctor.model.site import Phase
from tests.diagnosis import findings as f

BERLIN, LONDON = "Berlin", "London"
PLACES = (f.here(BERLIN, address="192.0.2.7"), f.here(LONDON, address="198.51.100.9"))
UDP_REFUSED, UDP_SILENT = f.udp(trouble="refused"), f.udp(trouble="silent")
TCP_SHUT, TCP_REFUSED = f.tcp(trouble="silent", sent=0), f.tcp(trouble="refused", sent=0)


def told(*results: CheckResult) -> dict[str, tuple[Confidence, Party]]:
    return {one.cause: (one.confidence, one.party) for one in f.diagnosed(*results, places=PLACES)}


def causes(*results: CheckResult) -> set[str]:
    return set(told(*results))


def test_where_one_vantages_books_name_the_way_those_without_books_do_not_name_the_other() -> None:
    counted, uncounted = f.udp(trouble="silent", arrived=0, at=BERLIN), f.udp(trouble="silent", at=LONDON)
    evidence = f.evidence([counted, uncounted], places=PLACES)
    assert media_signs.udp_blocked_return(evidence) is None
    inbound = media_signs.udp_blocked_inbound(evidence)
    assert inbound is not None and inbound.flow.lost is Lost.REQUEST and len(inbound.explains) == 2


@pytest.mark.parametrize("results", [
    [UDP_REFUSED], [UDP_REFUSED, TCP_SHUT], [f.udp(trouble="unreachable"), TCP_SHUT],
], ids=["refused", "refused beside silence", "unreachable as TCP is"])  # fmt: skip
def test_nobody_is_said_to_reject_udp_to_a_service_that_may_not_be_there(results: list[CheckResult]) -> None:
    assert media_signs.udp_rejected(f.evidence(results)) is None


def test_tcp_that_is_refused_where_nothing_was_ever_heard_is_nobodys_rejection() -> None:
    assert media_signs.tcp_rejected(f.evidence([UDP_SILENT, TCP_REFUSED])) is None
    assert media_signs.tcp_rejected(f.evidence([f.udp(24), TCP_REFUSED])) is not None


@pytest.mark.parametrize(("stage", "trouble", "is_sign"), [
    ("ice", "silent", True), ("ice", "refused", False), ("dtls", "silent", False), ("allocate", "silent", False),
])  # fmt: skip
def test_of_calls_that_do_not_come_up_only_unanswered_checks_may_be_a_limit(
    stage: str, trouble: str, is_sign: bool
) -> None:
    evidence = f.evidence([*f.good_echoes(), f.call("media.call-udp", stage, trouble)])
    assert (media_signs.udp_rate_limited(evidence) is not None) is is_sign


def test_a_limit_explains_no_echo_that_has_a_reason_of_its_own() -> None:
    limited = f.call("media.call-udp", "media", to_far=(300, 100), from_far=(100, 100), at=BERLIN)
    thin = f.thin_link(at=LONDON)
    assert causes(*f.good_echoes(at=BERLIN), limited, thin) == {"media.udp-rate-limited", "path.bandwidth"}
    mute = [f.udp(trouble="silent", at=LONDON), f.tcp(24, arrived=24, at=LONDON)]
    assert causes(*f.good_echoes(at=BERLIN), limited, *mute) == {"media.udp-rate-limited", "client.port-blocked"}


@pytest.mark.parametrize("trouble", ["refused", "cut"])
def test_a_tcp_call_that_ended_in_the_middle_stalled_however_little_it_lost(trouble: str) -> None:
    cut = f.call("media.call-tcp", "media", trouble, to_far=(100, 100), from_far=(100, 100))
    assert causes(*f.good_echoes(), cut) == {"media.tcp-stalled"}


@pytest.mark.parametrize(("returned", "stalled"), [(19, True), (20, False)])
def test_tcp_stalls_where_fewer_than_four_of_five_probes_come_back(returned: int, stalled: bool) -> None:
    assert (media_signs.tcp_stalled(f.evidence([f.udp(24), f.tcp(returned, "silent", 24)])) is not None) is stalled


def test_a_host_is_alive_where_every_caller_has_a_sign_of_it() -> None:
    shut = [echo for one in (BERLIN, LONDON) for echo in (
        f.udp(trouble="silent", at=one), f.tcp(trouble="silent", sent=0, at=one),
    )]  # fmt: skip
    api = f.result("port.api-tcp", Status.PASS, f.API, BERLIN)
    blocked = media_signs.blocked(f.evidence([*shut, api], places=PLACES))
    assert blocked is not None and blocked.confidence is Confidence.POSSIBLE


def test_a_call_over_tcp_alone_that_hangs_in_dtls_is_tcps() -> None:
    hung = f.evidence([*f.good_echoes(), f.call("media.call-tcp", "dtls"), f.call("media.call-udp", "media")])
    blocked = media_signs.dtls_blocked(hung)
    assert blocked is not None and blocked.flow.protocol == "tcp"
    well = f.call("media.call-tcp", "media", to_far=(300, 300), from_far=(300, 300), status=Status.PASS, at=LONDON)
    other = f.evidence([f.call("media.call-tcp", "dtls", at=BERLIN), well], places=PLACES)
    theirs = media_signs.dtls_blocked(other)
    assert theirs is not None and theirs.party is Party.CALLER_NETWORK, "a call over TCP came up for London"


def test_whoever_is_reached_by_one_protocol_alone_shows_that_the_host_is_not_shut_for_all() -> None:
    shut = [f.udp(trouble="silent", arrived=0, at=BERLIN), f.tcp(trouble="silent", sent=0, at=BERLIN)]
    only_tcp = [f.udp(trouble="silent", arrived=0, at=LONDON), f.tcp(24, arrived=24, at=LONDON)]
    assert media_signs.blocked(f.evidence([*shut, *only_tcp], places=PLACES)) is None
    assert media_signs.blocked(f.evidence(shut, places=PLACES)) is not None


@pytest.mark.parametrize(("api", "is_alive"), [
    (f.result("port.api-tcp", Status.PASS, f.API), True), (f.api("http", "silent"), True),
    (f.api("connect", "silent"), False), (f.result("port.api-tcp", Status.SKIP, f.API), False),
], ids=["passes", "connects", "is silent", "was not asked"])  # fmt: skip
def test_an_api_that_was_reached_shows_that_its_host_lives(api: CheckResult, is_alive: bool) -> None:
    blocked = media_signs.blocked(f.evidence([UDP_SILENT, TCP_SHUT, api]))
    assert blocked is not None and (blocked.confidence is not Confidence.POSSIBLE) is is_alive


def test_one_that_is_down_explains_what_was_refused_or_silent_and_nothing_else() -> None:
    down = media_signs.not_running(f.evidence([UDP_REFUSED, f.tcp(trouble="cut")], Phase.POST))
    assert down is not None and {check for check, _, _ in down.explains} == {"port.rtc-udp-echo"}
    slow = f.api("http", "silent")
    down = media_signs.not_running(f.evidence([UDP_REFUSED, TCP_REFUSED, slow], Phase.POST))
    assert down is not None and "port.api-tcp" not in {check for check, _, _ in down.explains}


def test_two_networks_decide_that_it_is_down_where_both_protocols_are_refused_in_both() -> None:
    both = [f.udp(trouble="refused", at=BERLIN), f.tcp(trouble="refused", sent=0, at=BERLIN)]
    again = [f.udp(trouble="refused", at=LONDON), f.tcp(trouble="refused", sent=0, at=LONDON)]
    half = [f.udp(trouble="refused", at=LONDON), f.tcp(trouble="silent", sent=0, at=LONDON)]
    assert told(*both, *again) == {"media.not-running": (Confidence.LIKELY, Party.MEDIA_HOST)}
    assert told(*both, *half) == {"media.not-running": (Confidence.LIKELY, Party.UNDECIDED)}


def test_a_host_that_died_in_a_call_explains_no_call_that_failed_before() -> None:
    died = media_signs.not_running(f.evidence([
        *f.good_echoes(), f.call("media.call-udp", "media", "refused"), f.call("media.self", "ice", "unreachable"),
    ]))  # fmt: skip
    assert died is not None and {check for check, _, _ in died.explains} == {"media.call-udp"}


def test_who_finds_the_other_protocol_refused_on_a_port_that_is_taken_finds_the_same() -> None:
    """Calls cannot run there: that nothing of it listens is no second fault; another port's refusal is another's."""
    refused = f.udp(trouble="refused")
    assert f.causes(f.taken(), refused, phase=Phase.PRE) == ["media.port-taken"]
    elsewhere = structs.replace(refused, target="203.0.113.20:9443/udp")
    assert set(f.causes(f.taken(), elsewhere, phase=Phase.PRE)) == {"media.port-taken", "media.not-running"}
