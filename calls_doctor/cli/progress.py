"""How a run goes on, for whoever waits: live rows on a terminal, nothing in a pipe. To standard error only."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from calls_doctor.model.check import CheckResult


class Quiet:
    """Says nothing: standard error is no terminal, or nobody wants to hear."""

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
        pass


class LiveRows(Quiet):
    """One line that names what runs and counts what is done; it is gone when the run ends."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.status import Status

        self._status: Status = Console(stderr=True).status("starting")
        self._running: list[str] = []
        self._done = self._planned = 0

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._status.stop()

    def planned(self, ids: list[str]) -> None:
        self._planned = len(ids)
        self._show()

    def started(self, check: str) -> None:
        self._running.append(check)
        self._show()

    def finished(self, result: CheckResult) -> None:
        if result.id in self._running:
            self._running.remove(result.id)
        self._done += 1
        self._show()

    def said(self, text: str) -> None:
        self._status.console.print(text, highlight=False, markup=False)

    def _show(self) -> None:
        self._status.update(f"{self._done} of {self._planned} done; now {', '.join(self._running) or 'nothing'}")


def progress(quiet: bool) -> Quiet:
    """Live rows where somebody watches."""
    return LiveRows() if sys.stderr.isatty() and not quiet else Quiet()
