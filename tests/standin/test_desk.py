"""The desk: documents as they stand now, reports from pages in any order, by several ways, twice, and in bad faith."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from msgspec import structs

from calls_doctor.model.books import RunBooks, SessionBooks
from calls_doctor.model.facts import Facts
from calls_doctor.model.report import Report
from calls_doctor.standin import desk as desk_module
from calls_doctor.standin.desk import UNFINISHED_MAX, ReportDesk
from calls_doctor.wire import books as wire_books
from calls_doctor.wire import envelope
from calls_doctor.wire.direct import Keys
from calls_doctor.wire.documents import RECEIPT, Document
from calls_doctor.wire.pages import pages_of
from calls_doctor.wire.seal import NONCE_BYTES
from tests.reports.samples import failing_report

KEYS = Keys(bytes(range(16)))
FACTS = Facts(
    local_addresses=["10.0.0.2"], public_addresses=[], media_port=1, announced=[], needs_stun=False, stun=[],
    control_port=0,
)  # fmt: skip
NOISE = {f"key {n}": random.Random(n).randbytes(40).hex() for n in range(80)}
REPORT = structs.replace(failing_report(), metadata=NOISE)


class Desk(ReportDesk):
    """One that remembers what it received."""

    def __init__(self, facts: Facts | None = FACTS) -> None:
        self.reports: list[Report] = []
        self.looks = 0
        super().__init__(KEYS, self._look, lambda: facts, self.reports.append)

    def _look(self) -> RunBooks:
        self.looks += 1
        return RunBooks(run="run", unauthenticated=self.looks)


def pages(report: Report = REPORT, keys: Keys = KEYS, nonce: int = 0) -> list[bytes]:
    return pages_of(envelope.seal_report(report, keys, nonce.to_bytes(NONCE_BYTES, "big")))


def give(desk: Desk, values: Sequence[bytes]) -> list[bytes]:
    return [desk.hand_in(Document.REPORT, value) for value in values]


def test_books_are_of_all_sessions_or_of_those_that_were_named() -> None:
    names = ["run-1234uAAAABBBB", "run-1234uAAAACCCC", "run-1234tDDDDEEEE"]
    desk = ReportDesk(KEYS, lambda: books_of(names), lambda: None, print)
    for nonces, found in (((), names), (("AAAACCCC", "FFFFFFFF"), names[1:2]), (("FFFFFFFF",), [])):
        told = wire_books.decode(desk.document(Document.BOOKS, nonces))
        assert [one.session for one in told.sessions] == found and told.unauthenticated == 7


def books_of(names: Sequence[str]) -> RunBooks:
    return RunBooks(run="run", unauthenticated=7, sessions=[SessionBooks(session=name) for name in names])


def test_documents_are_as_they_stand_now() -> None:
    desk = Desk()
    assert [wire_books.decode(desk.document(Document.BOOKS)).unauthenticated for _ in range(2)] == [1, 2]
    first, second = (desk.document(Document.FACTS) for _ in range(2))
    assert first != second, "each seal has a nonce of its own"
    assert envelope.open_facts(first, KEYS) == envelope.open_facts(second, KEYS) == FACTS


def test_what_there_is_not_is_nothing() -> None:
    assert Desk(facts=None).document(Document.FACTS) == b""
    assert Desk().document(Document.REPORT) == b""


def test_a_report_is_whole_with_its_last_page_and_a_receipt_is_given() -> None:
    desk, values = Desk(), pages()
    assert len(values) > 2
    assert give(desk, values[::-1]) == [b""] * (len(values) - 1) + [RECEIPT]
    assert desk.reports == [REPORT]


def test_the_same_report_by_two_ways_and_again_counts_once() -> None:
    desk, values = Desk(), pages()
    give(desk, values[:2])
    assert give(desk, values[1:])[-1] == RECEIPT, "each way brought a part"
    assert give(desk, values) == [RECEIPT] * len(values), "a receipt that was lost is given again"
    assert desk.reports == [REPORT]


def test_what_one_began_does_not_spoil_what_it_brings_next() -> None:
    desk = Desk()
    give(desk, pages(nonce=1)[:2])
    assert give(desk, pages(nonce=2))[-1] == RECEIPT
    assert desk.reports == [REPORT]


def test_a_report_sealed_with_another_key_or_altered_is_not_received() -> None:
    desk = Desk()
    assert RECEIPT not in give(desk, pages(keys=Keys(bytes(16))))
    values = pages()
    assert RECEIPT not in give(desk, [*values[:-1], values[-1][:-1] + bytes([values[-1][-1] ^ 1])])
    assert desk.reports == []
    assert give(desk, values)[-1] == RECEIPT, "and the true one afterwards is"


@pytest.mark.parametrize("document", [Document.BOOKS, Document.FACTS])
def test_only_reports_are_taken(document: Document) -> None:
    desk = Desk()
    assert [desk.hand_in(document, page) for page in pages()] == [b""] * len(pages())
    assert desk.reports == []


@pytest.mark.parametrize("value", [b"", b"\x02", bytes(40), b"\x02\0\x05\0\x01abcdX"])
def test_what_is_no_page_is_no_harm(value: bytes) -> None:
    desk = Desk()
    assert give(desk, [value]) == [b""]
    assert desk.reports == []


def test_what_is_begun_and_never_ended_stays_in_bounds() -> None:
    desk = Desk()
    for nonce in range(10 * UNFINISHED_MAX):
        give(desk, pages(nonce=nonce)[:1])
    assert len(desk._unfinished) == UNFINISHED_MAX
    assert give(desk, pages(nonce=10_000))[-1] == RECEIPT


def test_what_is_remembered_of_finished_reports_stays_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "FINISHED_MAX", 3)
    desk = Desk()
    for nonce in range(5):
        give(desk, pages(nonce=nonce))
    assert (len(desk._finished), len(desk._unfinished)) == (3, 0)
