"""Books on their way: counters, requests for pages, pages in any order, and pages that do not belong together."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import BooksError
from calls_doctor.model.books import PathBooks, ProbeSeen, RunBooks, SessionBooks, StreamBooks
from calls_doctor.wire import books, stun
from calls_doctor.wire.books import BooksReader
from calls_doctor.wire.stun import Message, MessageClass, Method


def path(**counts: int) -> PathBooks:
    return PathBooks(transport="udp", local=("192.0.2.1", 8443), remote=("198.51.100.7", 40000), **counts)


def run_of(sessions: int) -> RunBooks:
    return RunBooks(
        run="Run/Name",
        sessions=[
            SessionBooks(
                session=f"Run/Nameu{number:08}",
                paths=[path(stun_in=number, stun_out=number), path(rtp_in=7)],
                streams=[StreamBooks(ssrc=number, received=150, expected=151, jitter_s=0.0015, last_at_s=3.0)],
                probes=[ProbeSeen(number, 1472, 0.25)],
                sent_rtp=150,
                failure="dtls: bad certificate" if number % 2 else "",
                timeline={"stun": 0.0, "dtls": 0.02},
            )
            for number in range(sessions)
        ],
        foreign_runs=1,
        bad_integrity=2,
        unauthenticated=3,
    )


def pages_of(snapshot: bytes) -> list[bytes]:
    pages: list[bytes] = []
    while (page := books.page_of(snapshot, len(pages))) is not None:
        pages.append(page)
    return pages


def test_counters_are_sums_over_the_paths_of_a_session() -> None:
    session = SessionBooks(
        session="Run/NameuAAAAAAAA",
        paths=[
            path(stun_in=1, stun_out=2, dtls_in=3, dtls_out=4, rtp_in=5, rtp_out=6, rtcp_in=7, rtcp_out=99, bytes_in=8),
            path(stun_in=10, bytes_in=2**32),
        ],
    )
    value = books.pack_counters("u", session)
    assert value == struct.pack("!BcH8I", 1, b"u", 0, 11, 2, 3, 4, 5, 6, 7, 2**32 - 1)  # direct-call.md, section 5
    counters = books.parse_counters(value)
    assert (counters.leg, counters.stun_in, counters.stun_out, counters.rtcp_in) == ("u", 11, 2, 7)
    assert (counters.dtls_in, counters.dtls_out, counters.rtp_in, counters.rtp_out) == (3, 4, 5, 6)
    assert counters.bytes_in == 2**32 - 1, "more than 32 bits hold is told as all they hold"


def test_counters_fit_into_the_answer_to_the_smallest_check() -> None:
    check = Message(
        Method.BINDING, MessageClass.REQUEST, bytes(12),
        [(stun.USERNAME, "u" * 65), (stun.PRIORITY, 1), (stun.ICE_CONTROLLING, 1)],
    ).encode(b"key", fingerprint=True)  # fmt: skip
    for host in ("192.0.2.1", "2001:db8::1"):
        answer = Message(
            Method.BINDING, MessageClass.SUCCESS, bytes(12),
            [(stun.XOR_MAPPED_ADDRESS, (host, 1)), (stun.BOOKS, bytes(books.COUNTERS_BYTES))],
        ).encode(b"key", fingerprint=True)  # fmt: skip
        assert len(answer) <= len(check)


@pytest.mark.parametrize("value", [
    b"", bytes(36), b"\x01u" + bytes(33), b"\x01u" + bytes(35), b"\x02u" + bytes(34), b"\x01\x00" + bytes(34),
])  # fmt: skip
def test_what_is_no_counters_is_refused(value: bytes) -> None:
    with pytest.raises(BooksError):
        books.parse_counters(value)


@given(st.integers(0, 0xFFFF))
def test_a_request_names_its_page(page: int) -> None:
    assert books.parse_request(books.pack_request(page)) == page


@pytest.mark.parametrize("value", [b"", b"\0", bytes(3)])
def test_what_is_no_request_is_refused(value: bytes) -> None:
    with pytest.raises(BooksError, match=f"{len(value)} bytes instead of 2"):
        books.parse_request(value)


def test_one_page_fits_the_answer_to_a_padded_request() -> None:
    whole = books.page_of(bytes(5000), 0)
    assert whole is not None and len(whole) == books.PAGE_HEADER_BYTES + books.CHUNK_BYTES
    answer = Message(
        Method.BINDING, MessageClass.SUCCESS, bytes(12), [(stun.XOR_MAPPED_ADDRESS, ("::1", 1)), (stun.BOOKS, whole)]
    )
    assert len(answer.encode(b"key", fingerprint=True)) <= books.REQUEST_BYTES


@pytest.mark.parametrize("sessions", [0, 1, 64])
def test_pages_in_any_order_make_the_books(sessions: int) -> None:
    run = run_of(sessions)
    pages = pages_of(books.encode(run))
    assert len(pages) == (1 if sessions < 2 else len(pages)) and (sessions < 64 or len(pages) > 5)
    reader = BooksReader()
    assert reader.missing() == [0]
    for page in reversed(pages):
        assert reader.missing()
        reader.feed(page)
        reader.feed(page)  # one that came twice
    assert reader.missing() == []
    assert reader.books() == run


def test_what_is_missing_is_told() -> None:
    pages = pages_of(books.encode(run_of(64)))
    reader = BooksReader()
    reader.feed(pages[2])
    assert reader.missing() == [number for number in range(len(pages)) if number != 2]
    with pytest.raises(BooksError, match=f"{len(pages) - 1} pages"):
        reader.books()


def test_pages_of_two_snapshots_do_not_mix() -> None:
    before, after = (pages_of(books.encode(run_of(sessions))) for sessions in (63, 64))
    reader = BooksReader()
    reader.feed(before[0])
    with pytest.raises(BooksError, match="two snapshots"):
        reader.feed(after[1])
    for page in before:
        reader.feed(page)
    assert reader.books() == run_of(63)


def test_a_page_that_was_altered_is_found_out() -> None:
    (page,) = pages_of(books.encode(run_of(1)))
    reader = BooksReader()
    reader.feed(page[:-1] + bytes([page[-1] ^ 1]))
    with pytest.raises(BooksError, match="do not fit together"):
        reader.books()


def test_pages_that_fit_and_are_no_books_are_refused() -> None:
    for snapshot in (b"\xc0", b"\x91\x01", b"\x95\x01\x90\0\0\0", b"\xc1", b"\x91" * 900):
        reader = BooksReader()
        for page in pages_of(snapshot):
            reader.feed(page)
        with pytest.raises(BooksError, match="cannot be read"):
            reader.books()


def page_value(page: int, pages: int, chunk: bytes, form: int = books.PAGE_FORM) -> bytes:
    return struct.pack("!BHHI", form, page, pages, zlib.crc32(chunk)) + chunk


@pytest.mark.parametrize("value", [
    b"", page_value(0, 1, b""), page_value(0, 1, b"a", form=1), page_value(1, 1, b"a"), page_value(0, 0, b"a"),
    page_value(0, books.PAGES_MAX + 1, b"a"), page_value(0, 1, bytes(books.CHUNK_BYTES + 1)),
])  # fmt: skip
def test_what_is_no_page_is_refused_and_changes_nothing(value: bytes) -> None:
    reader = BooksReader()
    with pytest.raises(BooksError):
        reader.feed(value)
    assert reader.missing() == [0]


def test_there_are_no_pages_beyond_the_last() -> None:
    assert books.page_of(b"", 0) is None
    assert books.page_of(bytes(books.CHUNK_BYTES), 1) is None
    beyond = bytes(books.CHUNK_BYTES * (books.PAGES_MAX + 2))
    assert books.page_of(beyond, books.PAGES_MAX) is None
