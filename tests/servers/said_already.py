"""A far end that does not listen: pieces of bytes over a socket pair, then the end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from calls_doctor.net.streams import Stream


@asynccontextmanager
async def bringing(pieces: Iterable[bytes]) -> AsyncIterator[Stream]:
    """The near end of a connection over which these pieces come one after the other, and then the end."""
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=near)

    async def say() -> None:
        with contextlib.suppress(OSError):  # the near end has heard enough
            for piece in pieces:
                await loop.sock_sendall(far, piece)
                await asyncio.sleep(0)
            far.shutdown(socket.SHUT_WR)

    saying = loop.create_task(say())
    try:
        yield Stream(reader, writer, 0.0)
    finally:
        saying.cancel()
        await asyncio.gather(saying, return_exceptions=True)
        far.close()
        writer.transport.abort()
        await asyncio.sleep(0)
