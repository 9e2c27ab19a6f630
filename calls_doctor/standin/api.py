"""The stand-in's 8045: rtcd's HTTP API and its WebSocket (h11, websockets), over asyncio streams.

A shell: what is answered is api_answers.py's, what follows a 101 is api_websocket.py's and then `signalling`'s. Whoever
breaks HTTP, sends too much or too slowly, or is one connection too many, is cut off without a word.

    async with ApiServer(["127.0.0.1"], client_id="...", auth_key=Secret("...")) as server: ...  # server.port
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Sequence
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from typing import Self

import h11

from calls_doctor.model.credentials import Secret
from calls_doctor.net.bound_sockets import bound_tcp
from calls_doctor.standin import api_answers
from calls_doctor.standin.api_accounts import AccountError, Accounts, Headers
from calls_doctor.standin.api_answers import Answer, NoCalls, Request, Signalling
from calls_doctor.standin.api_websocket import SEND_TIMEOUT_S, Timing, WebSocketSession, accepted
from calls_doctor.standin.connection_limit import ConnectionLimit
from calls_doctor.wire import rtcd
from calls_doctor.wire.rtcd_signal import Sender

HEAD_MAX_BYTES = 8192
"""Request line and headers."""
BODY_MAX_BYTES = 4096
REQUEST_TIMEOUT_S = 10.0
"""From the first moment on to the last byte of a request; a connection that is kept alive has as long for the next."""
READ_BYTES = 4096


class ApiServer:
    """Listens on `port` of every address; port 0 takes a free one. One client id with its key is known from
    the start; `signalling` takes the messages of the WebSockets."""

    def __init__(
        self,
        addresses: Sequence[str],
        port: int = 0,
        *,
        client_id: str,
        auth_key: Secret,
        signalling: Signalling | None = None,
        limit: ConnectionLimit | None = None,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        timing: Timing | None = None,
    ) -> None:
        self._addresses = addresses
        self.port = port
        """Where it listens; as given, before `start`."""
        self._accounts = Accounts(client_id, auth_key)
        self._signalling = signalling or NoCalls()
        self._limit = limit or ConnectionLimit()
        self._request_timeout_s, self._timing = request_timeout_s, timing or Timing()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Raises OSError where the port cannot be had."""
        sockets: list[socket.socket] = []
        try:
            for host in self._addresses:
                sockets.append(bound_tcp(host, self.port))
                self.port = sockets[-1].getsockname()[1]
        except OSError:
            for sock in sockets:
                sock.close()
            raise
        self._servers = [await asyncio.start_server(self._serve, sock=sock) for sock in sockets]

    async def close(self) -> None:
        """Ends every connection at once."""
        for server in self._servers:
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        remote = writer.get_extra_info("peername")
        if not remote or not self._limit.enter(remote[0]):  # gone already, or one too many
            writer.transport.abort()
            return
        conversation = _Conversation(
            reader, writer, self._accounts, self._signalling, self._request_timeout_s, self._timing
        )
        task = asyncio.get_running_loop().create_task(conversation.run())
        self._tasks.add(task)

        def ended(_task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._limit.leave(remote[0])

        task.add_done_callback(ended)


class _Conversation:
    """One connection: its requests one after the other, and what follows an upgrade."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        accounts: Accounts,
        signalling: Signalling,
        request_timeout_s: float,
        timing: Timing,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._accounts, self._signalling = accounts, signalling
        self._request_timeout_s, self._timing = request_timeout_s, timing
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_MAX_BYTES)

    async def run(self) -> None:
        """Until either end closes, or what comes is not to be answered any more."""
        try:
            await self._take_requests()
            self._writer.close()
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._writer.wait_closed()
        except (h11.RemoteProtocolError, OSError, TimeoutError):
            pass  # whoever breaks the protocol learns nothing, and what the network broke is broken
        finally:
            self._writer.transport.abort()

    async def _take_requests(self) -> None:
        while True:
            async with asyncio.timeout(self._request_timeout_s):
                request, body = await self._next_request()
            if request is None:
                return
            method, target = request.method.decode("ascii"), request.target.decode("ascii")
            headers: Headers = {}
            for name, value in request.headers:
                headers.setdefault(name.decode("ascii"), []).append(value.decode("latin-1"))
            asked = Request(method, target, headers, body)
            if (method, asked.path) == ("GET", "/ws"):
                answer = await self._open_websocket(asked)
            else:
                answer = api_answers.answer(asked, self._accounts, self._signalling)
            if answer is None:
                return
            await self._send(answer, with_body=method != "HEAD")
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _next_request(self) -> tuple[h11.Request | None, bytes]:
        """None where the client has left, speaks another HTTP, or sends a body too large to be one of ours."""
        request: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(READ_BYTES))
            elif isinstance(event, h11.Request) and event.http_version in (b"1.0", b"1.1"):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > BODY_MAX_BYTES:
                    return None, b""
            elif isinstance(event, h11.EndOfMessage):
                return request, bytes(body)
            else:
                return None, b""

    async def _open_websocket(self, request: Request) -> Answer | None:
        """The answer where there is to be no WebSocket; else None, once it has ended."""
        try:
            client_id = self._accounts.authenticate(request.headers)
        except AccountError:
            return api_answers.REFUSED
        protocol = accepted(request.target, request.headers)
        if protocol is None:
            return api_answers.NO_UPGRADE
        if api_answers.is_foreign_origin(request.headers):
            return api_answers.FOREIGN_ORIGIN
        conn_id = rtcd.connection_id(secrets.token_bytes(rtcd.CONNECTION_ID_BYTES))
        hello = rtcd.encode(rtcd.Hello(client_id, conn_id), Sender.SERVER)
        session = WebSocketSession(protocol, self._reader, self._writer, self._timing)
        self._signalling.connect(conn_id, client_id, session.send)
        try:
            await session.run(hello, self._http.trailing_data[0], partial(self._signalling.receive, conn_id))
        finally:
            self._signalling.disconnect(conn_id)
        return None

    async def _send(self, answer: Answer, *, with_body: bool) -> None:
        headers = [*answer.headers, ("Date", formatdate(usegmt=True)), ("Content-Length", str(len(answer.body)))]
        reason = HTTPStatus(answer.status).phrase
        events: list[h11.Event] = [h11.Response(status_code=answer.status, headers=headers, reason=reason)]
        if with_body:
            events.append(h11.Data(data=answer.body))
        for event in [*events, h11.EndOfMessage()]:
            self._writer.write(self._http.send(event) or b"")
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await self._writer.drain()
