"""How a run goes on, for whoever waits: live rows on a terminal, nothing in a pipe. To standard error only."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from calls_doctor.cli import say
from calls_doctor.model.check import CheckResult

if TYPE_CHECKING:
    from rich.console import RenderableType

REFRESHES_PER_S = 8


class Quiet:
    """No rows: standard error is no terminal, or nobody wants them. What is said is said, unless `silent`."""

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        pass

    def planned(self, ids: list[str]) -> None:
        pass

    def started(self, check: str) -> None:
        pass

    def finished(self, result: CheckResult) -> None:
        pass

    def said(self, text: str) -> None:
        if not self._silent:
            say(text)


class LiveRows(Quiet):
    """One row for each check that runs, and one that counts; all gone when the run ends, since the report tells it.

    rich is imported here and not at the head: it costs 60 ms, which only a terminal is worth.
    """

    def __init__(self, *, no_color: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__()
        self._running: dict[str, float] = {}
        """Check -> when it began, on the monotonic clock."""
        self._done, self._planned = 0, 0
        console = Console(stderr=True, no_color=no_color or None, highlight=False)
        self._live = Live(
            console=console, transient=True, refresh_per_second=REFRESHES_PER_S, get_renderable=self._rows
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._live.stop()

    def planned(self, ids: list[str]) -> None:
        self._planned += len(ids)  # once for each media host

    def started(self, check: str) -> None:
        self._running[check] = time.monotonic()

    def finished(self, result: CheckResult) -> None:
        self._running.pop(result.id, None)
        self._done += 1

    def said(self, text: str) -> None:
        self._live.console.print(text, markup=False)

    def _rows(self) -> RenderableType:
        from rich.text import Text

        now = time.monotonic()
        # rich asks from its own thread while the loop goes on: a copy, so that nothing changes under its hands.
        rows = [f"  {check:<22} {now - began:4.1f} s" for check, began in list(self._running.items())]
        count = f"{self._done} of {self._planned} checks done" if self._planned else "starting"
        return Text("\n".join([*rows, count]), no_wrap=True, overflow="ellipsis")


def progress(*, quiet: bool, no_color: bool) -> Quiet:
    """Live rows where somebody watches."""
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return Quiet(silent=quiet)
    return LiveRows(no_color=no_color)
