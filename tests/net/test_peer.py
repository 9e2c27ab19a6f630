"""One peer against the stand-in's media port on 127.0.0.1, by itself and behind a middlebox that breaks one thing."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from calls_doctor.errors import Refused, Silence, Unreachable
from calls_doctor.model.flow import Transport
from calls_doctor.net.call import CONNECT_S, SLOW_CONNECT_S
from calls_doctor.net.paired import PairedHost
from calls_doctor.net.peer import CallFailed, Peer
from calls_doctor.wire import ice_controlling
from calls_doctor.wire.framing import PacketKind
from calls_doctor.wire.ice import CONSENT_INTERVAL_S
from tests.servers.media_host import box_before, media_host, paired
from tests.servers.middlebox import Middlebox, Rule, Tcp, Way, dead_after, delay, double, drop

SHORT_S = 0.3


@asynccontextmanager
async def peer_of(host: PairedHost, leg: str = "u") -> AsyncIterator[Peer]:
    peer = Peer(host.session_settings(leg), os.urandom)
    try:
        yield peer
    finally:
        await peer.close()


async def connect(
    peer: Peer, host: PairedHost, transport: Transport = Transport.UDP, limit_s: float = CONNECT_S
) -> None:
    await peer.connect(await host.opener(transport)(peer), limit_s)


@asynccontextmanager
async def behind(*rules: Rule, tcp: Tcp = Tcp.PASS) -> AsyncIterator[tuple[PairedHost, Middlebox]]:
    async with media_host() as stand_in, box_before(stand_in, *rules, tcp=tcp) as box:
        yield paired(stand_in.ready, box.port), box


@pytest.mark.parametrize(("transport", "leg"), [(Transport.UDP, "u"), (Transport.TCP, "t")])
async def test_a_call_is_echoed_and_both_ends_agree_on_what_was_sent(transport: Transport, leg: str) -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        async with peer_of(host, leg) as peer:
            await connect(peer, host, transport)
            await peer.talk(0.1, 100)
            await peer.heard(10, CONNECT_S)
            near = peer.books
            far = next(one for one in stand_in.books().sessions if one.session == near.session)
            assert near.sent_rtp == far.sent_rtp == 10
            assert [stream.received for stream in (*near.streams, *far.streams)] == [10, 10]
            assert list(near.timeline) == ["stun", "ice", "dtls", "rtp"] and near.failure == ""
            assert (near.paths[0].dtls_out, near.paths[0].transport) == (far.paths[0].dtls_in, str(transport))


async def test_packets_go_out_at_their_own_times_even_after_a_stall() -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        async with peer_of(host) as peer:
            await connect(peer, host)
            loop = asyncio.get_running_loop()
            loop.call_later(0.1, time.sleep, 0.3)  # the loop is busy with something else
            began_s = time.monotonic()
            await peer.talk(0.5, 100)
            took_s = time.monotonic() - began_s
            assert peer.books.sent_rtp == 50
    assert 0.49 <= took_s < 0.7  # what the stall cost was made up for


async def test_closing_says_good_bye() -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        async with peer_of(host) as peer:
            await connect(peer, host)
        async with peer_of(host) as second:  # whose handshake comes after the first's good-bye
            await connect(second, host)
            assert stand_in._sfu.sessions == 1  # the first is gone at once, not after half a minute of silence


async def test_a_far_end_that_says_good_bye_ends_the_call() -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        async with peer_of(host) as peer:
            await connect(peer, host)
            await stand_in._sfu.close()
            with pytest.raises(CallFailed) as caught:
                await peer.talk(1.0, 50)
    assert (caught.value.stage, caught.value.reason) == ("media", "the far end ended the session")


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_a_far_end_that_dies_in_the_middle_ends_the_call_at_media(transport: Transport) -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        async with peer_of(host) as peer:
            await connect(peer, host, transport)
            talk = asyncio.create_task(peer.talk(5.0, 50))
            await peer.heard(3, CONNECT_S)
            await stand_in._sfu._mux.close()  # as a killed process does: the kernel closes its sockets
            began_s = time.monotonic()
            with pytest.raises(CallFailed) as caught:
                await talk
    assert time.monotonic() - began_s < 0.5
    assert caught.value.stage == "media" and caught.value.trouble is not None


async def test_a_closed_port_ends_the_call_at_ice_at_once(free_port: Callable[[], int]) -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready, free_port())
        async with peer_of(host) as peer:
            began_s = time.monotonic()
            with pytest.raises(CallFailed) as caught:
                await connect(peer, host)
    assert time.monotonic() - began_s < 0.5
    assert caught.value.stage == "ice" and isinstance(caught.value.trouble, Refused)


async def test_silence_ends_the_call_at_ice_by_the_schedule_of_checks() -> None:
    async with behind(drop(Way.BACK)) as (host, box):
        settings = host.session_settings("u")
        quick = tuple(at / 10 for at in settings.check_schedule_s)
        peer = Peer(replace(settings, check_schedule_s=quick, check_decided_s=0.2), os.urandom)
        try:
            with pytest.raises(CallFailed, match="no connectivity check was answered: 6 sent") as caught:
                await connect(peer, host)
        finally:
            await peer.close()
        assert caught.value.stage == "ice" and box.seen[Way.OUT, PacketKind.STUN] == 6


@pytest.mark.parametrize("way", Way)
async def test_dtls_that_is_dropped_either_way_ends_the_call_at_dtls(way: Way) -> None:
    async with behind(drop(way, PacketKind.DTLS)) as (host, _), peer_of(host) as peer:
        with pytest.raises(CallFailed, match=r"the DTLS handshake came to no end: .* 0 received") as caught:
            await connect(peer, host, limit_s=SHORT_S)
        assert caught.value.stage == "dtls" and peer.books.paths[0].stun_in >= 1


async def test_a_handshake_that_is_being_answered_gets_more_time() -> None:
    async with behind(drop(Way.OUT, PacketKind.DTLS, first=1)) as (host, _), peer_of(host) as peer:
        with pytest.raises(CallFailed):  # the lost flight is sent again after a second
            await peer.connect(await host.opener(Transport.UDP)(peer), SHORT_S, 3.0)
    async with behind(delay(0.15, kind=PacketKind.DTLS)) as (host, _), peer_of(host) as peer:
        await peer.connect(await host.opener(Transport.UDP)(peer), 0.4, 3.0)
        assert peer.books.timeline["dtls"] > 0.4


async def test_a_far_end_that_falls_silent_in_the_middle_of_dtls_is_named_within_three_seconds() -> None:
    async with behind(dead_after(1)) as (host, _), peer_of(host) as peer:
        began_s = time.monotonic()
        with pytest.raises(CallFailed, match=r"no check was answered for 2\.4 s") as caught:
            await peer.connect(await host.opener(Transport.UDP)(peer), CONNECT_S, SLOW_CONNECT_S)
        assert time.monotonic() - began_s < 3.0
        assert caught.value.stage == "dtls" and peer.books.paths[0].dtls_in == 1
        assert isinstance(caught.value.trouble, Silence)


async def test_another_certificate_than_the_link_announces_ends_the_call_at_dtls() -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        settings = replace(host.session_settings("u"), remote_fingerprint=bytes(32))
        peer = Peer(settings, os.urandom)
        try:
            with pytest.raises(CallFailed, match="fingerprint mismatch") as caught:
                await connect(peer, host)
            assert caught.value.stage == "dtls"
        finally:
            await peer.close()


async def test_a_mute_tcp_port_ends_the_call_at_ice() -> None:
    async with behind(tcp=Tcp.MUTE) as (host, _), peer_of(host, "t") as peer:
        with pytest.raises(CallFailed) as caught:
            await connect(peer, host, Transport.TCP, SHORT_S)
        assert (caught.value.stage, caught.value.trouble) == ("ice", None)


async def test_a_tcp_connection_that_is_cut_ends_the_call_at_ice() -> None:
    async with behind(tcp=Tcp.CUT) as (host, _), peer_of(host, "t") as peer:
        with pytest.raises(CallFailed, match="was cut") as caught:
            await connect(peer, host, Transport.TCP)
        assert caught.value.stage == "ice" and caught.value.trouble is not None


async def test_an_icmp_error_that_is_no_closed_port_ends_nothing_and_is_kept() -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        async with peer_of(host) as peer:
            await connect(peer, host)
            peer.trouble(Unreachable("UDP to somewhere", detail="No route to host, ICMP 3/1 from 10.0.0.1"))
            await peer.talk(0.04, 50)
            await peer.heard(2, CONNECT_S)
            assert peer.books.streams[0].received == 2 and peer.warning is not None


async def test_doubled_and_lost_packets_are_in_the_books() -> None:
    rules = drop(Way.BACK, PacketKind.RTP, first=2), double(Way.BACK, PacketKind.RTP)
    async with behind(*rules) as (host, _), peer_of(host) as peer:
        await connect(peer, host)
        await peer.talk(0.1, 100)
        await peer.heard(8, CONNECT_S)
        stream = peer.books.streams[0]
        assert (stream.received, peer.books.sent_rtp) == (8, 10)
        assert stream.duplicated in (7, 8)  # the last copy may still be on its way


async def test_consent_is_asked_for_during_a_call() -> None:
    async with behind() as (host, box), peer_of(host) as peer:
        await connect(peer, host)
        asked = box.seen[Way.OUT, PacketKind.STUN]
        due_s = peer._connection._agent.next_timer() - asyncio.get_running_loop().time()  # type: ignore[operator]  # None: it fails
        assert CONSENT_INTERVAL_S[0] - 0.5 < due_s <= CONSENT_INTERVAL_S[1]
        assert asked == 1


async def test_what_comes_before_there_is_a_channel_and_after_it_is_dropped() -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        async with peer_of(host) as peer:
            peer.packet(b"early")
            await connect(peer, host)
            await peer.close()
            peer.packet(b"late")
            await peer.close()


async def test_of_several_ways_one_that_is_closed_ends_nothing_and_the_other_carries_the_call(
    free_port: Callable[[], int],
) -> None:
    async with media_host() as stand_in:
        host, closed = paired(stand_in.ready), paired(stand_in.ready, free_port())
        settings = replace(host.session_settings("u"), awaits_paths_s=0.2)
        peer = Peer(settings, os.urandom)
        try:
            await peer.try_way(closed.opener(Transport.UDP))
            await asyncio.sleep(0.02)
            path = await peer.try_way(host.opener(Transport.UDP))
            await peer.come_up(CONNECT_S)
            await peer.talk(0.04, 50)
            await peer.heard(2, CONNECT_S)
            assert isinstance(peer.warning, Refused)
            assert [row.rtp_in for row in peer.books.paths if tuple(row.local) == path.local] == [2]
            assert peer.first_heard == peer.first_sent and peer.heard_at > peer.first_heard_at > 0.0
        finally:
            await peer.close()


async def test_where_every_way_is_closed_the_call_ends_when_no_more_can_come(free_port: Callable[[], int]) -> None:
    async with media_host() as stand_in:
        closed = paired(stand_in.ready, free_port())
        failures: list[CallFailed] = []
        settings = replace(closed.session_settings("u"), awaits_paths_s=0.1)
        peer = Peer(settings, os.urandom, failed=failures.append)
        try:
            await peer.try_way(closed.opener(Transport.UDP))
            with pytest.raises(CallFailed, match=r"the path was closed; UDP to .* was refused") as caught:
                await peer.come_up(CONNECT_S)
            assert caught.value.stage == "ice" and isinstance(caught.value.trouble, Refused)
            assert failures == [caught.value]
        finally:
            await peer.close()


async def test_what_is_said_in_pieces_is_one_stream() -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        async with peer_of(host) as peer:
            await connect(peer, host)
            for _ in range(3):
                await peer.talk(0.02, 50)
            await peer.heard(3, CONNECT_S)
            (stream,) = peer.books.streams
            assert (stream.received, stream.expected) == (3, 3)


async def test_who_is_watched_closely_is_asked_for_consent_often_and_is_missed_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ice_controlling, "HANDSHAKE_EXPIRY_S", 0.3)
    monkeypatch.setattr(ice_controlling, "HANDSHAKE_INTERVAL_S", (0.02, 0.03))
    async with behind() as (host, box), peer_of(host) as peer:
        await connect(peer, host)
        peer.watch(closely=True)
        await asyncio.sleep(0.2)
        assert box.seen[Way.OUT, PacketKind.STUN] > 5
        box.rules.append(drop())
        with pytest.raises(CallFailed, match="consent expired") as caught:
            await peer.talk(2.0, 50)
        assert caught.value.stage == "media" and isinstance(caught.value.trouble, Silence)


async def test_who_is_watched_no_longer_is_asked_as_seldom_as_before() -> None:
    async with behind() as (host, box), peer_of(host) as peer:
        await connect(peer, host)
        peer.watch(closely=True)
        peer.watch(closely=False)
        asked = box.seen[Way.OUT, PacketKind.STUN]
        await peer.talk(0.4, 50)
        assert box.seen[Way.OUT, PacketKind.STUN] == asked
