"""Books on their way: the counters of a session, and the books of a run; pages stand in test_pages.py."""

from __future__ import annotations

import struct

import pytest

from calls_doctor.errors import BooksError
from calls_doctor.model.books import PathBooks, ProbeSeen, RunBooks, SessionBooks, StreamBooks
from calls_doctor.wire import books, stun
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


@pytest.mark.parametrize("sessions", [0, 1, 64])
def test_books_read_back_what_was_written(sessions: int) -> None:
    assert books.decode(books.encode(run_of(sessions))) == run_of(sessions)


@pytest.mark.parametrize("encoded", [b"", b"\xc0", b"\x91\x01", b"\x95\x01\x90\0\0\0", b"\xc1", b"\x91" * 900])
def test_what_is_no_books_is_refused(encoded: bytes) -> None:
    with pytest.raises(BooksError, match="cannot be read"):
        books.decode(encoded)
