"""Books are records that grow by addition: an older reader takes what a newer end wrote, and the other way round."""

from __future__ import annotations

import msgspec
import pytest

from calls_doctor.model.books import PathBooks, ProbeSeen, RunBooks, SessionBooks, StreamBooks

BOOKS = RunBooks(
    run="Run/Name",
    sessions=[
        SessionBooks(
            session="Run/NameuAAAAAAAA",
            paths=[PathBooks(transport="tcp", local=("192.0.2.1", 8443), remote=("2001:db8::1", 1), rtp_in=5)],
            streams=[StreamBooks(ssrc=2**32 - 1, received=4, expected=5, jitter_s=0.001)],
            probes=[ProbeSeen(3, 1200, 0.5)],
            timeline={"ice": 0.25},
        )
    ],
)


def test_books_read_back() -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(BOOKS), type=RunBooks) == BOOKS
    assert msgspec.json.decode(msgspec.json.encode(BOOKS), type=RunBooks) == BOOKS


def test_a_field_more_is_ignored_and_a_field_less_is_its_default() -> None:
    array = msgspec.msgpack.decode(msgspec.msgpack.encode(BOOKS))
    longer, shorter = msgspec.msgpack.encode([*array, "new"]), msgspec.msgpack.encode(array[:2])
    assert msgspec.msgpack.decode(longer, type=RunBooks) == BOOKS
    assert msgspec.msgpack.decode(shorter, type=RunBooks) == BOOKS


def test_no_two_books_share_a_list() -> None:
    one, other = SessionBooks(session="a"), SessionBooks(session="b")
    one.probes.append(ProbeSeen(1, 100, 0.0))
    one.timeline["stun"] = 0.0
    assert other.probes == [] and other.timeline == {}


def test_a_probe_is_seen_once_for_all() -> None:
    with pytest.raises(AttributeError):
        ProbeSeen(1, 100, 0.0).number = 2  # type: ignore[misc]  # that it cannot be set is what is tested
