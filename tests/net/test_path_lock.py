"""Sharing a path, and having it alone."""

from __future__ import annotations

import asyncio

import pytest

from calls_doctor.net.path_lock import PathLock


async def test_who_is_alone_waits_for_those_at_it_and_goes_before_those_that_come_later() -> None:
    lock, order = PathLock(), []

    async def share(name: str, until: asyncio.Event) -> None:
        async with lock.shared():
            order.append(f"{name} begins")
            await until.wait()
            order.append(f"{name} ends")

    async def be_alone(name: str) -> None:
        async with lock.alone():
            order.append(f"{name} begins")
            await asyncio.sleep(0)
            order.append(f"{name} ends")

    end = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for work in (share("a", end), share("b", end), be_alone("c"), be_alone("d"), share("e", end)):
            tasks.create_task(work)
            await asyncio.sleep(0)
        assert order == ["a begins", "b begins"]
        end.set()
    assert order[2:4] == ["a ends", "b ends"]
    assert order[4:] == ["c begins", "c ends", "d begins", "d ends", "e begins", "e ends"]


async def test_who_waits_too_long_to_be_alone_leaves_the_way_to_others() -> None:
    lock = PathLock()
    async with lock.shared():
        with pytest.raises(TimeoutError):
            async with lock.alone(0.01):
                raise AssertionError("others share it")
        async with asyncio.timeout(1), lock.shared():
            pass
    async with asyncio.timeout(1), lock.alone():
        pass
