"""Notes of what was registered at an rtcd, in the user's state folder (XDG Base Directory), until it is undone.

A file holds a key, so nobody but its owner may read it. Whoever holds its lock is at work with it: a lock ends with the
process, however that ends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec

from calls_doctor.model.credentials import RtcdClient, Secret
from calls_doctor.net.rtcd_registration import Registration

FILE_MAX_BYTES = 65536
OWNER_ONLY = 0o600
_SUFFIX, _UNFINISHED = ".json", ".new"


class _Written(msgspec.Struct):
    """The file."""

    url: str
    hosts: list[str]
    client_id: str
    auth_key: str


def folder(environment: Mapping[str, str]) -> Path | None:
    """Where the notes are; None where this user has no home, or files cannot be locked. A relative XDG_STATE_HOME is
    none."""
    if sys.platform == "win32":
        return None
    state = Path(environment.get("XDG_STATE_HOME", ""))
    if state.is_absolute():
        return state / "calls-doctor" / "registrations"
    home = Path(environment.get("HOME", ""))
    return home / ".local" / "state" / "calls-doctor" / "registrations" if home.is_absolute() else None


class NoteFile:
    """One note, whose lock is held here."""

    def __init__(self, path: Path, descriptor: int, registration: Registration) -> None:
        self._path, self._descriptor, self._registration = path, descriptor, registration

    @property
    def registration(self) -> Registration:
        return self._registration

    def forget(self) -> None:
        """Removes the file."""
        self._path.unlink(missing_ok=True)
        self.let_go()

    def let_go(self) -> None:
        """Gives the lock back."""
        os.close(self._descriptor)

    @classmethod
    def written(cls, path: Path, registration: Registration) -> Self:
        """A new one; it has its name only when it is whole and locked. Raises OSError."""
        unfinished = path.with_suffix(_UNFINISHED)
        descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY)
        try:
            _lock(descriptor)
            os.write(descriptor, _encoded(registration))
            os.fsync(descriptor)
            unfinished.rename(path)
        except OSError:
            os.close(descriptor)
            unfinished.unlink(missing_ok=True)
            raise
        return cls(path, descriptor, registration)

    @classmethod
    def found(cls, path: Path) -> Self | None:
        """One that nobody is at work with; None where somebody is, and for what is no note of this user's."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            _lock(descriptor)
            registration = _decoded(descriptor)
            is_there = os.path.samestat(os.fstat(descriptor), path.stat())  # else its owner has just removed it
        except OSError:
            registration, is_there = None, False
        if registration is None or not is_there:
            os.close(descriptor)
            return None
        return cls(path, descriptor, registration)


class RegistrationFiles:
    """All notes of this user; a Ledger."""

    def __init__(self, at: Path) -> None:
        self._at = at

    def write(self, registration: Registration) -> NoteFile:
        """Raises OSError."""
        self._at.mkdir(mode=0o700, parents=True, exist_ok=True)
        return NoteFile.written(self._at / f"{registration.client.client_id}{_SUFFIX}", registration)

    def left_behind(self) -> list[NoteFile]:
        """Those of runs that are no more."""
        try:
            paths = sorted(self._at.glob(f"*{_SUFFIX}"))
        except OSError:
            return []
        return [note for path in paths if (note := NoteFile.found(path))]


def _lock(descriptor: int) -> None:
    """Raises OSError where somebody else has it."""
    import fcntl  # Windows has none: there are no notes

    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _encoded(registration: Registration) -> bytes:
    client = registration.client
    written = _Written(registration.url, list(registration.hosts), client.client_id, client.auth_key.reveal())
    return msgspec.json.encode(written)


def _decoded(descriptor: int) -> Registration | None:
    """None for what was not written here."""
    try:
        read = msgspec.json.decode(os.read(descriptor, FILE_MAX_BYTES), type=_Written)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return Registration(read.url, tuple(read.hosts), RtcdClient(read.client_id, Secret(read.auth_key)))
