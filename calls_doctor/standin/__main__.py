"""The stand-in's process: one line of options in, one line of ports out, then it stands in until its input ends.

Started by launch.py. It prints nothing but that line, and what goes wrong to standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

import msgspec

from calls_doctor.standin.launch import Options, Trouble
from calls_doctor.standin.server import StandIn


def main() -> None:
    """Runs until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the doctor ends it, after its report
    line = sys.stdin.buffer.readline()
    if not line:
        return  # who started us is gone already
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_stand_in(msgspec.json.decode(line, type=Options)))


async def _stand_in(options: Options) -> None:
    ended = _end_of_input()
    try:
        async with StandIn(options) as stand_in:
            _tell(stand_in.ready)
            await ended.wait()
    except OSError as error:
        _tell(Trouble(trouble=error.strerror or str(error)))


def _tell(what: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.flush()


def _end_of_input() -> asyncio.Event:
    """Set once standard input is at its end: whoever started us is gone, or wants us gone."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    os.set_blocking(0, False)

    def readable() -> None:
        with contextlib.suppress(BlockingIOError):
            if not os.read(0, 4096):
                loop.remove_reader(0)
                ended.set()

    loop.add_reader(0, readable)
    return ended


if __name__ == "__main__":
    main()
