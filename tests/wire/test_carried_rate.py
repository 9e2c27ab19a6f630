"""The rate at which media came through, from an end's own books of it."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.model.books import StreamBooks
from calls_doctor.wire.carried_rate import carried_bits_per_s


def stream(received: int, first_at_s: float, last_at_s: float) -> StreamBooks:
    return StreamBooks(ssrc=1, received=received, first_at_s=first_at_s, last_at_s=last_at_s)


def test_two_voices_carry_125_kbit_s() -> None:
    """150 packets of 156 bytes each, one every 20 ms: 149 intervals take 2.98 s."""
    assert carried_bits_per_s([stream(150, 7.0, 9.98), stream(150, 7.0, 9.98)], 156) == 124_800


def test_a_queue_that_empties_late_makes_no_rate() -> None:
    """What was sent in 3 s and arrived in 6 came at half the rate."""
    assert carried_bits_per_s([stream(150, 0.0, 5.96)], 156) == 31_200


def test_the_time_of_all_streams_counts() -> None:
    assert carried_bits_per_s([stream(51, 0.0, 1.0), stream(51, 1.0, 2.0)], 125) == 50_000


@pytest.mark.parametrize(
    "streams",
    [
        [],
        [stream(0, 0.0, 0.0)],
        [stream(1, 3.0, 3.0)],
        [stream(5, 0.0, 1.0)],
        [stream(100, 0.0, 0.01)],
        [stream(100, 2.0, 1.0)],
        [stream(100, 0.0, inf)],
        [stream(100, 0.0, nan)],
    ],
)
def test_of_too_little_nothing_is_told(streams: list[StreamBooks]) -> None:
    assert carried_bits_per_s(streams, 156) is None


@given(st.integers(0, 2**63), st.floats(), st.floats())
def test_books_of_another_end_may_say_anything(received: int, first_at_s: float, last_at_s: float) -> None:
    rate = carried_bits_per_s([stream(received, first_at_s, last_at_s)], 156)
    assert rate is None or rate >= 0
