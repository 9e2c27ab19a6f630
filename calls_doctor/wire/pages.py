"""Something larger than a datagram, cut into pages that travel one by one and are put together in whatever order.

Bytes in, pages out, and back. A checksum of the whole tells the pages of two versions apart.
"""

from __future__ import annotations

import struct
import zlib

from calls_doctor.errors import BooksError

PAGE_FORM = 2
"""The first byte of a page: told apart from the counters of an ordinary Binding answer (wire/books.py)."""
_PAGE = struct.Struct("!BHHI")
"""Form, page, pages, CRC-32 of the whole."""
PAGE_HEADER_BYTES = _PAGE.size
CHUNK_BYTES = 1000
"""Fits a message of REQUEST_BYTES with what else is in it."""
REQUEST_BYTES = 1200
"""To which a request for a page, and one that brings a page, is padded: the largest that passes every path that
carries a call."""
PAGES_MAX = 1024


def page_of(whole: bytes, page: int) -> bytes | None:
    """One page of the whole; None where it has no such page. What lies beyond PAGES_MAX does not travel."""
    pages = -(-len(whole) // CHUNK_BYTES)
    if page >= min(pages, PAGES_MAX):
        return None
    chunk = whole[page * CHUNK_BYTES : (page + 1) * CHUNK_BYTES]
    return _PAGE.pack(PAGE_FORM, page, pages, zlib.crc32(whole)) + chunk


def version_of(value: bytes) -> bytes:
    """What the pages of one version of a document have in common. Raises BooksError on what is no page."""
    if len(value) <= _PAGE.size or value[0] != PAGE_FORM:
        raise BooksError("no page")
    return value[3:PAGE_HEADER_BYTES]


def pages_of(whole: bytes) -> list[bytes]:
    """Every page, in order. Raises BooksError where there would be more than PAGES_MAX."""
    pages = -(-len(whole) // CHUNK_BYTES)
    if pages > PAGES_MAX:
        raise BooksError(f"{len(whole)} bytes are more than {PAGES_MAX} pages hold")
    return [page for number in range(pages) if (page := page_of(whole, number)) is not None]


class PageReader:
    """Puts pages together, in whatever order they come."""

    def __init__(self) -> None:
        self._pages = 0
        """How many there are; 0 until the first has come."""
        self._checksum = 0
        self._chunks: dict[int, bytes] = {}

    def feed(self, value: bytes) -> None:
        """Takes one page. Raises BooksError on anything that is no page of what was begun: then start over with
        page 0."""
        version_of(value)
        _, page, pages, checksum = _PAGE.unpack_from(value)
        if page >= pages or pages > PAGES_MAX or len(value) > _PAGE.size + CHUNK_BYTES:
            raise BooksError(f"page {page} of {pages} with {len(value)} bytes is none")
        if self._pages and (pages, checksum) != (self._pages, self._checksum):
            raise BooksError("the pages belong to two versions")
        self._pages, self._checksum = pages, checksum
        self._chunks[page] = value[_PAGE.size :]

    def missing(self) -> list[int]:
        """The pages still wanted: page 0 first, which tells how many there are."""
        return [page for page in range(self._pages or 1) if page not in self._chunks]

    def whole(self) -> bytes:
        """All pages together, once nothing is missing. Raises BooksError where they do not fit together."""
        if self.missing():
            raise BooksError(f"{len(self.missing())} pages are missing")
        whole = b"".join(self._chunks[page] for page in range(self._pages))
        if zlib.crc32(whole) != self._checksum:
            raise BooksError("the pages do not fit together")
        return whole
