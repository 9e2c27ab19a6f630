"""Who may load one path: many probes at once, or a single one that nothing else is to disturb."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

ALONE_WAIT_S = 7.0
"""For what is under way on a path: a call of the usual length."""


class PathLock:
    """Shared or exclusive. Who waits to be alone goes before those that come later and would share, so that it waits
    for no more than what is under way. Nobody who holds it may ask for it again."""

    def __init__(self) -> None:
        self._holders = self._wanting_alone = 0
        """The latter are those who are alone, or wait for it."""
        self._quiet, self._open = asyncio.Event(), asyncio.Event()
        self._quiet.set()
        self._open.set()

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Beside others that share."""
        while self._wanting_alone:
            await self._open.wait()
        with self._held():
            yield

    @asynccontextmanager
    async def alone(self, limit_s: float | None = None) -> AsyncIterator[None]:
        """Beside nobody. Raises TimeoutError where what is under way does not end within the limit."""
        self._wanting_alone += 1
        self._open.clear()
        try:
            async with asyncio.timeout(limit_s):
                while self._holders:
                    await self._quiet.wait()
            with self._held():
                yield
        finally:
            self._wanting_alone -= 1
            if not self._wanting_alone:
                self._open.set()

    @contextmanager
    def _held(self) -> Iterator[None]:
        self._holders += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                self._quiet.set()
