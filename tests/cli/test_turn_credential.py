"""`turn-credential`: what coturn's use-auth-secret takes, from the secret in the environment, which stays there."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.command_line import here

SECRET = "canary-secret-7f3a"


@pytest.fixture
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLS_DOCTOR_TURN_SECRET", SECRET)


def _expected(username: str) -> str:
    return base64.b64encode(hmac.new(SECRET.encode(), username.encode(), hashlib.sha1).digest()).decode()


@pytest.mark.usefixtures("_secret")
def test_text_has_the_three_and_not_the_secret(capsys: pytest.CaptureFixture[str]) -> None:
    told = here(capsys, "turn-credential")
    fields = dict(line.split("  ", 1) for line in told.lines)
    username = fields["user name"].strip()
    assert told.code == 0
    assert username.endswith(":calls-doctor")
    assert fields["credential"].strip() == _expected(username)
    assert SECRET not in told.stdout + told.stderr


@pytest.mark.usefixtures("_secret")
def test_json_has_them_too_with_the_name_and_the_time_that_were_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    before = int(time.time())
    made = json.loads(
        here(capsys, "turn-credential", "--format", "json", "--name", "alice", "--valid-for", "10m").stdout
    )
    expiry, _, name = made["username"].partition(":")
    assert name == "alice"
    assert before + 600 <= int(expiry) <= time.time() + 600
    assert datetime.fromisoformat(made["expires"]) == datetime.fromtimestamp(int(expiry), UTC)
    assert made["credential"] == _expected(made["username"])


def test_the_secret_may_stand_in_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    monkeypatch.setenv("CALLS_DOCTOR_TURN_SECRET_FILE", str(tmp_path / "secret"))
    made = json.loads(here(capsys, "turn-credential", "--format", "json").stdout)
    assert made["credential"] == _expected(made["username"])


def test_no_secret_is_told_where_it_belongs(capsys: pytest.CaptureFixture[str]) -> None:
    told = here(capsys, "turn-credential")
    assert told.code == 2
    assert "CALLS_DOCTOR_TURN_SECRET_FILE" in told.stderr


@pytest.mark.usefixtures("_secret")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--valid-for", "8640m"), ""),
        (("--valid-for", "10081m"), "longer than 7 days"),
        (("--valid-for", "soon"), "is not a duration"),
        (("--valid-for", "0"), "too short"),
        (("--name", "a b"), "no spaces"),
        (("--name", ""), "printable"),
        (("--format", "jason"), 'did you mean "json"?'),
    ],
)
def test_wrong_values_are_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    told = here(capsys, "turn-credential", *arguments)
    assert told.code == (2 if sentence else 0)
    assert sentence in told.stderr
