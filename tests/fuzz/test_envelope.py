# Invariant: whatever the bytes, sealed with the right key or with none, an envelope opens as a record or raises
# SealError, and nothing else.

from __future__ import annotations

import contextlib
import zlib

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import SealError
from calls_doctor.model.facts import Facts
from calls_doctor.model.report import Report
from calls_doctor.wire import envelope
from calls_doctor.wire.direct import Keys
from calls_doctor.wire.seal import NONCE_BYTES, Sealer
from tests.reports.samples import failing_report

KEYS = Keys(bytes(16))
NONCE = bytes(NONCE_BYTES)
REPORT = msgspec.json.encode(failing_report())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(Facts.__struct_fields__) | st.text(), inner),
)


def take(sealed_facts: bytes, sealed_report: bytes) -> None:
    with contextlib.suppress(SealError):
        assert isinstance(envelope.open_facts(sealed_facts, KEYS), Facts)
    with contextlib.suppress(SealError):
        assert isinstance(envelope.open_report(sealed_report, KEYS), Report)


def take_packed(packed: bytes) -> None:
    """As one who holds the key sends it."""
    take(*(
        Sealer(KEYS.reveal(), KEYS.run, purpose, to_far).seal(packed, NONCE)
        for purpose, to_far in (("facts", False), ("report", True))
    ))  # fmt: skip


@given(st.binary(max_size=100))
def test_any_bytes(value: bytes) -> None:
    take(value, value)
    take_packed(value)
    take_packed(zlib.compress(value))


@given(JSON)
def test_any_json(value: object) -> None:
    take_packed(zlib.compress(msgspec.json.encode(value)))


@given(st.lists(st.tuples(st.integers(0, len(REPORT)), st.integers(0, 255)), max_size=4), st.integers(0, len(REPORT)))
def test_a_report_altered_and_cut(changes: list[tuple[int, int]], at: int) -> None:
    changed = bytearray(REPORT)
    for index, value in changes:
        changed[index % len(changed)] = value
    take_packed(zlib.compress(bytes(changed)))
    take_packed(zlib.compress(REPORT[:at]))
    take_packed(zlib.compress(REPORT)[:at])
