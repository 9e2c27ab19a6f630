"""A rule of the far end's own firewall is where to look first, and no cause of its own."""

from __future__ import annotations

from calls_doctor.diagnosis.commands import commands_of
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Party
from calls_doctor.model.report import Confidence, Diagnosis
from tests.diagnosis import findings as f

RULE = "inet filter input handle 7"


def own_rules(verdict: str, protocol: str = "udp", at: str = "media", backend: str = "nft") -> CheckResult:
    row = {"protocol": protocol, "port": 8443, "verdict": verdict, "rule": RULE}
    status = Status.WARN if verdict in ("dropped", "rejected") else Status.PASS
    return f.result("env.hostfw", status, at=at, backend=backend, managers=[], ports=[row])


def blocked(*more: CheckResult) -> Diagnosis:
    silent = [f.udp(trouble="silent", arrived=0), f.tcp(24, arrived=24)]
    (found,) = f.diagnosed(*silent, *more)
    assert found.cause == "media.udp-blocked-inbound"
    return found


def test_a_rule_that_shuts_the_port_is_the_first_step_and_explained() -> None:
    found = blocked(own_rules("dropped"))
    (command,) = commands_of(found.remedy.steps[0])
    assert (command.text, command.on_host) == ("nft -a list ruleset", "the media host (media)")
    assert found.remedy.steps[0].endswith(f"that drops UDP 8443: {RULE}")
    assert "env.hostfw" in found.because
    assert "`iptables-save`" in blocked(own_rules("rejected", backend="iptables")).remedy.steps[0]


def test_a_port_that_its_own_host_shuts_is_that_hosts_to_mend() -> None:
    assert (blocked().party, blocked().confidence) == (Party.UNDECIDED, Confidence.LIKELY)
    found = blocked(own_rules("dropped"))
    assert (found.party, found.confidence) == (Party.MEDIA_HOST, Confidence.CERTAIN)


def test_of_two_protocols_that_are_shut_a_rule_for_one_does_not_tell_whose_the_other_is() -> None:
    silent = [f.udp(trouble="silent", arrived=0), f.tcp(trouble="silent", sent=0)]
    (found,) = f.diagnosed(*silent, own_rules("dropped"))
    assert (found.cause, found.party, "env.hostfw" in found.because) == ("media.blocked", Party.UNDECIDED, True)
    both = own_rules("dropped")
    both.evidence["ports"].append(both.evidence["ports"][0] | {"protocol": "tcp"})
    (found,) = f.diagnosed(*silent, both)
    assert (found.cause, found.party) == ("media.blocked", Party.MEDIA_HOST)


def test_a_rule_for_answers_counts_where_answers_are_lost() -> None:
    rules = own_rules("accepted")
    rules.evidence["ports"][0]["answer"] = {"verdict": "dropped", "rule": RULE}
    shut = f.result("env.hostfw", Status.WARN, at="media", **rules.evidence)
    (found,) = f.diagnosed(f.udp(trouble="silent", arrived=6), f.tcp(24, arrived=24), shut)
    assert (found.cause, found.party) == ("media.udp-blocked-return", Party.MEDIA_HOST)
    assert found.remedy.steps[0].endswith(f"that drops what is answered from UDP 8443: {RULE}")
    assert blocked(shut) == blocked(), "the requests are lost, and no answers"


def test_another_ports_rule_another_machines_and_one_that_lets_it_in_are_not() -> None:
    plain = blocked()
    assert blocked(own_rules("accepted")) == blocked(own_rules("depends")) == plain
    assert blocked(own_rules("dropped", "tcp")) == plain
    assert blocked(own_rules("dropped", at="turn")) == plain


def test_what_answers_is_not_shut_whatever_the_rules_seem_to_say() -> None:
    lossy = [f.udp(24, arrived=24), f.path(("loss", "to_far"))]
    (found,) = f.diagnosed(*lossy, own_rules("dropped"))
    assert (found.cause, found.because) == ("path.loss", ["quality.path"])


def test_a_rule_for_the_api_counts_though_the_media_port_answers() -> None:
    row = {"protocol": "tcp", "port": 8045, "verdict": "dropped", "rule": RULE}
    rules = f.result("env.hostfw", Status.WARN, at="media", backend="nft", managers=[], ports=[row])
    (found,) = f.diagnosed(*f.good_echoes(), f.api("connect", "silent", at="mattermost"), rules)
    assert (found.cause, found.remedy.steps[0].endswith(f"drops TCP 8045: {RULE}")) == ("api.blocked", True)


def test_rules_alone_name_no_cause() -> None:
    assert f.causes(*f.good_echoes(), own_rules("dropped")) == []
