"""A machine that gives no sockets: nothing else can be tested, and the one cause says so."""

from __future__ import annotations

from calls_doctor.model.check import Status
from calls_doctor.model.flow import Party
from tests.diagnosis import findings as f


def test_a_machine_without_sockets_is_named_in_the_checks_own_words() -> None:
    result = f.result("env.platform", Status.FAIL, summary="this machine gives the doctor no UDP socket")
    (found,) = f.diagnosed(result, f.result("port.rtc-udp-echo", Status.SKIP))
    assert (found.cause, found.party) == ("host.no-sockets", Party.CALLER_MACHINE)
    assert found.summary == "this machine gives the doctor no UDP socket"
