"""`serve --peer LINK`: hands what this stand-in collects to another one, so that the other's report shows both hosts.

Each stand-in keeps its own key and its own links. Where the other cannot be reached this one serves on, tries again
with the next report and at its end, and says what did not arrive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from calls_doctor.model.report import Report
from calls_doctor.model.site import MediaAddress
from calls_doctor.net.media_hosts import Target
from calls_doctor.net.stand_ins import StandIns
from calls_doctor.standin.serving import REPORTS_MAX
from calls_doctor.wire.direct import Link


class Joining:
    """One for the run of a stand-in; without links it does nothing."""

    def __init__(self, links: Sequence[Link], tell: Callable[[str], None]) -> None:
        self._targets = [
            Target(MediaAddress(host=link.address, udp_port=link.port, tcp_port=link.port), link) for link in links
        ]
        self._tell = tell
        self._others = StandIns(self._targets)
        self._waiting: list[Report] = []
        self._at_work: asyncio.Task[None] | None = None

    def greet(self) -> None:
        """Says whether the other stand-in is there."""
        if self._targets:
            self._at_work = asyncio.create_task(self._greet())

    def add(self, report: Report) -> None:
        """One that was collected here; it goes out after those before it."""
        if self._targets:
            self._waiting = [*self._waiting, report][-REPORTS_MAX:]
            self._at_work = asyncio.create_task(self._after(self._at_work))

    async def end(self, books: Report) -> None:
        """What is still to go out, and at last the books of the whole run. A task of its own, since whoever calls it
        may have been cancelled."""
        if not self._targets:
            return
        self.add(books)
        assert self._at_work is not None, "it was just begun"
        await self._at_work
        if self._waiting:
            self._tell(f"not all of this run arrived at {self._names()}: save it (-o) and merge the files")

    async def _greet(self) -> None:
        if await self._others.books(limit_s=3.0):
            self._tell(f"joined the run of {self._names()}")
        else:
            self._tell(f"{self._names()} is not reached from here; serving all the same, and trying again")
            self._others = StandIns(self._targets)

    async def _after(self, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            await earlier
        while self._waiting:
            report = self._waiting[0]
            if await self._others.hand_in(report):
                self._others = StandIns(self._targets)  # the next try does not remember this one's silence
                return
            self._waiting = [one for one in self._waiting if one is not report]

    def _names(self) -> str:
        return ", ".join(one.name for one in self._targets)
