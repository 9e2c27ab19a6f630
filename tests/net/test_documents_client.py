"""The far end's books over every way, and none where no way works; no silence is waited out twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from calls_doctor.model.flow import Transport
from calls_doctor.net import documents_client
from calls_doctor.net.exchange import Answer, Exchange
from calls_doctor.wire.stun import AttributeType
from tests.servers.media_host import box_before, media_host, paired
from tests.servers.middlebox import Tcp, delay, drop, lose

SIZES = (200, 400, 600, 800, 1000, 1200) * 4
WAYS = (Transport.UDP, Transport.TCP)


@pytest.mark.parametrize("way", WAYS)
async def test_books_of_many_pages_come_whole_by_either_way(way: Transport) -> None:
    async with media_host() as stand_in:
        rules = [] if way is Transport.UDP else [drop()]
        async with box_before(stand_in, *rules, tcp=Tcp.PASS if way is Transport.TCP else Tcp.CLOSED) as box:
            direct = paired(stand_in.ready)
            for _ in range(6):
                await direct.echo(direct.opener(Transport.UDP), SIZES)
            books = await paired(stand_in.ready, box.port).books()
        assert books is not None and [len(one.probes) for one in books.sessions] == [24] * 6


async def test_books_are_of_our_own_sessions_however_many_others_there_are() -> None:
    """A run's books grow with each who joins it: the tenth caller must not wait for those of nine."""
    async with media_host() as stand_in:
        for _ in range(4):
            other = paired(stand_in.ready)
            await other.echo(other.opener(Transport.UDP), SIZES)
        host = paired(stand_in.ready)
        ours = await host.echo(host.opener(Transport.UDP), SIZES)
        books = await host.books()
        assert len(stand_in.books().sessions) == 6
        assert books is not None and [one.session for one in books.sessions] == [ours.session]


async def test_fetching_books_leaves_no_session_in_them_and_needs_no_new_one_each_time() -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        for _ in range(5):
            books = await host.books()
            assert books is not None and books.sessions == []
        assert len(stand_in.books().sessions) == 1


async def test_books_may_be_fetched_by_several_checks_at_once() -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        await host.echo(host.opener(Transport.UDP), SIZES)
        for books in await asyncio.gather(*(host.books() for _ in range(8))):
            assert books is not None and [len(one.probes) for one in books.sessions] == [24]


async def test_pages_that_were_there_the_last_time_are_asked_for_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    ask = documents_client._asked

    async def noted(
        exchange: Exchange, attributes: Sequence[tuple[AttributeType[bytes], bytes]]
    ) -> list[Answer] | None:
        asked.append(len(attributes))
        return await ask(exchange, attributes)

    monkeypatch.setattr(documents_client, "_asked", noted)
    async with media_host() as stand_in:
        host = paired(stand_in.ready, tcp_port=0)
        for _ in range(6):
            await host.echo(host.opener(Transport.UDP), SIZES)
        for _ in range(2):
            books = await host.books()
            assert books is not None and [len(one.probes) for one in books.sessions] == [24] * 6
    first, others, at_once = asked
    assert (first, at_once) == (1, others + 2), "one more than there were: books grow"


async def test_tcp_is_not_asked_before_a_round_trip_of_udp_has_had_its_time() -> None:
    async with media_host() as stand_in, box_before(stand_in, delay(0.15), tcp=Tcp.PASS) as box:
        host = paired(stand_in.ready, box.port)
        await host.echo_once(Transport.UDP)
        assert await host.books() is not None
        assert Transport.TCP not in host._silent_since and not host._idle_sessions[Transport.TCP]


async def test_lost_pages_are_asked_for_again() -> None:
    async with media_host() as stand_in, box_before(stand_in, lose(0.3), tcp=Tcp.CLOSED) as box:
        direct = paired(stand_in.ready)
        for _ in range(6):
            await direct.echo(direct.opener(Transport.UDP), SIZES)
        books = await paired(stand_in.ready, box.port).books()
        assert books is not None and [len(one.probes) for one in books.sessions] == [24] * 6


async def test_no_way_brings_no_books_within_a_second_and_the_second_time_at_once() -> None:
    async with media_host() as stand_in, box_before(stand_in, drop(), tcp=Tcp.MUTE) as box:
        host = paired(stand_in.ready, box.port)
        began_s = time.monotonic()
        assert await host.books() is None
        assert time.monotonic() - began_s < 1.3
        began_s = time.monotonic()
        assert await host.books() is None
        assert time.monotonic() - began_s < 0.2


async def test_a_fetch_that_is_cancelled_leaves_nothing_behind() -> None:
    async with media_host() as stand_in, box_before(stand_in, drop(), tcp=Tcp.MUTE) as box:
        host = paired(stand_in.ready, box.port)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await host.books()


async def test_a_way_that_another_was_faster_than_was_not_silent() -> None:
    async with media_host() as stand_in, box_before(stand_in, delay(0.12), tcp=Tcp.MUTE) as box:
        host = paired(stand_in.ready, box.port)
        assert await host.books() is not None  # over UDP, while TCP still waited
        assert Transport.TCP not in host._silent_since


async def test_tcp_is_left_out_where_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents_client, "SILENCE_S", 0.2)
    monkeypatch.setattr(documents_client, "SCHEDULE_S", (0.0, 0.1))
    async with media_host() as stand_in, box_before(stand_in, drop(), tcp=Tcp.PASS) as box:
        assert await paired(stand_in.ready, box.port, tcp_port=0).books() is None
