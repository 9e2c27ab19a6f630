"""What the environment gives: secrets, each as CALLS_DOCTOR_X or as CALLS_DOCTOR_X_FILE holding a path, and links.

No sentence here holds a value, only names of variables and paths. It reads the files that the variables name, and
nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from calls_doctor.errors import UsageError, reason_of
from calls_doctor.model.credentials import Credentials, Secret, TurnCredentials
from calls_doctor.model.site import Setting
from calls_doctor.model.words import nearest

PREFIX = "CALLS_DOCTOR_"
PEER = PREFIX + "PEER"
"""Holds pairing links, separated by white space."""
SECRET_FILE_MAX_BYTES = 65536

SECRETS = {
    "CALLS_DOCTOR_RTCD_CLIENT_ID": "rtcd.client_id",
    "CALLS_DOCTOR_RTCD_AUTH_KEY": "rtcd.auth_key",
    "CALLS_DOCTOR_TURN_SECRET": "turn.secret",
    "CALLS_DOCTOR_TURN_USERNAME": "turn.username",
    "CALLS_DOCTOR_TURN_CREDENTIAL": "turn.credential",
    "CALLS_DOCTOR_MATTERMOST_TOKEN": "mattermost.token",
    "CALLS_DOCTOR_MATTERMOST_TOKEN_2": "mattermost.token_2",
}
"""Variable -> the name under which the report says "set"."""
TOKENS = ("CALLS_DOCTOR_MATTERMOST_TOKEN", "CALLS_DOCTOR_MATTERMOST_TOKEN_2")


def credentials(environment: Mapping[str, str]) -> Credentials:
    """Every secret that was given; an empty variable is one that was not given.

    Raises UsageError where a file cannot be read, a variable is given twice over, or half of a pair is missing.
    """
    values = {name: value for name in SECRETS if (value := _value(environment, name)) is not None}
    username, password = (values.get(f"{PREFIX}TURN_{half}") for half in ("USERNAME", "CREDENTIAL"))
    if (username is None) != (password is None):
        raise UsageError(f"{PREFIX}TURN_USERNAME and {PREFIX}TURN_CREDENTIAL belong together; only one was given")
    client_id, auth_key = (values.get(f"{PREFIX}RTCD_{half}") for half in ("CLIENT_ID", "AUTH_KEY"))
    if auth_key is not None and client_id is None:
        raise UsageError(f"{PREFIX}RTCD_AUTH_KEY needs {PREFIX}RTCD_CLIENT_ID beside it")
    turn_secret = values.get(PREFIX + "TURN_SECRET")
    return Credentials(
        rtcd_client_id=client_id,
        rtcd_auth_key=None if auth_key is None else Secret(auth_key),
        turn_secret=None if turn_secret is None else Secret(turn_secret),
        turn=None if username is None or password is None else TurnCredentials(username, Secret(password)),
        mattermost_tokens=tuple(Secret(values[name]) for name in TOKENS if name in values),
    )


def _value(environment: Mapping[str, str], name: str) -> str | None:
    direct, path = environment.get(name, ""), environment.get(name + "_FILE", "")
    if direct and path:
        raise UsageError(f"{name} and {name}_FILE are both given; leave one of them out")
    if not path:
        return direct or None
    value = _read(Path(path), f"{name}_FILE")
    if not value:
        raise UsageError(f"{name}_FILE: {path} is empty")
    return value


def _read(path: Path, name: str) -> str:
    """The file's text without the line end that editors add."""
    try:
        with path.open("rb") as file:
            data = file.read(SECRET_FILE_MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UsageError(f"{name}: {path} cannot be read: {reason_of(error, 'no such path')}") from None
    if len(data) > SECRET_FILE_MAX_BYTES:
        raise UsageError(f"{name}: {path} is larger than {SECRET_FILE_MAX_BYTES} bytes, so it holds no secret")
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise UsageError(f"{name}: {path} is not UTF-8 text") from None


def settings(environment: Mapping[str, str]) -> dict[str, Setting]:
    """Which secrets are set, by dotted name, for the report: "set" and the variable, never the value."""
    return {
        dotted: Setting(value="set", origin=variable)
        for name, dotted in SECRETS.items()
        for variable in (name, name + "_FILE")
        if environment.get(variable)
    }


def peers(environment: Mapping[str, str]) -> list[str]:
    """The pairing links of CALLS_DOCTOR_PEER, unread."""
    return environment.get(PEER, "").split()


def warnings(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that looks like one of ours and is none, which is most often a slip."""
    known = {PEER, *SECRETS, *(name + "_FILE" for name in SECRETS)}
    # Without what all begin with, which would make any of them look near.
    endings = {name.removeprefix(PREFIX) for name in known}
    sentences = []
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            near = nearest(name.removeprefix(PREFIX), endings)
            sentences.append(
                f"{name} in the environment is not known" + (f"; did you mean {PREFIX}{near}?" if near else "")
            )
    return sentences
