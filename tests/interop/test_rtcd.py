"""aiortc, unmodified, and our session in calls of rtcd itself and of our stand-in: what is said over the WebSocket and
the data channel is what rtcd expects, what comes is what rtcd says, and neither end can tell the stand-in from rtcd."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from calls_doctor.wire.rtcd import Join
from calls_doctor.wire.rtcd_channel import MediaMap, Ping, Pong, TextPing, TextPong
from calls_doctor.wire.rtcd_session import RtcdSession
from calls_doctor.wire.rtcd_session_events import Closed, Failed, MayOffer
from calls_doctor.wire.rtcd_signal import Mute, ScreenOff, SessionDescription, Unmute
from tests.servers.plain_sockets import eventually
from tests.servers.rtcd_callers import Room
from tests.servers.rtcd_or_stand_in import SERVERS, served

REFUSED_S = 0.5
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


@both
async def test_a_join_that_is_refused_is_silence(of: str) -> None:
    async with room(of) as one:
        caller = await one.joins(RtcdSession(Join("", "user", secrets.token_hex(13)), answer_decided_s=REFUSED_S))
        await caller.saw(Failed)
        assert [event for event in caller.events if isinstance(event, SessionDescription | Closed)] == []
