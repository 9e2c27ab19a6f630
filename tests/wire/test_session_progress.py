"""How far a session has come: each stage once, one end."""

from __future__ import annotations

from calls_doctor.model.books import SessionBooks
from calls_doctor.wire.session_progress import DTLS, ICE, RTP, STUN, SessionProgress


def test_stages_are_timed_from_the_first_packet_and_reached_once() -> None:
    books = SessionBooks(session="run")
    progress = SessionProgress(books)
    progress.begin(100.0)
    progress.begin(105.0)
    assert progress.stage == "ice"
    assert progress.reach(STUN, 100.25)
    assert progress.reach(ICE, 100.5)
    assert progress.stage == "dtls"
    assert not progress.reach(ICE, 107.0)
    assert progress.reach(DTLS, 101.0)
    assert progress.stage == "rtp"
    assert not progress.reached(RTP)
    assert books.timeline == {"stun": 0.25, "ice": 0.5, "dtls": 1.0}


def test_a_session_that_hears_first_begins_with_what_it_hears() -> None:
    books = SessionBooks(session="run")
    SessionProgress(books).reach(STUN, 7.0)
    assert books.timeline == {"stun": 0.0}


def test_a_session_ends_once() -> None:
    books = SessionBooks(session="run")
    progress = SessionProgress(books)
    assert progress.fail(ICE, "nobody answered")
    assert not progress.fail(DTLS, "later")
    assert not progress.end()
    assert progress.ended
    assert books.failure == "ice: nobody answered"


def test_a_session_that_was_closed_has_no_failure() -> None:
    books = SessionBooks(session="run")
    progress = SessionProgress(books)
    assert progress.end()
    assert not progress.fail(ICE, "later")
    assert books.failure == ""
