"""`serve` without its command line, on 127.0.0.1: links, facts, reports handed in by every way, and what STUN says."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiortc.rtcsctptransport import InitChunk, serialize_packet
from msgspec import structs

from calls_doctor.errors import FarEndError
from calls_doctor.model.credentials import Secret, TurnCredentials
from calls_doctor.model.flow import Transport
from calls_doctor.model.report import Report
from calls_doctor.model.site import MediaAddress, ServerUri, Site
from calls_doctor.net import documents_client, name_service, resolver
from calls_doctor.net.exchange import Exchange
from calls_doctor.net.local_ports import can_bind
from calls_doctor.net.paired import PairedHost
from calls_doctor.net.sctp import PORT
from calls_doctor.net.turn_client import allocate
from calls_doctor.standin import serving as serving_module
from calls_doctor.standin.desk import ReportDesk
from calls_doctor.standin.serving import Served, Serving
from calls_doctor.standin.stun_server import StunServer
from calls_doctor.wire.direct import KEY_BYTES, Keys, Link
from calls_doctor.wire.turn import rest_credentials
from calls_doctor.wire.turn_auth import rest_password
from tests.reports.samples import failing_report, healthy_report
from tests.servers.middlebox import Middlebox, Tcp, drop, lose
from tests.servers.plain_sockets import PlainUdp, eventually
from tests.servers.rtcd_callers import Room
from tests.servers.rtcd_server import RtcdServer

HOST = "127.0.0.1"
OTHER_LOOPBACK = "127.0.0.2"


def served(site: Site | None = None, *parts: str, local: tuple[str, ...] = (HOST,), media_port: int = 0) -> Served:
    kept = frozenset(parts or ("media", "api"))
    return Served(site=site or Site(), local=local, parts=kept, media_port=media_port, api_port=0, turn_port=0)


@contextlib.asynccontextmanager
async def standing(site: Site | None = None, *parts: str, local: tuple[str, ...] = (HOST,)) -> AsyncIterator[Serving]:
    async with Serving(served(site, *parts, local=local), lambda _report: None) as serving:
        yield serving


def client(serving: Serving, port: int = 0) -> PairedHost:
    (link, *_) = serving.links()
    port = port or link.port
    return PairedHost(link, MediaAddress(host=HOST, udp_port=port, tcp_port=port))


async def test_it_tells_where_it_stands() -> None:
    async with standing() as serving:
        (link,) = serving.links()
        facts = await client(serving).facts()
    assert facts is not None
    assert (link.address, link.port) == (HOST, facts.media_port)
    assert (facts.local_addresses, facts.public_addresses, facts.announced) == ([HOST], [HOST], [])
    assert facts.api_port and facts.control_port and facts.unix_time_s > 1.7e9
    assert can_bind(Transport.TCP, HOST, facts.control_port) is None, "nothing listens there"


@pytest.mark.parametrize(("site", "needs"), [
    (Site(), True), (Site(users="private"), False), (Site(host_override="192.0.2.9"), False),
], ids=["public callers", "private callers", "an override"])  # fmt: skip
async def test_whether_stun_is_needed(site: Site, needs: bool) -> None:
    async with standing(site) as serving:
        facts = serving.facts()
    assert facts is not None and facts.needs_stun is needs


async def test_links_name_what_callers_use() -> None:
    site = Site(media=(MediaAddress(host="192.0.2.4"), MediaAddress(host="localhost")), host_port_override=443)
    async with standing(site) as serving:
        links = serving.links()
    assert ("192.0.2.4", 443, "localhost") in [(link.address, link.port, link.name) for link in links]
    assert len({link.keys.run for link in links}) == 1, "one key, whatever the address"


@pytest.mark.parametrize(
    ("override", "trouble"), [("nobody.invalid", "nxdomain"), ("localhost", ""), ("192.0.2.9", "")]
)
async def test_it_tells_why_the_name_of_its_override_gives_it_nothing(
    override: str, trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for constant in ("HOSTS", "RESOLV_CONF", "NSSWITCH"):
        monkeypatch.setattr(name_service, constant, tmp_path / constant)
    async with standing(Site(host_override=override)) as serving:
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "the override's name"))
        facts = serving.facts()
    assert facts is not None and facts.override_trouble == trouble


async def test_a_name_that_is_slow_to_look_up_keeps_no_link_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_host: str) -> list[str]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(resolver, "resolve", never)
    monkeypatch.setattr(serving_module, "LOOK_UP_S", 0.05)
    async with asyncio.timeout(0.5), standing(Site(media=(MediaAddress(host="slow.example"),))) as serving:
        assert [link.address for link in serving.links()] == [HOST]


@pytest.mark.parametrize("way", ["udp", "tcp", "lossy udp"])
async def test_a_report_comes_by_whatever_way_is_open(way: str) -> None:
    heard: list[Report] = []
    rules = {"udp": [], "tcp": [drop()], "lossy udp": [lose(0.3, seed=5)]}[way]
    async with Serving(served(), heard.append) as serving:
        port = serving.links()[0].port
        async with Middlebox((HOST, port), *rules, tcp=Tcp.PASS if way == "tcp" else Tcp.CLOSED) as box:
            assert await client(serving, box.port).hand_in(failing_report())
        assert heard == serving.reports == [failing_report()]


async def test_with_every_way_shut_the_client_knows_that_nothing_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents_client, "SCHEDULE_S", (0.0, 0.05))
    monkeypatch.setattr(documents_client, "SILENCE_S", 0.2)
    async with standing() as serving:
        async with Middlebox((HOST, serving.links()[0].port), drop(), tcp=Tcp.MUTE) as box:
            assert await client(serving, box.port).hand_in(failing_report()) is False
        assert serving.reports == []


async def test_a_stranger_hands_in_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents_client, "SCHEDULE_S", (0.0, 0.05))
    monkeypatch.setattr(documents_client, "SILENCE_S", 0.2)
    async with standing() as serving:
        link = serving.links()[0]
        foreign = Link(link.address, link.port, Keys(bytes(KEY_BYTES)), link.fingerprint)
        host = PairedHost(foreign, MediaAddress(host=HOST, udp_port=link.port, tcp_port=link.port))
        assert await host.hand_in(failing_report()) is False
        assert await host.facts() is None
        assert serving.reports == [] and serving.books().foreign_runs > 0


async def test_a_report_too_large_to_travel_is_not_handed_in_and_is_no_crash() -> None:
    noise = {f"key {n}": Keys(n.to_bytes(16, "big")).password("x" * 50) for n in range(40_000)}
    async with standing() as serving:
        assert await client(serving).hand_in(structs.replace(failing_report(), metadata=noise)) is False


async def test_a_vantage_that_reports_again_counts_once_and_another_beside_it() -> None:
    heard: list[Report] = []
    first, again = failing_report(), structs.replace(failing_report(), duration_s=99.0)
    async with Serving(served(), heard.append) as serving:
        for report in (first, again, healthy_report()):
            assert await client(serving).hand_in(report)
        assert serving.reports == [again, healthy_report()]
    assert heard == [first, again, healthy_report()]


async def test_a_growing_report_replaces_itself_and_never_those_of_one_vantage() -> None:
    """As a stand-in that joined hands them in: what is in both counts once when they are merged."""
    heard: list[Report] = []
    single, other = failing_report(), healthy_report()
    merged = structs.replace(single, run_id="a stand-in's", checks=[])
    grown = structs.replace(merged, vantages=[*single.vantages, *other.vantages])
    async with Serving(served(), heard.append) as serving:
        for report in (single, other, merged, grown, single):
            assert await client(serving).hand_in(report)
        assert serving.reports == [single, other, grown]
    assert heard == [single, other, merged, grown], "what came by a second way is no news"


async def test_what_stun_says_of_the_media_port_is_told_and_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loopback that is not 127.* does not exist, so the one rule that leaves it out is switched off."""
    monkeypatch.setattr(serving_module, "_asks_stun", lambda address: "." in address)
    told, real = asyncio.Event(), asyncio.sleep

    async def after_a_round(delay_s: float) -> None:
        """It sleeps when every server has been asked."""
        told.set()
        await real(delay_s)

    monkeypatch.setattr(asyncio, "sleep", after_a_round)
    async with StunServer([HOST]) as stun:
        site = Site(stun=(ServerUri(scheme="stun", host=HOST, port=stun.port),))
        async with standing(site) as serving:
            await told.wait()
            seen = serving.facts()
    assert seen is not None
    (row,) = seen.stun
    assert (row.uri, row.mapped, row.trouble) == (f"stun:{HOST}:{stun.port}", (HOST, seen.media_port), "")
    assert [(one.kind, one.port) for one in seen.announced] == [("mapped", seen.media_port)] * 2


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open() -> None:
    async with standing() as serving:
        port = serving.links()[0].port
        with pytest.raises(OSError, match="media server cannot have port"):
            async with Serving(served(media_port=port), lambda _report: None):
                raise AssertionError("it has no port")
    for transport in (Transport.UDP, Transport.TCP):
        assert can_bind(transport, HOST, port) is None


