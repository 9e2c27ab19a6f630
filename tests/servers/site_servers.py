"""A Mattermost site for tests, with a knob for each way in which it, or a proxy before it, goes wrong.

It says what a real one was seen to say to a caller without a session: a JSON object to the ping, 101 and then nothing
on the WebSocket, 400 to an upgrade that has lost its headers or comes from a foreign Origin.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from calls_doctor.model.flow import Address
from tests.servers.api_servers import accepting, frame
from tests.servers.plain_sockets import rest_of
from tests.servers.scripted_tcp import HOST, Scripted, http_answer, served

PING = (Path(__file__).parents[1] / "data" / "mattermost" / "ping.json").read_bytes()
NOT_UPGRADED = b'{"id":"api.web_socket.connect.upgrade.app_error","message":"URL Blocked because of CORS"}'
PING_OPCODE, PONG_OPCODE = 9, 10


@dataclass(frozen=True)
class Site:
    """What it does. The defaults are those of a site that is well."""

    status: int = 200
    body: bytes = PING
    dated: bool = True
    ahead_s: float = 0.0
    """How far its clock is ahead."""
    age_s: int = 0
    """How long a cache before it has kept the answer."""
    hangs: bool = False
    """Accepts, and never answers."""
    strips: bool = False
    """A proxy that passes neither Upgrade nor Connection."""
    hides_host: bool = False
    """A proxy that gives Mattermost another Host than callers ask for."""
    upgrade_status: int = 101
    pongs: int | None = None
    """How many pings it answers before the way back is forgotten; None: all."""
    hangs_up_after_s: float | None = None
    """How long it bears a silent WebSocket."""


@asynccontextmanager
async def site(how: Site, tls: ssl.SSLContext | None = None, at: Address = (HOST, 0)) -> AsyncIterator[Scripted]:
    """On 127.0.0.1, or where it is told."""
    scripted = Scripted()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        scripted.requests.append(request)
        if how.hangs:
            await rest_of(reader)
        elif b"/api/v4/websocket " not in request:
            writer.write(http_answer(how.status, how.body, *_headers(how)))
        elif how.upgrade_status != 101:
            writer.write(http_answer(how.upgrade_status))
        elif how.strips or _is_foreign(request, how):
            writer.write(http_answer(400, NOT_UPGRADED))
        else:
            writer.write(accepting(request))
            await _talk(reader, writer, how)

    async with served(serve, tls, scripted, at):
        yield scripted


def _headers(how: Site) -> list[str]:
    date = formatdate(time.time() + how.ahead_s - how.age_s, usegmt=True)
    return ([f"Date: {date}"] if how.dated else []) + ([f"Age: {how.age_s}"] if how.age_s else [])


def _is_foreign(request: bytes, how: Site) -> bool:
    """Mattermost takes an Origin whose host is that of the request, and a request without one."""
    host = b"127.0.0.1:8065" if how.hides_host else _field(request, b"host")
    origin = _field(request, b"origin")
    return bool(origin) and origin.partition(b"://")[2] != host


def _field(request: bytes, name: bytes) -> bytes:
    found = re.search(rb"(?i)\r\n" + name + rb": ([^\r]*)", request)
    return found[1] if found else b""


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, how: Site) -> None:
    """Answers pings (small ones, masked, as clients send them) until the other end goes, or it loses patience."""
    answered = 0
    while True:
        try:
            async with asyncio.timeout(how.hangs_up_after_s):
                head = await reader.readexactly(2)
        except TimeoutError:
            return
        body = await reader.readexactly(4 + (head[1] & 0x7F))
        data = bytes(byte ^ body[n % 4] for n, byte in enumerate(body[4:]))
        if head[0] & 0x0F == PING_OPCODE and answered != how.pongs:
            answered += 1
            writer.write(frame(PONG_OPCODE, data))
