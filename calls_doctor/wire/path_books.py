"""The paths of one session and what passed on each of them, in the session's books. Counts only: whether a packet is
to be believed is decided by whoever counts it.
"""

from __future__ import annotations

from collections.abc import Iterator

from calls_doctor.model.books import PathBooks, SessionBooks
from calls_doctor.model.flow import Path

PATHS_MAX = 32
"""How many paths a session keeps; whoever changes its source port more often than paths expire is told so."""


class PathTable:
    """A bounded table of paths; their rows are those of `SessionBooks.paths`."""

    def __init__(self, books: SessionBooks) -> None:
        self._books = books
        self._rows: dict[Path, PathBooks] = {}

    def open(self, path: Path) -> PathBooks | None:
        """The row of the path, made where there is none yet; None where the table is full."""
        row = self._rows.get(path)
        if row is None and len(self._rows) < PATHS_MAX:
            row = PathBooks(transport=str(path.transport), local=path.local, remote=path.remote)
            self._rows[path] = row
            self._books.paths.append(row)
        return row

    def get(self, path: Path) -> PathBooks | None:
        """The row of the path, or None."""
        return self._rows.get(path)

    def forget(self, path: Path) -> None:
        """Drops the row, counts and all, to make room."""
        row = self._rows.pop(path, None)
        if row is not None:
            self._books.paths = [other for other in self._books.paths if other is not row]

    def __iter__(self) -> Iterator[Path]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)
