"""What serve says of links that open nothing: at once, with where from, and not for every packet."""

from __future__ import annotations

from calls_doctor.standin.strangers import TOLD_EVERY_S, Strangers, StrangerWatch


def test_the_first_is_told_at_once_and_later_ones_together() -> None:
    said: list[str] = []
    watch = StrangerWatch(said.append)
    watch.saw(Strangers(foreign_runs=1), "192.0.2.1", 5.0)
    for number in range(2, 50):
        watch.saw(Strangers(foreign_runs=number, bad_integrity=number), "192.0.2.2", 5.0 + number / 10)
    watch.saw(Strangers(foreign_runs=51, bad_integrity=60), "192.0.2.3", 5.0 + TOLD_EVERY_S)
    watch.saw(Strangers(foreign_runs=51, bad_integrity=61), "192.0.2.4", 5.0 + 2 * TOLD_EVERY_S)
    assert said == [
        "requests that open nothing here, the last from 192.0.2.1: 1 with the link of another `serve`",
        "requests that open nothing here, the last from 192.0.2.3: 50 with the link of another `serve`, 60 with a "
        "wrong key",
        "requests that open nothing here, the last from 192.0.2.4: 1 with a wrong key",
    ]


def test_what_was_told_is_not_told_again() -> None:
    said: list[str] = []
    watch = StrangerWatch(said.append)
    for at in (0.0, 100.0):
        watch.saw(Strangers(bad_integrity=1), "192.0.2.1", at)
    assert len(said) == 1
