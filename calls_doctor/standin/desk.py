"""Where paired clients ask for documents and hand in reports. It keeps pages in bounds and opens what is whole."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from msgspec import structs

from calls_doctor.errors import BooksError, SealError
from calls_doctor.model.books import RunBooks
from calls_doctor.model.facts import Facts
from calls_doctor.model.report import Report
from calls_doctor.wire import books as wire_books
from calls_doctor.wire import envelope
from calls_doctor.wire.direct import NONCE_CHARS, Keys
from calls_doctor.wire.documents import RECEIPT, Document
from calls_doctor.wire.pages import PageReader, version_of
from calls_doctor.wire.seal import NONCE_BYTES

UNFINISHED_MAX = 16
"""Reports that are being handed in at once; what is begun beyond that pushes out the oldest."""
FINISHED_MAX = 256
"""How many reports are known by their checksum to have come already."""


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
        self._unfinished: dict[bytes, PageReader] = {}
        """Version (wire/pages.py) -> its pages so far, by whichever sessions they come: a client tries several ways."""
        self._finished: dict[bytes, None] = {}
        """Versions that were read, the latest last: their pages still come by slower ways, and again."""

    def document(self, document: Document, nonces: Sequence[str] = ()) -> bytes:
        """As it stands now; b"" where there is none. Books are of the sessions with these nonces, or of all."""
        if document is Document.BOOKS:
            books = self._books()
            if wanted := frozenset(nonces):
                sessions = [one for one in books.sessions if one.session[-NONCE_CHARS:] in wanted]
                books = structs.replace(books, sessions=sessions)
            return wire_books.encode(books)
        facts = self._facts() if document is Document.FACTS else None
        return envelope.seal_facts(facts, self._keys, secrets.token_bytes(NONCE_BYTES)) if facts else b""

    def hand_in(self, document: Document, page: bytes) -> bytes:
        """One page of a report; the last one makes it whole. RECEIPT once it is read, b"" before."""
        if document is not Document.REPORT:
            return b""
        try:
            version = version_of(page)
            if version in self._finished:
                return RECEIPT
            reader = self._reader(version)
            reader.feed(page)
            if reader.missing():
                return b""
            del self._unfinished[version]
            report = envelope.open_report(reader.whole(), self._keys)
        except (BooksError, SealError):
            return b""
        self._finish(version)
        self._received(report)
        return RECEIPT

    def _reader(self, version: bytes) -> PageReader:
        if version not in self._unfinished:
            if len(self._unfinished) >= UNFINISHED_MAX:
                del self._unfinished[next(iter(self._unfinished))]
            self._unfinished[version] = PageReader()
        return self._unfinished[version]

    def _finish(self, version: bytes) -> None:
        if len(self._finished) >= FINISHED_MAX:
            del self._finished[next(iter(self._finished))]
        self._finished[version] = None
