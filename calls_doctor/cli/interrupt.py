"""Ctrl-C: the first cancels, so that what is known by then is written and what was borrowed is given back; the second
leaves at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from types import FrameType
from typing import Any, NoReturn, TypeVar  # a coroutine neither yields nor is sent anything of ours

from calls_doctor.cli import EXIT_INTERRUPTED

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""SIGTERM too: `timeout` and service managers send it, and a TURN server would keep an allocation for minutes."""
SHOW_CURSOR = b"\r\x1b[K\x1b[?25h"
"""Clears the row that was being drawn, and shows the cursor again, which live rows hide."""


def run_interruptible(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run(work)`; whoever is cancelled by the first signal decides what comes of it."""
    return asyncio.run(_watched(work))


async def _watched(work: Coroutine[Any, Any, T]) -> T:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    interrupted = False

    # A plain handler, and not the loop's: it runs even where the loop hangs.
    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted:
            _leave()
        interrupted = True
        loop.call_soon_threadsafe(task.cancel)

    before = {number: signal.signal(number, on_signal) for number in SIGNALS}
    try:
        return await work
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave() -> NoReturn:
    """The stand-in's process sees its input end, and goes too."""
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), SHOW_CURSOR)
    os._exit(EXIT_INTERRUPTED)
