# Invariant: whatever the bytes, a request or a page names one of our documents or raises BooksError, and nothing else;
# what is read packs to the same bytes again.

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import BooksError
from calls_doctor.wire import documents


@given(st.binary(max_size=5) | st.binary(min_size=3, max_size=3))
def test_any_bytes(value: bytes) -> None:
    with contextlib.suppress(BooksError):
        assert documents.pack_request(*documents.parse_request(value)) == value
    with contextlib.suppress(BooksError):
        assert documents.pack_page(*documents.parse_page(value)) == value
