"""Secrets of the environment: each by itself or in a file, half of a pair is refused, and no sentence holds a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from calls_doctor.errors import UsageError
from calls_doctor.model.credentials import Credentials
from calls_doctor.site import environment

CANARY = "canary-7f3a"


def refusal(values: dict[str, str]) -> str:
    with pytest.raises(UsageError) as caught:
        environment.credentials(values)
    return str(caught.value)


def test_nothing_is_given() -> None:
    assert environment.credentials({"HOME": "/root"}) == Credentials()


def test_each_secret_goes_to_its_place() -> None:
    found = environment.credentials(
        {
            "CALLS_DOCTOR_RTCD_CLIENT_ID": "id",
            "CALLS_DOCTOR_RTCD_AUTH_KEY": "key",
            "CALLS_DOCTOR_TURN_SECRET": "secret",
            "CALLS_DOCTOR_TURN_USERNAME": "user",
            "CALLS_DOCTOR_TURN_CREDENTIAL": "credential",
            "CALLS_DOCTOR_MATTERMOST_TOKEN": "one",
            "CALLS_DOCTOR_MATTERMOST_TOKEN_2": "two",
        }
    )
    assert found.rtcd_auth_key and found.turn_secret and found.turn, "all three were given"
    assert (found.rtcd_client_id, found.rtcd_auth_key.reveal()) == ("id", "key")
    assert found.turn_secret.reveal() == "secret"
    assert (found.turn.username, found.turn.password.reveal()) == ("user", "credential")
    assert [token.reveal() for token in found.mattermost_tokens] == ["one", "two"]


def test_an_empty_variable_is_one_that_was_not_given() -> None:
    assert environment.credentials({"CALLS_DOCTOR_TURN_SECRET": "", "CALLS_DOCTOR_TURN_SECRET_FILE": ""}).turn is None
    assert environment.settings({"CALLS_DOCTOR_TURN_SECRET": ""}) == {}


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("name", environment.SECRETS)
def test_a_file_may_hold_each_and_the_line_end_of_an_editor_is_no_part_of_it(
    name: str, end: str, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b" a secret " + end.encode())
    partners = {
        "CALLS_DOCTOR_TURN_USERNAME": "CALLS_DOCTOR_TURN_CREDENTIAL",
        "CALLS_DOCTOR_TURN_CREDENTIAL": "CALLS_DOCTOR_TURN_USERNAME",
        "CALLS_DOCTOR_RTCD_AUTH_KEY": "CALLS_DOCTOR_RTCD_CLIENT_ID",
    }
    beside = {partners[name]: "x"} if name in partners else {}
    by_file = environment.credentials({name + "_FILE": str(path), **beside})
    direct = environment.credentials({name: " a secret ", **beside})
    assert _plain(by_file) == _plain(direct)


def _plain(found: Credentials) -> list[str]:
    """What the boxes hold; they compare by identity."""
    boxes = [found.rtcd_auth_key, found.turn_secret, found.turn and found.turn.password, *found.mattermost_tokens]
    names = [found.rtcd_client_id, found.turn and found.turn.username]
    return [box.reveal() if box else "" for box in boxes] + [name or "" for name in names]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"CALLS_DOCTOR_TURN_USERNAME": CANARY}, "CALLS_DOCTOR_TURN_CREDENTIAL"),
        ({"CALLS_DOCTOR_TURN_CREDENTIAL": CANARY}, "CALLS_DOCTOR_TURN_USERNAME"),
        ({"CALLS_DOCTOR_RTCD_AUTH_KEY": CANARY}, "CALLS_DOCTOR_RTCD_CLIENT_ID"),
        ({"CALLS_DOCTOR_TURN_SECRET": CANARY, "CALLS_DOCTOR_TURN_SECRET_FILE": "/x"}, "are both given"),
        ({"CALLS_DOCTOR_TURN_SECRET_FILE": "/nonexistent/secret"}, "/nonexistent/secret cannot be read: No such file"),
        ({"CALLS_DOCTOR_TURN_SECRET_FILE": "/"}, "Is a directory"),
        ({"CALLS_DOCTOR_TURN_SECRET_FILE": "a\0b"}, "cannot be read"),
        ({"CALLS_DOCTOR_TURN_SECRET_FILE": "/dev/null"}, "is empty"),
    ],
)
def test_what_cannot_be_used_is_said_without_its_value(values: dict[str, str], named: str) -> None:
    sentence = refusal(values)
    assert named in sentence
    assert CANARY not in sentence


@pytest.mark.parametrize(
    ("data", "named"), [(b"\xff" + CANARY.encode(), "UTF-8"), (CANARY.encode() * 7000, "larger"), (b"\n", "empty")]
)
def test_a_file_that_holds_no_secret_is_said_without_what_it_holds(data: bytes, named: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    sentence = refusal({"CALLS_DOCTOR_TURN_SECRET_FILE": str(path)})
    assert named in sentence
    assert CANARY not in sentence


def test_the_report_is_told_which_are_set_and_by_what_but_no_value() -> None:
    found = environment.settings({"CALLS_DOCTOR_TURN_SECRET": CANARY, "CALLS_DOCTOR_RTCD_AUTH_KEY_FILE": "/run/key"})
    assert {name: (setting.value, setting.origin) for name, setting in found.items()} == {
        "turn.secret": ("set", "CALLS_DOCTOR_TURN_SECRET"),
        "rtcd.auth_key": ("set", "CALLS_DOCTOR_RTCD_AUTH_KEY_FILE"),
    }


def test_links_are_parted_by_white_space() -> None:
    assert environment.peers({}) == []
    assert environment.peers({"CALLS_DOCTOR_PEER": " a\nb\t c "}) == ["a", "b", "c"]


def test_a_slip_in_a_name_of_ours_is_said_and_no_value() -> None:
    values = {"CALLS_DOCTOR_TURN_SECRETS": CANARY, "CALLS_DOCTOR_PEER": "x", "CALLS_DOCTOR_TURN_SECRET_FILE": "y"}
    assert environment.warnings(values | {"HOME": "/root"}) == [
        "CALLS_DOCTOR_TURN_SECRETS in the environment is not known; did you mean CALLS_DOCTOR_TURN_SECRET?"
    ]
    assert environment.warnings({"CALLS_DOCTOR_ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ": "1"}) != []
