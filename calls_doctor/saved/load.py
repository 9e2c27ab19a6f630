"""Reports from files. A newer schema is read as far as it is known; what is no report is said in one sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from calls_doctor.errors import UsageError, reason_of
from calls_doctor.model.report import SCHEMA, Report

FILE_MAX_BYTES = 100 << 20
STDIN = "-"
_FAMILY = SCHEMA.rsplit("/", 1)[0]


def load(path: str) -> Report:
    """One report, `-` from standard input. Raises UsageError, which names the file."""
    data = _read(path)
    try:
        told = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        schema = msgspec.json.decode(told.get("schema", msgspec.Raw(b'""')), type=str)
        if not schema.startswith(f"{_FAMILY}/"):
            raise UsageError(f"{path} is no report of calls-doctor")
        told["schema"] = msgspec.Raw(msgspec.json.encode(SCHEMA))  # a newer one grows by addition only
        return msgspec.json.decode(msgspec.json.encode(told), type=Report)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is no report that this version can read: {error}") from None


def _read(path: str) -> bytes:
    try:
        if path == STDIN:
            data = sys.stdin.buffer.read(FILE_MAX_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(FILE_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {reason_of(error, 'no such path')}") from None
    if len(data) > FILE_MAX_BYTES:
        raise UsageError(f"{path} is larger than {FILE_MAX_BYTES >> 20} MB, so it is no report")
    return data
