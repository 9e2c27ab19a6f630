"""What is answered on a data channel, against a desk that remembers what it was asked."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from calls_doctor.model.books import PathBooks, ProbeSeen, RunBooks, SessionBooks
from calls_doctor.wire import books as wire_books
from calls_doctor.wire import documents
from calls_doctor.wire.data_channel import MESSAGE_MAX_BYTES, Conversation, Kind
from calls_doctor.wire.documents import RECEIPT, Document
from calls_doctor.wire.pages import PageReader, pages_of

ASK, BRING = bytes((Kind.ASK,)), bytes((Kind.BRING,))
PATH = PathBooks(transport="udp", local=("10.0.0.1", 8443), remote=("10.0.0.2", 5), stun_in=3)
SESSION = SessionBooks(session="one", paths=[PATH], probes=[ProbeSeen(1, 200, 0.5)], timeline={"stun": 0.0})


class Desk:
    """One whose facts are others each time."""

    def __init__(self, *sessions: SessionBooks) -> None:
        self.books = RunBooks(run="run", sessions=list(sessions), bad_integrity=2)
        self.looks = 0
        self.pages: list[tuple[Document, bytes]] = []

    def document(self, document: Document, _nonces: Sequence[str]) -> bytes:
        if document is Document.BOOKS:
            return wire_books.encode(self.books)
        self.looks += 1
        return bytes((self.looks,)) * 2500 if document is Document.FACTS else b""

    def hand_in(self, document: Document, page: bytes) -> bytes:
        self.pages.append((document, page))
        return RECEIPT if len(self.pages) == 2 else b""


def test_a_ping_is_answered_and_other_words_are_not() -> None:
    conversation = Conversation(Desk())
    assert conversation.answer("ping") == "pong"
    assert [conversation.answer(word) for word in ("", "Ping", "hello" * 1000)] == [None] * 3


def test_books_are_json_with_names() -> None:
    text = Conversation(Desk(SESSION)).answer("books")
    assert text is not None
    books = json.loads(text)
    assert (books["run"], books["bad_integrity"]) == ("run", 2)
    (session,) = books["sessions"]
    assert session["paths"][0]["remote"] == ["10.0.0.2", 5] and session["paths"][0]["stun_in"] == 3
    assert session["probes"] == [{"number": 1, "size_bytes": 200, "at_s": 0.5}]
    assert session["timeline"] == {"stun": 0.0}


def test_of_many_sessions_the_latest_fit_into_one_message() -> None:
    many = [SessionBooks(session=f"{n}", failure="f" * 1000) for n in range(200)]
    text = Conversation(Desk(*many)).answer("books")
    assert isinstance(text, str) and len(text) <= MESSAGE_MAX_BYTES
    sessions = [one["session"] for one in json.loads(text)["sessions"]]
    assert sessions == [f"{n}" for n in range(200 - len(sessions), 200)] and len(sessions) > 40


def test_a_document_is_told_page_by_page_as_it_stood_at_page_0() -> None:
    desk = Desk()
    conversation, reader = Conversation(desk), PageReader()
    for _ in range(2):
        reader = PageReader()
        for page in range(3):
            answer = conversation.answer(ASK + documents.pack_request(Document.FACTS, page))
            assert isinstance(answer, bytes) and answer[:1] == ASK
            reader.feed(answer[1:])
    assert (reader.whole(), desk.looks) == (b"\x02" * 2500, 2)


@pytest.mark.parametrize("page", [1, 7])
def test_a_page_that_is_not_there_is_answered_by_nothing_in_it(page: int) -> None:
    conversation = Conversation(Desk())
    assert conversation.answer(ASK + documents.pack_request(Document.FACTS, page)) == ASK
    assert conversation.answer(ASK + documents.pack_request(Document.REPORT, 0)) == ASK


def test_pages_that_are_brought_reach_the_desk_and_its_receipt_comes_back() -> None:
    desk = Desk()
    conversation = Conversation(desk)
    pages = pages_of(bytes(1500))
    answers = [conversation.answer(BRING + documents.pack_page(Document.REPORT, page)) for page in pages]
    assert answers == [BRING, BRING + RECEIPT]
    assert desk.pages == [(Document.REPORT, page) for page in pages]


@pytest.mark.parametrize("message", [ASK, BRING, ASK + b"\x09\0\0", ASK + b"\0", BRING + b"\x09page"])
def test_what_names_no_document_is_answered_by_nothing_in_it(message: bytes) -> None:
    assert Conversation(Desk()).answer(message) == message[:1]


@pytest.mark.parametrize("message", [b"", b"\x02", b"\xffping"])
def test_what_asks_for_nothing_is_not_answered(message: bytes) -> None:
    assert Conversation(Desk()).answer(message) is None
