"""Who may ask a TURN server for anything: challenges, stale nonces, wrong passwords, REST names that have expired."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from calls_doctor.model.credentials import Secret
from calls_doctor.wire import stun
from calls_doctor.wire.stun import Message, MessageClass, Method
from calls_doctor.wire.turn import rest_credentials
from calls_doctor.wire.turn_auth import Authenticator, Challenge, Login, rest_password, user_of
from tests.servers.turn_bench import client

USERS = {"user": Secret("password")}
NOW = 100.0
TID = bytes(12)


def authenticator(nonce_key: bytes = bytes(16), nonce_lifetime_s: float = 60.0) -> Authenticator:
    return Authenticator("realm", USERS.get, nonce_key, nonce_lifetime_s=nonce_lifetime_s)


def challenged(judge: Authenticator, now: float = NOW) -> bytes:
    verdict = judge.judge(stun.parse(Message(Method.ALLOCATE, MessageClass.REQUEST, TID).encode()), client(), now)
    assert isinstance(verdict, Challenge) and verdict.error.code == 401
    attributes = dict(verdict.attributes)
    assert attributes[stun.REALM] == "realm"
    nonce = attributes[stun.NONCE]
    assert isinstance(nonce, bytes) and len(nonce) < 128 and not nonce.startswith(b"obMatJos2")
    return nonce


def request(
    nonce: bytes, *, username: str = "user", password: str = "password", realm: str = "realm", without: object = None
) -> Message:
    said: stun.Attributes = [(stun.USERNAME, username), (stun.REALM, realm), (stun.NONCE, nonce)]
    kept = [(row, value) for row, value in said if row is not without]
    message = Message(Method.ALLOCATE, MessageClass.REQUEST, TID, kept)
    return stun.parse(message.encode(stun.long_term_key(username, realm, password)))


def code(verdict: Login | Challenge) -> int:
    assert isinstance(verdict, Challenge)
    return verdict.error.code


def test_the_right_credentials_are_a_login() -> None:
    judge = authenticator()
    login = judge.judge(request(challenged(judge)), client(), NOW)
    assert login == Login("user", stun.long_term_key("user", "realm", "password"))
    assert "password" not in repr(login) and str(login.key) not in repr(login)


@pytest.mark.parametrize("how", [{"username": "nobody"}, {"password": "wrong"}, {"realm": "another"}])
def test_wrong_ones_are_challenged_again(how: dict[str, str]) -> None:
    judge = authenticator()
    verdict = judge.judge(request(challenged(judge), **how), client(), NOW)
    assert code(verdict) == 401
    assert isinstance(verdict, Challenge) and {row for row, _ in verdict.attributes} == {stun.REALM, stun.NONCE}


@pytest.mark.parametrize("row", [stun.USERNAME, stun.REALM, stun.NONCE], ids=repr)
def test_half_of_them_are_a_bad_request(row: object) -> None:
    judge = authenticator()
    verdict = judge.judge(request(challenged(judge), without=row), client(), NOW)
    assert verdict == Challenge(stun.ErrorCode(400, "Bad Request"))


def test_a_nonce_is_stale_after_its_time_elsewhere_and_from_another_server() -> None:
    judge = authenticator()
    nonce = challenged(judge)
    assert isinstance(judge.judge(request(nonce), client(), NOW + 59.9), Login)
    assert code(judge.judge(request(nonce), client(), NOW + 60)) == 438
    assert code(judge.judge(request(nonce), client(40001), NOW)) == 438, "a captured request is of no use elsewhere"
    assert code(authenticator(b"another server's").judge(request(nonce), client(), NOW)) == 438


@pytest.mark.parametrize("nonce", [
    b"", b"-", b"x", b"obMatJos2AAAA", b"186a0-", b"ffffffffffffffffff-0", b"1_0-ab", b" 1-ab", b"\xd9\xa1-ab",
    bytes(50),
])  # fmt: skip
def test_a_nonce_that_nobody_made_is_stale(nonce: bytes) -> None:
    assert code(authenticator().judge(request(nonce), client(), NOW)) == 438


def test_a_stale_nonce_comes_with_a_fresh_one() -> None:
    judge = authenticator()
    verdict = judge.judge(request(b"old"), client(), NOW)
    assert isinstance(verdict, Challenge)
    fresh = dict(verdict.attributes)[stun.NONCE]
    assert isinstance(fresh, bytes) and isinstance(judge.judge(request(fresh), client(), NOW), Login)


def test_a_wrong_password_with_a_stale_nonce_is_told_to_be_wrong() -> None:
    assert code(authenticator().judge(request(b"old", password="wrong"), client(), NOW)) == 401  # RFC 8489 9.2.4


SECRET = Secret("north")


def test_the_password_of_a_rest_name_is_the_drafts() -> None:
    expected = base64.b64encode(hmac.new(b"north", b"2000:calls", hashlib.sha1).digest()).decode()
    password = rest_password(SECRET, "2000:calls", 1999.9)
    assert password is not None and password.reveal() == expected
    made = rest_credentials(SECRET, 2000, "calls")
    assert (made.username, made.password.reveal()) == ("2000:calls", expected)


@pytest.mark.parametrize("username", [
    "2000:calls", "1:x", ":x", "calls", "3000", "-1:x", "+9999:x", "9999_0:x", " 9999:x", "٩٩٩٩:x", "9" * 13 + ":x", "",
])  # fmt: skip
def test_a_name_that_is_none_or_has_expired_has_no_password(username: str) -> None:
    assert rest_password(SECRET, username, 2000.0) is None


@pytest.mark.parametrize(("username", "user"), [
    ("2000:calls", "calls"), ("2001:calls", "calls"), ("2000:", ""), ("calls", "calls"), ("a:b", "a:b"), ("", ""),
])  # fmt: skip
def test_a_quota_is_the_names_whatever_its_expiry(username: str, user: str) -> None:
    assert user_of(username) == user
