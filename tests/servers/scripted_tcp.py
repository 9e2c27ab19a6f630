"""A TCP server that plays a script: what it was sent is kept, what it says is the test's."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from calls_doctor.model.flow import Address
from tests.servers.plain_sockets import eventually

HOST = "127.0.0.1"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Scripted:
    """A server that runs."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    """What each connection sent first, up to the blank line or the end."""

    def url(self, path: str = "/", scheme: str = "http") -> str:
        return f"{scheme}://{HOST}:{self.port}{path}"


@asynccontextmanager
async def served(
    serve: Serve, tls: ssl.SSLContext | None = None, scripted: Scripted | None = None, at: Address = (HOST, 0)
) -> AsyncIterator[Scripted]:
    """Each connection is given to `serve`, and ended with the server at the latest."""
    tasks: set[asyncio.Task[None]] = set()
    scripted = scripted or Scripted()
    ended = False

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if ended:  # a handshake that was under way
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(run(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, *at, ssl=tls)
    scripted.port = server.sockets[0].getsockname()[1]
    try:
        yield scripted
    finally:
        ended = True
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
        await eventually(lambda: not any(_is_handshake(task) for task in asyncio.all_tasks()))


def _is_handshake(task: asyncio.Task[None]) -> bool:
    """asyncio's own, of a connection that the client has given up."""
    return getattr(task.get_coro(), "__name__", "") == "_accept_connection2"


@asynccontextmanager
async def answering(
    *answers: bytes | Sequence[bytes], hangs: bool = False, pause_s: float = 0.0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Scripted]:
    """Each connection is answered, once its headers are there, with the next of these (the last one again and again),
    piece by piece, and then closed; with `hangs` it stays open."""
    numbers = iter(range(10**6))
    scripted = Scripted()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        scripted.requests.append(request)
        answer = answers[min(next(numbers), len(answers) - 1)]
        for piece in [answer] if isinstance(answer, bytes) else answer:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        if hangs:
            await reader.read()

    async with served(serve, tls, scripted):
        yield scripted


def http_answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    """A whole HTTP/1.1 answer."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
