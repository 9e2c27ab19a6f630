"""Pages in any order make the whole; pages of two versions, altered ones and what is no page do not."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import BooksError
from calls_doctor.wire import pages, stun
from calls_doctor.wire.documents import Document, pack_page
from calls_doctor.wire.pages import PageReader
from calls_doctor.wire.stun import Attributes, Message, MessageClass, Method

LONG = bytes(range(256)) * 40


def value_of(page: int, count: int, chunk: bytes, form: int = pages.PAGE_FORM) -> bytes:
    return struct.pack("!BHHI", form, page, count, zlib.crc32(chunk)) + chunk


def test_the_form_of_a_page() -> None:
    assert pages.page_of(b"abc", 0) == struct.pack("!BHHI", 2, 0, 1, zlib.crc32(b"abc")) + b"abc"
    assert len(pages.pages_of(LONG)[0]) == pages.PAGE_HEADER_BYTES + pages.CHUNK_BYTES


@given(st.binary(min_size=1, max_size=5000), st.randoms())
def test_pages_in_any_order_make_the_whole(whole: bytes, random: object) -> None:
    every = pages.pages_of(whole)
    getattr(random, "shuffle")(every)  # noqa: B009 - hypothesis gives a Random that it does not type
    reader = PageReader()
    assert reader.missing() == [0]
    for page in every:
        assert reader.missing()
        reader.feed(page)
        reader.feed(page)  # one that came twice
    assert reader.missing() == []
    assert reader.whole() == whole


def test_what_is_missing_is_told() -> None:
    every = pages.pages_of(LONG)
    reader = PageReader()
    reader.feed(every[2])
    assert reader.missing() == [number for number in range(len(every)) if number != 2]
    with pytest.raises(BooksError, match=f"{len(every) - 1} pages"):
        reader.whole()


def test_pages_of_two_versions_do_not_mix_and_are_told_apart() -> None:
    before, after = pages.pages_of(LONG), pages.pages_of(LONG[:-1])
    assert len({pages.version_of(page) for page in before}) == 1
    assert pages.version_of(before[0]) != pages.version_of(after[0])
    reader = PageReader()
    reader.feed(before[0])
    with pytest.raises(BooksError, match="two versions"):
        reader.feed(after[1])
    for page in before:
        reader.feed(page)
    assert reader.whole() == LONG


def test_a_page_that_was_altered_is_found_out() -> None:
    (page,) = pages.pages_of(b"whole")
    reader = PageReader()
    reader.feed(page[:-1] + bytes([page[-1] ^ 1]))
    with pytest.raises(BooksError, match="do not fit together"):
        reader.whole()


@pytest.mark.parametrize("value", [
    b"", value_of(0, 1, b""), value_of(0, 1, b"a", form=1), value_of(1, 1, b"a"), value_of(0, 0, b"a"),
    value_of(0, pages.PAGES_MAX + 1, b"a"), value_of(0, 1, bytes(pages.CHUNK_BYTES + 1)),
])  # fmt: skip
def test_what_is_no_page_is_refused_and_changes_nothing(value: bytes) -> None:
    reader = PageReader()
    with pytest.raises(BooksError):
        reader.feed(value)
    assert reader.missing() == [0]


@pytest.mark.parametrize("value", [b"", value_of(0, 1, b""), value_of(0, 1, b"a", form=1)])
def test_what_is_no_page_has_no_version(value: bytes) -> None:
    with pytest.raises(BooksError, match="no page"):
        pages.version_of(value)


def test_there_are_no_pages_beyond_the_last() -> None:
    assert pages.page_of(b"", 0) is None
    assert pages.page_of(bytes(pages.CHUNK_BYTES), 1) is None
    assert pages.pages_of(b"") == []
    most = bytes(pages.CHUNK_BYTES * pages.PAGES_MAX)
    assert len(pages.pages_of(most)) == pages.PAGES_MAX
    with pytest.raises(BooksError, match="more than 1024 pages hold"):
        pages.pages_of(most + b"x")
    assert pages.page_of(most + b"x", pages.PAGES_MAX) is None


@pytest.mark.parametrize("attributes", [
    [(stun.XOR_MAPPED_ADDRESS, ("::1", 1)), (stun.BOOKS, pages.page_of(LONG, 0))],
    [(stun.USERNAME, "u" * 70), (stun.PRIORITY, 1), (stun.ICE_CONTROLLING, 1),
     (stun.DOCUMENT_PAGE, pack_page(Document.REPORT, pages.page_of(LONG, 0) or b""))],
], ids=["given", "handed in"])  # fmt: skip
def test_one_page_fits_the_size_that_passes_every_path(attributes: Attributes) -> None:
    message = Message(Method.BINDING, MessageClass.REQUEST, bytes(12), attributes)
    assert len(message.encode(b"key", fingerprint=True)) <= pages.REQUEST_BYTES
