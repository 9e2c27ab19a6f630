"""What the stand-in answers on a data channel: the path for a browser, which reads no STUN attribute.

Text "ping" is answered "pong", as rtcd does, and "books" by the run's books in JSON. A binary message is one byte, ask
or bring, and then a value of wire/documents.py; its answer begins with the same byte, and then is what BOOKS of a
Binding answer would hold: a page, or a receipt.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any  # books as JSON

import msgspec
from msgspec import structs

from calls_doctor.errors import BooksError
from calls_doctor.model.books import RunBooks
from calls_doctor.wire import books as wire_books
from calls_doctor.wire import documents
from calls_doctor.wire.documents import Document
from calls_doctor.wire.ice_lite import Desk
from calls_doctor.wire.pages import page_of

MESSAGE_MAX_BYTES = 65536
"""What both ends announce (a=max-message-size)."""
PING, PONG, BOOKS = "ping", "pong", "books"


class Kind(IntEnum):
    """The first byte of a binary message."""

    ASK = 0
    """For a page of a document."""
    BRING = 1
    """One."""


class Conversation:
    """One session's: a document stays as it stood when its page 0 was asked for, so that its pages fit together."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._taken: dict[Document, bytes] = {}

    def answer(self, message: str | bytes) -> str | bytes | None:
        """None where there is nothing to say. Never raises on what a client sends."""
        if isinstance(message, str):
            return self._answer_words(message)
        kind, value = message[:1], message[1:]
        try:
            if kind == bytes((Kind.ASK,)):
                return kind + self._page(*documents.parse_request(value))
            if kind == bytes((Kind.BRING,)):
                return kind + self._desk.hand_in(*documents.parse_page(value))
        except BooksError:
            return kind
        return None

    def _answer_words(self, words: str) -> str | None:
        books = self._desk.document(Document.BOOKS, ()) if words == BOOKS else b""
        if books:
            return _as_json(wire_books.decode(books))
        return PONG if words == PING else None

    def _page(self, document: Document, page: int, nonces: Sequence[str]) -> bytes:
        if page == 0:
            self._taken[document] = self._desk.document(document, nonces)
        return page_of(self._taken.get(document, b""), page) or b""


def _as_json(books: RunBooks) -> str:
    """The sessions that came last, as many as one message holds."""
    named = _named(books)
    while len(text := msgspec.json.encode(named)) > MESSAGE_MAX_BYTES and named["sessions"]:
        named["sessions"] = named["sessions"][len(named["sessions"]) // 2 + 1 :]
    return text.decode()


def _named(value: Any) -> Any:  # books travel as bare lists everywhere else
    """Every struct as an object with its fields' names."""
    if isinstance(value, msgspec.Struct):
        return {name: _named(one) for name, one in structs.asdict(value).items()}
    return [_named(one) for one in value] if isinstance(value, list) else value
