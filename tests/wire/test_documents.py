"""Requests for pages of documents, and pages that are brought, with which document they belong to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import BooksError
from calls_doctor.wire import documents
from calls_doctor.wire.documents import Document


def test_the_numbers_on_the_wire_do_not_change() -> None:
    assert [(one.name, one.value) for one in Document] == [("BOOKS", 0), ("FACTS", 1), ("REPORT", 2)]
    assert documents.pack_request(Document.FACTS, 258) == b"\x01\x01\x02"
    assert documents.pack_page(Document.REPORT, b"page") == b"\x02page"


NONCES = st.lists(st.text("abcXYZ019+/", min_size=8, max_size=8), max_size=documents.SESSIONS_MAX)


@given(st.sampled_from(Document), st.integers(0, 0xFFFF), NONCES)
def test_a_request_names_document_page_and_sessions(document: Document, page: int, nonces: list[str]) -> None:
    assert documents.parse_request(documents.pack_request(document, page, nonces)) == (document, page, tuple(nonces))


@given(st.sampled_from(Document), st.binary(max_size=50))
def test_a_page_that_is_brought_names_its_document(document: Document, page: bytes) -> None:
    assert documents.parse_page(documents.pack_page(document, page)) == (document, page)


@pytest.mark.parametrize(("value", "said"), [
    (b"", "0 bytes are no request"), (bytes(2), "2 bytes are no request"), (bytes(4), "4 bytes are no request"),
    (bytes(3 + 8 * (documents.SESSIONS_MAX + 1)), "bytes are no request"), (b"\x03\0\0", "no document 3"),
    (b"\0\0\0" + 8 * b"\xff", "a session that is none"),
])  # fmt: skip
def test_what_is_no_request_is_refused(value: bytes, said: str) -> None:
    with pytest.raises(BooksError, match=said):
        documents.parse_request(value)


@pytest.mark.parametrize(("value", "said"), [(b"", "no document"), (b"\xffpage", "no document 255")])
def test_a_page_of_no_document_is_refused(value: bytes, said: str) -> None:
    with pytest.raises(BooksError, match=said):
        documents.parse_page(value)
