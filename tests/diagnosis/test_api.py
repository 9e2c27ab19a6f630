"""Causes at 8045: which stage failed, and how."""

from __future__ import annotations

import pytest

from calls_doctor.model.check import Status
from calls_doctor.model.flow import Lost, Role
from tests.diagnosis import findings as f


@pytest.mark.parametrize(
    ("stage", "trouble", "cause"),
    [
        ("connect", "silent", "api.blocked"),
        ("connect", "unreachable", "api.blocked"),
        ("connect", "refused", "api.refused"),
        ("http", "silent", "api.no-answer"),
        ("http", "cut", "api.no-answer"),
        ("http", "not-http", "api.wrong-service"),
        ("http", "wants-tls", "tls.invalid"),
        ("connect", "tls", "tls.invalid"),
        ("http", "status-200", "api.wrong-service"),
        ("http", "status-301", "api.wrong-service"),
        ("http", "status-404", "api.wrong-service"),
        ("http", "status-500", "api.bad-gateway"),
        ("http", "status-504", "api.bad-gateway"),
        ("websocket", "cut", "api.websocket-blocked"),
        ("websocket", "status-400", "api.websocket-blocked"),
        ("websocket", "unauthorized", "api.unauthorized"),
        ("websocket", "open", "api.wrong-service"),
    ],
)
def test_each_trouble_at_each_stage_is_one_cause(stage: str, trouble: str, cause: str) -> None:
    (found,) = f.diagnosed(f.api(stage, trouble))
    assert (found.cause, found.because, found.subject) == (cause, ["port.api-tcp"], f.API)
    assert (found.flow.to.role, found.flow.to.address, found.flow.port) == (Role.MEDIA, f.MEDIA_HOST, 8045)


def test_a_silent_api_loses_both_ways_and_a_refused_one_loses_nothing_on_the_way() -> None:
    (silent,) = f.diagnosed(f.api("connect", "silent"))
    assert silent.flow.lost is Lost.BOTH


def test_an_api_that_answers_has_no_cause() -> None:
    assert f.diagnosed(f.result("port.api-tcp", Status.PASS, f.API)) == []
