"""The doctor's own call through rtcd itself: over UDP, ICE-TCP and a relay, counted, and nothing left behind; and what
is said where rtcd, its WebSocket or the path of its media ends in the middle."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from calls_doctor.errors import Cut, Silence
from calls_doctor.model.credentials import Secret, TurnCredentials
from calls_doctor.model.flow import Transport
from calls_doctor.net import http, rtcd_call, turn_client
from calls_doctor.net.call import there_and_back
from calls_doctor.net.rtcd_access import MediaWay, RtcdAccess, straight, through
from calls_doctor.net.rtcd_call import RtcdOutcome
from calls_doctor.net.sockets import open_tcp, open_udp
from calls_doctor.wire.framing import PacketKind, packet_kind
from tests.servers import turn_servers
from tests.servers.middlebox import HOST, Middlebox, Rule, Way, drop, lose
from tests.servers.rtcd_or_stand_in import SERVERS, served
from tests.servers.rtcd_server import RtcdServer, rtcd_server, why_not
from tests.servers.turn_servers import PASSWORD, USER, coturn

needs_rtcd = pytest.mark.skipif(why_not() != "", reason=f"no rtcd here: {why_not()}")
NAMED_S = 5.0
"""In which every failure is to be named."""
MEDIA_TIME_S, LONG_S, MIDST_S = 0.5, 8.0, 0.2
OUT_TRACKS = "rtcd_rtc_rtp_tracks_total"
UDP = [straight(Transport.UDP)] * 2


def access(server: RtcdServer, port: int = 0) -> RtcdAccess:
    """To its API, or to what stands before it."""
    url = f"http://{HOST}:{port or server.api_port}"
    return RtcdAccess(url=url, authorization=Secret(server.authorization[1]))


def good(outcome: RtcdOutcome, transport: Transport) -> None:
    """All that was sent was heard, over this transport alone, and rtcd said that both sessions were over."""
    assert outcome.call.failure is None, outcome.call.failure
    counted = there_and_back(outcome.call)
    assert counted.sent == counted.received and (counted.received or 0) >= 2 * 50 * MEDIA_TIME_S
    assert {path.transport for books in outcome.call.near for path in books.paths} == {str(transport)}
    assert (outcome.signalling["closes_told"], outcome.signalling["left_over"]) == (2, 0)
    assert outcome.call.warning is None


async def is_empty(server: RtcdServer, outcome: RtcdOutcome) -> bool:
    """True where rtcd has none of its sessions any more."""
    call = outcome.signalling["call"]
    answer = await http.get(f"{server.url}/calls/{call}/sessions", timeout_s=2.0, headers=[server.authorization])
    return answer.status == 404


@pytest.mark.parametrize("of", SERVERS)
@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_a_call(of: str, transport: Transport) -> None:
    async with served(of) as server:
        outcome = await rtcd_call.hold(access(server), [straight(transport)] * 2, MEDIA_TIME_S)
        good(outcome, transport)
        assert await is_empty(server, outcome)
        assert outcome.signalling["advertised"] == [f"{HOST}:{server.media_port}/{one}" for one in ("udp", "tcp")]
        where = {"protocol": str(transport), "address": HOST, "port": server.media_port}
        assert outcome.signalling["checked"] == [{**where, "sent": 2, "returned": 2}]


@pytest.mark.parametrize("of", SERVERS)
@pytest.mark.skipif(turn_servers.why_not() != "", reason=f"no coturn here: {turn_servers.why_not()}")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_call_through_a_relay(of: str, transport: str, tmp_path: Path, free_port: Callable[[], int]) -> None:
    async with (
        served(of) as server,
        coturn(tmp_path, (free_port(), free_port())) as relay,
        AsyncExitStack() as stack,
    ):
        credentials = TurnCredentials(USER, Secret(PASSWORD))
        allocations = [
            await stack.enter_async_context(
                await turn_client.allocate(relay.uri(transport), (HOST, relay.port), credentials, timeout_s=2.0)
            )
            for _ in range(2)
        ]
        outcome = await rtcd_call.hold(access(server), [through(one) for one in allocations], MEDIA_TIME_S)
        good(outcome, Transport.RELAY)
        assert await is_empty(server, outcome)


@needs_rtcd
async def test_another_key_is_refused_and_an_override_that_leads_nowhere_is_a_join_that_is_refused() -> None:
    async with rtcd_server({"RTCD_RTC_ICEHOSTOVERRIDE": "nowhere.invalid"}) as server:
        stranger = RtcdAccess(url=server.url, authorization=Secret("Basic eDp5"))
        failure = (await rtcd_call.hold(stranger, UDP, MEDIA_TIME_S)).call.failure
        assert failure is not None and (failure.stage, failure.code) == ("hello", 200)
        began_s = time.monotonic()
        outcome = await rtcd_call.hold(access(server), UDP, MEDIA_TIME_S)
        assert outcome.call.failure is not None and outcome.call.failure.stage == "join"
        assert outcome.signalling["asked"] == "404" and time.monotonic() - began_s < NAMED_S


async def metrics(server: RtcdServer) -> str:
    return (await http.get(f"{server.url}/metrics", timeout_s=2.0)).body.decode()


async def in_the_middle(server: RtcdServer) -> None:
    """Waits until each session is sent what the other says, and a moment more."""
    for _ in range(200):
        if f'{OUT_TRACKS}{{direction="out",groupID="load",type="audio/opus"}} 2' in await metrics(server):
            await asyncio.sleep(MIDST_S)
            return
        await asyncio.sleep(0.02)
    pytest.fail("the call does not come up")


@needs_rtcd
async def test_an_interrupted_call_leaves_nothing_behind() -> None:
    async with rtcd_server() as server:
        calling = asyncio.create_task(rtcd_call.hold(access(server), UDP, LONG_S))
        await in_the_middle(server)
        assert 'rtcd_rtc_sessions_total{groupID="load"} 2' in await metrics(server)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert 'rtcd_rtc_sessions_total{groupID="load"} 0' in await metrics(server)


async def broken(
    server: RtcdServer, ways: list[MediaWay], breaks: Callable[[], object], port: int = 0
) -> tuple[RtcdOutcome, float]:
    """What came of a call in whose midst something breaks, and how long after that it was named."""
    calling = asyncio.create_task(rtcd_call.hold(access(server, port), ways, LONG_S))
    await in_the_middle(server)
    breaks()
    broke_s = time.monotonic()
    return await calling, time.monotonic() - broke_s


def at_datagram(breaks: Callable[[], object], number: int) -> Rule:
    """Breaks it when so many datagrams of DTLS have come from rtcd; with 0 at the first of all datagrams."""
    seen = 0

    def rule(way: Way, data: bytes) -> list[float] | None:
        nonlocal seen
        seen += number == 0 or (way is Way.BACK and packet_kind(data) is PacketKind.DTLS)
        if seen == max(number, 1):
            seen += 1
            breaks()
        return None

    return rule


@needs_rtcd
@pytest.mark.parametrize("what", ["killed", "hung", "websocket"])
@pytest.mark.parametrize(
    ("number", "stages"),
    [(0, {"ice", "dtls"}), (1, {"ice", "dtls"}), (4, {"dtls", "channel"}), (8, {"channel", "lock", "offer", "media"})],
    ids=["ice", "dtls", "channel", "lock"],
)
async def test_what_ends_it_is_named_at_each_stage(what: str, number: int, stages: set[str]) -> None:
    """One session alone: of two one may be a stage behind. What is stopped stops a moment later."""
    async with rtcd_server() as server, Middlebox((HOST, server.api_port)) as api:
        broke_at_s: list[float] = []

        def breaks() -> None:
            broke_at_s.append(time.monotonic())
            if what == "websocket":
                api.cut()
            else:
                os.kill(server.pid, signal.SIGKILL if what == "killed" else signal.SIGSTOP)

        async with behind(server, at_datagram(breaks, number)) as (_, way, _tcp):
            outcome = await rtcd_call.hold(access(server, api.port), [way], LONG_S)
        assert time.monotonic() - broke_at_s[0] < NAMED_S
    assert outcome.call.failure is not None and outcome.call.failure.stage in stages
    words = {"killed": ("cut", "refused"), "hung": ("silent",), "websocket": ("answers",)}
    assert outcome.signalling["api"] in words[what]


@needs_rtcd
async def test_rtcd_is_killed_in_the_middle() -> None:
    async with rtcd_server() as server:
        outcome, took_s = await broken(server, UDP, lambda: os.kill(server.pid, signal.SIGKILL))
    assert outcome.call.failure is not None and outcome.call.failure.stage == "media"
    assert took_s < 1.0


@needs_rtcd
async def test_rtcd_hangs_in_the_middle() -> None:
    async with rtcd_server() as server:
        outcome, took_s = await broken(server, UDP, lambda: os.kill(server.pid, signal.SIGSTOP))
    assert outcome.call.failure is not None
    assert (outcome.call.failure.stage, outcome.call.failure.reason) == ("media", "no RTP came through rtcd for 2 s")
    assert outcome.signalling["closes_told"] == 0 and took_s < NAMED_S


@needs_rtcd
async def test_rtcd_hangs_before_it_answers() -> None:
    async with rtcd_server() as server, Middlebox((HOST, server.api_port)) as box:

        async def hangs() -> RtcdOutcome:
            calling = asyncio.create_task(rtcd_call.hold(access(server, box.port), UDP, LONG_S))
            os.kill(server.pid, signal.SIGSTOP)
            return await calling

        began_s = time.monotonic()
        failure = (await hangs()).call.failure
    assert failure is not None and failure.stage == "hello" and isinstance(failure.trouble, Silence)
    assert time.monotonic() - began_s < NAMED_S


@needs_rtcd
async def test_its_websocket_is_cut_in_the_middle_and_the_sessions_end_without_it() -> None:
    async with rtcd_server() as server, Middlebox((HOST, server.api_port)) as box:
        outcome, took_s = await broken(server, UDP, box.cut, box.port)
        assert outcome.call.failure is not None and outcome.call.failure.stage == "media"
        assert isinstance(outcome.call.failure.trouble, Cut) and outcome.signalling["websocket"] == "cut"
        assert took_s < 1.0
        for _ in range(20):  # DTLS's good-bye is heard when it comes
            if await is_empty(server, outcome):
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("a session is left")


@asynccontextmanager
async def behind(server: RtcdServer, *rules: Rule) -> AsyncIterator[tuple[Middlebox, MediaWay, MediaWay]]:
    """A middlebox before its media port, and the ways through it over UDP and TCP."""
    async with Middlebox((HOST, server.media_port), *rules) as box:
        here = HOST, box.port
        yield (
            box,
            MediaWay(Transport.UDP, lambda _, receiver: open_udp(here, receiver)),
            MediaWay(Transport.TCP, lambda _, receiver: open_tcp(here, receiver, NAMED_S)),
        )


@needs_rtcd
async def test_its_media_is_cut_in_the_middle() -> None:
    async with rtcd_server() as server:
        async with behind(server) as (box, way, _):
            outcome, took_s = await broken(server, [way] * 2, lambda: box.rules.append(drop()))
        assert outcome.call.failure is not None and outcome.call.failure.stage == "media"
        assert took_s < NAMED_S and outcome.signalling["closes_told"] == 2
        async with behind(server) as (box, _, way):
            outcome, took_s = await broken(server, [way] * 2, box.cut)
        assert outcome.call.failure is not None and outcome.call.failure.stage == "media"
        assert isinstance(outcome.call.failure.trouble, Cut) and took_s < 1.0


@needs_rtcd
@pytest.mark.parametrize(
    ("kind", "stage"), [(None, "ice"), (PacketKind.DTLS, "dtls"), (PacketKind.RTP, "media")], ids=str
)
async def test_what_does_not_pass_is_named_by_its_stage(kind: PacketKind | None, stage: str) -> None:
    async with rtcd_server() as server, behind(server, drop(kind=kind)) as (_, way, _):
        began_s = time.monotonic()
        outcome = await rtcd_call.hold(access(server), [way] * 2, MEDIA_TIME_S)
        assert outcome.call.failure is not None and outcome.call.failure.stage == stage
        assert time.monotonic() - began_s < NAMED_S and outcome.signalling["closes_told"] == 2
        assert await is_empty(server, outcome)


@needs_rtcd
async def test_a_path_that_loses_some_is_no_failure() -> None:
    """What is lost of the handshakes, the data channel and its messages comes again; each costs a second and more."""
    async with rtcd_server() as server, behind(server, lose(0.06)) as (_, way, _tcp):
        outcome = await rtcd_call.hold(access(server), [way] * 2, MEDIA_TIME_S)
    assert outcome.call.failure is None
    assert 0.0 < (there_and_back(outcome.call).loss_ratio or 0.0) < 0.4
