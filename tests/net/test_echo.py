"""The echo against a real stand-in on 127.0.0.1: what comes back, what each kind of trouble looks like, and how long it
takes to know."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from calls_doctor.errors import Cut, FarEndError, Refused, Silence
from calls_doctor.model.flow import Transport
from calls_doctor.net import echo as echo_module
from calls_doctor.net import pace
from calls_doctor.sfu import sfu
from calls_doctor.wire import stun
from calls_doctor.wire.direct import NO_CERTIFICATE, Fragment
from calls_doctor.wire.framing import PacketKind
from tests.servers.media_host import box_before, media_host, paired, stranger
from tests.servers.middlebox import Tcp, Way, delay, drop, lose

SIZES = (200, 400, 600, 800, 1000, 1200) * 4
WAYS = (Transport.UDP, Transport.TCP)


@pytest.mark.parametrize("way", WAYS)
async def test_every_probe_comes_back_at_its_size_and_quickly(way: Transport) -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        began_s = time.monotonic()
        outcome = await host.echo(host.opener(way), SIZES)
        assert time.monotonic() - began_s < 0.15
        assert (outcome.sent, outcome.trouble) == (24, None)
        assert sorted((one.number, one.size_bytes) for one in outcome.returned) == list(enumerate(SIZES, 1))
        assert all(0 < one.rtt_s < 0.1 for one in outcome.returned)
        session = next(one for one in stand_in.books().sessions if one.session == outcome.session)
        assert sorted((probe.number, probe.size_bytes) for probe in session.probes) == list(enumerate(SIZES, 1))
        assert outcome.mapped == session.paths[0].remote


async def test_an_echo_needs_no_certificate_of_its_own() -> None:
    seen: list[str] = []
    async with media_host() as stand_in:
        admit = stand_in._sfu._admit

        def noted(fragment: str) -> object:
            seen.append(fragment)
            return admit(fragment)

        stand_in._sfu._admit = noted  # type: ignore[assignment]  # passes on what the real one says
        host = paired(stand_in.ready)
        for way in WAYS:
            await host.echo(host.opener(way), (200,))
    fragments = [Fragment.parse(text) for text in seen]
    assert [(one.leg, one.digest) for one in fragments] == [("u", NO_CERTIFICATE), ("t", NO_CERTIFICATE)]


async def test_silence_is_decided_in_time_with_six_packets() -> None:
    async with media_host() as stand_in, box_before(stand_in, drop(Way.OUT)) as box:
        host = paired(stand_in.ready, box.port)
        began_s = time.monotonic()
        outcome = await host.echo(host.opener(Transport.UDP), SIZES)
        assert 2.5 < time.monotonic() - began_s < 2.7
        assert (outcome.sent, len(outcome.returned)) == (6, 0)
        assert isinstance(outcome.trouble, Silence) and outcome.trouble.after_s == stun.PROBE_DECIDED_S
        assert box.seen[Way.OUT, PacketKind.STUN] == 6
        # What has been silent so long is not waited for again; TCP, which nobody has tried yet, brings the books.
        began_s = time.monotonic()
        books = await host.books()
        assert books is not None and books.sessions == []
        assert time.monotonic() - began_s < 0.1 and box.seen[Way.OUT, PacketKind.STUN] == 6


@pytest.mark.usefixtures("short_silence")
async def test_lost_replies_are_told_from_lost_requests_by_the_books() -> None:
    async with media_host() as stand_in, box_before(stand_in, drop(Way.BACK)) as box:
        host = paired(stand_in.ready, box.port)
        outcome = await host.echo(host.opener(Transport.UDP), SIZES)
        assert (outcome.sent, len(outcome.returned)) == (6, 0)
        books = await host.books()
    assert books is not None
    session = next(one for one in books.sessions if one.session == outcome.session)
    assert [probe.number for probe in session.probes] == [1, 2, 3, 4, 5, 6]


@pytest.mark.usefixtures("short_silence")
async def test_the_first_probes_may_be_lost() -> None:
    async with media_host() as stand_in, box_before(stand_in, drop(Way.OUT, first=2)) as box:
        host = paired(stand_in.ready, box.port)
        outcome = await host.echo(host.opener(Transport.UDP), SIZES)
        assert outcome.sent == 24 and sorted(one.number for one in outcome.returned) == list(range(3, 25))
        assert outcome.trouble is None


@pytest.mark.usefixtures("short_silence")
async def test_a_single_probe_is_sent_again_under_its_number() -> None:
    async with media_host() as stand_in, box_before(stand_in, drop(Way.OUT, first=3)) as box:
        host = paired(stand_in.ready, box.port)
        outcome = await host.echo(host.opener(Transport.UDP), (200, 1200))
        assert (outcome.sent, [one.number for one in outcome.returned]) == (2, [2])


async def test_loss_in_the_middle_costs_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echo_module, "SETTLE_S", 0.05)
    async with media_host() as stand_in, box_before(stand_in, lose(0.3, Way.BACK)) as box:
        host = paired(stand_in.ready, box.port)
        outcome = await host.echo(host.opener(Transport.UDP), SIZES)
        assert outcome.sent == 24 and 10 < len(outcome.returned) < 24
        books = await host.books()
    assert books is not None and len(books.sessions[0].probes) == 24


async def test_a_slow_path_gets_the_time_that_its_round_trip_takes() -> None:
    async with media_host() as stand_in, box_before(stand_in, delay(0.1, spread_s=0.1)) as box:
        host = paired(stand_in.ready, box.port)
        outcome = await host.echo(host.opener(Transport.UDP), SIZES)
        assert len(outcome.returned) == outcome.sent == 24
        assert min(one.rtt_s for one in outcome.returned) >= 0.2


async def test_other_networks_than_loopback_are_paced_below_a_hundred_packets_a_second() -> None:
    assert 2 / pace.BETWEEN_S < 100


async def test_closed_ports_are_refused_at_once(free_port: Callable[[], int]) -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready, free_port())
        began_s = time.monotonic()
        udp = await host.echo(host.opener(Transport.UDP), SIZES)
        tcp = await host.echo(host.opener(Transport.TCP), SIZES)
        assert await host.books() is None
        assert time.monotonic() - began_s < 0.5
    assert isinstance(udp.trouble, Refused) and (udp.sent, len(udp.returned)) == (1, 0)
    assert isinstance(tcp.trouble, Refused) and (tcp.sent, tcp.session) == (0, "")


@pytest.mark.usefixtures("short_silence")
async def test_a_key_of_another_run_is_silence_over_udp_and_a_cut_over_tcp() -> None:
    async with media_host() as stand_in:
        host = stranger(stand_in.ready)
        udp = await host.echo(host.opener(Transport.UDP), SIZES)
        tcp = await host.echo(host.opener(Transport.TCP), SIZES)
        assert isinstance(udp.trouble, Silence) and not udp.returned
        assert isinstance(tcp.trouble, Cut) and (tcp.sent, len(tcp.returned)) == (1, 0)
        assert stand_in.books().foreign_runs > 0 and stand_in.books().sessions == []


@pytest.mark.usefixtures("short_silence")
async def test_a_mute_tcp_port_was_sent_to_and_is_silent() -> None:
    async with media_host() as stand_in, box_before(stand_in, tcp=Tcp.MUTE) as box:
        host = paired(stand_in.ready, box.port)
        outcome = await host.echo(host.opener(Transport.TCP), SIZES)
        assert isinstance(outcome.trouble, Silence) and (outcome.sent, len(outcome.returned)) == (1, 0)


async def test_a_connection_that_is_cut_in_the_middle_ends_the_echo_with_what_came() -> None:
    async with media_host() as stand_in, box_before(stand_in, cut_after_bytes=2000) as box:
        host = paired(stand_in.ready, box.port)
        outcome = await host.echo(host.opener(Transport.TCP), SIZES)
        assert isinstance(outcome.trouble, Cut) and 0 < len(outcome.returned) < outcome.sent < 24


async def test_a_stand_in_without_room_refuses_aloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sfu, "SESSIONS_MAX", 0)
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        with pytest.raises(FarEndError) as caught:
            await host.echo(host.opener(Transport.UDP), SIZES)
        assert caught.value.code == 508
        assert await host.books() is None
