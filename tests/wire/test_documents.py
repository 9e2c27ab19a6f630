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


@given(st.sampled_from(Document), st.integers(0, 0xFFFF))
def test_a_request_names_document_and_page(document: Document, page: int) -> None:
    assert documents.parse_request(documents.pack_request(document, page)) == (document, page)


@given(st.sampled_from(Document), st.binary(max_size=50))
def test_a_page_that_is_brought_names_its_document(document: Document, page: bytes) -> None:
    assert documents.parse_page(documents.pack_page(document, page)) == (document, page)


@pytest.mark.parametrize(("value", "said"), [
    (b"", "0 bytes instead of 3"), (bytes(2), "2 bytes instead of 3"), (bytes(4), "4 bytes instead of 3"),
    (b"\x03\0\0", "no document 3"),
])  # fmt: skip
def test_what_is_no_request_is_refused(value: bytes, said: str) -> None:
    with pytest.raises(BooksError, match=said):
        documents.parse_request(value)


@pytest.mark.parametrize(("value", "said"), [(b"", "no document"), (b"\xffpage", "no document 255")])
def test_a_page_of_no_document_is_refused(value: bytes, said: str) -> None:
    with pytest.raises(BooksError, match=said):
        documents.parse_page(value)
