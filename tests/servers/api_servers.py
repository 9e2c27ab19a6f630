"""APIs on 8045 that are not what they should be: one that takes any key, and one that answers and cannot upgrade."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from tests.servers.plain_sockets import rest_of
from tests.servers.scripted_tcp import Scripted, http_answer, served

VERSION = b'{"buildDate":"","buildVersion":"v1.2.6","buildHash":"","goVersion":"go1.26","goOS":"","goArch":""}'
BINARY = 2


def frame(opcode: int, data: bytes = b"", *, fin: bool = True) -> bytes:
    """One WebSocket frame of a server."""
    size = bytes([len(data)]) if len(data) < 126 else b"\x7f" + struct.pack("!Q", len(data))
    return bytes([(fin << 7) | opcode]) + size + data


def accepting(request: bytes) -> bytes:
    """The 101 to this request."""
    key = re.search(rb"(?i)sec-websocket-key: (\S+)", request)
    assert key is not None
    accept = base64.b64encode(hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    return "\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", "", ""]).encode()


@asynccontextmanager
async def accepting_api(
    says: bytes | None, *, leaves: bool = False, version: bytes = VERSION
) -> AsyncIterator[Scripted]:
    """/version as rtcd's, and a WebSocket for everybody, whose first message is this (None: there is none)."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if not request.startswith(b"GET /ws "):
            writer.write(http_answer(200, version))
            return
        writer.write(accepting(request) + (b"" if says is None else frame(BINARY, says)))
        if not leaves:
            await rest_of(reader)

    async with served(serve) as scripted:
        yield scripted


@asynccontextmanager
async def scripted_api(answers: Mapping[str, bytes | None]) -> AsyncIterator[Scripted]:
    """Answers each path as written, and then closes; None: nothing comes, and the connection stays open."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        answer = answers[request.split()[1].decode()]
        if answer is None:
            await rest_of(reader)
        else:
            writer.write(answer)

    async with served(serve) as scripted:
        yield scripted
