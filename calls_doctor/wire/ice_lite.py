"""ICE lite (RFC 8445 section 2.5), as the stand-in speaks it: it answers authenticated checks and sends none.

Whatever does not authenticate is met with silence, whatever does is never answered with more bytes than it had. A
5-tuple is mapped only after MESSAGE-INTEGRITY, and every path that was validated is good to receive on. Media goes to
the latest validated path until the first nomination and to the nominated one from then on: Chromium nominates 50 ms
after DTLS is up, so waiting for it would only lose time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from calls_doctor.errors import BooksError
from calls_doctor.model.books import PROBES_MAX, PathBooks, ProbeSeen, SessionBooks
from calls_doctor.model.flow import Path
from calls_doctor.wire import books as wire_books
from calls_doctor.wire import documents, ice, stun
from calls_doctor.wire.documents import Document
from calls_doctor.wire.ice import IceCredentials
from calls_doctor.wire.pages import page_of
from calls_doctor.wire.path_books import PathTable
from calls_doctor.wire.stun import ErrorCode, Message
from calls_doctor.wire.transactions import Transactions

NOMINATED_STALE_S = 2 * ice.CONSENT_INTERVAL_S[1]
"""A nominated path that missed two consent checks gives way to one that is checked: a NAT has forgotten it, and not
every client nominates again (aioice does not)."""


class Desk(Protocol):
    """Where a session asks for documents and hands some in; one desk serves all sessions of a run."""

    def document(self, document: Document, nonces: Sequence[str], /) -> bytes:
        """The whole document as it stands now; b"" where there is none. Books are of the sessions with these nonces, or
        of all."""

    def hand_in(self, document: Document, page: bytes, /) -> bytes:
        """Takes one page of a document, perhaps again. Gives a receipt (wire/documents.py) once the document is whole
        and could be read; b"" before. Never raises on what a client sends."""


class LiteAgent:
    """One session's agent. It puts answers into `outgoing`, for its driver to take, and counts in the books."""

    def __init__(
        self,
        credentials: IceCredentials,
        books: SessionBooks,
        paths: PathTable,
        now: float,
        *,
        leg: str,
        desk: Desk | None = None,
        transactions: Transactions | None = None,
        consent_expiry_s: float = ice.CONSENT_EXPIRY_S,
    ) -> None:
        self._credentials = credentials
        self._username, self._key = credentials.username_in, credentials.key_in
        self._books, self._paths, self._leg = books, paths, leg
        self._desk = desk
        self._taken: dict[Document, tuple[bytes, bytes]] = {}
        """Document -> the transaction id that asked for page 0, and the document as it stood then."""
        self._consent_expiry_s = consent_expiry_s
        self._heard_at = now
        """When a fresh check last came, by whatever path, also one that is gone."""
        self._transactions = transactions or Transactions()
        self._probe_numbers = {probe.number for probe in books.probes}
        self._consent: dict[Path, float] = {}
        """Path -> when a fresh check last came by it."""
        self._nominated = False
        self.validated: dict[Path, PathBooks] = {}
        """The paths that may be received on, with their rows in the books."""
        self.selected: Path | None = None
        """Where media goes that nobody asked a path for."""
        self.outgoing: list[tuple[Path, bytes]] = []
        self.expired = False
        """No path has consent any more (RFC 7675)."""

    def receive(self, message: Message, path: Path, now: float) -> bool:
        """Takes one STUN message. False where it was met with silence: it is not of this session, or replayed."""
        if message.message_class is not stun.MessageClass.REQUEST or not ice.is_authentic(message, self._credentials):
            return False
        if self._transactions.is_replay(message.transaction_id, path):
            return False
        size = len(message.raw)
        row = self._paths.open(path) or self._room_for(path, now)
        if row is None:
            error = ErrorCode(ice.INSUFFICIENT_CAPACITY, "Too Many Paths")
            self._send(path, ice.refusal(message, size, error, self._key))
            return True
        row.stun_in += 1
        row.bytes_in += size
        self._send(path, self._answer(message, size, path, row, now), row)
        return True

    def restart(self, credentials: IceCredentials) -> None:
        """ICE begins anew (RFC 8445 section 9): a check under the old names is none any more. Media goes on by the
        paths that there are, until one is validated under the new names."""
        self._credentials = credentials
        self._username, self._key = credentials.username_in, credentials.key_in
        self._nominated = False

    def remove_path(self, path: Path, now: float) -> None:
        """The path is gone (its TCP connection ended): nothing is sent there any more."""
        self.validated.pop(path, None)
        self._consent.pop(path, None)
        if self.selected == path:
            self._nominated = False
            latest = max(self._consent, key=self._consent.__getitem__, default=None)
            fresh = latest is not None and now - self._consent[latest] < self._consent_expiry_s
            self.selected = latest if fresh else None

    def next_timer(self) -> float | None:
        """When `handle_timer` wants to be called; None where it does not."""
        return None if self.expired else self._heard_at + self._consent_expiry_s

    def handle_timer(self, now: float) -> None:
        """Finds out whether consent has expired."""
        due = self.next_timer()
        if due is not None and now >= due:
            self.expired = True
            for path in list(self.validated):
                self.remove_path(path, now)

    def _answer(self, message: Message, size: int, path: Path, row: PathBooks, now: float) -> bytes | None:
        if message.unknown_required():
            return ice.unknown_attributes_refusal(message, size, self._key)
        if message.get(stun.ICE_CONTROLLED) is not None:  # lite is never controlling (RFC 8445 section 6.1.1)
            return ice.role_conflict_refusal(message, size, self._key)
        if not self._transactions.is_known(message.transaction_id):
            # A retransmission, or a replay that spoofs its source, is answered too, and changes nothing.
            self._transactions.remember(message.transaction_id, path)
            self._validate(path, row, now, nominates=message.get(stun.USE_CANDIDATE) is not None)
        number = message.get(stun.PROBE_NUMBER)
        if number is not None:
            self._note_probe(number, size, now)
        return ice.success(message, size, path.remote, self._key, self._books_value(message), exact=number is not None)

    def _validate(self, path: Path, row: PathBooks, now: float, *, nominates: bool) -> None:
        self.expired = False
        self.validated[path] = row
        self._consent[path] = self._heard_at = now
        selected_at = self._consent.get(self.selected, -math.inf) if self.selected else -math.inf
        if nominates or not self._nominated or now - selected_at > NOMINATED_STALE_S:
            self.selected = path
        self._nominated = self._nominated or nominates

    def _room_for(self, path: Path, now: float) -> PathBooks | None:
        """A row in a full table, where another path has no consent any more."""
        for other in list(self._paths):
            if now - self._consent.get(other, -math.inf) >= self._consent_expiry_s:
                self.remove_path(other, now)
                self._paths.forget(other)
                return self._paths.open(path)
        return None

    def _note_probe(self, number: int, size: int, now: float) -> None:
        if number not in self._probe_numbers and len(self._books.probes) < PROBES_MAX:
            self._probe_numbers.add(number)
            self._books.probes.append(ProbeSeen(number, size, round(now, 6)))

    def _books_value(self, message: Message) -> bytes:
        """The page that was asked for, else the counters of this session; takes the page that was brought. Of a session
        without a leg nothing: it is no session of a pairing link."""
        if not self._leg:
            return b""
        asked, brought = message.get(stun.DOCUMENT_REQUEST), message.get(stun.DOCUMENT_PAGE)
        if self._desk is None or (asked is None and brought is None):
            return wire_books.pack_counters(self._leg, self._books)
        try:
            if brought is not None:
                return self._desk.hand_in(*documents.parse_page(brought))
            return self._page(documents.parse_request(asked or b""), message.transaction_id)
        except BooksError:
            return b""

    def _page(self, asked: tuple[Document, int, Sequence[str]], transaction_id: bytes) -> bytes:
        assert self._desk is not None, "seen by whoever asks"
        document, page, nonces = asked
        taken = self._taken.get(document, (b"", b""))
        if page == 0 and taken[0] != transaction_id:
            # A retransmission gets the version that the first answer was cut from: the pages must fit together.
            taken = self._taken[document] = (transaction_id, self._desk.document(document, nonces))
        return page_of(taken[1], page) or b""

    def _send(self, path: Path, packet: bytes | None, row: PathBooks | None = None) -> None:
        if packet is None:
            return
        if row is not None:
            row.stun_out += 1
            row.bytes_out += len(packet)
        self.outgoing.append((path, packet))
