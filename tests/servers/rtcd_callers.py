"""Callers of rtcd whose peer is aiortc's, unmodified, and whose signalling is our own session's: all that is below it
nobody here wrote."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from aiortc import (
    AudioStreamTrack,
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtpPacket
from aiortc.sdp import candidate_from_sdp
from av import VideoFrame
from websockets.asyncio.client import ClientConnection, connect

from calls_doctor.net.aiortc_peer import use_only
from calls_doctor.wire import rtcd, rtcd_channel, sdp
from calls_doctor.wire.rtcd import Hello, Join
from calls_doctor.wire.rtcd_channel import MediaMap
from calls_doctor.wire.rtcd_session import RtcdSession
from calls_doctor.wire.rtcd_session_events import Event, MayOffer
from calls_doctor.wire.rtcd_signal import IceCandidate, ScreenOn, Sender, SessionDescription, Signal
from tests.servers.plain_sockets import WAIT_S, eventually
from tests.servers.rtcd_server import HOST, RtcdServer

SCREEN = "the-screen"


class Caller:
    """A session of ours whose peer is aiortc's."""

    def __init__(self, socket: ClientConnection, session: RtcdSession) -> None:
        self.session = session
        self.socket = socket
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channel = self.peer.createDataChannel("calls-dc")
        self._channel.on("open", self._opened)
        self._channel.on("message", self._heard)
        self.peer.on("track", self._take)
        self.events: list[Event] = []
        self.frames = self.pictures = 0
        """Of audio and of video that came, decoded."""
        self.regained = False
        """A packet that was lost has come again."""
        self.opened = asyncio.Event()
        """The data channel is open."""
        self.heard = asyncio.Event()
        self.heard_at = 0.0
        """When the first RTP packet came, in the loop's time."""
        self._taking: list[asyncio.Task[None]] = []
        self._work: asyncio.Queue[Callable[[float], None]] = asyncio.Queue()
        self._working = asyncio.create_task(self._run())

    def do(self, step: Callable[[float], None]) -> None:
        """One thing after the other: what the session tells of it is done before the next."""
        self._work.put_nowait(step)

    async def begin(self, *, talks: bool = False) -> None:
        """Joins, and offers a data channel only, as the client in a browser does, or audio with it."""
        assert self.peer.sctp is not None
        use_only(self.peer.sctp.transport, HOST)
        if talks:
            use_only(self.peer.addTrack(AudioStreamTrack()).transport, HOST)
        self.session.join()
        offer = await self._described("offer")
        self.do(lambda now: self.session.offer(offer, now))

    def publish(self) -> None:
        use_only(self.peer.addTrack(AudioStreamTrack()).transport, HOST)
        self.do(self.session.negotiate)

    def share(self) -> None:
        """Its screen: the stream is named before it begins."""
        sender = self.peer.addTrack(_Screen())
        sender._stream_id = SCREEN  # there is no public way to a stream of its own
        self.signal(ScreenOn(SCREEN))
        self.do(self.session.negotiate)

    def lose(self, payload_type: int) -> None:
        """The next packet under this payload type, before the peer sees anything of it; `regained` once it is here."""
        assert self.peer.sctp is not None
        ice = self.peer.sctp.transport.transport
        receive = ice._recv
        lost: list[bytes] = []

        async def lossy() -> bytes:
            while True:
                packet = await receive()
                if packet[0] >> 6 != 2 or packet[1] & 0x7F != payload_type:
                    return packet
                if lost:
                    self.regained |= packet[2:4] == lost[0]
                    return packet
                lost.append(packet[2:4])

        setattr(ice, "_recv", lossy)  # noqa: B010 - of this one transport; the class stays as it is

    def last_ssrc(self) -> int:
        """Of what was offered last."""
        offers = [one for one in self.events if isinstance(one, SessionDescription) and one.type == "offer"]
        return sdp.parse(offers[-1].sdp).media[-1].ssrcs[0]

    def last_types(self) -> set[str]:
        """What it is sent, by the server's last map."""
        return {track.type for track in [one for one in self.events if isinstance(one, MediaMap)][-1].tracks}

    def tell(self, message: rtcd_channel.Message) -> None:
        self.do(lambda _now: self.session.tell(message))

    def signal(self, signal: Signal) -> None:
        self.do(lambda _now: self.session.signal(signal))

    def reconnect(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.do(lambda _now: self.session.reconnected())

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
            case SessionDescription("answer", text):
                await self.peer.setRemoteDescription(RTCSessionDescription(text, "answer"))
            case SessionDescription("offer", text):
                await self.peer.setRemoteDescription(RTCSessionDescription(text, "offer"))
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

    def _opened(self) -> None:
        self.opened.set()
        self.do(self.session.channel_opened)

    def _take(self, track: MediaStreamTrack) -> None:
        self._taking.append(asyncio.create_task(self._count(track)))
        for receiver in self.peer.getReceivers():
            if receiver.track is track:
                self._tap(receiver)

    def _tap(self, receiver: RTCRtpReceiver) -> None:
        """The first frame is decoded 80 ms after its first packet: there is no public way to that."""
        handle = receiver._handle_rtp_packet

        async def noted(packet: RtpPacket, arrival_time_ms: int) -> None:
            if not self.heard.is_set():
                self.heard_at = asyncio.get_running_loop().time()
                self.heard.set()
            await handle(packet, arrival_time_ms)

        setattr(receiver, "_handle_rtp_packet", noted)  # noqa: B010 - of this one receiver; the class stays as it is

    async def _count(self, track: MediaStreamTrack) -> None:
        with suppress(MediaStreamError):
            while True:
                await track.recv()
                if track.kind == "audio":
                    self.frames += 1
                else:
                    self.pictures += 1


class _Screen(VideoStreamTrack):
    """A small one."""

    async def recv(self) -> VideoFrame:
        frame = VideoFrame(width=64, height=48)
        frame.pts, frame.time_base = await self.next_timestamp()
        return frame


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

    async def joins(self, session: RtcdSession, *, talks: bool = False) -> Caller:
        assert self._socket is not None
        caller = Caller(self._socket, session)
        self.callers.append(caller)
        await caller.begin(talks=talks)
        return caller

    async def both_join(self, *, dc_signaling: bool = False, talks: bool = False) -> tuple[Caller, Caller]:
        """In one call; their data channels are still to open."""
        names = secrets.token_hex(13), secrets.token_hex(13)
        first, second = await asyncio.gather(*(
            self.joins(RtcdSession(Join(self._call, name, name, dc_signaling=dc_signaling)), talks=talks)
            for name in names
        ))  # fmt: skip
        return first, second

    async def two(self, *, dc_signaling: bool = False, talks: bool = False) -> tuple[Caller, Caller]:
        """In one call, with their data channels open."""
        first, second = await self.both_join(dc_signaling=dc_signaling, talks=talks)
        for caller in (first, second):
            async with asyncio.timeout(WAIT_S):
                await caller.opened.wait()
        return first, second

    async def close(self) -> None:
        """Ends the callers, and the WebSocket."""
        for caller in self.callers:
            await caller.close()
        await self.close_socket()

    async def close_socket(self) -> None:
        if self._socket is not None and self._listening is not None:
            await self._socket.close()
            self._listening.cancel()
            await asyncio.wait([self._listening])
