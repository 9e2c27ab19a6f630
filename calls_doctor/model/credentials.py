"""What must never be written down, in a box that does not open by accident.

Credentials travel beside the site, never inside it: these classes cannot be encoded, and their repr, str and pickle
show nothing. A value leaves only by a call to `reveal()`, at the line that puts it on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn


class Secret:
    """A text that no output may show."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself, for the wire."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is never pickled")


@dataclass(frozen=True)
class TurnCredentials:
    """A TURN user name and its password (RFC 8489 section 9.2); the name of a REST credential tells its expiry."""

    username: str
    password: Secret


@dataclass(frozen=True)
class RtcdClient:
    """A client of rtcd: the id by which it is known there, and its key."""

    client_id: str
    auth_key: Secret


@dataclass(frozen=True)
class Credentials:
    """All that came from the environment (contract section 2, "Secrets"); None: not given."""

    rtcd_client_id: str | None = None
    rtcd_auth_key: Secret | None = None
    turn_secret: Secret | None = None
    turn: TurnCredentials | None = None
    mattermost_tokens: tuple[Secret, ...] = ()
