"""The last look at what is written: no secret that a run was given and no pairing link's key leaves in an output.

Nothing writes one on purpose. This is for what nobody thought of: an exception that quotes its arguments, a server
that repeats what it was sent, a secret that was typed where an option belongs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any  # JSON

import msgspec

from calls_doctor.model.check import CheckResult
from calls_doctor.model.credentials import Credentials
from calls_doctor.model.report import Report
from calls_doctor.site import environment as env

CUT = "***"
SECRET_CHARS_MIN = 4
"""A shorter one would be cut out of half the words there are, and protects nothing."""
NAME_CHARS_MIN = 8
"""The same for user names and client ids, which are words more often."""
_LINK = re.compile(r"calls-doctor://(?![,.;:)`]?(?:\s|$))((?:\[[^\]\s]*\]|[^/?#\s\"'])*)[^\s\"']*")
"""The scheme alone stays: sentences name it."""
_KEY = re.compile(r"#[\w-]{20,}[\w.-]*", re.ASCII)
"""What opens a stand-in, wherever a damaged link has left it."""


def cut_links(text: str) -> str:
    """The text with each pairing link cut to HOST:PORT (contract section 2)."""
    return _KEY.sub("", _LINK.sub(r"\1", text))


def link_named(word: str) -> str:
    """A word of a command that is to be typed again, LINK in the place of each pairing link (HOST:PORT is none)."""
    return _KEY.sub("", _LINK.sub("LINK", word))


def sentence(text: str, environment: Mapping[str, str]) -> str:
    """One sentence for the terminal, without what the environment's own variables hold."""
    given = (environment.get(name, "") for name in env.SECRETS)
    return str(_cut(text, _long_enough(given, SECRET_CHARS_MIN)))


def report(made: Report, *given: Credentials) -> Report:
    """The report without them in anything that is free text: what checks found, what causes say, what was typed."""
    secrets = _long_enough((one for credentials in given for one in _secrets(credentials)), SECRET_CHARS_MIN)
    names = _long_enough((one for credentials in given for one in _names(credentials)), NAME_CHARS_MIN)
    return msgspec.structs.replace(
        made,
        command=_cut(made.command, secrets),
        metadata=_cut(made.metadata, secrets),
        site={name: msgspec.structs.replace(one, value=_cut(one.value, secrets)) for name, one in made.site.items()},
        vantages=[
            msgspec.structs.replace(one, id=_cut(one.id, secrets), label=_cut(one.label, secrets))
            for one in made.vantages
        ],
        checks=[_result(one, [*secrets, *names]) for one in made.checks],
        diagnosis=[
            msgspec.structs.replace(one, subject=_cut(one.subject, secrets), summary=_cut(one.summary, secrets))
            for one in made.diagnosis
        ],
        not_tested=[msgspec.structs.replace(one, why=_cut(one.why, secrets)) for one in made.not_tested],
        next=[
            msgspec.structs.replace(one, command=_cut(one.command, secrets), why=_cut(one.why, secrets))
            for one in made.next
        ],
    )


def _result(result: CheckResult, unwanted: list[str]) -> CheckResult:
    return msgspec.structs.replace(
        result,
        vantage=_cut(result.vantage, unwanted),
        target=_cut(result.target, unwanted),
        summary=_cut(result.summary, unwanted),
        evidence=_cut(result.evidence, unwanted),
    )


def _secrets(credentials: Credentials) -> Iterable[str]:
    boxes = [credentials.rtcd_auth_key, credentials.turn_secret, *credentials.mattermost_tokens]
    if credentials.turn:
        boxes.append(credentials.turn.password)
    return [box.reveal() for box in boxes if box is not None]


def _names(credentials: Credentials) -> Iterable[str]:
    return [credentials.rtcd_client_id or "", credentials.turn.username if credentials.turn else ""]


def _long_enough(values: Iterable[str], least: int) -> list[str]:
    """The longest first, so that one that holds another goes whole."""
    return sorted({value for value in values if len(value) >= least}, key=len, reverse=True)


def _cut(value: Any, unwanted: list[str]) -> Any:
    """The same JSON with every text in it cut, pairing links too; names of fields stay."""
    if isinstance(value, str):
        for one in unwanted:
            value = value.replace(one, CUT)
        return cut_links(value)
    if isinstance(value, dict):
        return {key: _cut(one, unwanted) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_cut(one, unwanted) for one in value]
    return value
