"""The table against replay: what is known, by which path, and for how long."""

from __future__ import annotations

from calls_doctor.model.flow import Path, Transport
from calls_doctor.wire.transactions import Transactions

HERE = ("10.0.0.2", 8443)
FIRST, SECOND = (Path(Transport.UDP, HERE, ("192.0.2.1", port)) for port in (1, 2))


def test_the_same_request_by_another_path_is_a_replay_and_by_its_own_a_retransmission() -> None:
    seen = Transactions()
    assert not seen.is_known(b"one") and not seen.is_replay(b"one", FIRST)
    seen.remember(b"one", FIRST)
    assert seen.is_known(b"one")
    assert not seen.is_replay(b"one", FIRST)
    assert seen.is_replay(b"one", SECOND)


def test_it_is_bounded_and_forgets_the_oldest() -> None:
    seen = Transactions(most=2)
    for name in (b"one", b"two", b"three"):
        seen.remember(name, FIRST)
    assert [seen.is_known(name) for name in (b"one", b"two", b"three")] == [False, True, True]
