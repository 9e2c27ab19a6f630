"""How books travel in Binding answers: eight counters in an ordinary one, everything in pages where it was asked for.

A request without BOOKS-REQUEST gets the counters, where they fit; a request whose BOOKS-REQUEST names a page gets
that page of the run's books, as they stood when page 0 was asked for. No answer is larger than its request, so a
client pads its requests to have room. Bytes in, books out; nothing here knows who asked.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import msgspec

from calls_doctor.errors import BooksError
from calls_doctor.model.books import RunBooks, SessionBooks

COUNTERS_FORM, PAGE_FORM = 1, 2
_COUNTERS = struct.Struct("!BcH8I")
"""Form, leg, zero, then STUN in and out, DTLS in and out, RTP in and out, RTCP in, bytes in (packets but the last)."""
_PAGE = struct.Struct("!BHHI")
"""Form, page, pages, CRC-32 of the whole: it tells the pages of two snapshots apart."""
_REQUEST = struct.Struct("!H")
COUNTERS_BYTES = _COUNTERS.size
PAGE_HEADER_BYTES = _PAGE.size
CHUNK_BYTES = 1000
"""Fits the answer to a request of 1200 bytes with what else is in it."""
REQUEST_BYTES = 1200
"""To which a request for a page is padded: the largest that passes every path that carries a call."""
PAGES_MAX = 1024
_U32_MAX = 0xFFFFFFFF


@dataclass(frozen=True)
class Counters:
    """What the far end counted of one session, over all its paths."""

    leg: str
    stun_in: int
    stun_out: int
    dtls_in: int
    dtls_out: int
    rtp_in: int
    rtp_out: int
    rtcp_in: int
    bytes_in: int


def pack_counters(leg: str, books: SessionBooks) -> bytes:
    """The value of BOOKS in an ordinary Binding answer."""
    names = ("stun_in", "stun_out", "dtls_in", "dtls_out", "rtp_in", "rtp_out", "rtcp_in", "bytes_in")
    sums = [min(sum(getattr(path, name) for path in books.paths), _U32_MAX) for name in names]
    return _COUNTERS.pack(COUNTERS_FORM, leg.encode("ascii"), 0, *sums)


def parse_counters(value: bytes) -> Counters:
    """Raises BooksError, and nothing else."""
    if len(value) != _COUNTERS.size or value[0] != COUNTERS_FORM:
        raise BooksError("no counters of a session")
    _, leg, _, *sums = _COUNTERS.unpack(value)
    if not leg.isalpha():
        raise BooksError("the counters name no leg")
    return Counters(leg.decode("ascii"), *sums)


def pack_request(page: int) -> bytes:
    """The value of BOOKS-REQUEST."""
    return _REQUEST.pack(page)


def parse_request(value: bytes) -> int:
    """The page that is asked for. Raises BooksError, and nothing else."""
    if len(value) != _REQUEST.size:
        raise BooksError(f"a request for books has {len(value)} bytes instead of {_REQUEST.size}")
    return int(_REQUEST.unpack(value)[0])


def encode(books: RunBooks) -> bytes:
    """A snapshot, to be cut into pages."""
    return msgspec.msgpack.encode(books)


def page_of(snapshot: bytes, page: int) -> bytes | None:
    """The value of BOOKS for one page of a snapshot; None where it has no such page.

    What lies beyond PAGES_MAX cannot be asked for: the limits of a run keep its books far below that.
    """
    pages = -(-len(snapshot) // CHUNK_BYTES)
    if page >= min(pages, PAGES_MAX):
        return None
    chunk = snapshot[page * CHUNK_BYTES : (page + 1) * CHUNK_BYTES]
    return _PAGE.pack(PAGE_FORM, page, pages, zlib.crc32(snapshot)) + chunk


class BooksReader:
    """Puts pages together, in whatever order they come."""

    def __init__(self) -> None:
        self._pages = 0
        """How many there are; 0 until the first has come."""
        self._checksum = 0
        self._chunks: dict[int, bytes] = {}

    def feed(self, value: bytes) -> None:
        """Takes the value of one BOOKS attribute. Raises BooksError on anything that is no page of the snapshot
        begun: then start over with page 0."""
        if len(value) <= _PAGE.size or value[0] != PAGE_FORM:
            raise BooksError("no page of books")
        _, page, pages, checksum = _PAGE.unpack_from(value)
        if page >= pages or pages > PAGES_MAX or len(value) > _PAGE.size + CHUNK_BYTES:
            raise BooksError(f"page {page} of {pages} with {len(value)} bytes is none")
        if self._pages and (pages, checksum) != (self._pages, self._checksum):
            raise BooksError("the pages belong to two snapshots")
        self._pages, self._checksum = pages, checksum
        self._chunks[page] = value[_PAGE.size :]

    def missing(self) -> list[int]:
        """The pages still wanted: page 0 first, which tells how many there are."""
        return [page for page in range(self._pages or 1) if page not in self._chunks]

    def books(self) -> RunBooks:
        """The books, once nothing is missing. Raises BooksError where the pages do not make books."""
        if self.missing():
            raise BooksError(f"{len(self.missing())} pages of the books are missing")
        snapshot = b"".join(self._chunks[page] for page in range(self._pages))
        if zlib.crc32(snapshot) != self._checksum:
            raise BooksError("the pages of the books do not fit together")
        try:
            return msgspec.msgpack.decode(snapshot, type=RunBooks)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise BooksError(f"the books cannot be read: {error}") from None
