"""Causes that failed calls through rtcd itself show: each by its own signs, and none where these decide nothing."""

from __future__ import annotations

from typing import Any  # evidence is JSON

import pytest

from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.report import Confidence
from calls_doctor.model.site import Phase
from tests.diagnosis import findings as f

API, HANDED, ELSEWHERE = "203.0.113.10", "203.0.113.10:8443", "198.51.100.7:8443"
UDP, TCP, RELAY = "media.call-udp", "media.call-tcp", "media.call-relay"
INSTANCES = "media.multi-instance"


def call(
    stage: str, trouble: str = "", check: str = UDP, to: str = HANDED, lost: str | None = None, **signalling: Any
) -> CheckResult:
    """One that failed; after it rtcd's API answers, where nothing else is said."""
    told = {"advertised": [f"{HANDED}/udp", f"{HANDED}/tcp"], "closes_told": 2, "api": "answers"} | signalling
    evidence: dict[str, Any] = {"stage": stage, "detail": f"no {stage}", "lost": lost, "signalling": told}
    if trouble:
        evidence["trouble"] = trouble
    status = Status.FAIL if check in (UDP, INSTANCES) else Status.WARN
    target = f"{to}/{'tcp' if check == TCP else 'udp'}"
    return f.result(check, status, target, "mattermost", f"fails at {stage}", **evidence)


def causes(*calls: CheckResult, api: str = API) -> list[str]:
    found = f.result("port.api-tcp", Status.PASS, f"http://{API}:8045", "mattermost", address=api)
    return f.causes(found, *calls, phase=Phase.POST)


@pytest.mark.parametrize(
    ("calls", "cause"),
    [
        ([call("media", "cut", api="refused", websocket="cut")], "api.refused"),
        ([call("dtls", api="silent"), call("dtls", check=TCP, api="silent")], "api.no-answer"),
        ([call("media", "cut", websocket="cut")], "api.websocket-blocked"),
        ([call("candidates", advertised=[]), call("candidates", check=TCP, advertised=[])], "advertise.nothing"),
        ([call("join", asked="404")], "advertise.nothing"),
        ([call("candidates", advertised=["127.0.0.1:8443/udp", "127.0.0.1:8443/tcp"])], "advertise.private-address"),
        ([call("ice", "refused", to=ELSEWHERE), call("ice", "refused", TCP, ELSEWHERE)], "advertise.wrong-address"),
        ([call("ice", "refused")], "media.udp-rejected"),
        ([call("ice", "refused", TCP)], "media.tcp-rejected"),
        ([call("ice", lost="request")], "media.udp-blocked-inbound"),
        ([call("dtls")], "media.dtls-blocked"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_each_stage_has_its_cause(calls: list[CheckResult], cause: str) -> None:
    assert causes(*calls) == [cause]


@pytest.mark.parametrize(
    "one",
    [
        call("ice"),
        call("join", asked="200"),
        call("join", asked="silent"),
        call("channel"),
        call("lock"),
        call("offer"),
        call("media"),
        call("candidates"),
        call("hello", "silent"),
        call("ice", "refused", RELAY),
    ],
    ids=lambda one: f"{one.id} {one.evidence['stage']}",
)
def test_what_decides_nothing_has_none(one: CheckResult) -> None:
    assert causes(one) == []


def test_a_join_that_is_refused_and_an_address_that_is_closed_are_no_certain_signs() -> None:
    for one in (call("join", asked="404"), call("ice", "refused", to=ELSEWHERE), call("ice", "refused")):
        found = f.result("port.api-tcp", Status.PASS, f"http://{API}:8045", "mattermost", address=API)
        (said,) = f.diagnosed(found, one, phase=Phase.POST)
        assert said.confidence is Confidence.LIKELY


def test_a_call_that_rtcd_opened_the_way_for_shows_what_is_lost_without() -> None:
    told = {"advertised": [f"{HANDED}/udp"], "closes_told": 2, "called_first": True}
    made = f.result(UDP, Status.WARN, f"{HANDED}/udp", "mattermost", "connected", stage="media", signalling=told)
    assert causes(made) == ["media.udp-blocked-inbound"]


def test_a_relay_is_to_blame_where_the_direct_call_passes() -> None:
    relayed, direct = call("ice", "", RELAY), f.result(UDP, Status.PASS, f"{HANDED}/udp", "mattermost")
    assert causes(relayed, direct) == ["turn.relay-blocked"]
    assert causes(relayed) == []
    assert causes(call("dtls", check=RELAY), direct) == ["media.dtls-blocked"]


def test_what_is_no_call_of_rtcds_is_left_to_the_causes_of_the_media_port() -> None:
    silent = f.call(UDP, "ice", "silent", at="mattermost")
    assert causes(silent) == []
    assert causes(f.call(UDP, "dtls"), *f.good_echoes()) == ["media.dtls-blocked"]


def test_the_broken_one_of_several_has_the_cause_that_it_shows() -> None:
    for stage, trouble, cause in (
        ("media", "cut", "api.refused"), ("ice", "refused", "media.udp-rejected"), ("dtls", "", "media.dtls-blocked"),
    ):  # fmt: skip
        told = {"api": "refused"} if cause == "api.refused" else {}
        one = call(stage, trouble, INSTANCES, ELSEWHERE, **told)
        one.evidence["address"] = ELSEWHERE.partition(":")[0]
        assert causes(one) == [cause]
    one.evidence["stage"], one.evidence["trouble"] = "ice", "refused"
    one.evidence["address"] = API
    assert causes(one) == ["advertise.wrong-address"], "beside its own API's address, not the first one's"
