"""What the machine itself keeps from leaving: no socket, or a firewall of its own. Nobody else is blamed for it."""

from __future__ import annotations

from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Party, Role
from calls_doctor.model.report import Confidence
from calls_doctor.model.site import Mode
from tests.diagnosis import findings as f


def test_a_machine_without_sockets_is_named_in_the_checks_own_words() -> None:
    result = f.result("env.platform", Status.FAIL, summary="this machine gives the doctor no UDP socket")
    (found,) = f.diagnosed(result, f.result("port.rtc-udp-echo", Status.SKIP))
    assert (found.cause, found.party) == ("host.no-sockets", Party.CALLER_MACHINE)
    assert found.summary == "this machine gives the doctor no UDP socket"


SAID = "UDP to 203.0.113.20:8443 is forbidden by this machine's own firewall (EPERM, Operation not permitted)"


def forbidden(at: str = f.CLIENT) -> list[CheckResult]:
    """Nothing may leave for the media port: UDP says so, TCP is dropped without a word."""
    udp = f.udp(trouble="forbidden", at=at)
    udp.evidence["trouble_detail"] = SAID
    return [udp, f.tcp(trouble="silent", sent=0, at=at)]


def test_a_firewall_of_its_own_is_named_in_the_systems_words_and_nothing_else_is() -> None:
    (found,) = f.diagnosed(*forbidden())
    assert (found.cause, found.party, found.confidence) == ("host.firewall", Party.CALLER_MACHINE, Confidence.CERTAIN)
    assert found.summary == SAID
    assert set(found.because) == {"port.rtc-udp-echo", "port.rtc-tcp-echo"}


def test_it_stays_the_only_one_where_another_caller_is_well_and_where_a_third_is_shut_out_by_others() -> None:
    well = f.good_echoes(at="London")
    assert f.causes(*forbidden("Berlin"), *well) == ["host.firewall"]
    shut = [f.udp(trouble="silent", arrived=0, at="Paris"), f.tcp(24, arrived=24, at="Paris")]
    assert set(f.causes(*forbidden("Berlin"), *shut, *well)) == {"host.firewall", "client.port-blocked"}


def test_a_servers_own_firewall_is_that_servers() -> None:
    (found,) = f.diagnosed(f.result("stun.reach", Status.FAIL, at="media", servers=[ROW]), mode=Mode.RTCD)
    assert (found.cause, found.party, found.summary) == ("host.firewall", Party.MEDIA_HOST, "STUN is forbidden")
    assert (found.flow.to.role, found.flow.from_.role) == (Role.STUN, Role.MEDIA)


ROW = {"uri": "stun:s:3478", "answered": 0, "ok": False, "trouble": "forbidden", "trouble_detail": "STUN is forbidden"}
