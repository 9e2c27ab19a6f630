"""What both ends of a run hand each other in Binding requests and answers, page by page: books, facts, reports.

DOCUMENT-REQUEST in a request asks for a page, which comes in BOOKS of the answer; DOCUMENT-PAGE brings one, and the
answer acknowledges it, with RECEIPT in its BOOKS once the document is whole and was read. So whatever path carries a
connectivity check carries the documents too. Bytes only.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum

from calls_doctor.errors import BooksError
from calls_doctor.wire.direct import NONCE_CHARS

_REQUEST = struct.Struct("!BH")
"""Document, page; then, for books, the nonces of the sessions that are wanted."""
SESSIONS_MAX = 96
"""So many nonces fit a request beside the rest of it."""
RECEIPT = b"\x01"
"""The far end has the whole document that this page belongs to, and could read it."""


class Document(IntEnum):
    """What is handed over."""

    BOOKS = 0
    """The run's books, from the stand-in, as model/books.py has them: of all sessions, or of those that were named. A
    run's books grow with each who joins it, and each wants to know of itself."""
    FACTS = 1
    """What the stand-in tells of its machine, sealed (model/facts.py)."""
    REPORT = 2
    """A vantage's whole report, to the stand-in, sealed and deflated."""


def pack_request(document: Document, page: int, nonces: Sequence[str] = ()) -> bytes:
    """The value of DOCUMENT-REQUEST; at most SESSIONS_MAX nonces."""
    return _REQUEST.pack(document, page) + "".join(nonces).encode("ascii")


def parse_request(value: bytes) -> tuple[Document, int, tuple[str, ...]]:
    """Document and page that are asked for, and of which sessions' nonces; () for all. Raises BooksError, and nothing
    else."""
    named = len(value) - _REQUEST.size
    if named < 0 or named % NONCE_CHARS or named > SESSIONS_MAX * NONCE_CHARS:
        raise BooksError(f"{len(value)} bytes are no request for a document")
    number, page = _REQUEST.unpack_from(value)
    try:
        nonces = value[_REQUEST.size :].decode("ascii")
    except UnicodeDecodeError:
        raise BooksError("a request names a session that is none") from None
    return _document(number), page, tuple(nonces[at : at + NONCE_CHARS] for at in range(0, named, NONCE_CHARS))


def pack_page(document: Document, page: bytes) -> bytes:
    """The value of DOCUMENT-PAGE; `page` is one of wire/pages.py."""
    return bytes((document,)) + page


def parse_page(value: bytes) -> tuple[Document, bytes]:
    """Document and page that are brought. Raises BooksError, and nothing else."""
    if not value:
        raise BooksError("an empty page belongs to no document")
    return _document(value[0]), value[1:]


def _document(number: int) -> Document:
    try:
        return Document(number)
    except ValueError:
        raise BooksError(f"there is no document {number}") from None
