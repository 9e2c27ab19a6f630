"""Who may use the API: rtcd's own sentences for who may not."""

from __future__ import annotations

import base64

import pytest

from calls_doctor.model.credentials import Secret
from calls_doctor.standin.api_accounts import REGISTERED_MAX, TOKEN_LIFE_S, AccountError, Accounts, Headers

OWN, KEY, OTHER = "calls-doctor-0123456789abcdef", "k" * 48, "o" * 32
NOW = [0.0]


def accounts() -> Accounts:
    NOW[0] = 1.0
    return Accounts(OWN, Secret(KEY), lambda: NOW[0])


def said(value: str) -> Headers:
    return {"authorization": [value]}


def basic(client_id: str, key: str) -> Headers:
    return said("Basic " + base64.b64encode(f"{client_id}:{key}".encode()).decode())


@pytest.mark.parametrize(("headers", "sentence"), [
    ({}, "authentication failed: invalid auth header"), (said("Basic !"), "authentication failed: invalid auth header"),
    (said("Basic " + base64.b64encode(b"x").decode()), "authentication failed: invalid auth header"),
    (said("bearer x"), "authentication failed: invalid auth header"),
    (basic("", KEY), "authentication failed: unauthorized"), (basic(OWN, OTHER), "authentication failed"),
    (basic("somebody", KEY), "authentication failed"), (basic(OWN, ""), "authentication failed"),
    (said("Bearer x"), "authentication failed: token is invalid"),
])  # fmt: skip
def test_who_is_not_let_in_hears_why(headers: Headers, sentence: str) -> None:
    with pytest.raises(AccountError, match=f"^{sentence}$"):
        accounts().authenticate(headers)


def test_a_client_that_was_registered_is_let_in_until_it_is_unregistered() -> None:
    known = accounts()
    known.register("another", OTHER)
    assert known.authenticate(basic("another", OTHER)) == "another"
    assert known.authenticate(basic(OWN, KEY)) == OWN
    token = known.log_in("another", OTHER)
    known.unregister("another")
    for headers in (basic("another", OTHER), said(f"Bearer {token}")):
        with pytest.raises(AccountError):
            known.authenticate(headers)
    with pytest.raises(AccountError, match=r"^unregister failed: error: not found$"):
        known.unregister("another")


@pytest.mark.parametrize(("client_id", "key", "sentence"), [
    ("a", "k" * 31, "key not long enough"), ("a", "k" * 73, "bcrypt: password length exceeds 72 bytes"),
    ("", OTHER, "error: empty key"), ("i" * 65, OTHER, "failed to set key: error: key too large"),
    (OWN, KEY, "already registered"), (OWN, OTHER, "already registered"),
])  # fmt: skip
def test_who_is_not_registered_hears_why(client_id: str, key: str, sentence: str) -> None:
    with pytest.raises(AccountError, match=f"^registration failed: {sentence}$"):
        accounts().register(client_id, key)


def test_the_longest_names_and_keys_are_taken_and_no_more_clients_than_there_is_room_for() -> None:
    known = accounts()
    for number in range(REGISTERED_MAX):
        known.register(f"{number}".rjust(64, "i"), "k" * 72)
    with pytest.raises(AccountError, match="room for"):
        known.register("one more", OTHER)


def test_the_runs_own_client_stays() -> None:
    known = accounts()
    with pytest.raises(AccountError):
        known.unregister(OWN)
    assert known.authenticate(basic(OWN, KEY)) == OWN


def test_a_token_speaks_for_its_client_until_the_next_and_for_a_day() -> None:
    known = accounts()
    first = known.log_in(OWN, KEY)
    assert len(first) == 32 and known.authenticate(said(f"Bearer {first}")) == OWN
    second = known.log_in(OWN, KEY)
    with pytest.raises(AccountError, match="token is invalid"):
        known.authenticate(said(f"Bearer {first}"))
    NOW[0] += TOKEN_LIFE_S
    with pytest.raises(AccountError, match="session is expired"):
        known.authenticate(said(f"Bearer {second}"))


@pytest.mark.parametrize(("client_id", "key", "sentence"), [
    ("", KEY, ": error: empty key"), ("nobody", KEY, ": error: not found"), (OWN, OTHER, ""),
])  # fmt: skip
def test_a_login_that_is_refused_says_why(client_id: str, key: str, sentence: str) -> None:
    with pytest.raises(AccountError, match=f"^login failed: authentication failed{sentence}$"):
        accounts().log_in(client_id, key)
