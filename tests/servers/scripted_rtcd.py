"""An rtcd that answers as far as it is told to, and then falls silent, closes or breaks off: for what goes wrong at
each stage of a call. Media ends at DTLS. What a healthy rtcd does is for rtcd itself to show (rtcd_server.py)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from calls_doctor.model.credentials import Secret
from calls_doctor.net.rtcd_access import RtcdAccess
from calls_doctor.wire import rtcd, sdp
from calls_doctor.wire.connection import SessionSettings
from calls_doctor.wire.dtls import Certificate, DtlsRole
from calls_doctor.wire.ice import IceRole
from calls_doctor.wire.rtcd import Close, Hello, Join, Leave, Rtc
from calls_doctor.wire.rtcd_signal import IceCandidate, Sender, SessionDescription
from tests.servers.api_servers import VERSION
from tests.servers.lone_connection import LoneConnection, lone_connection

HOST, OWN_PORT = "127.0.0.1", "OWN-PORT"
ANSWER = (Path(__file__).parent.parent / "data" / "sdp" / "rtcd-answer-data.sdp").read_bytes().decode()
FRAGMENT, PASSWORD = "HUrsjOogctXQslqe", "rPzuoYnJGkFeevnByZvCoYHtqxSXegei"
"""Of the answer above."""


@dataclass(kw_only=True)
class Script:
    """How far it goes."""

    status: int = 101
    """Of the upgrade; 200 is rtcd's word for wrong credentials."""
    greets: bool = True
    answers: bool = True
    """Offers."""
    answer: str = ANSWER
    says: str = "silence"
    """To an offer, where it does not answer: "silence", "close" or "cut"."""
    session_status: int | None = 404
    """What GET /calls/… is answered; None: nothing."""
    candidates: Sequence[str] | None = None
    """OWN_PORT stands for that behind which a DTLS-SRTP peer listens; None: this one alone."""
    dtls_role: DtlsRole = DtlsRole.CLIENT
    """Of that peer: rtcd's own is the client."""


@dataclass
class ScriptedRtcd:
    """One that runs."""

    script: Script
    port: int = 0
    joined: list[Join] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """Names of sessions, once each of them said so."""
    told: list[IceCandidate] = field(default_factory=list)
    """Candidates of the client's."""
    peers: list[LoneConnection] = field(default_factory=list)

    @property
    def access(self) -> RtcdAccess:
        return RtcdAccess(url=f"http://{HOST}:{self.port}", authorization=Secret("Basic eDp5"))


class _Conversation:
    def __init__(self, server: ScriptedRtcd, socket: ServerConnection, stack: AsyncExitStack) -> None:
        self._server, self._socket, self._stack = server, socket, stack
        self._certificate = Certificate.generate()

    async def run(self) -> None:
        if self._server.script.greets:
            await self._send(Hello("x", "c" * 26))
        async for frame in self._socket:
            assert isinstance(frame, bytes)
            await self._hear(rtcd.decode(frame, Sender.CLIENT))

    async def _hear(self, message: rtcd.Message) -> None:
        match message:
            case Join():
                self._server.joined.append(message)
            case Leave(session):
                self._server.left.append(session)
                await self._send(Close(session))
            case Rtc(session, SessionDescription("offer", text)):
                await self._offered(session, text)
            case Rtc(_, IceCandidate() as candidate):
                self._server.told.append(candidate)

    async def _offered(self, session: str, text: str) -> None:
        script = self._server.script
        if not script.answers:
            if script.says == "close":
                await self._send(Close(session))
            elif script.says == "cut":
                self._socket.transport.abort()
            return
        peer = await self._stack.enter_async_context(lone_connection(self._settings(session, sdp.parse(text))))
        self._server.peers.append(peer)
        own = self._certificate.fingerprint
        before = sdp.parse(ANSWER).fingerprint
        answer = script.answer.replace(sdp.colons(before), sdp.colons(own))
        await self._send(Rtc(session, SessionDescription("answer", answer)))
        port = peer.address[1]
        own_candidate = f"candidate:1 1 udp 2130706431 {HOST} {OWN_PORT} typ host ufrag {FRAGMENT}"
        for candidate in [own_candidate] if script.candidates is None else script.candidates:
            await self._send(Rtc(session, IceCandidate(candidate.replace(OWN_PORT, str(port)), "0", 0)))

    def _settings(self, session: str, offer: sdp.Description) -> SessionSettings:
        return SessionSettings(
            session=session,
            ice_role=IceRole.LITE,
            dtls_role=self._server.script.dtls_role,
            certificate=self._certificate,
            remote_fingerprint=offer.fingerprint,
            local_fragment=FRAGMENT,
            local_password=PASSWORD,
            remote_fragment=offer.ice_ufrag,
            remote_password=offer.ice_pwd,
            ssrc=9,
        )

    async def _send(self, message: rtcd.Message) -> None:
        await self._socket.send(rtcd.encode(message, Sender.SERVER))


@asynccontextmanager
async def scripted_rtcd(script: Script | None = None) -> AsyncIterator[ScriptedRtcd]:
    """Listens on a free port of 127.0.0.1."""
    server = ScriptedRtcd(script or Script())
    silences: list[asyncio.Event] = []

    async def asked(connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/ws":
            status = server.script.status
            return None if status == 101 else connection.respond(status, "")
        if request.path == "/version" and server.script.session_status is not None:
            return connection.respond(200, VERSION.decode())
        if server.script.session_status is None:
            silences.append(asyncio.Event())
            await silences[-1].wait()
        return connection.respond(server.script.session_status or 500, "")

    async with AsyncExitStack() as stack:

        async def converse(socket: ServerConnection) -> None:
            with contextlib.suppress(ConnectionClosed):
                await _Conversation(server, socket, stack).run()

        listening = await stack.enter_async_context(
            serve(converse, HOST, 0, process_request=asked, compression=None, close_timeout=0.1)
        )
        server.port = next(iter(listening.sockets)).getsockname()[1]
        yield server
        for silence in silences:
            silence.set()
