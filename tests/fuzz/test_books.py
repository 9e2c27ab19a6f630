# Invariant: whatever the bytes, counters, requests and pages are read or raise BooksError, and a reader never holds
# more than PAGES_MAX pages.

from __future__ import annotations

import contextlib
import zlib

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import BooksError
from calls_doctor.model.books import PathBooks, ProbeSeen, RunBooks, SessionBooks, StreamBooks
from calls_doctor.wire import books

RUN = RunBooks(
    run="AAAAAAAA",
    sessions=[
        SessionBooks(
            session="AAAAAAAAuBBBBBBBB",
            paths=[PathBooks(transport="udp", local=("192.0.2.1", 8443), remote=("192.0.2.2", 1))],
            streams=[StreamBooks(ssrc=1)],
            probes=[ProbeSeen(1, 1200, 0.5)],
            timeline={"stun": 0.1},
        )
    ],
)
SNAPSHOT = books.encode(RUN)


def read(snapshot: bytes) -> None:
    reader = books.BooksReader()
    with contextlib.suppress(BooksError):
        for page in reader.missing():
            reader.feed(books.page_of(snapshot, page) or b"")
        for page in reader.missing():
            reader.feed(books.page_of(snapshot, page) or b"")
        assert isinstance(reader.books(), RunBooks)


@given(st.lists(st.binary(max_size=60)))
def test_any_bytes(values: list[bytes]) -> None:
    reader = books.BooksReader()
    for value in values:
        for take in (books.parse_counters, books.parse_request, reader.feed):
            with contextlib.suppress(BooksError):
                take(value)
    with contextlib.suppress(BooksError):
        reader.books()


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=1200))
def test_any_page(page: int, pages: int, chunk: bytes) -> None:
    head = bytes([books.PAGE_FORM]) + page.to_bytes(2, "big") + pages.to_bytes(2, "big") + bytes(4)
    reader = books.BooksReader()
    try:
        reader.feed(head + chunk)
    except BooksError:
        assert reader.missing() == [0]
        return
    assert len(reader.missing()) == pages - 1 < books.PAGES_MAX


@given(st.binary(min_size=1, max_size=3000))
def test_pages_that_fit_together_and_hold_no_books(snapshot: bytes) -> None:
    read(snapshot)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_any_msgpack(value: object) -> None:
    read(msgspec.msgpack.encode(value))


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 500))
def test_changed_and_truncated_books(changes: list[tuple[int, int]], at: int) -> None:
    changed = bytearray(SNAPSHOT)
    for index, value in changes:
        changed[index % len(changed)] = value
    read(bytes(changed))
    read(SNAPSHOT[:at] or b"\0")
    page = books.page_of(SNAPSHOT, 0)
    assert page is not None and zlib.crc32(SNAPSHOT).to_bytes(4, "big") in page
    with contextlib.suppress(BooksError):
        books.BooksReader().feed(page[:at])
