"""The stand-ins of a run: each has the report once, by whichever of its addresses takes it, and gives its books."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from calls_doctor.model.report import Report
from calls_doctor.model.site import Site
from calls_doctor.net import documents_client
from calls_doctor.net.media_hosts import Target
from calls_doctor.net.stand_ins import StandIns
from calls_doctor.standin.serving import Served, Serving
from tests.net.test_media_hosts import HERE, NOBODY, THERE, media
from tests.reports.samples import failing_report


def serving(port: int, heard: list[Report], *local: str) -> Serving:
    served = Served(site=Site(), local=local, parts=frozenset({"media"}), media_port=port, api_port=0, turn_port=0)
    return Serving(served, heard.append)


async def test_each_has_the_report_once_and_those_that_no_way_leads_to_are_named(
    free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents_client, "SCHEDULE_S", (0.0, 0.05))
    monkeypatch.setattr(documents_client, "SILENCE_S", 0.3)
    port = free_port()
    first: list[Report] = []
    other: list[Report] = []
    gone: list[Report] = []
    async with serving(port, first, HERE) as one, serving(port, other, THERE) as two:
        async with serving(free_port(), gone, HERE) as three:
            dead = three.links()[0]
        link, second = one.links()[0], two.links()[0]
        targets = [
            Target(media(NOBODY, port), link), Target(media(HERE, port), link), Target(media(THERE, port), second),
            Target(media(HERE, dead.port), dead),
        ]  # fmt: skip
        stand_ins = StandIns(targets)
        assert await stand_ins.hand_in(failing_report()) == [f"{HERE}:{dead.port}"]
        assert [len(one) for one in (first, other, gone)] == [1, 1, 0]
        books = await StandIns(targets[1:3]).books(2.0)
        assert {one.run for one in books} == {link.keys.run, second.keys.run}
        assert len(stand_ins.besides(targets[0])) == 3 and stand_ins.of(targets[0]) is not None
    assert StandIns([Target(media(HERE, 1))]).of(Target(media(HERE, 1))) is None
