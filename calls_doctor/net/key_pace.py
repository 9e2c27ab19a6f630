"""How often keys are used at an rtcd that others use too."""

from __future__ import annotations

import asyncio

BETWEEN_S = 1.0
"""From one use of a key to the next: rtcd hashes it with bcrypt each time, behind a limiter that its real clients pass
too (rtcd-protocol section 1, "Auth details")."""


class Pace:
    """At most one use of a key in `between_s`, whoever asks."""

    def __init__(self, between_s: float = BETWEEN_S) -> None:
        self._between_s, self._next_s = between_s, 0.0

    async def turn(self) -> None:
        """Waits until it may be used again."""
        now_s = asyncio.get_running_loop().time()
        at_s = max(now_s, self._next_s)
        self._next_s = at_s + self._between_s
        if at_s > now_s:
            await asyncio.sleep(at_s - now_s)
