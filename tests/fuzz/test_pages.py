# Invariant: whatever the pages, a reader takes them or raises BooksError, and never holds more than PAGES_MAX pages of
# CHUNK_BYTES; what it gives as the whole has the checksum that its pages name.

from __future__ import annotations

import contextlib
import zlib

from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import BooksError
from calls_doctor.wire import pages
from calls_doctor.wire.pages import PageReader

WHOLE = bytes(range(256)) * 12
PAGES = pages.pages_of(WHOLE)


def take(reader: PageReader, value: bytes) -> None:
    before = reader.missing()
    try:
        reader.feed(value)
    except BooksError:
        assert reader.missing() == before
    assert len(reader.missing()) <= pages.PAGES_MAX


def finish(reader: PageReader) -> bytes:
    with contextlib.suppress(BooksError):
        return reader.whole()
    return b""


@given(st.lists(st.binary(max_size=60)))
def test_any_bytes(values: list[bytes]) -> None:
    reader = PageReader()
    for value in values:
        take(reader, value)
        with contextlib.suppress(BooksError):
            pages.version_of(value)
    finish(reader)


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=1200))
def test_any_page(page: int, count: int, chunk: bytes) -> None:
    reader = PageReader()
    take(reader, bytes([pages.PAGE_FORM]) + page.to_bytes(2, "big") + count.to_bytes(2, "big") + bytes(4) + chunk)
    whole = finish(reader)
    assert zlib.crc32(whole) == 0


@given(
    st.lists(st.tuples(st.integers(0, len(PAGES) - 1), st.integers(0, 1100), st.integers(0, 255)), max_size=4),
    st.permutations(range(len(PAGES))),
    st.integers(0, 1100),
)
def test_real_pages_altered_shuffled_and_cut(changes: list[tuple[int, int, int]], order: list[int], at: int) -> None:
    values = [bytearray(page) for page in PAGES]
    for page, index, value in changes:
        values[page][index % len(values[page])] = value
    reader = PageReader()
    for number in order:
        take(reader, bytes(values[number]))
    assert finish(reader) in (b"", WHOLE)
    take(PageReader(), PAGES[0][:at])
