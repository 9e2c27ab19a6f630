"""What rtcd says on its HTTP API means what the document says it means: every captured refusal, and what is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any  # captured exchanges are JSON

import pytest

from calls_doctor.errors import HttpError
from calls_doctor.wire import rtcd_http
from calls_doctor.wire.rtcd_http import Refusal

LINES = (Path(__file__).parents[1] / "data" / "rtcd" / "http.jsonl").read_text().splitlines()
CAPTURED = {(row["set"], row["name"]): row for row in map(json.loads, LINES)}
MEANING = {
    ("selfreg", "register-emptybody"): Refusal.BAD_BODY,
    ("selfreg", "register-badjson"): Refusal.BAD_BODY,
    ("selfreg", "register-nonstring"): Refusal.BAD_BODY,
    ("selfreg", "register-short"): Refusal.SHORT_KEY,
    ("selfreg", "register-nokey"): Refusal.SHORT_KEY,
    ("selfreg", "register-noid"): Refusal.NO_ID,
    ("selfreg", "register-longkey72"): None,
    ("selfreg", "register-longkey73"): Refusal.LONG_KEY,
    ("selfreg", "register-bigid"): Refusal.LONG_ID,
    ("selfreg", "register-ok"): None,
    ("selfreg", "register-dup"): Refusal.ALREADY_REGISTERED,
    ("selfreg", "register-dup-otherkey"): Refusal.ALREADY_REGISTERED,
    ("selfreg", "register-extra"): None,
    ("selfreg", "login-badjson"): Refusal.BAD_BODY,
    ("selfreg", "login-unknown"): Refusal.UNKNOWN_CLIENT,
    ("selfreg", "login-wrongkey"): Refusal.WRONG_KEY,
    ("selfreg", "login-noid"): Refusal.NO_ID,
    ("selfreg", "login-ok"): None,
    ("selfreg", "login-again"): None,
    ("selfreg", "register-get"): Refusal.NO_ROUTE,
    ("selfreg", "login-get"): Refusal.NO_ROUTE,
    ("selfreg", "unregister-get"): Refusal.NO_ROUTE,
    ("selfreg", "unregister-noauth"): Refusal.NO_AUTHORIZATION,
    ("selfreg", "unregister-other"): Refusal.ANOTHER_CLIENT,
    ("selfreg", "unregister-noid"): Refusal.NO_ID,
    ("selfreg", "unregister-ok"): None,
    ("selfreg", "unregister-again"): Refusal.WRONG_CREDENTIALS,
    ("locked", "register-noauth"): Refusal.NO_AUTHORIZATION,
    ("locked", "register-basic-unknown"): Refusal.WRONG_CREDENTIALS,
    ("locked", "register-basic-noid"): Refusal.NOT_ADMIN,
    ("locked", "unregister"): Refusal.UNREGISTER_OFF,
    ("locked", "login-unknown"): Refusal.UNKNOWN_CLIENT,
    ("admin", "register-noauth"): Refusal.NO_AUTHORIZATION,
    ("admin", "register-wrongadmin"): Refusal.NOT_ADMIN,
    ("admin", "register-admin"): None,
    ("admin", "register-byclient"): None,
    ("admin", "register-admin-withid"): None,
    ("admin", "unregister-admin"): None,
    ("admin", "unregister-missing"): Refusal.UNKNOWN_CLIENT,
}
"""(configuration, exchange) -> why it is refused."""


def body_of(row: dict[str, Any]) -> tuple[int, bytes]:
    return row["response"]["status"], row["response"]["body"].encode()


def test_every_captured_answer_of_these_routes_is_here() -> None:
    routes = ("/register", "/unregister", "/login")
    assert {key for key, row in CAPTURED.items() if row["request"]["path"] in routes} == set(MEANING)


@pytest.mark.parametrize("exchange", MEANING, ids="/".join)
def test_each_captured_answer_has_its_meaning(exchange: tuple[str, str]) -> None:
    assert rtcd_http.refusal(*body_of(CAPTURED[exchange])) is MEANING[exchange]


@pytest.mark.parametrize(
    ("status", "error", "why"),
    [
        (401, "authentication failed: token is invalid", Refusal.WRONG_TOKEN),
        (401, "authentication failed: session is expired", Refusal.EXPIRED_TOKEN),
        (400, "registration failed: rate: Wait(n=1) would exceed context deadline", Refusal.BUSY),
        (400, "login failed: authentication failed: rate: Wait(n=1) would exceed", Refusal.BUSY),
        (400, "something new", Refusal.OTHER),
        (500, "authentication failed", Refusal.OTHER),
    ],
)
def test_what_was_read_in_the_source_and_what_is_not_known(status: int, error: str, why: Refusal) -> None:
    body = json.dumps({"code": str(status), "error": error}).encode()
    assert rtcd_http.refusal(status, body) is why


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"<html>"),
        (200, b'{"code":"400"}'),
        (502, b"Bad Gateway"),
        (401, b"unauthorized\n"),
        (400, b"[]"),
    ],
)
def test_what_rtcd_does_not_say_is_not_rtcds(status: int, body: bytes) -> None:
    assert rtcd_http.refusal(status, body) is Refusal.NOT_RTCD


def test_a_login_gives_its_token_and_nothing_else_does() -> None:
    assert rtcd_http.token_of(body_of(CAPTURED["selfreg", "login-ok"])[1]) == "<bearerToken32>"
    for body in (b"", b'{"code":"200"}', b'{"code":"200","bearerToken":"' + b"x" * 300 + b'"}'):
        with pytest.raises(HttpError, match="holds no token"):
            rtcd_http.token_of(body)


def test_the_load_is_rtcds_or_none() -> None:
    assert rtcd_http.cpu_load(body_of(CAPTURED["selfreg", "system"])[1]) == 0.5025106402010028
    for body in (b"404 page not found\n", b"{}", b'{"cpu_load":"much"}'):
        assert rtcd_http.cpu_load(body) is None


def test_who_is_in_a_call() -> None:
    row = b'{"GroupID":"g","CallID":"c","UserID":"u","SessionID":"s","Props":{"av1Support":false}}'
    (one,) = rtcd_http.sessions_of(b"[" + row + b"]")
    assert (one.session_id, one.user_id) == ("s", "u")
    for body in (b"{}", b"[1]", b""):
        with pytest.raises(HttpError):
            rtcd_http.sessions_of(body)


def test_headers_are_written_as_the_plugin_writes_them() -> None:
    assert rtcd_http.basic("cA", "key") == "Basic Y0E6a2V5"
    assert rtcd_http.bearer("t") == "Bearer t"
