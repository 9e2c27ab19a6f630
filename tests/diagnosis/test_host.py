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


def test_want_of_descriptors_is_this_machines_own_in_the_systems_words() -> None:
    (found,) = f.diagnosed(f.no_descriptor())
    assert (found.cause, found.party, found.confidence) == ("host.fd-limit", Party.CALLER_MACHINE, Confidence.CERTAIN)
    assert "EMFILE" in found.summary
    (found,) = f.diagnosed(f.no_descriptor(at="media"))
    assert found.party is Party.MEDIA_HOST


def test_what_could_not_be_sent_for_another_reason_is_no_want_of_descriptors() -> None:
    echo = f.udp(trouble="not-sent")
    echo.evidence["trouble_detail"] = "UDP to 203.0.113.20:8443 could not be sent: EADDRNOTAVAIL"
    assert f.causes(echo) == []


def test_loss_that_the_media_hosts_own_socket_counts_is_its_buffers_and_no_paths() -> None:
    (found,) = f.diagnosed(f.udp(24, arrived=24), f.lost_there(40), f.dropped(60))
    assert (found.cause, found.party, found.confidence) == ("host.buffers-small", Party.MEDIA_HOST, Confidence.LIKELY)
    assert "dropped 60 datagrams" in found.summary
    assert set(found.because) == {"env.limits", "quality.path"}


def test_drops_without_loss_and_loss_beyond_the_drops_name_no_buffers() -> None:
    assert f.causes(*f.good_echoes(), f.dropped(60)) == []
    assert f.causes(f.udp(24, arrived=24), f.lost_there(40), f.dropped(12)) == ["path.loss"]
    assert f.causes(f.udp(24, arrived=24), f.lost_there(40), f.dropped(0)) == ["path.loss"]
    back = f.path(("loss", "from_far"))
    assert f.causes(f.udp(24, arrived=24), back, f.dropped(60)) == ["path.loss"], "lost on the way back"


def test_a_proxy_that_mattermost_was_told_of_is_likely_and_the_mattermost_hosts() -> None:
    (found,) = f.diagnosed(f.caught_by_proxy())
    assert (found.cause, found.confidence) == ("host.proxy-environment", Confidence.LIKELY)
    assert (found.party, found.subject) == (Party.MATTERMOST_HOST, "HTTP_PROXY")
