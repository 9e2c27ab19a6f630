"""Who knocks at a stand-in with a link that opens nothing there: told while it happens, and not for every packet.

It only words what was counted; whoever is told prints it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

TOLD_EVERY_S = 10.0


@dataclass(frozen=True)
class Strangers:
    """Counts of the whole run."""

    foreign_runs: int = 0
    """Requests that name another run: an old link, or that of another host."""
    bad_integrity: int = 0
    """Requests that name this run and have another key."""

    @property
    def total(self) -> int:
        """Both."""
        return self.foreign_runs + self.bad_integrity


class StrangerWatch:
    """Takes the counts as they grow, and tells of the first at once, of later ones every TOLD_EVERY_S at most."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told, self._told_at = Strangers(), -TOLD_EVERY_S

    def saw(self, now: Strangers, source: str, at: float) -> None:
        """`source` is the address that the last of them came from, or says it did; `at` is the loop's time."""
        if now.total <= self._told.total or at - self._told_at < TOLD_EVERY_S:
            return
        foreign = now.foreign_runs - self._told.foreign_runs
        wrong = now.bad_integrity - self._told.bad_integrity
        said = [f"{foreign} with the link of another `serve`"] if foreign else []
        said += [f"{wrong} with a wrong key"] if wrong else []
        self._tell(f"requests that open nothing here, the last from {source}: {', '.join(said)}")
        self._told, self._told_at = now, at
