"""What the environment gives. No sentence holds a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from calls_doctor.errors import UsageError
from calls_doctor.model.credentials import Credentials
from calls_doctor.model.site import Setting
from calls_doctor.site import environment as env

CANARY = "canary-91"


def test_every_secret_is_read() -> None:
    given = {name: f"{CANARY}-{dotted}" for name, dotted in env.SECRETS.items()}
    found = env.credentials(given)
    assert found.rtcd_client_id == f"{CANARY}-rtcd.client_id"
    assert found.rtcd_auth_key is not None
    assert found.rtcd_auth_key.reveal() == f"{CANARY}-rtcd.auth_key"
    assert found.turn_secret is not None
    assert found.turn_secret.reveal() == f"{CANARY}-turn.secret"
    assert found.turn is not None
    assert found.turn.username == f"{CANARY}-turn.username"
    assert found.turn.password.reveal() == f"{CANARY}-turn.credential"
    assert [token.reveal() for token in found.mattermost_tokens] == [
        f"{CANARY}-mattermost.token", f"{CANARY}-mattermost.token_2"
    ]  # fmt: skip


def test_every_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    given = {}
    for name, dotted in env.SECRETS.items():
        (tmp_path / dotted).write_text(f"{CANARY}-{dotted}\r\n")
        given[f"{name}_FILE"] = str(tmp_path / dotted)
    assert env.credentials(given).rtcd_client_id == f"{CANARY}-rtcd.client_id"
    assert set(env.settings(given)) == set(env.SECRETS.values())


def test_nothing_and_empty_variables_are_nothing() -> None:
    assert env.credentials({}) == Credentials()
    assert env.credentials(dict.fromkeys(env.SECRETS, "")) == Credentials()


SECRET = "CALLS_DOCTOR_TURN_SECRET"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({SECRET: CANARY, f"{SECRET}_FILE": "x"}, "are both given; leave one of them out"),
        ({f"{SECRET}_FILE": "missing"}, "missing cannot be read: No such file"),
        ({f"{SECRET}_FILE": "."}, "cannot be read: Is a directory"),
        ({f"{SECRET}_FILE": "a\0b"}, "cannot be read"),
        ({f"{SECRET}_FILE": "empty"}, "empty is empty"),
        ({f"{SECRET}_FILE": "large"}, "is larger than 65536 bytes"),
        ({f"{SECRET}_FILE": "binary"}, "is not UTF-8 text"),
        ({"CALLS_DOCTOR_TURN_USERNAME": CANARY}, "belong together; only one was given"),
        ({"CALLS_DOCTOR_TURN_CREDENTIAL": CANARY}, "belong together; only one was given"),
        ({"CALLS_DOCTOR_RTCD_AUTH_KEY": CANARY}, "needs CALLS_DOCTOR_RTCD_CLIENT_ID beside it"),
    ],
)
def test_what_is_wrong_is_one_sentence_without_a_value(
    given: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    Path("large").write_text(CANARY * 10_000)
    Path("binary").write_bytes(CANARY.encode() + b"\xff")
    with pytest.raises(UsageError) as caught:
        env.credentials(given)
    assert said in str(caught.value)
    assert CANARY not in str(caught.value)


def test_the_report_is_told_that_a_secret_is_set_and_by_which_variable() -> None:
    assert env.settings({SECRET: CANARY, "CALLS_DOCTOR_RTCD_CLIENT_ID_FILE": "/x"}) == {
        "turn.secret": Setting(value="set", origin=SECRET),
        "rtcd.client_id": Setting(value="set", origin="CALLS_DOCTOR_RTCD_CLIENT_ID_FILE"),
    }


def test_links_are_separated_by_white_space() -> None:
    assert env.peers({"CALLS_DOCTOR_PEER": " a \n b\tc "}) == ["a", "b", "c"]
    assert env.peers({}) == []


def test_a_variable_that_is_none_of_ours_is_named_with_the_nearest_and_without_its_value() -> None:
    said = env.warnings({"CALLS_DOCTOR_TURN_SECRT": CANARY, "CALLS_DOCTOR_ZZZ": CANARY, "HOME": "/", SECRET: CANARY})
    assert said == [
        f"CALLS_DOCTOR_TURN_SECRT in the environment is not known; did you mean {SECRET}?",
        "CALLS_DOCTOR_ZZZ in the environment is not known",
    ]
