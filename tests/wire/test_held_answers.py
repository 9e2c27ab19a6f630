"""Answers that are held back: for whom, how long, how many and how large."""

from __future__ import annotations

import pytest

from calls_doctor.model.flow import Path, Transport
from calls_doctor.wire.held_answers import HELD_MAX, HELD_MAX_BYTES, HOLD_MAX_S, HeldAnswers
from calls_doctor.wire.ice import CONSENT_EXPIRY_S

HERE = Path(Transport.UDP, ("192.0.2.1", 8443), ("198.51.100.1", 1))
THERE = Path(Transport.UDP, ("192.0.2.1", 8443), ("198.51.100.1", 2))


def test_they_leave_when_their_time_has_come_each_for_its_own_path() -> None:
    held = HeldAnswers()
    assert (held.next_timer(), held.due(100.0), len(held)) == (None, [], 0)
    assert held.keep(b"late", HERE, 6.0, 100.0)
    assert held.keep(b"soon", THERE, 4.0, 100.5)
    assert (held.next_timer(), len(held)) == (104.5, 2)
    assert held.due(104.4) == []
    assert held.due(104.5) == [(THERE, b"soon")]
    assert (held.next_timer(), held.due(106.0), len(held)) == (106.0, [(HERE, b"late")], 0)


def test_two_that_are_due_at_once_leave_in_the_order_in_which_they_came() -> None:
    held = HeldAnswers()
    assert held.keep(b"b", HERE, 1.0, 0.0) and held.keep(b"a", HERE, 1.0, 0.0)
    assert [packet for _, packet in held.due(1.0)] == [b"b", b"a"]


@pytest.mark.parametrize(
    ("hold_s", "size_bytes", "kept"),
    [(HOLD_MAX_S, HELD_MAX_BYTES, True), (HOLD_MAX_S + 0.001, 100, False), (0.0, 100, False),
     (1.0, HELD_MAX_BYTES + 1, False)],
)  # fmt: skip
def test_what_is_too_long_or_too_large_is_not_held(hold_s: float, size_bytes: int, kept: bool) -> None:
    held = HeldAnswers()
    assert held.keep(bytes(size_bytes), HERE, hold_s, 0.0) is kept
    assert len(held) == kept


def test_only_so_many_are_held_and_there_is_room_again_once_they_have_left() -> None:
    held = HeldAnswers()
    assert [held.keep(bytes(100), HERE, 1.0, 0.0) for _ in range(HELD_MAX + 1)] == [*[True] * HELD_MAX, False]
    assert len(held.due(1.0)) == HELD_MAX
    assert held.keep(bytes(100), HERE, 1.0, 1.0)


def test_consent_outlives_what_is_held() -> None:
    """A session is not forgotten before its answers have left."""
    assert HOLD_MAX_S < CONSENT_EXPIRY_S
