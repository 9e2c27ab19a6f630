"""How many connections are let in."""

from __future__ import annotations

from calls_doctor.standin.connection_limit import ConnectionLimit


def test_in_all_and_from_one_source() -> None:
    limit = ConnectionLimit(total=3, per_source=2)
    assert [limit.enter("a") for _ in range(3)] == [True, True, False]
    assert [limit.enter("b") for _ in range(2)] == [True, False]
    limit.leave("a")
    assert limit.enter("c") and not limit.enter("a")
    for source in ("a", "b", "c"):
        limit.leave(source)
    assert [limit.enter("b") for _ in range(3)] == [True, True, False]


def test_a_source_that_left_is_forgotten() -> None:
    limit = ConnectionLimit()
    for number in range(1000):
        source = f"192.0.2.{number}"
        assert limit.enter(source)
        limit.leave(source)
    assert not limit._open, "nothing of them is kept"
