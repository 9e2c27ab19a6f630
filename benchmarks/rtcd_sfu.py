"""rtcd as one of the SFUs that are compared: started with a store and ports of its own, spoken to as the plugin does.

Sessions of one call over one WebSocket. rtcd sends a session no track before a data channel of its client is open, so
each client of ours opens one, by aiortc's SCTP; a track is offered when its first packet comes, and such offers are
answered here. Header extensions and congestion feedback are not negotiated, which spares rtcd work.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from aiortc import (
    RTCDataChannel,
    RTCDataChannelParameters,
    RTCDtlsTransport,
    RTCSctpCapabilities,
    RTCSctpTransport,
)
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.participant import Participant
from benchmarks.sfus import HOST, START_S, Client, Sfu, new_client
from calls_doctor.wire import rtcd as wire
from calls_doctor.wire import sdp
from calls_doctor.wire.dtls import Certificate
from calls_doctor.wire.rtcd import Join, Rtc
from calls_doctor.wire.rtcd_signal import Sender, SessionDescription
from tests.servers.rtcd_server import rtcd_server

OPUS, SCTP_PORT = 111, 5000
CHANNEL_S = 5.0


@dataclass
class _Session:
    """One client's signalling."""

    client: Client
    answer: asyncio.Future[sdp.Description] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class _Dtls:
    """What aiortc's RTCSctpTransport asks of the transport under it, by our client's DTLS: five members and a state."""

    _role = "client"
    state = "connected"

    def __init__(self) -> None:
        self.participant: Participant | None = None
        self._received: asyncio.Queue[bytes] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def received(self, data: bytes) -> None:
        """DTLS application data came."""
        self._received.put_nowait(data)

    def _register_data_receiver(self, receiver: RTCSctpTransport) -> None:
        self._task = asyncio.create_task(self._hand_on(receiver))

    def _unregister_data_receiver(self, _receiver: RTCSctpTransport) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _send_data(self, data: bytes) -> None:
        assert self.participant is not None, "SCTP starts when DTLS is up"
        self.participant.send_data(data)

    async def _hand_on(self, receiver: RTCSctpTransport) -> None:
        while True:
            await receiver._handle_data(await self._received.get())


class _Signalling:
    """The plugin's side of one WebSocket."""

    def __init__(self, socket: ClientConnection, port: int) -> None:
        self._socket, self._port = socket, port
        self._certificate = Certificate.generate()
        self._call = secrets.token_hex(13)
        self._sessions: dict[str, _Session] = {}
        self._channels: list[RTCSctpTransport] = []

    async def run(self) -> None:
        """Takes what rtcd says, until cancelled."""
        async for frame in self._socket:
            message = wire.decode(frame, Sender.SERVER) if isinstance(frame, bytes) else None
            if isinstance(message, Rtc) and isinstance(message.signal, SessionDescription):
                await self._described(message.session_id, message.signal)

    async def join(self) -> Participant:
        """One more session; the first sends audio."""
        name, session = secrets.token_hex(13), _Session(new_client())
        sends = not self._sessions
        self._sessions[name] = session
        await self._say(Join(self._call, name, name))
        sections = [("0", "audio", OPUS), ("1", "application", 0)] if sends else [("1", "application", 0)]
        offer = self._description(session.client, sections, "sendonly")
        await self._say(Rtc(name, SessionDescription("offer", offer)))
        async with asyncio.timeout(START_S):
            answer = await session.answer
        dtls = _Dtls()
        settings = session.client.settings(self._certificate, answer, OPUS)
        participant = dtls.participant = Participant(settings, data=dtls.received)
        await participant.connect(session.client.opener((HOST, self._port)))
        await self._open_channel(dtls)
        return participant

    async def close(self) -> None:
        """Ends the data channels' timers."""
        for channel in self._channels:
            await channel.stop()

    async def _open_channel(self, dtls: _Dtls) -> None:
        transport = RTCSctpTransport(cast(RTCDtlsTransport, dtls), SCTP_PORT)  # it asks no other members
        self._channels.append(transport)
        await transport.start(RTCSctpCapabilities(maxMessageSize=65536), SCTP_PORT)
        channel = RTCDataChannel(transport, RTCDataChannelParameters(label="calls-dc"))
        opened = asyncio.Event()
        channel.on("open", opened.set)
        async with asyncio.timeout(CHANNEL_S):
            await opened.wait()

    async def _described(self, name: str, told: SessionDescription) -> None:
        session, description = self._sessions[name], sdp.parse(told.sdp)
        if told.type == "answer":
            session.answer.set_result(description)
            return
        sections = [(one.mid, one.kind, one.opus_payload_type or 0) for one in description.media]
        answer = self._description(session.client, sections, "recvonly")
        await self._say(Rtc(name, SessionDescription("answer", answer)))

    async def _say(self, message: wire.Message) -> None:
        await self._socket.send(wire.encode(message, Sender.CLIENT))

    def _description(self, client: Client, sections: list[tuple[str, str, int]], direction: str) -> str:
        """An offer or an answer; sections as (mid, kind, payload type)."""
        lines = ["v=0", f"o=- 1 1 IN IP4 {HOST}", "s=-", "t=0 0"]
        lines.append("a=group:BUNDLE " + " ".join(mid for mid, _, _ in sections))
        for mid, kind, payload_type in sections:
            if kind == "audio":
                lines += [f"m=audio 9 UDP/TLS/RTP/SAVPF {payload_type}", "a=rtcp-mux", f"a={direction}"]
                lines += [
                    f"a=rtpmap:{payload_type} opus/48000/2",
                    "a=msid:load load",
                    f"a=ssrc:{client.ssrc} cname:load",
                ]
            else:
                lines += ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", f"a=sctp-port:{SCTP_PORT}"]
            lines += [f"c=IN IP4 {HOST}", f"a=mid:{mid}", *client.transport(self._certificate)]
        return "\r\n".join([*lines, ""])


@asynccontextmanager
async def rtcd() -> AsyncIterator[Sfu]:
    """The binary that RTCD_BIN names."""
    async with (
        rtcd_server() as server,
        connect(server.websocket_url, additional_headers=[server.authorization], compression=None) as socket,
    ):
        signalling = _Signalling(socket, server.media_port)
        listening = asyncio.create_task(signalling.run())
        try:
            yield Sfu(name="rtcd", pid=server.pid, join=signalling.join)
        finally:
            await signalling.close()
            listening.cancel()
            await asyncio.wait([listening])
