"""Where paired clients ask for documents and hand in reports. It keeps pages in bounds and opens what is whole."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from calls_doctor.errors import BooksError, SealError
from calls_doctor.model.books import RunBooks
from calls_doctor.model.facts import Facts
from calls_doctor.model.report import Report
from calls_doctor.wire import books as wire_books
from calls_doctor.wire import envelope
from calls_doctor.wire.direct import Keys
from calls_doctor.wire.documents import Document
from calls_doctor.wire.pages import PageReader
from calls_doctor.wire.seal import NONCE_BYTES

UNFINISHED_MAX = 16
"""Reports that are being handed in at once; what is begun beyond that pushes out the oldest."""


class ReportDesk:
    """One for a run. `books` and `facts` are asked whenever somebody wants them; `received` hears of each report."""

    def __init__(
        self,
        keys: Keys,
        books: Callable[[], RunBooks],
        facts: Callable[[], Facts | None],
        received: Callable[[Report], None],
    ) -> None:
        self._keys, self._books, self._facts, self._received = keys, books, facts, received
        self._unfinished: dict[str, PageReader] = {}
        """Session -> what it has handed in so far."""

    def document(self, document: Document) -> bytes:
        """As it stands now; b"" where there is none."""
        if document is Document.BOOKS:
            return wire_books.encode(self._books())
        facts = self._facts() if document is Document.FACTS else None
        return envelope.seal_facts(facts, self._keys, secrets.token_bytes(NONCE_BYTES)) if facts else b""

    def hand_in(self, session: str, document: Document, page: bytes) -> None:
        """One page of a report; the last one makes it whole."""
        if document is not Document.REPORT:
            return
        reader = self._unfinished.setdefault(session, PageReader())
        if len(self._unfinished) > UNFINISHED_MAX:
            del self._unfinished[next(iter(self._unfinished))]
        try:
            reader.feed(page)
            if reader.missing():
                return
            del self._unfinished[session]
            self._received(envelope.open_report(reader.whole(), self._keys))
        except (BooksError, SealError):
            self._unfinished.pop(session, None)
