"""The lock before an offer: asked for until there is an outcome, and never kept unknowingly."""

from __future__ import annotations

from calls_doctor.wire.rtcd_channel import Lock, Unlock
from calls_doctor.wire.rtcd_lock import AGAIN_S, DECIDED_S, UNKNOWN_S, OfferLock, Outcome


def asked(now: float = 0.0) -> OfferLock:
    lock = OfferLock()
    lock.ask(now)
    assert lock.outgoing == [Lock()]
    lock.outgoing.clear()
    return lock


def test_it_is_taken_and_given_back_once() -> None:
    lock = asked()
    assert lock.receive(True, 0.1) is Outcome.TAKEN and lock.held
    assert lock.next_timer() is None
    lock.release()
    lock.release()
    assert lock.outgoing == [Unlock()] and not lock.held


def test_while_it_is_asked_for_or_held_nobody_asks_again() -> None:
    lock = asked()
    lock.ask(0.1)
    assert lock.outgoing == []
    lock.receive(True, 0.2)
    lock.ask(0.3)
    assert lock.outgoing == []


def test_a_refused_one_is_asked_for_again_after_a_while() -> None:
    lock = asked()
    assert lock.receive(False, 1.0) is None
    assert lock.next_timer() == 1.0 + AGAIN_S
    assert lock.handle_timer(1.0 + AGAIN_S / 2) is None and lock.outgoing == []
    assert lock.handle_timer(1.0 + AGAIN_S) is None and lock.outgoing == [Lock()]
    assert lock.receive(True, 1.2) is Outcome.TAKEN


def test_refused_for_longer_than_the_server_itself_holds_it() -> None:
    lock, now = asked(), 0.0
    while now < DECIDED_S:
        lock.receive(False, now)
        now = lock.next_timer() or DECIDED_S
        outcome = lock.handle_timer(now)
    assert outcome is Outcome.REFUSED and now == DECIDED_S and lock.next_timer() is None
    assert 80 < len(lock.outgoing) <= DECIDED_S / AGAIN_S


def test_a_server_that_never_replies_knows_no_lock() -> None:
    lock = asked(7.0)
    assert lock.next_timer() == 7.0 + UNKNOWN_S
    assert lock.handle_timer(7.0 + UNKNOWN_S) is Outcome.UNKNOWN and not lock.held


def test_a_server_that_has_replied_before_knows_one() -> None:
    lock = asked()
    lock.receive(True, 0.0)
    lock.release()
    lock.ask(1.0)
    assert lock.next_timer() == 1.0 + DECIDED_S
    assert lock.handle_timer(1.0 + DECIDED_S) is Outcome.REFUSED


def test_one_that_comes_too_late_is_given_back() -> None:
    lock = asked()
    lock.handle_timer(UNKNOWN_S)
    assert lock.receive(True, UNKNOWN_S + 1) is None
    assert lock.outgoing == [Unlock()] and not lock.held


def test_replies_that_nobody_asked_for_change_nothing() -> None:
    lock = asked()
    lock.receive(True, 0.0)
    assert lock.receive(True, 0.1) is None and lock.receive(False, 0.2) is None
    assert lock.held and lock.outgoing == [] and lock.next_timer() is None
    assert lock.handle_timer(99.0) is None
