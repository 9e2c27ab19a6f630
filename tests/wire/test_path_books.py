"""The table of a session's paths: one row each, in the books, and never more than fit."""

from __future__ import annotations

from calls_doctor.model.books import SessionBooks
from calls_doctor.model.flow import Path, Transport
from calls_doctor.wire.path_books import PATHS_MAX, PathTable


def path(port: int) -> Path:
    return Path(Transport.RELAY, ("10.0.0.1", port), ("10.0.0.2", 8443))


def test_a_path_has_one_row_which_stands_in_the_books() -> None:
    books = SessionBooks(session="run")
    table = PathTable(books)
    row = table.open(path(1))
    assert row is not None
    assert table.open(path(1)) is table.get(path(1)) is row
    assert books.paths == [row]
    assert (row.transport, row.local, row.remote) == ("relay", ("10.0.0.1", 1), ("10.0.0.2", 8443))


def test_a_full_table_has_no_room_until_a_path_is_forgotten() -> None:
    books = SessionBooks(session="run")
    table = PathTable(books)
    for port in range(PATHS_MAX):
        assert table.open(path(port)) is not None
    assert table.open(path(PATHS_MAX)) is None
    table.forget(path(3))
    table.forget(path(9999))
    assert table.open(path(PATHS_MAX)) is not None
    assert [row.local[1] for row in books.paths] == [n for n in range(PATHS_MAX + 1) if n != 3]
    assert path(3) not in list(table)
    assert len(table) == PATHS_MAX
