"""A program that takes every TCP connection and says nothing: `python -m tests.lab.mute_listener PORT`.

What a load balancer without a backend, a SYN proxy or another service on the media port is to a caller. Prints a line
once it listens, and runs until it is killed.
"""

from __future__ import annotations

import asyncio
import sys


async def _mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.read(4096):
            pass
    except ConnectionError:  # the other end's to do
        pass
    writer.close()


async def main(port: int) -> None:
    async with await asyncio.start_server(_mute, "0.0.0.0", port):
        print("ready", flush=True)  # noqa: T201 - what the test waits for
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
