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


@pytest.mark.parametrize("word", ["unauthorized", "admin-secret"])
def test_credentials_that_are_not_taken_are_one_cause_and_what_a_login_says_is_the_first_step(word: str) -> None:
    refused = f.result("api.rtcd-auth", Status.FAIL, f.API, stage="websocket", trouble=word, login="unknown-client")
    (found,) = f.diagnosed(f.result("port.api-tcp", Status.PASS, f.API), refused)
    assert (found.cause, found.because) == ("api.unauthorized", ["api.rtcd-auth"])
    assert ("admin" if word == "admin-secret" else "does not know this client") in found.remedy.steps[0]


def test_a_version_that_is_too_old_explains_that_versions_differ() -> None:
    old, differ = f.result("config.versions", Status.FAIL, f.API), f.result("api.rtcd-version", Status.WARN, f.API)
    (found,) = f.diagnosed(old, differ)
    assert (found.cause, found.because) == ("api.too-old", ["api.rtcd-version", "config.versions"])
    assert f.diagnosed(differ) == []


def test_strangers_who_may_register_are_part_of_an_exposed_api_and_no_cause_alone() -> None:
    shown = f.result("port.api-exposure", Status.FAIL, f.API, caller_may_not=True, answers="HTTP 200")
    open_to_all = f.result("api.rtcd-open-registration", Status.WARN, f.API)
    (found,) = f.diagnosed(shown, open_to_all)
    assert (found.cause, found.because) == ("api.exposed", ["api.rtcd-open-registration", "port.api-exposure"])
    assert f.diagnosed(open_to_all) == []
