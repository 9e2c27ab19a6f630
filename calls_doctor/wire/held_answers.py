"""Answers of one session that its client has asked to be held back: so it learns whether a path that was silent
meanwhile still carries them. Pure: times are arguments, in seconds.

A held answer leaves for the 5-tuple that asked and is the one that was due anyway, so it is never larger than its
request. How many, how large and how long is bounded; what is beyond that is not held.
"""

from __future__ import annotations

import bisect
from operator import itemgetter

from calls_doctor.model.flow import Path

HELD_MAX = 32
"""At once in one session."""
HELD_MAX_BYTES = 256
"""Of one answer."""
HOLD_MAX_S = 26.0
"""A silence of 25 s, and the moment in which it is asked for. Consent lasts longer (RFC 7675 section 5.1)."""


class HeldAnswers:
    """In the order in which they are due."""

    def __init__(self) -> None:
        self._held: list[tuple[float, Path, bytes]] = []

    def __len__(self) -> int:
        return len(self._held)

    def keep(self, packet: bytes, path: Path, hold_s: float, now: float) -> bool:
        """Takes it for so long; False where it is not to be held, and leaves at once."""
        if not 0 < hold_s <= HOLD_MAX_S or len(packet) > HELD_MAX_BYTES or len(self._held) >= HELD_MAX:
            return False
        bisect.insort(self._held, (now + hold_s, path, packet), key=itemgetter(0))
        return True

    def next_timer(self) -> float | None:
        """When `due` wants to be called; None where nothing is held."""
        return self._held[0][0] if self._held else None

    def due(self, now: float) -> list[tuple[Path, bytes]]:
        """Those whose time has come; they are held no more."""
        number = bisect.bisect_right(self._held, now, key=itemgetter(0))
        due, self._held = self._held[:number], self._held[number:]
        return [(path, packet) for _, path, packet in due]
