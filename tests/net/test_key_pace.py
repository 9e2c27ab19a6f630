"""Keys are used at the pace that was set, whoever asks."""

from __future__ import annotations

import asyncio

from calls_doctor.net.key_pace import Pace


async def test_keys_are_used_at_the_pace_that_was_set() -> None:
    loop, pace = asyncio.get_running_loop(), Pace(0.03)
    began_s = loop.time()
    await asyncio.gather(*(pace.turn() for _ in range(4)))
    assert 0.085 <= loop.time() - began_s < 1.0


async def test_a_first_use_and_one_that_comes_late_enough_do_not_wait() -> None:
    loop, pace = asyncio.get_running_loop(), Pace(60.0)
    began_s = loop.time()
    await pace.turn()
    assert loop.time() - began_s < 1.0
