"""Who looks for answers from elsewhere, against a real stand-in whose answers are sent from another socket."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from calls_doctor.errors import Unresolved
from calls_doctor.model.flow import Address, Transport
from calls_doctor.model.site import MediaAddress
from calls_doctor.net.bound_sockets import DatagramSocket, bound_udp
from calls_doctor.net.paired import PairedHost
from calls_doctor.net.strays import StrayWatch
from calls_doctor.wire import stun
from calls_doctor.wire.direct import KEY_BYTES, Keys, Link
from calls_doctor.wire.ice import IceCredentials
from calls_doctor.wire.stun import Message, MessageClass
from tests.servers.media_host import behind, media_host, paired
from tests.servers.middlebox import HOST, Way, drop

SIZES = (200, 400, 600)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the silence."""
    monkeypatch.setattr(stun, "PROBE_SCHEDULE_S", tuple(at / 10 for at in stun.PROBE_SCHEDULE_S))
    monkeypatch.setattr(stun, "PROBE_DECIDED_S", stun.PROBE_DECIDED_S / 10)


@asynccontextmanager
async def astray(*, key: Keys | None = None) -> AsyncIterator[tuple[PairedHost, socket.socket]]:
    """A host that answers from another port than was asked; `key`: what it signs with, None for the link's."""
    keys = Keys(secrets.token_bytes(KEY_BYTES))
    other = bound_udp(HOST, 0)

    def asked(data: bytes, sender: tuple[str, int]) -> None:
        request = stun.parse(data)
        username = request.get(stun.USERNAME)
        assert username is not None
        password = (key or keys).password(username.split(":")[0])
        answer = Message(request.method, MessageClass.SUCCESS, request.transaction_id, [])
        other.sendto(answer.encode(integrity_key=password.encode(), fingerprint=True), sender)

    listening = DatagramSocket(bound_udp(HOST, 0), asked)
    media = MediaAddress(host=HOST, udp_port=listening.address[1], tcp_port=0)
    try:
        yield PairedHost(Link(HOST, media.udp_port, keys, bytes(32)), media), other
    finally:
        listening.close()
        other.close()


async def _silent_echo(host: PairedHost) -> StrayWatch:
    strays = host.stray_watch()
    outcome = await host.echo(host.opener(Transport.UDP), SIZES, [strays])
    assert outcome.returned == []
    return strays


async def test_an_answer_from_another_port_is_seen_with_its_sender() -> None:
    async with astray() as (host, other):
        strays = await _silent_echo(host)
        assert strays.sender == other.getsockname()


async def test_who_does_not_know_the_key_cannot_say_so() -> None:
    async with astray(key=Keys(secrets.token_bytes(KEY_BYTES))) as (host, _):
        assert (await _silent_echo(host)).sender is None


@pytest.mark.parametrize("way", list(Way))
async def test_silence_has_no_strays(way: Way) -> None:
    async with behind(drop(way)) as host:
        assert (await _silent_echo(host)).sender is None


async def test_an_answer_from_whom_was_asked_is_no_stray() -> None:
    async with media_host() as stand_in:
        strays = paired(stand_in.ready).stray_watch()
        await strays.watch()
        assert strays.sender is None


async def test_a_host_that_answers_is_not_watched() -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        outcome = await host.echo(host.opener(Transport.UDP), SIZES, [host.stray_watch()])
        assert len(outcome.returned) == 3
        assert [one.session for one in stand_in.books().sessions] == [outcome.session]


async def test_the_books_of_a_run_leave_the_watch_out() -> None:
    async with behind(drop(Way.BACK)) as host:
        strays = host.stray_watch()
        outcome = await host.echo(host.opener(Transport.UDP), SIZES, [strays])
        books = await host.books()
    assert books is not None and [one.session for one in books.sessions] == [outcome.session]


async def test_a_watch_that_cannot_look_is_no_error_of_the_echo() -> None:
    async def nowhere() -> Address:
        raise Unresolved("rtcd.example.com")

    async with behind(drop(Way.BACK)) as host:
        blind = StrayWatch(
            nowhere,
            IceCredentials(local_fragment="near", local_password="one", remote_fragment="far", remote_password="other"),
        )
        outcome = await host.echo(host.opener(Transport.UDP), SIZES, [blind])
    assert outcome.sent == 3 and outcome.returned == [] and blind.sender is None


async def test_nothing_of_the_watch_is_left_behind() -> None:
    async with behind(drop(Way.BACK)) as host:
        before = asyncio.all_tasks()
        await _silent_echo(host)
        assert asyncio.all_tasks() == before
