"""What both ends of a run hand each other in Binding requests and answers, page by page: books, facts, reports.

DOCUMENT-REQUEST in a request asks for a page, which comes in BOOKS of the answer; DOCUMENT-PAGE brings one, and the
answer acknowledges it, with RECEIPT in its BOOKS once the document is whole and was read. So whatever path carries a
connectivity check carries the documents too. Bytes only.
"""

from __future__ import annotations

import struct
from enum import IntEnum

from calls_doctor.errors import BooksError

_REQUEST = struct.Struct("!BH")
"""Document, page."""
RECEIPT = b"\x01"
"""The far end has the whole document that this page belongs to, and could read it."""


class Document(IntEnum):
    """What is handed over."""

    BOOKS = 0
    """The run's books, from the stand-in, as model/books.py has them."""
    FACTS = 1
    """What the stand-in tells of its machine, sealed (model/facts.py)."""
    REPORT = 2
    """A vantage's whole report, to the stand-in, sealed and deflated."""


def pack_request(document: Document, page: int) -> bytes:
    """The value of DOCUMENT-REQUEST."""
    return _REQUEST.pack(document, page)


def parse_request(value: bytes) -> tuple[Document, int]:
    """Document and page that are asked for. Raises BooksError, and nothing else."""
    if len(value) != _REQUEST.size:
        raise BooksError(f"a request for a document has {len(value)} bytes instead of {_REQUEST.size}")
    number, page = _REQUEST.unpack(value)
    return _document(number), page


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
