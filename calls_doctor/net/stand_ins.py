"""The stand-ins of a run together: a media host may have several addresses, and each stand-in wants the report once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from calls_doctor.model.books import RunBooks
from calls_doctor.model.report import Report
from calls_doctor.net.media_hosts import Target
from calls_doctor.net.paired import PairedHost


class StandIns:
    """One for each target that a link was given for."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._hosts = {one: PairedHost(one.link, one.media) for one in targets if one.link is not None}

    def of(self, target: Target) -> PairedHost | None:
        """The one at this target; None where no link was given."""
        return self._hosts.get(target)

    def besides(self, target: Target) -> list[PairedHost]:
        """Those at the other targets."""
        return [host for one, host in self._hosts.items() if one is not target]

    async def books(self, limit_s: float) -> list[RunBooks]:
        """What each counted; without those that are gone."""
        found = []
        for addresses in self._by_run():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    found.append(await self._hosts[addresses[0]].books())
        return [books for books in found if books is not None]

    async def hand_in(self, report: Report) -> list[str]:
        """To each, by whichever of its addresses takes it; HOST:PORT of those that no way leads to."""
        missed = []
        for addresses in self._by_run():
            for one in addresses:
                if await self._hosts[one].hand_in(report):
                    break
            else:
                missed.append(addresses[0].name)
        return missed

    def _by_run(self) -> list[list[Target]]:
        runs: dict[str, list[Target]] = {}
        for one, host in self._hosts.items():
            runs.setdefault(host.run, []).append(one)
        return list(runs.values())
