"""Facts and reports as they travel: encoded, deflated and sealed with the run's key. Bytes in, records out.

Sizes are bounded before anything is unpacked. Random bytes are arguments.
"""

from __future__ import annotations

import zlib
from typing import TypeVar

import msgspec

from calls_doctor.errors import SealError
from calls_doctor.model.facts import Facts
from calls_doctor.model.report import Report
from calls_doctor.wire.direct import Keys
from calls_doctor.wire.seal import Sealer

PLAIN_MAX_BYTES = 8 << 20
"""A report of 8 MB is none of ours."""
LEVEL = 6
T = TypeVar("T")


def seal_facts(facts: Facts, keys: Keys, nonce: bytes) -> bytes:
    """From the stand-in to whoever holds the key."""
    return _sealer(keys, "facts", to_far=False).seal(_packed(facts), nonce)


def open_facts(sealed: bytes, keys: Keys) -> Facts:
    """Raises SealError, and nothing else."""
    return _unpacked(_sealer(keys, "facts", to_far=False).open(sealed), Facts)


def seal_report(report: Report, keys: Keys, nonce: bytes) -> bytes:
    """From a vantage to its stand-in."""
    return _sealer(keys, "report", to_far=True).seal(_packed(report), nonce)


def open_report(sealed: bytes, keys: Keys) -> Report:
    """Raises SealError, and nothing else."""
    return _unpacked(_sealer(keys, "report", to_far=True).open(sealed), Report)


def _sealer(keys: Keys, purpose: str, *, to_far: bool) -> Sealer:
    return Sealer(keys.reveal(), keys.run, purpose, to_far)


def _packed(record: msgspec.Struct) -> bytes:
    return zlib.compress(msgspec.json.encode(record), LEVEL)


def _unpacked(packed: bytes, kind: type[T]) -> T:
    inflate = zlib.decompressobj()
    try:
        plain = inflate.decompress(packed, PLAIN_MAX_BYTES)
        if not inflate.eof:
            raise SealError("what was sealed is cut short, or far too large")
        return msgspec.json.decode(plain, type=kind)
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SealError(f"what was sealed cannot be read: {error}") from None