async def test_it_stands_for_what_it_was_asked_for() -> None:
    async with standing(None, "media") as serving:
        facts = serving.facts()
        assert facts is not None and facts.api_port == 0
    async with standing(None, "media", local=(HOST, OTHER_LOOPBACK)) as serving:
        assert [link.address for link in serving.links()] == [HOST, OTHER_LOOPBACK]
    assert serving.facts() is None, "it stands no more"


async def test_data_channels_are_answered_and_loaded_before_anybody_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, serving_module.DATA_CHANNELS, raising=False)
    async with standing() as serving:
        assert serving_module.DATA_CHANNELS in sys.modules
        associate = serving._stand_in._sfu._associate
        assert associate is not None
        packets: list[bytes] = []
        association = associate(packets.append, ReportDesk(Keys(bytes(16)), serving.books, serving.facts, print))
        association.receive(serialize_packet(PORT, PORT, 0, InitChunk(0, bytes(16))))
        assert len(packets) == 1
        association.close()


async def test_its_own_turn_server_takes_the_credential_that_it_tells_and_relays_to_the_media_port_alone() -> None:
    async with standing(None, "media", "turn") as serving:
        told = [await client(serving).facts() for _ in range(2)]
        facts = told[0]
        assert facts is not None and told[1] is not None
        assert facts.turn_username != told[1].turn_username, "several who check at once share no quota"
        assert 0 < int(facts.turn_username.split(":")[0]) - time.time() <= 86400
        uri = ServerUri(scheme="turn", host=HOST, port=facts.turn_port)
        given = TurnCredentials(facts.turn_username, Secret(facts.turn_credential))
        host = client(serving)
        where = HOST, facts.turn_port
        async with await allocate(uri, where, given, timeout_s=2.0) as allocation, PlainUdp() as other:
            outcome = await host.echo(host.through(allocation), (200,))
            assert len(outcome.returned) == 1
            beside = await allocation.channel(other.address, Exchange(secrets.token_bytes))
            beside.send(b"x")
            again = await host.echo(host.through(allocation), (200,))
            assert len(again.returned) == 1
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await other.receive()
        with pytest.raises(FarEndError):
            await allocate(uri, where, rest_credentials(Secret("another"), int(time.time()) + 60, "x"), timeout_s=2.0)


