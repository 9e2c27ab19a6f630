"""aiortc, unmodified, and our session in calls of rtcd itself and of our stand-in: what is said over the WebSocket and
the data channel is what rtcd expects, what comes is what rtcd says, and neither end can tell the stand-in from rtcd."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
from aiortc import AudioStreamTrack, MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import candidate_from_sdp
from websockets.asyncio.client import ClientConnection, connect

from calls_doctor.net import sctp
from calls_doctor.net.aiortc_peer import use_only
from calls_doctor.standin.launch import Options
from calls_doctor.standin.server import StandIn
from calls_doctor.wire import rtcd, rtcd_channel
from calls_doctor.wire.rtcd import Hello, Join
from calls_doctor.wire.rtcd_channel import MediaMap, Ping, Pong, TextPing, TextPong
from calls_doctor.wire.rtcd_session import RtcdSession
from calls_doctor.wire.rtcd_session_events import Closed, Event, Failed, MayOffer
from calls_doctor.wire.rtcd_signal import IceCandidate, Mute, Sender, SessionDescription, Signal, Unmute
from tests.servers.plain_sockets import eventually
from tests.servers.rtcd_server import HOST, RtcdServer, rtcd_server, why_not

SERVERS = [
    "stand-in",
    pytest.param("rtcd", marks=pytest.mark.skipif(why_not() != "", reason=f"no rtcd here: {why_not()}")),
]
REFUSED_S = 0.5
PARTS = Options(addresses=(HOST,), without=frozenset({"stun", "turn"}))
both = pytest.mark.parametrize("of", SERVERS)


class Caller:
    """A session of ours whose peer is aiortc's."""

    def __init__(self, socket: ClientConnection, session: RtcdSession) -> None:
        self.session = session
        self.socket = socket
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channel = self.peer.createDataChannel("calls-dc")
        self._channel.on("open", lambda: self.do(self.session.channel_opened))
        self._channel.on("message", self._heard)
        self.peer.on("track", self._take)
        self.events: list[Event] = []
        self.frames = 0
        self._taking: list[asyncio.Task[None]] = []
        self._work: asyncio.Queue[Callable[[float], None]] = asyncio.Queue()
        self._working = asyncio.create_task(self._run())

    def do(self, step: Callable[[float], None]) -> None:
        """One thing after the other: what the session tells of it is done before the next."""
        self._work.put_nowait(step)

    async def begin(self) -> None:
        """Joins, and offers a data channel only, as the client in a browser does."""
        assert self.peer.sctp is not None
        use_only(self.peer.sctp.transport, HOST)
        self.session.join()
        offer = await self._described("offer")
        self.do(lambda now: self.session.offer(offer, now))

    def publish(self) -> None:
        use_only(self.peer.addTrack(AudioStreamTrack()).transport, HOST)
        self.do(self.session.negotiate)

    def tell(self, message: rtcd_channel.Message) -> None:
        self.do(lambda _now: self.session.tell(message))

    def signal(self, signal: Signal) -> None:
        self.do(lambda _now: self.session.signal(signal))

    def reconnect(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.do(lambda _now: self.session.reconnected())

    def is_open(self) -> bool:
        return self._channel.readyState == "open"

    async def saw(self, kind: type[Event]) -> None:
        """Waits until one was told."""
        await eventually(lambda: any(isinstance(event, kind) for event in self.events))

    async def close(self) -> None:
        await self.peer.close()
        for task in (self._working, *self._taking):
            task.cancel()
        await asyncio.wait([self._working, *self._taking])

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            timer = self.session.next_timer()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(timer):
                    (await self._work.get())(loop.time())
            self.session.handle_timer(loop.time())
            for event in self.session.events():
                self.events.append(event)
                await self._follow(event, loop.time())
            for frame in self.session.frames_to_send():
                await self.socket.send(rtcd.encode(frame, Sender.CLIENT))
            for message in self.session.channel_to_send():
                self._channel.send(rtcd_channel.encode(message, Sender.CLIENT))

    async def _follow(self, event: Event, now: float) -> None:
        match event:
            case SessionDescription("answer", sdp):
                await self.peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
            case SessionDescription("offer", sdp):
                await self.peer.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
                self.session.answer(await self._described("answer"), now)
            case IceCandidate():
                candidate = candidate_from_sdp(event.candidate.removeprefix("candidate:"))
                candidate.sdpMid, candidate.sdpMLineIndex = event.sdp_mid, event.sdp_mline_index
                await self.peer.addIceCandidate(candidate)
            case MayOffer():
                self.session.offer(await self._described("offer"), now)

    async def _described(self, kind: str) -> str:
        description = await (self.peer.createOffer() if kind == "offer" else self.peer.createAnswer())
        await self.peer.setLocalDescription(description)
        return self.peer.localDescription.sdp

    def _heard(self, message: str | bytes) -> None:
        read = rtcd_channel.decode(message, Sender.SERVER)
        self.do(lambda now: self.session.receive_channel(read, now))

    def _take(self, track: MediaStreamTrack) -> None:
        self._taking.append(asyncio.create_task(self._count(track)))

    async def _count(self, track: MediaStreamTrack) -> None:
        with suppress(MediaStreamError):
            while True:
                await track.recv()
                self.frames += 1


class Room:
    """One WebSocket to rtcd, and the callers whose sessions it carries."""

    def __init__(self, server: RtcdServer) -> None:
        self._server = server
        self.callers: list[Caller] = []
        self._call = secrets.token_hex(13)
        self._listening: asyncio.Task[None] | None = None
        self._socket: ClientConnection | None = None

    async def open(self) -> ClientConnection:
        """A WebSocket that has said hello."""
        header = self._server.authorization
        self._socket = await connect(self._server.websocket_url, additional_headers=[header], compression=None)
        hello = rtcd.decode(await self._frame(), Sender.SERVER)
        assert isinstance(hello, Hello) and hello.client_id == self._server.client_id and len(hello.conn_id) == 26
        self._listening = asyncio.create_task(self._listen(self._socket))
        return self._socket

    async def _frame(self) -> bytes:
        assert self._socket is not None
        frame = await self._socket.recv()
        assert isinstance(frame, bytes)
        return frame

    async def _listen(self, socket: ClientConnection) -> None:
        async for frame in socket:
            assert isinstance(frame, bytes)
            message = rtcd.decode(frame, Sender.SERVER)
            for caller in self.callers:
                caller.do(partial(caller.session.receive, message))

    async def joins(self, session: RtcdSession) -> Caller:
        assert self._socket is not None
        caller = Caller(self._socket, session)
        self.callers.append(caller)
        await caller.begin()
        return caller

    async def two(self, *, dc_signaling: bool = False) -> tuple[Caller, Caller]:
        """In one call, with their data channels open."""
        names = secrets.token_hex(13), secrets.token_hex(13)
        first, second = [
            await self.joins(RtcdSession(Join(self._call, name, name, dc_signaling=dc_signaling))) for name in names
        ]
        for caller in (first, second):
            await eventually(caller.is_open)
        return first, second

    async def close_socket(self) -> None:
        if self._socket is not None and self._listening is not None:
            await self._socket.close()
            self._listening.cancel()
            await asyncio.wait([self._listening])


@asynccontextmanager
async def served(of: str) -> AsyncIterator[RtcdServer]:
    """rtcd, or who stands in for it."""
    if of == "rtcd":
        async with rtcd_server() as server:
            yield server
        return
    async with StandIn(PARTS, open_channel=sctp.open_channel) as stand_in:
        assert stand_in.ready is not None
        keys = stand_in.ready.pairing.keys
        ports = stand_in.ready.api_port, stand_in.ready.media_port
        yield RtcdServer(os.getpid(), *ports, keys.api_client_id, keys.api_auth_key.reveal())


@asynccontextmanager
async def room(of: str) -> AsyncIterator[Room]:
    async with served(of) as server:
        one = Room(server)
        try:
            await one.open()
            yield one
        finally:
            for caller in one.callers:
                await caller.close()
            await one.close_socket()


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
