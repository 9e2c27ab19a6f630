"""The media host sends to a UDP port of ours, as it is asked over TCP: against a real stand-in on 127.0.0.1."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from calls_doctor.model.flow import Transport
from calls_doctor.net.exchange import Exchange
from calls_doctor.sfu import sfu
from calls_doctor.wire import stun
from calls_doctor.wire.framing import PacketKind
from calls_doctor.wire.stun import Message, MessageClass, Method
from tests.servers.media_host import box_before, media_host, paired
from tests.servers.middlebox import Tcp, Way, drop
from tests.servers.plain_sockets import PlainUdp

SIZE_BYTES = 200


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of the silence."""
    monkeypatch.setattr(stun, "PROBE_SCHEDULE_S", tuple(at / 5 for at in stun.PROBE_SCHEDULE_S))
    monkeypatch.setattr(stun, "PROBE_DECIDED_S", stun.PROBE_DECIDED_S / 5)


async def test_a_host_that_is_asked_over_tcp_sends_from_its_media_port() -> None:
    async with media_host() as stand_in:
        watch = paired(stand_in.ready).reach_back_watch()
        async with asyncio.timeout(1.0):
            await watch.watch()
        assert watch.opens is True


@pytest.mark.parametrize(("tcp", "expected"), [(Tcp.PASS, False), (Tcp.CLOSED, None), (Tcp.MUTE, None)])
async def test_what_never_comes_is_told_from_what_could_not_be_asked(tcp: Tcp, expected: bool | None) -> None:
    async with media_host() as stand_in, box_before(stand_in, drop(), tcp=tcp) as box:
        host = paired(stand_in.ready, box.port)
        watch = host.reach_back_watch()
        outcome = await host.echo(host.opener(Transport.UDP), (SIZE_BYTES,) * 6, [watch])
        assert outcome.returned == [] and watch.opens is expected
        assert box.seen[Way.OUT, PacketKind.STUN] <= 7


@pytest.mark.parametrize(("way", "expected"), [(Transport.TCP, sfu.REACH_BACK_PACKETS), (Transport.UDP, 0)])
async def test_five_packets_at_most_no_larger_than_the_request_and_for_tcp_alone(way: Transport, expected: int) -> None:
    async with media_host() as stand_in, PlainUdp() as mine:
        host = paired(stand_in.ready)
        exchange = Exchange(secrets.token_bytes)
        exchange.begin(await host.opener(way)(exchange), host._witness_credentials(way))
        asked = [exchange.new_id() for _ in range(3)]
        for one in asked:
            exchange.ask(one, (stun.REACH_BACK, mine.address[1]), SIZE_BYTES)
        assert await exchange.answered(asked, asyncio.get_running_loop().time() + 1.0)
        await asyncio.sleep(stun.PROBE_DECIDED_S + 0.1)
        came: list[bytes] = []
        while len(came) <= expected:
            try:
                came.append(mine._sock.recv(65535))
            except BlockingIOError:
                break
        await exchange.close()
        assert len(came) == expected and all(len(data) <= SIZE_BYTES for data in came)


async def test_no_port_is_no_wish_and_a_stand_in_ends_in_the_middle_of_one() -> None:
    async with media_host() as stand_in, PlainUdp() as mine:
        host = paired(stand_in.ready)
        exchange = Exchange(secrets.token_bytes)
        exchange.begin(await host.opener(Transport.TCP)(exchange), host._witness_credentials(Transport.TCP))
        for port in (0, 65536, 0xFFFFFFFF):
            exchange.ask(one := exchange.new_id(), (stun.REACH_BACK, port), SIZE_BYTES)
            assert await exchange.answered([one], asyncio.get_running_loop().time() + 1.0)
        assert not stand_in._sfu._reaching
        exchange.ask(one := exchange.new_id(), (stun.REACH_BACK, mine.address[1]), SIZE_BYTES)
        await mine.receive()
        await exchange.close()
    assert not stand_in._sfu._reaching


async def test_who_does_not_hold_the_key_has_nothing_sent_though_his_connection_was_let_in() -> None:
    async with media_host() as stand_in, PlainUdp() as mine:
        host = paired(stand_in.ready)
        exchange = Exchange(secrets.token_bytes)
        credentials = host._witness_credentials(Transport.TCP)
        exchange.begin(await host.opener(Transport.TCP)(exchange), credentials)
        exchange.ask(one := exchange.new_id(), (stun.PROBE_NUMBER, 1), SIZE_BYTES)
        assert await exchange.answered([one], asyncio.get_running_loop().time() + 1.0)
        forged = Message(Method.BINDING, MessageClass.REQUEST, exchange.new_id(), [
            (stun.USERNAME, credentials.username_out), (stun.PRIORITY, 1), (stun.ICE_CONTROLLING, 1),
            (stun.REACH_BACK, mine.address[1]),
        ]).encode(b"another key", fingerprint=True)  # fmt: skip
        assert exchange.channel is not None
        exchange.channel.send(forged)
        exchange.ask(again := exchange.new_id(), (stun.PROBE_NUMBER, 2), SIZE_BYTES)
        assert await exchange.answered([again], asyncio.get_running_loop().time() + 1.0), "the forgery was read by then"
        assert not stand_in._sfu._reaching
        await exchange.close()
