"""Another public port leads to the media host than callers are handed: told by whoever knows of it, and guessed by
nobody."""

from __future__ import annotations

import pytest

from calls_doctor import conclusion
from calls_doctor.diagnosis.media_ports import port_rewritten
from calls_doctor.model.check import CheckResult
from calls_doctor.model.report import Diagnosis
from calls_doctor.model.site import Mode, Phase, Site
from tests.diagnosis import findings as f
from tests.diagnosis.test_media_nodes import asked, at, shut

BERLIN, LONDON = f.here("Berlin", address="192.0.2.1"), f.here("London", address="198.51.100.1")
ANNOUNCED, LEADS, OTHER = "203.0.113.20:8443", "203.0.113.20:18443", "203.0.113.21:8443"
RUN = "RunOfA00"


def told(*results: CheckResult, mode: Mode = Mode.RTCD) -> list[Diagnosis]:
    return conclusion.diagnosis(Site(phase=Phase.PRE, mode=mode), results, [BERLIN, LONDON])


def kinds(found: list[Diagnosis]) -> list[tuple[str, str, str]]:
    return [(one.cause, str(one.party), str(one.confidence)) for one in found]


def of_run(host: str, results: list[CheckResult], vantage: str = "Berlin", run: str = RUN) -> list[CheckResult]:
    """What a caller who tests several addresses finds at this one."""
    return at(host, asked(vantage, host, run, results), vantage)


def test_one_caller_alone_cannot_tell_it_from_a_port_that_his_own_network_shuts() -> None:
    found = told(*f.good_echoes(at="Berlin"), f.led_to(18443, at="Berlin"))
    assert kinds(found) == [("media.port-rewritten", "undecided", "likely")]
    assert found[0].summary == "203.0.113.20:8443 leads nowhere; the media host answers at port 18443"
    assert found[0].subject == ANNOUNCED
    assert found[0].remedy.steps[0].startswith("On a machine in a second network")


@pytest.mark.parametrize(("mode", "party"), [(Mode.RTCD, "rtcd-settings"), (Mode.INTEGRATED, "mattermost-settings")])
def test_two_networks_can(mode: Mode, party: str) -> None:
    every = [one for place in ("Berlin", "London") for one in (*f.good_echoes(at=place), f.led_to(18443, at=place))]
    assert kinds(told(*every, mode=mode)) == [("media.port-rewritten", party, "certain")]


def test_a_caller_who_reaches_what_is_handed_out_contradicts_it() -> None:
    well = f.passed("nat.advertised-reachable", at="London")
    both = f.evidence([*f.good_echoes(at="Berlin"), f.led_to(18443, at="Berlin"), *well], places=(BERLIN, LONDON))
    assert port_rewritten(both) is None


def test_a_silent_port_beside_one_that_leads_there_is_not_blocked() -> None:
    """UDP alone is forwarded from another port: TCP has brought what STUN servers see."""
    udp = f.udp(trouble="silent", arrived=0, at="Berlin")
    call = f.call("media.call-udp", "ice", "silent", at="Berlin")
    seen = [udp, f.tcp(24, arrived=24, at="Berlin"), call, f.led_to(18443, at="Berlin")]
    (found,) = told(*seen)
    assert found.cause == "media.port-rewritten"
    assert set(found.because) == {"port.rtc-udp-echo", "media.call-udp", "nat.advertised-reachable"}


def test_a_port_that_a_nat_made_up_is_another_fault() -> None:
    handed = f.advertised("reachable", f.candidate(port=40123, kind="mapped"))
    handed.evidence.update(media_port=8443, elsewhere=[f.candidate(kind="link", returned=24)])
    assert [one.cause for one in f.diagnosed(*f.good_echoes(), handed)] == ["nat.port-not-preserved"]
    preserved = f.led_to(18443, kind="mapped")
    assert [one.cause for one in f.diagnosed(*f.good_echoes(), preserved)] == ["media.port-rewritten"]


def test_what_answers_nowhere_or_at_another_address_is_no_other_port() -> None:
    for row in (f.candidate(port=18443), f.candidate("203.0.113.9", port=18443, returned=3)):
        handed = f.led_to(18443)
        handed.evidence["elsewhere"] = [row]
        assert port_rewritten(f.evidence([*f.good_echoes(), handed])) is None


def test_of_two_links_with_one_key_the_silent_one_is_the_port_that_leads_nowhere() -> None:
    seen = [*of_run(ANNOUNCED, shut()), *of_run(LEADS, [*f.good_echoes(), f.led_to(18443)])]
    (found,) = told(*seen)
    assert (found.cause, found.host, found.subject) == ("media.port-rewritten", ANNOUNCED, ANNOUNCED)
    assert found.summary.endswith("the media host answers at port 18443") and found.flow.port == 8443
    assert {"port.rtc-udp-echo", "port.rtc-tcp-echo", "nat.advertised-reachable"} <= set(found.because)


def test_a_second_caller_who_knows_of_one_port_alone_makes_it_certain() -> None:
    seen = [*of_run(ANNOUNCED, shut()), *of_run(LEADS, f.good_echoes()), *asked("London", ANNOUNCED, RUN, shut())]
    assert kinds(told(*seen)) == [("media.port-rewritten", "rtcd-settings", "certain")]
    handed = f.led_to(18443)
    apart = [*asked("Berlin", ANNOUNCED, RUN, shut()), *asked("London", LEADS, RUN, [*f.good_echoes(), handed])]
    assert kinds(told(*apart)) == [("media.port-rewritten", "rtcd-settings", "certain")]


def test_another_key_is_another_host_and_no_other_port() -> None:
    seen = [*of_run(OTHER, shut(), run="RunOfB00"), *of_run(LEADS, f.good_echoes())]
    assert [one.cause for one in told(*seen)] == ["media.node-unreachable"]


def test_where_somebody_reaches_the_silent_one_it_is_no_matter_of_ports() -> None:
    seen = [
        *of_run(ANNOUNCED, shut()), *of_run(LEADS, f.good_echoes()), *asked("London", ANNOUNCED, RUN, f.good_echoes()),
    ]  # fmt: skip
    assert "media.port-rewritten" not in {one.cause for one in told(*seen)}
