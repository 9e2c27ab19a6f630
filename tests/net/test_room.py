"""Asking a stand-in again that has no room, and nothing else."""

from __future__ import annotations

import pytest

from calls_doctor.errors import FarEndError
from calls_doctor.net import room


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ROOM_WAIT_S", 0.0)


@pytest.mark.parametrize(("code", "refused", "asked"), [(508, 2, 3), (508, 9, 4), (401, 9, 1)])
async def test_want_of_room_alone_is_asked_again_and_not_for_ever(code: int, refused: int, asked: int) -> None:
    times = 0

    async def ask() -> str:
        nonlocal times
        times += 1
        if times <= refused:
            raise FarEndError("an echo", code)
        return "room"

    if asked > refused:
        assert await room.where_there_is_room(ask) == "room"
    else:
        with pytest.raises(FarEndError) as error:
            await room.where_there_is_room(ask)
        assert error.value.code == code
    assert times == asked
