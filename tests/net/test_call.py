"""A whole call with a real stand-in, and the arithmetic of its directions. What breaks it is in tests/checks."""

from __future__ import annotations

import asyncio

import pytest

from calls_doctor.model.books import SessionBooks, StreamBooks
from calls_doctor.model.flow import Transport
from calls_doctor.net import call
from calls_doctor.net.call import CallOutcome
from calls_doctor.wire import documents, stun
from calls_doctor.wire.documents import Document
from calls_doctor.wire.framing import PacketKind, packet_kind
from tests.servers.media_host import behind, media_host, paired
from tests.servers.middlebox import Way, delay


def session(sent: int, *received: int, jitter_s: float = 0.0) -> SessionBooks:
    streams = [StreamBooks(ssrc=n, received=count, jitter_s=jitter_s) for n, count in enumerate(received, 1)]
    return SessionBooks(session="s", sent_rtp=sent, streams=streams)


def outcome(near: list[SessionBooks], far: list[SessionBooks] | None) -> CallOutcome:
    return CallOutcome(near=near, far=far, failure=None, rtts_s=[], warning=None)


def test_each_direction_is_what_one_end_sent_and_the_other_received() -> None:
    made = outcome(
        [session(100, 90, jitter_s=0.002), session(100, 80)], [session(95, 100), session(85, 60, jitter_s=0.004)]
    )
    there, back, both = call.to_far(made), call.from_far(made), call.there_and_back(made)
    assert (there.sent, there.received) == (200, 160) and there.loss_ratio == pytest.approx(0.2)
    assert (back.sent, back.received) == (180, 170) and back.loss_ratio == pytest.approx(1 - 170 / 180)
    assert (both.sent, both.received) == (200, 170)
    assert (there.jitter_s, back.jitter_s) == (0.004, 0.002)


def test_one_session_alone_hears_itself_and_three_hear_two_each() -> None:
    assert call.there_and_back(outcome([session(10, 10)], None)).sent == 10
    assert call.there_and_back(outcome([session(10, 10, 10)] * 3, None)).loss_ratio == 0.0


def test_books_that_are_missing_leave_their_half_open() -> None:
    made = outcome([session(100, 50)], None)
    assert (call.to_far(made).received, call.to_far(made).loss_ratio) == (None, None)
    assert (call.from_far(made).sent, call.from_far(made).loss_ratio) == (None, None)
    assert call.evidence(made)["far"] is None


def test_nothing_sent_is_no_loss() -> None:
    made = outcome([session(100)], [session(0)])
    assert call.from_far(made).loss_ratio is None and call.to_far(made).loss_ratio == 1.0


def test_the_rate_is_what_came_by_the_receivers_own_clock() -> None:
    """Two voices of 156 bytes every 20 ms on the way there; on the way back they took twice as long to arrive."""

    def heard(last_at_s: float) -> list[SessionBooks]:
        stream = StreamBooks(ssrc=1, received=150, first_at_s=5.0, last_at_s=last_at_s)
        return [SessionBooks(session="s", sent_rtp=150, streams=[stream])] * 2

    rows = call.evidence(outcome(heard(10.96), heard(7.98)))
    assert (rows["to_far"]["carried_bits_per_s"], rows["from_far"]["carried_bits_per_s"]) == (124_800, 62_400)


async def test_several_calls_at_once_do_not_hear_each_other() -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        openers = [host.opener(Transport.UDP), host.opener(Transport.TCP), host.opener(Transport.UDP)]
        for made in await asyncio.gather(*(call.hold(host, openers, "U", 0.1) for _ in range(3))):
            assert made.failure is None
            assert [len(books.streams) for books in made.near] == [2, 2, 2]
            assert call.there_and_back(made).received == 3 * 2 * 5


def _asks_for_books(data: bytes) -> bool:
    value = stun.parse(data).get(stun.DOCUMENT_REQUEST)
    return value is not None and documents.parse_request(value)[0] is Document.BOOKS


async def test_books_are_asked_for_while_the_last_packets_travel() -> None:
    seen: list[str] = []

    def noted(way: Way, data: bytes) -> list[float]:
        kind = packet_kind(data)
        if kind is PacketKind.STUN and way is Way.OUT and _asks_for_books(data):
            seen.append("books")
        elif kind is PacketKind.RTP and way is Way.BACK:
            seen.append("media")
        return [0.05]

    async with behind(noted) as host:
        made = await call.hold(host, [host.opener(Transport.UDP)] * 2, "U", 0.2)
    assert call.to_far(made).loss_ratio == call.from_far(made).loss_ratio == 0.0
    assert "media" in seen[seen.index("books") :]


async def test_books_that_have_overtaken_the_last_packets_are_asked_for_once_more() -> None:
    async with behind(delay(0.1, way=Way.OUT, kind=PacketKind.RTP)) as host:
        made = await call.hold(host, [host.opener(Transport.UDP)] * 2, "U", 0.2)
    assert made.failure is None and call.to_far(made).loss_ratio == call.from_far(made).loss_ratio == 0.0


def test_a_path_that_loses_is_not_asked_before_the_last_packets_have_had_their_time() -> None:
    assert call._come_through([session(50, 45), session(50, 45)]), "a tenth of a second of each is under way"
    assert not call._come_through([session(50, 50), session(50, 38)])
    assert call._come_through([session(50, 46)]) and not call._come_through([session(50)])


async def test_a_call_that_is_cancelled_leaves_nothing_behind() -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await call.hold(host, [host.opener(Transport.UDP)] * 2, "U", 5.0)
