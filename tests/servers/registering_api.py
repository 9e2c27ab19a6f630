"""rtcd's API as captured, as far as `hello`, with a memory of its clients, and knobs for what may go wrong."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from calls_doctor.wire import rtcd
from calls_doctor.wire.rtcd_signal import Sender
from tests.servers.api_servers import BINARY, VERSION, accepting, frame
from tests.servers.plain_sockets import rest_of
from tests.servers.scripted_tcp import HOST, http_answer, served

ALREADY = "registration failed: already registered"
TOKEN = "t" * 32
NO_HEADER = "authentication failed: invalid auth header"


@dataclass
class RegisteringApi:
    """One that runs."""

    url: str = ""
    registers: bool = True
    """Whoever asks."""
    unregisters: bool = True
    admin: str = ""
    """The admin's secret; "" for no admin."""
    version: bytes = VERSION
    opens: bool = True
    """/ws to whoever may; else it is refused as if the header had been lost."""
    known: dict[str, str] = field(default_factory=dict)
    """Client id -> key."""
    asked: list[str] = field(default_factory=list)
    """Paths, in order."""
    held: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is not set, /unregister is not answered."""
    holding: asyncio.Event = field(default_factory=asyncio.Event)

    def answer(self, path: str, authorization: str, said: dict[str, str]) -> bytes:
        """As rtcd v1.2.6 does."""
        client_id, key = said.get("clientID", ""), said.get("authKey", "")
        plain = {"/version": http_answer(200, self.version), "/system": http_answer(200, b'{"cpu_load":0.25}\n')}
        if path in plain:
            return plain[path]
        if path == "/login":
            return self._logged_in(client_id, key)
        if path == "/register":
            return self._registered(client_id, key)
        if path == "/unregister":
            return self._unregistered(authorization, client_id)
        if path.startswith("/calls/"):
            knows = b"failed to get session configs: group not found\n"
            return http_answer(404, knows) if self.greets(authorization) else http_answer(401, b"unauthorized\n")
        return http_answer(404, b"404 page not found\n")

    def _logged_in(self, client_id: str, key: str) -> bytes:
        if client_id not in self.known:
            return _refused(400, "login failed: authentication failed: error: not found")
        if self.known[client_id] != key:
            return _refused(400, "login failed: authentication failed")
        return _json(200, {"bearerToken": TOKEN, "code": "200"})

    def greets(self, authorization: str) -> str | None:
        """Whom /ws is opened to; None where it is not."""
        if not self.opens:
            return None
        if authorization == f"Bearer {TOKEN}":
            return next(iter(self.known))
        name, key = _pair(authorization)
        if self.admin and key == self.admin:
            return ""
        return name if name and self.known.get(name) == key else None

    def _registered(self, client_id: str, key: str) -> bytes:
        if not self.registers:
            return _refused(401, NO_HEADER)
        if len(key) < 32:
            return _refused(400, "registration failed: key not long enough")
        if client_id in self.known:
            return _refused(400, ALREADY)
        self.known[client_id] = key
        return _json(201, {"clientID": client_id, "code": "201"})

    def _unregistered(self, authorization: str, client_id: str) -> bytes:
        if not (self.unregisters and (self.registers or self.admin)):
            return _refused(403, "unregister not enabled")
        if not authorization:
            return _refused(401, NO_HEADER)
        name, key = _pair(authorization)
        if self.known.get(name) != key:
            return _refused(401, "authentication failed")
        del self.known[client_id]
        return _json(200, {"code": "200"})


def _pair(authorization: str) -> tuple[str, str]:
    name, _, key = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
    return name, key


def _json(status: int, content: dict[str, str]) -> bytes:
    return http_answer(status, json.dumps(content).encode() + b"\n", "Content-Type: application/json")


def _refused(status: int, error: str) -> bytes:
    return _json(status, {"code": str(status), "error": error})


@asynccontextmanager
async def registering_api(tls: ssl.SSLContext | None = None) -> AsyncIterator[RegisteringApi]:
    """On a free port of 127.0.0.1."""
    api = RegisteringApi()
    api.held.set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = await reader.readexactly(int(lines.get("Content-Length", "0")))
        path = head.split()[1]
        api.asked.append(path)
        if path == "/unregister" and not api.held.is_set():
            api.holding.set()
            await api.held.wait()
        if path == "/ws":
            who = api.greets(lines.get("Authorization", ""))
            if who is None:
                writer.write(http_answer(200))
                return
            hello = rtcd.encode(rtcd.Hello(who, "y" * 26), Sender.SERVER)
            writer.write(accepting(head.encode()) + frame(BINARY, hello))
            await rest_of(reader)
            return
        writer.write(api.answer(path, lines.get("Authorization", ""), json.loads(body or b"{}")))

    async with served(serve, tls) as server:
        api.url = f"{'https' if tls else 'http'}://{HOST}:{server.port}"
        yield api
