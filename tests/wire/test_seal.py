"""Seals: what was sealed comes back, and nothing else does."""

from __future__ import annotations

import pytest

from calls_doctor.errors import SealError
from calls_doctor.wire.seal import OVERHEAD_BYTES, Sealer

KEY, NONCE = bytes(range(16)), bytes(range(12))


def sealer(key: bytes = KEY, run: str = "run12345", purpose: str = "report", to_far: bool = True) -> Sealer:
    return Sealer(key, run, purpose, to_far)


def test_what_was_sealed_comes_back() -> None:
    sealed = sealer().seal(b"report", NONCE)
    assert len(sealed) == len(b"report") + OVERHEAD_BYTES and b"report" not in sealed
    assert sealer().open(sealed) == b"report"
    assert sealer().open(sealer().seal(b"", NONCE)) == b""


@pytest.mark.parametrize(
    "other",
    [sealer(key=bytes(16)), sealer(run="run12346"), sealer(purpose="books"), sealer(to_far=False)],
    ids=["key", "run", "purpose", "direction"],
)
def test_a_seal_is_bound_to_all_of_it(other: Sealer) -> None:
    with pytest.raises(SealError):
        other.open(sealer().seal(b"report", NONCE))


def test_every_altered_byte_is_noticed() -> None:
    sealed = sealer().seal(b"report", NONCE)
    for at in range(len(sealed)):
        altered = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(SealError):
            sealer().open(altered)
        with pytest.raises(SealError):
            sealer().open(sealed[:at])


def test_its_repr_shows_no_key() -> None:
    assert KEY.hex() not in repr(sealer()) and repr(KEY) not in repr(sealer())
