"""What a stand-in tells of its machine: asked for when the first check wants it, and kept for all."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from calls_doctor.model.credentials import Credentials, Secret, TurnCredentials
from calls_doctor.model.facts import Facts

if TYPE_CHECKING:  # its import costs 90 ms of OpenSSL
    from calls_doctor.net.paired import PairedHost


class Told:
    """Of one stand-in, or of none."""

    def __init__(self, paired: PairedHost | None) -> None:
        self._paired = paired
        self._asking: asyncio.Task[Facts | None] | None = None
        self.credentials = Credentials()
        """Those that it told: the report must not hold them either."""
        self.between_s: tuple[float, float] | None = None
        """Between which times of this machine's wall clock it told, in seconds since 1970; None where it did not."""

    async def facts(self) -> Facts | None:
        """None where there is nobody to ask, or no way brings the answer."""
        if self._paired is None:
            return None
        self._asking = self._asking or asyncio.create_task(self._ask(self._paired))
        facts = await asyncio.shield(self._asking)
        if facts is not None and facts.turn_credential:
            self.credentials = Credentials(turn=TurnCredentials(facts.turn_username, Secret(facts.turn_credential)))
        return facts

    async def _ask(self, paired: PairedHost) -> Facts | None:
        began_s = time.time()
        facts = await paired.facts()
        self.between_s = (began_s, time.time()) if facts is not None else None
        return facts

    async def end(self) -> None:
        """Leaves no question open."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
