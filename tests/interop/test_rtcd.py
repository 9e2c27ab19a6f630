"""aiortc, unmodified, and our session in calls of rtcd itself and of our stand-in: what is said over the WebSocket and
the data channel is what rtcd expects, what comes is what rtcd says, and neither end can tell the stand-in from rtcd."""

from __future__ import annotations

import asyncio
import json
import secrets
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any  # JSON

import pytest
from msgspec.structs import replace
from websockets.asyncio.client import connect

from calls_doctor.model.check import Status
from calls_doctor.model.site import MediaAddress, Phase, Site
from calls_doctor.wire import rtcd
from calls_doctor.wire.rtcd import Close, Hello, Join, Leave
from calls_doctor.wire.rtcd_channel import MediaMap, Ping, Pong, TextPing, TextPong
from calls_doctor.wire.rtcd_session import RtcdSession
from calls_doctor.wire.rtcd_session_events import Closed, Failed, MayOffer
from calls_doctor.wire.rtcd_signal import Mute, ScreenOff, Sender, SessionDescription, Unmute
from checks.live import tcp_live_probe
from tests.servers.media_host import context
from tests.servers.plain_sockets import WAIT_S, eventually
from tests.servers.rtcd_callers import Room
from tests.servers.rtcd_or_stand_in import PARTS, SERVERS, served
from tests.servers.rtcd_server import HOST, RtcdServer

REFUSED_S = SILENT_S = 0.5
VP8_NUMBER = 96
"""In offers of a server's to whom has said nothing else."""
both = pytest.mark.parametrize("of", SERVERS)


@asynccontextmanager
async def room(of: str) -> AsyncIterator[Room]:
    async with served(of) as server:
        one = Room(server)
        try:
            await one.open()
            yield one
        finally:
            await one.close()


@both
@pytest.mark.parametrize("dc_signaling", [False, True])
async def test_a_call_of_two(of: str, dc_signaling: bool) -> None:
    async with room(of) as one:
        speaker, listener = await one.two(dc_signaling=dc_signaling)
        speaker.publish()
        await listener.saw(MediaMap)
        await eventually(lambda: listener.frames > 5)
        assert speaker.events.count(MayOffer(locked=True)) == 1
        for message, reply in ((Ping(), Pong), (TextPing(), TextPong)):
            speaker.tell(message)
            await speaker.saw(reply)
        for signal in (Mute(), Unmute()):
            speaker.signal(signal)
        listener.publish()
        await eventually(lambda: speaker.frames > 5)
        for caller in (speaker, listener):
            caller.do(caller.session.leave)
            await caller.saw(Closed)
            assert caller.events[-1] == Closed("leave", told=True)
            assert not [event for event in caller.events if isinstance(event, Failed)]


@both
async def test_audio_in_the_first_offer(of: str) -> None:
    async with room(of) as one:
        first, second = await one.two(talks=True)
        await eventually(lambda: min(first.frames, second.frames) > 5)
        for caller in (first, second):
            assert not [event for event in caller.events if isinstance(event, Failed | MayOffer)]


@both
async def test_a_screen_is_shared_seen_and_taken_back(of: str) -> None:
    async with room(of) as one:
        sharer, viewer = await one.two()
        sharer.publish()
        await eventually(lambda: viewer.frames > 0)
        sharer.share()
        await eventually(lambda: "screen" in viewer.last_types())
        (receiver,) = [one.receiver for one in viewer.peer.getTransceivers() if one.kind == "video"]
        await receiver._send_rtcp_pli(viewer.last_ssrc())  # the first picture was gone before it was offered
        await eventually(lambda: viewer.pictures > 0)
        if of == "stand-in":  # rtcd offers it, and was not seen to do it
            viewer.lose(VP8_NUMBER)
            await eventually(lambda: viewer.regained)
        sharer.signal(ScreenOff())
        await eventually(lambda: viewer.last_types() == {"voice"})


