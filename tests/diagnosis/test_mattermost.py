"""The site as a caller finds it: whose the block is, and what else keeps a site from a caller."""

from __future__ import annotations

import pytest

from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Lost, Party
from calls_doctor.model.report import Confidence, Diagnosis
from tests.diagnosis import findings as f

ELSEWHERE = "offloader"
WELL_ELSEWHERE = f.result("signal.websocket", Status.PASS, f.SITE, at=ELSEWHERE)


def one(*results: CheckResult, **places: str) -> Diagnosis:
    (found,) = f.diagnosed(*results, places=[f.here(at, address=address) for at, address in places.items()])
    return found


def told(found: Diagnosis) -> tuple[str, Party, Confidence]:
    return found.cause, found.party, found.confidence


@pytest.mark.parametrize("check", ["tls.site", "signal.websocket"])
def test_silence_is_decided_by_who_else_is_well(check: str) -> None:
    silent = f.site("connect", "silent", check)
    assert told(one(silent)) == ("mattermost.unreachable", Party.UNDECIDED, Confidence.LIKELY)
    assert one(silent).flow.lost is Lost.BOTH and "another network" in one(silent).remedy.steps[0]
    assert told(one(silent, WELL_ELSEWHERE)) == ("mattermost.unreachable", Party.CALLER_NETWORK, Confidence.CERTAIN)
    both = one(silent, f.site("connect", "silent", check, at=ELSEWHERE), client="192.0.2.1", offloader="192.0.2.2")
    assert told(both) == ("mattermost.unreachable", Party.SERVER_NETWORK, Confidence.CERTAIN)


@pytest.mark.parametrize(
    ("stage", "trouble"),
    [
        ("http", "silent"),
        ("http", "cut"),
        ("http", "not-http"),
        ("http", "not-mattermost"),
        ("http", "status-502"),
    ],
)
def test_what_answered_and_is_not_well_is_the_sites(stage: str, trouble: str) -> None:
    found = one(f.site(stage, trouble))
    assert told(found) == ("mattermost.unreachable", Party.MATTERMOST_HOST, Confidence.CERTAIN)
    assert found.flow.lost is None
    assert told(one(f.site(stage, trouble), WELL_ELSEWHERE))[1] is Party.CALLER_NETWORK


@pytest.mark.parametrize(
    ("stage", "trouble"),
    [
        ("websocket", "status-400"), ("websocket", "origin"), ("websocket", "silent"), ("websocket", "not-websocket"),
        ("hold", "cut"), ("hold", "silent"),
    ],
)  # fmt: skip
def test_http_works_and_the_websocket_does_not(stage: str, trouble: str) -> None:
    found = one(f.site(stage, trouble))
    assert told(found) == ("mattermost.websocket-blocked", Party.SERVER_NETWORK, Confidence.CERTAIN)
    assert any("Upgrade" in step for step in found.remedy.steps)
    assert told(one(f.site(stage, trouble), WELL_ELSEWHERE))[1] is Party.CALLER_NETWORK


def test_a_network_that_lets_443_out_alone_keeps_a_site_on_another_port_away() -> None:
    shut = [
        f.egress(works=False),
        f.udp(trouble="silent"),
        f.tcp(trouble="silent", sent=0),
        f.turn("turn.challenge", f.turn_row(f.TURN_TCP, "silent"), f.turn_row(f.TURN_443)),
    ]
    assert f.causes(*shut, f.site("connect", "silent", url="http://mm.example.com:8065")) == ["client.only-443"]
    for on_443 in (f.SITE, "http://mm.example.com:443"):
        found = f.causes(*shut, f.site("connect", "silent", url=on_443))
        assert sorted(found) == ["client.only-443", "mattermost.unreachable"]


def test_a_firewall_that_does_not_reflect_keeps_it_from_those_inside() -> None:
    inside = [f.hairpin(at="office"), f.site("connect", "silent", at="office")]
    well = [f.udp(24, arrived=24), f.tcp(24, arrived=24), f.result("signal.websocket", Status.PASS, f.SITE)]
    assert f.causes(*inside, *well) == ["nat.hairpin-missing"]
    assert sorted(f.causes(*inside, *well[:2])) == ["mattermost.unreachable", "nat.hairpin-missing"], (
        "nobody outside reached the site either"
    )


def test_a_path_that_loses_much_or_swallows_large_packets_keeps_it_away() -> None:
    silent = f.site("connect", "silent", "tls.site")
    assert f.causes(f.udp(24, arrived=24), f.path(("loss", "to_far"), loss_ratio=0.3), silent) == ["path.loss"]
    assert f.causes(f.udp(24, arrived=24), f.mtu(1100), silent) == ["path.mtu-blackhole"]
    assert sorted(f.causes(f.udp(24, arrived=24), f.mtu(1100), f.site("http", "status-502"))) == [
        "mattermost.unreachable", "path.mtu-blackhole",
    ]  # fmt: skip


def test_what_is_concluded_from_other_results_wants_no_cause_and_stands_by_theirs() -> None:
    needed, shut = f.result("turn.necessity", Status.FAIL), [f.udp(trouble="silent"), f.tcp(trouble="silent", sent=0)]
    assert f.causes(needed) == []
    (blocked,) = f.diagnosed(needed, *shut)
    assert f.causes(*shut) == [blocked.cause] == ["media.blocked"]
    assert blocked.because == ["port.rtc-tcp-echo", "port.rtc-udp-echo", "turn.necessity"]
    assert one(needed, f.site("http", "status-502")).because == ["signal.websocket"]
