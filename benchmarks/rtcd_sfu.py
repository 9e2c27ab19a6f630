"""rtcd as one of the SFUs that are compared: started with a store and ports of its own, spoken to as the plugin does.

Sessions of one call over one WebSocket (rtcd's `ws` messages are two msgpack values one after the other). rtcd sends a
session no track before a data channel of its client is open, so each client of ours opens one, by aiortc's SCTP; a
track is offered when its first packet comes, and such offers are answered here. Header extensions and congestion
feedback are not negotiated, which spares rtcd work.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import tempfile
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import cast

import msgspec
from aiortc import (
    RTCDataChannel,
    RTCDataChannelParameters,
    RTCDtlsTransport,
    RTCSctpCapabilities,
    RTCSctpTransport,
)
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.participant import Participant
from benchmarks.sfus import HOST, START_S, Client, Sfu, ended, new_client
from calls_doctor.net.bound_sockets import bound_both
from calls_doctor.wire import sdp
from calls_doctor.wire.dtls import Certificate

BINARY = "RTCD_BIN"
"""The environment variable that names rtcd's binary."""
PORTS, PORT_TRIES = range(20000, 30000), 64
"""rtcd takes none over 49151."""
SDP_MESSAGE, OPUS, SCTP_PORT = 2, 111, 5000
CHANNEL_S, POLL_S = 5.0, 0.02
_encode = msgspec.msgpack.encode
_RTC = _encode("rtc")


class _Rtc(msgspec.Struct, frozen=True):
    """An rtc message."""

    session_id: str
    type: int
    data: bytes = b""


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
        async for message in self._socket:
            if isinstance(message, bytes) and message.startswith(_RTC):
                rtc = msgspec.msgpack.decode(message[len(_RTC) :], type=_Rtc)
                if rtc.type == SDP_MESSAGE:
                    await self._described(rtc)

    async def join(self) -> Participant:
        """One more session; the first sends audio."""
        name, session = secrets.token_hex(13), _Session(new_client())
        sends = not self._sessions
        self._sessions[name] = session
        joined = {"callID": self._call, "userID": name, "sessionID": name}
        await self._socket.send(_encode("join") + _encode(joined))
        sections = [("0", "audio", OPUS), ("1", "application", 0)] if sends else [("1", "application", 0)]
        offer = self._description(session.client, sections, "sendonly")
        await self._describe(name, "offer", offer)
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

    async def _described(self, rtc: _Rtc) -> None:
        told = json.loads(rtc.data)
        session, description = self._sessions[rtc.session_id], sdp.parse(told["sdp"])
        if told["type"] == "answer":
            session.answer.set_result(description)
            return
        sections = [(one.mid, one.kind, one.opus_payload_type or 0) for one in description.media]
        await self._describe(rtc.session_id, "answer", self._description(session.client, sections, "recvonly"))

    async def _describe(self, session: str, kind: str, text: str) -> None:
        ids = {"group_id": "", "user_id": "", "session_id": session, "call_id": ""}
        data = json.dumps({"type": kind, "sdp": text}).encode()
        await self._socket.send(_RTC + _encode({**ids, "type": SDP_MESSAGE, "data": data}))

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
    api_port, media_port = _free_port(), _free_port()
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "RTCD_API_HTTP_LISTENADDRESS": f"{HOST}:{api_port}",
            "RTCD_API_SECURITY_ALLOWSELFREGISTRATION": "true",
            "RTCD_RTC_ICEADDRESSUDP": HOST,
            "RTCD_RTC_ICEADDRESSTCP": HOST,
            "RTCD_RTC_ICEPORTUDP": str(media_port),
            "RTCD_RTC_ICEPORTTCP": str(media_port),
            "RTCD_STORE_DATASOURCE": f"{folder}/store",
            "RTCD_LOGGER_ENABLEFILE": "false",
            "RTCD_LOGGER_CONSOLELEVEL": "ERROR",
        }
        process = await asyncio.create_subprocess_exec(
            os.environ[BINARY], "-config", f"{folder}/none",
            env={**os.environ, **settings}, cwd=folder,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            header = await _registered(api_port)
            async with connect(f"ws://{HOST}:{api_port}/ws", additional_headers=[header], compression=None) as socket:
                signalling = _Signalling(socket, media_port)
                listening = asyncio.create_task(signalling.run())
                try:
                    yield Sfu(name="rtcd", pid=process.pid, join=signalling.join)
                finally:
                    await signalling.close()
                    listening.cancel()
                    await asyncio.wait([listening])
        finally:
            process.terminate()
            await ended(process)


async def _registered(port: int) -> tuple[str, str]:
    """Waits for the API and registers with it; the header that says who we are."""
    name, key = "load", secrets.token_hex(16)
    request = urllib.request.Request(
        f"http://{HOST}:{port}/register", json.dumps({"clientID": name, "authKey": key}).encode(), method="POST"
    )
    async with asyncio.timeout(START_S):
        while True:
            with suppress(OSError):
                await asyncio.to_thread(lambda: urllib.request.urlopen(request).close())
                return "Authorization", f"Basic {base64.b64encode(f'{name}:{key}'.encode()).decode()}"
            await asyncio.sleep(POLL_S)


def _free_port() -> int:
    """A number that UDP and TCP both have free on HOST now."""
    for port in Random().sample(PORTS, PORT_TRIES):
        with suppress(OSError):
            for socks in bound_both([HOST], port):
                for sock in socks:
                    sock.close()
            return port
    raise OSError("no port is free")
