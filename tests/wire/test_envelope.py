"""Facts and reports, sealed: what was sealed for one purpose, run or direction opens as nothing else."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import pytest

from calls_doctor.errors import SealError
from calls_doctor.model.facts import Announced, Facts, StunSeen
from calls_doctor.wire import envelope
from calls_doctor.wire.direct import Keys
from calls_doctor.wire.seal import NONCE_BYTES, Sealer
from tests.reports.samples import failing_report

KEYS, OTHER = Keys(bytes(range(16))), Keys(bytes(16))
NONCE = bytes(NONCE_BYTES)
FACTS = Facts(
    local_addresses=["10.0.0.2"],
    public_addresses=["203.0.113.20"],
    media_port=8443,
    announced=[Announced(kind="host", protocol="udp", address="10.0.0.2", port=8443)],
    needs_stun=True,
    stun=[StunSeen(uri="stun:a:3478", mapped=("203.0.113.20", 8443)), StunSeen(uri="stun:b:3478", mapped=None)],
    control_port=20001,
    turn_credential="canary-credential",
    unix_time_s=1.5,
)
REPORT = failing_report()


def test_what_is_sealed_opens_as_it_was_and_shows_nothing() -> None:
    sealed = envelope.seal_facts(FACTS, KEYS, NONCE)
    assert envelope.open_facts(sealed, KEYS) == FACTS
    assert b"canary" not in sealed and b"203.0.113.20" not in sealed
    assert envelope.open_report(envelope.seal_report(REPORT, KEYS, NONCE), KEYS) == REPORT


def test_it_is_deflated() -> None:
    assert len(envelope.seal_report(REPORT, KEYS, NONCE)) < len(repr(REPORT)) / 2


@pytest.mark.parametrize(("open_", "sealed", "keys"), [
    (envelope.open_facts, envelope.seal_facts(FACTS, KEYS, NONCE), OTHER),
    (envelope.open_report, envelope.seal_report(REPORT, KEYS, NONCE), OTHER),
    (envelope.open_report, envelope.seal_facts(FACTS, KEYS, NONCE), KEYS),
    (envelope.open_facts, envelope.seal_report(REPORT, KEYS, NONCE), KEYS),
    (envelope.open_facts, Sealer(KEYS.reveal(), KEYS.run, "facts", to_far=True).seal(b"", NONCE), KEYS),
    (envelope.open_facts, b"", KEYS),
], ids=[
    "another run", "another run's report", "facts as a report", "a report as facts", "our own direction", "nothing",
])  # fmt: skip
def test_what_was_sealed_for_something_else_stays_shut(
    open_: Callable[[bytes, Keys], object], sealed: bytes, keys: Keys
) -> None:
    with pytest.raises(SealError):
        open_(sealed, keys)


def sealed_facts(packed: bytes) -> bytes:
    """By one who has the key, and means harm."""
    return Sealer(KEYS.reveal(), KEYS.run, "facts", to_far=False).seal(packed, NONCE)


@pytest.mark.parametrize(("packed", "said"), [
    (b"", "cut short"), (b"no zlib", "cannot be read"), (zlib.compress(b"{}"), "cannot be read"),
    (zlib.compress(b"[" * 100_000), "cannot be read"), (zlib.compress(b'"\xff"'), "cannot be read"),
    (zlib.compress(bytes(envelope.PLAIN_MAX_BYTES + 1)), "too large"), (zlib.compress(bytes(5000))[:10], "cut short"),
])  # fmt: skip
def test_what_was_sealed_with_the_key_and_is_no_record_is_refused(packed: bytes, said: str) -> None:
    with pytest.raises(SealError, match=said):
        envelope.open_facts(sealed_facts(packed), KEYS)
