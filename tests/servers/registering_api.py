"""rtcd's /register, /unregister and /login as captured, with a memory, and knobs for what may be refused."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.servers.api_servers import VERSION
from tests.servers.scripted_tcp import HOST, http_answer, served

ALREADY = "registration failed: already registered"
NO_HEADER = "authentication failed: invalid auth header"


@dataclass
class RegisteringApi:
    """One that runs."""

    url: str = ""
    registers: bool = True
    """Whoever asks."""
    unregisters: bool = True
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
        if path == "/version":
            return http_answer(200, VERSION)
        if path == "/login":
            if client_id not in self.known:
                return _refused(400, "login failed: authentication failed: error: not found")
            if self.known[client_id] != key:
                return _refused(400, "login failed: authentication failed")
            return _json(200, {"bearerToken": "t" * 32, "code": "200"})
        if path == "/register":
            return self._registered(client_id, key)
        if path != "/unregister":
            return http_answer(404, b"404 page not found\n")
        if not self.unregisters:
            return _refused(403, "unregister not enabled")
        return self._unregistered(authorization, client_id)

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
        if not authorization:
            return _refused(401, NO_HEADER)
        name, _, key = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if self.known.get(name) != key:
            return _refused(401, "authentication failed")
        del self.known[client_id]
        return _json(200, {"code": "200"})


def _json(status: int, content: dict[str, str]) -> bytes:
    return http_answer(status, json.dumps(content).encode() + b"\n", "Content-Type: application/json")


def _refused(status: int, error: str) -> bytes:
    return _json(status, {"code": str(status), "error": error})


@asynccontextmanager
async def registering_api() -> AsyncIterator[RegisteringApi]:
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
        writer.write(api.answer(path, lines.get("Authorization", ""), json.loads(body or b"{}")))

    async with served(serve) as server:
        api.url = f"http://{HOST}:{server.port}"
        yield api
