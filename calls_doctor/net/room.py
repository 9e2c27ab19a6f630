"""A stand-in that has no room for one session more is asked again: sessions that only probed give way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from calls_doctor.errors import FarEndError
from calls_doctor.model.check import NO_ROOM

ROOM_TRIES, ROOM_WAIT_S = 3, 1.5
"""How often it is asked again, and after how long."""
T = TypeVar("T")


async def where_there_is_room(ask: Callable[[], Awaitable[T]]) -> T:
    """What it answers. Raises FarEndError: another refusal at once, this one where it stays without room."""
    for _ in range(ROOM_TRIES):
        try:
            return await ask()
        except FarEndError as error:
            if error.code != NO_ROOM:
                raise
        await asyncio.sleep(ROOM_WAIT_S)
    return await ask()