async def test_for_the_sites_own_turn_servers_it_makes_a_credential_and_keeps_the_secret() -> None:
    uri = ServerUri(scheme="turn", host="turn.example.com", port=3478)
    site = Site(turn=(uri,), credential_minutes=5)
    async with Serving(replace(served(site), turn_secret=Secret("shared")), lambda _report: None) as serving:
        facts = serving.facts()
    assert facts is not None
    assert (facts.turn_port, facts.turn_servers) == (0, [uri])
    password = rest_password(Secret("shared"), facts.turn_username, time.time())
    assert password is not None and password.reveal() == facts.turn_credential
    assert 0 < int(facts.turn_username.split(":")[0]) - time.time() <= 300


async def test_without_a_secret_the_servers_are_told_and_without_servers_nothing() -> None:
    uri = ServerUri(scheme="turn", host="turn.example.com", port=3478)
    for site, servers in ((Site(turn=(uri,)), [uri]), (Site(), [])):
        async with standing(site) as serving:
            facts = serving.facts()
        assert facts is not None
        assert (facts.turn_port, facts.turn_servers, facts.turn_username, facts.turn_credential) == (0, servers, "", "")


async def test_a_call_of_rtcds_protocol_is_held_with_the_credentials_of_the_link() -> None:
    async with standing() as serving:
        (link,), facts = serving.links(), serving.facts()
        assert facts is not None
        server = RtcdServer(
            0, facts.api_port, facts.media_port, link.keys.api_client_id, link.keys.api_auth_key.reveal()
        )
        room = Room(server)
        try:
            await room.open()
            first, second = await room.two(talks=True)
            await eventually(lambda: min(first.frames, second.frames) > 0)
        finally:
            await room.close()


async def test_an_override_that_leads_nowhere_leaves_no_call_to_join() -> None:
    async with standing(Site(host_override="nowhere.invalid")) as serving:
        assert serving._offered(8443).candidates == ()
