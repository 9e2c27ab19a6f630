# Invariant: whatever the bytes, counters and books are read or raise BooksError, and nothing else.

from __future__ import annotations

import contextlib

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import BooksError
from calls_doctor.model.books import PathBooks, ProbeSeen, RunBooks, SessionBooks, StreamBooks
from calls_doctor.wire import books

RUN = RunBooks(
    run="AAAAAAAA",
    sessions=[
        SessionBooks(
            session="AAAAAAAAuBBBBBBBB",
            paths=[PathBooks(transport="udp", local=("192.0.2.1", 8443), remote=("192.0.2.2", 1))],
            streams=[StreamBooks(ssrc=1)],
            probes=[ProbeSeen(1, 1200, 0.5)],
            timeline={"stun": 0.1},
        )
    ],
)
SNAPSHOT = books.encode(RUN)


def read(encoded: bytes) -> None:
    with contextlib.suppress(BooksError):
        assert isinstance(books.decode(encoded), RunBooks)


@given(st.binary(max_size=60))
def test_any_bytes(value: bytes) -> None:
    read(value)
    with contextlib.suppress(BooksError):
        assert books.parse_counters(value).leg.isalpha()


@given(st.binary(min_size=books.COUNTERS_BYTES - 1, max_size=books.COUNTERS_BYTES - 1))
def test_any_counters(value: bytes) -> None:
    with contextlib.suppress(BooksError):
        assert books.parse_counters(bytes([books.COUNTERS_FORM]) + value).leg.isalpha()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_any_msgpack(value: object) -> None:
    read(msgspec.msgpack.encode(value))


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 500))
def test_changed_and_truncated_books(changes: list[tuple[int, int]], at: int) -> None:
    changed = bytearray(SNAPSHOT)
    for index, value in changes:
        changed[index % len(changed)] = value
    read(bytes(changed))
    read(SNAPSHOT[:at] or b"\0")
