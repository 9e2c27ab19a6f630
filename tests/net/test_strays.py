"""Who looks for answers from elsewhere, against a real stand-in whose answers are sent from another socket."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any  # a STUN attribute's value is of its own type

import pytest

from calls_doctor.errors import Unresolved
from calls_doctor.model.flow import Address, Transport
from calls_doctor.model.site import MediaAddress
from calls_doctor.net import strays
from calls_doctor.net.bound_sockets import DatagramSocket, bound_udp
from calls_doctor.net.paired import PairedHost
from calls_doctor.net.strays import StrayWatch
from calls_doctor.wire import stun
from calls_doctor.wire.direct import KEY_BYTES, Keys, Link
from calls_doctor.wire.ice import IceCredentials
from calls_doctor.wire.stun import AttributeType, ErrorCode, Message, MessageClass
from tests.servers.media_host import behind, media_host, paired
from tests.servers.middlebox import HOST, Way, drop
from tests.servers.plain_sockets import PlainUdp

SIZES = (200, 400, 600)


pytestmark = pytest.mark.usefixtures("short_silence")


@asynccontextmanager
async def astray(
    *, key: Keys | None = None, refusal: ErrorCode | None = None, heard: list[bytes] | None = None
) -> AsyncIterator[tuple[PairedHost, socket.socket]]:
    """A host that answers from another port than was asked; `key`: what it signs with, None for the link's; `refusal`:
    what it answers; `heard` gets what it is asked."""
    keys = Keys(secrets.token_bytes(KEY_BYTES))
    other = bound_udp(HOST, 0)

    def asked(data: bytes, sender: tuple[str, int]) -> None:
        if heard is not None:
            heard.append(data)
        request = stun.parse(data)
        username = request.get(stun.USERNAME)
        assert username is not None
        password = (key or keys).password(username.split(":")[0])
        kind, said = MessageClass.SUCCESS, list[tuple[AttributeType[Any], Any]]()
        if refusal is not None:
            kind, said = MessageClass.ERROR, [(stun.ERROR_CODE, refusal)]
        answer = Message(request.method, kind, request.transaction_id, said)
        other.sendto(answer.encode(integrity_key=password.encode(), fingerprint=True), sender)

    listening = DatagramSocket(bound_udp(HOST, 0), asked)
    media = MediaAddress(host=HOST, udp_port=listening.address[1], tcp_port=0)
    try:
        yield PairedHost(Link(HOST, media.udp_port, keys, bytes(32)), media), other
    finally:
        listening.close()
        other.close()


async def _silent_echo(host: PairedHost) -> StrayWatch:
    watch = host.stray_watch()
    outcome = await host.echo(host.opener(Transport.UDP), SIZES, [watch])
    assert outcome.returned == []
    return watch


async def test_an_answer_from_another_port_is_seen_with_its_sender() -> None:
    async with astray() as (host, other):
        watch = await _silent_echo(host)
        assert watch.sender == other.getsockname()


@pytest.mark.parametrize("refusal", [None, ErrorCode(508, "full")])
async def test_it_asks_no_more_once_it_knows_or_is_refused(
    refusal: ErrorCode | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stun, "PROBE_SCHEDULE_S", (0.0, 1.0, 1.1))
    heard: list[bytes] = []
    async with astray(refusal=refusal, heard=heard) as (host, other):
        watch = host.stray_watch()
        async with asyncio.timeout(0.9):
            await watch.watch()
        await asyncio.sleep(0.02)  # what it has sent too much is heard by then
        assert len(heard) == 1 and watch.sender == (None if refusal else other.getsockname())


async def test_it_asks_on_the_schedule_of_silence_with_probes_as_large_as_an_answer_may_be() -> None:
    loop, heard = asyncio.get_running_loop(), list[bytes]()
    async with astray(key=Keys(secrets.token_bytes(KEY_BYTES)), heard=heard) as (host, _):
        began_s = loop.time()
        await host.stray_watch().watch()
        assert loop.time() - began_s >= stun.PROBE_DECIDED_S - 0.01
    assert [len(data) for data in heard] == [200] * len(stun.PROBE_SCHEDULE_S)
    assert [stun.parse(data).get(stun.PROBE_NUMBER) for data in heard] == [1, 2, 3, 4, 5, 6]


async def test_ipv6_is_asked_from_ipv6() -> None:
    heard: list[tuple[bytes, Address]] = []
    async with PlainUdp("::1") as asked, PlainUdp("::1") as other:
        channel = strays._Unconnected(asked.address, lambda data, sender: heard.append((data, sender)))
        channel.send(b"anybody?")
        data, sender = await asked.receive()
        await other.send(data, sender)
        while not heard:  # noqa: ASYNC110 - it has no other way to say so
            await asyncio.sleep(0.001)
        await channel.close()
        assert heard == [(b"anybody?", other.address)]


async def test_who_does_not_know_the_key_cannot_say_so() -> None:
    async with astray(key=Keys(secrets.token_bytes(KEY_BYTES))) as (host, _):
        assert (await _silent_echo(host)).sender is None


@pytest.mark.parametrize("way", list(Way))
async def test_silence_has_no_strays(way: Way) -> None:
    async with behind(drop(way)) as host:
        assert (await _silent_echo(host)).sender is None


async def test_an_answer_from_whom_was_asked_is_no_stray() -> None:
    async with media_host() as stand_in:
        watch = paired(stand_in.ready).stray_watch()
        await watch.watch()
        assert watch.sender is None


async def test_a_host_that_answers_is_not_watched() -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        outcome = await host.echo(host.opener(Transport.UDP), SIZES, [host.stray_watch()])
        assert len(outcome.returned) == 3
        assert [one.session for one in stand_in.books().sessions] == [outcome.session]


async def test_the_books_of_a_run_leave_the_watch_out() -> None:
    async with behind(drop(Way.BACK)) as host:
        outcome = await host.echo(host.opener(Transport.UDP), SIZES, [host.stray_watch()])
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