@both
async def test_the_session_lives_on_over_a_new_websocket(of: str) -> None:
    async with room(of) as one:
        speaker, listener = await one.two()
        await one.close_socket()
        socket = await one.open()
        for caller in (speaker, listener):
            caller.reconnect(socket)
        speaker.publish()
        await eventually(lambda: listener.frames > 5)
        listener.do(listener.session.leave)
        await listener.saw(Closed)
        assert listener.events[-1] == Closed("leave", told=False)


ERRORS = Path(__file__).parents[1] / "data" / "rtcd" / "ws-errors.jsonl"
MISTAKES = [
    bytes.fromhex(one["hex"])
    for one in map(json.loads, ERRORS.read_text().splitlines())
    if one["kind"] == "ws" and one["dir"] == "c2s" and one["data"] != {"sessionID": "x2"}
]
"""As they were captured; among them two joins that are none, of which one is left and the other offers garbage."""


async def test_a_session_whose_client_falls_silent_is_closed() -> None:
    parts = replace(PARTS, consent_expiry_s=SILENT_S)
    async with served("stand-in", parts) as server:
        one = Room(server)
        try:
            await one.open()
            caller, _ = await one.two()
            await caller.saw(Closed)  # aioice checks every five seconds
        finally:
            await one.close()
    assert caller.events[-1] == Closed("call", told=True)


@both
async def test_mistakes_are_met_with_silence_and_what_ends_a_session_with_its_close(of: str) -> None:
    async with served(of) as server:
        header = server.authorization
        async with connect(server.websocket_url, additional_headers=[header], compression=None) as socket:
            await socket.send("a text")
            for frame in (b"", b"\xff\x00", *MISTAKES, rtcd.encode(Join("call", "user", "last"), Sender.CLIENT)):
                await socket.send(frame)
            await socket.send(rtcd.encode(Leave("last"), Sender.CLIENT))
            said: list[rtcd.Message] = []
            async with asyncio.timeout(WAIT_S):
                while Close("last") not in said:
                    said.append(rtcd.decode(await socket.recv(decode=False), Sender.SERVER))
    assert said[1:] == [Close("x9"), Close("x1"), Close("last")] and isinstance(said[0], Hello)


def told(server: RtcdServer, path: str) -> Any:  # JSON
    """What the HTTP API answers to who is known there."""
    with urllib.request.urlopen(
        urllib.request.Request(server.url + path, headers=dict([server.authorization]))
    ) as answer:
        return json.load(answer)


@both
async def test_the_http_api_knows_who_is_in_a_call(of: str) -> None:
    async with served(of) as server:
        one = Room(server)
        try:
            await one.open()
            joins = [caller.session._join for caller in await one.two(dc_signaling=True)]
            path = f"/calls/{joins[0].call_id}/sessions"
            sessions = await asyncio.to_thread(told, server, path)
            assert {each["SessionID"] for each in sessions} == {join.session_id for join in joins}
            session = await asyncio.to_thread(told, server, f"{path}/{joins[0].session_id}")
        finally:
            await one.close()
    assert session == {
        "GroupID": server.client_id, "CallID": joins[0].call_id, "UserID": joins[0].user_id,
        "SessionID": joins[0].session_id,
        "Props": {"av1Support": False, "channelID": "", "dcSignaling": True},
    }  # fmt: skip


@both
async def test_a_join_that_is_refused_is_silence(of: str) -> None:
    async with room(of) as one:
        caller = await one.joins(RtcdSession(Join("", "user", secrets.token_hex(13)), answer_decided_s=REFUSED_S))
        await caller.saw(Failed)
        assert [event for event in caller.events if isinstance(event, SessionDescription | Closed)] == []


@pytest.mark.parametrize("of", SERVERS[1:])
async def test_the_media_port_is_known_by_how_it_takes_checks_of_strangers(of: str) -> None:
    async with served(of) as server:
        ports = (server.media_port, server.api_port)
        sites = [Site(phase=Phase.POST, media=(MediaAddress(host=HOST, tcp_port=port),)) for port in ports]
        media, api = [await tcp_live_probe(context(None, site=site)) for site in sites]
    assert (media.status, media.evidence["hosts"][0]["unknown"]) == (Status.PASS, "held")
    assert api.status is Status.WARN and "a web server" in api.summary
