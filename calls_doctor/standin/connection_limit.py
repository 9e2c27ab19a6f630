"""How many connections a listener of the stand-in keeps open. It only counts; closing is the listener's."""

from __future__ import annotations

from collections import Counter

CONNECTIONS_MAX = 64
CONNECTIONS_PER_SOURCE_MAX = 32


class ConnectionLimit:
    """How many connections are open, in all and from one source address."""

    def __init__(self, total: int = CONNECTIONS_MAX, per_source: int = CONNECTIONS_PER_SOURCE_MAX) -> None:
        self._total, self._per_source = total, per_source
        self._open: Counter[str] = Counter()

    def enter(self, source: str) -> bool:
        """True where one more may be open; `leave` gives it back."""
        if self._open.total() >= self._total or self._open[source] >= self._per_source:
            return False
        self._open[source] += 1
        return True

    def leave(self, source: str) -> None:
        self._open[source] -= 1
        if not self._open[source]:
            del self._open[source]
