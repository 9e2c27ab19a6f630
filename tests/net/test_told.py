"""What is asked of a stand-in once for a whole run, over a stand-in that counts how often it is asked."""

from __future__ import annotations

import asyncio
from typing import cast

from calls_doctor.model.facts import Facts
from calls_doctor.net.paired import PairedHost
from calls_doctor.net.told import Told


class Asked:
    """A stand-in's facts."""

    def __init__(self, credential: str) -> None:
        self.times = 0
        self._credential = credential

    async def facts(self) -> Facts:
        self.times += 1
        return Facts(
            local_addresses=[], public_addresses=[], media_port=8443, announced=[], needs_stun=False, stun=[],
            control_port=0, turn_username="name", turn_credential=self._credential,
        )  # fmt: skip


async def test_it_is_asked_once_and_what_it_told_is_known_as_a_secret() -> None:
    asked = Asked("made for this run")
    told = Told(cast(PairedHost, asked))
    first, second = await asyncio.gather(told.facts(), told.facts())
    await told.end()
    assert first is not None and first == second and asked.times == 1
    assert told.credentials.turn is not None
    assert told.credentials.turn.password.reveal() == "made for this run"


async def test_one_without_a_credential_and_none_at_all_tell_no_secret() -> None:
    told = Told(cast(PairedHost, Asked("")))
    assert await told.facts() is not None
    nobody = Told(None)
    assert await nobody.facts() is None
    await nobody.end()
    assert told.credentials.turn is nobody.credentials.turn is None
