"""Which STUN requests came already, and by which path: a request that was captured opens nothing from elsewhere.

One table serves a whole run, so that what was learnt outlives the session: a check that is replayed after its session
was forgotten is known still. Bounded: the oldest is dropped.
"""

from __future__ import annotations

from calls_doctor.model.flow import Path

TRANSACTIONS_MAX = 16384
"""About thirty whole runs of `check`; 5 MB where all of it is used."""


class Transactions:
    """Transaction id -> the path by which an authentic request with it came first."""

    def __init__(self, most: int = TRANSACTIONS_MAX) -> None:
        self._most = most
        self._paths: dict[bytes, Path] = {}

    def is_known(self, transaction_id: bytes) -> bool:
        """True for a retransmission, or a replay."""
        return transaction_id in self._paths

    def is_replay(self, transaction_id: bytes, path: Path) -> bool:
        """True where it came by another path before: an answer would be aimed at a third party."""
        return self._paths.get(transaction_id, path) != path

    def remember(self, transaction_id: bytes, path: Path) -> None:
        """It came, and was authentic."""
        if len(self._paths) >= self._most:
            del self._paths[next(iter(self._paths))]
        self._paths[transaction_id] = path
