"""A stand-in that joins another one's run: what it collected arrives there, and where it does not that is said."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from calls_doctor import merging
from calls_doctor.model.books import RunBooks
from calls_doctor.model.report import Report
from calls_doctor.model.site import Site
from calls_doctor.net import documents_client
from calls_doctor.standin.joining import Joining
from calls_doctor.standin.serving import Served, Serving
from tests.reports.samples import failing_report, healthy_report
from tests.servers.middlebox import Middlebox, Tcp, drop

HOST = "127.0.0.1"
BOOKS = merging.collected(RunBooks(run="Abcd1234", sessions=[]))


def first(heard: list[Report], port: int = 0) -> Serving:
    served = Served(site=Site(), local=(HOST,), parts=frozenset({"media"}), media_port=port, api_port=0, turn_port=0)
    return Serving(served, heard.append)


async def test_every_report_and_at_last_the_books_arrive_in_their_order() -> None:
    heard: list[Report] = []
    told: list[str] = []
    async with first(heard) as serving:
        joining = Joining(serving.links(), told.append)
        joining.greet()
        for report in (failing_report(), healthy_report()):
            joining.add(report)
        await joining.end(BOOKS)
        where = serving.links()[0].shown
    assert heard == [failing_report(), healthy_report(), BOOKS]
    assert told == [f"joined the run of {where}"]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is known early."""
    monkeypatch.setattr(documents_client, "SCHEDULE_S", (0.0, 0.05))
    monkeypatch.setattr(documents_client, "SILENCE_S", 0.3)


@pytest.mark.usefixtures("soon")
async def test_what_did_not_arrive_goes_out_with_the_next() -> None:
    heard: list[Report] = []
    told: list[str] = []
    async with (
        first(heard) as serving,
        Middlebox((HOST, serving.links()[0].port), drop(), tcp=Tcp.CLOSED) as box,
    ):
        joining = Joining([replace(serving.links()[0], port=box.port)], told.append)
        joining.greet()
        joining.add(failing_report())
        while not told:  # noqa: ASYNC110 - it has no other way to say so
            await asyncio.sleep(0.02)
        box.rules.clear()
        joining.add(healthy_report())
        await joining.end(BOOKS)
    assert heard == [failing_report(), healthy_report(), BOOKS]
    assert told == [f"{HOST}:{box.port} is not reached from here; serving all the same, and trying again"]


@pytest.mark.usefixtures("soon")
async def test_what_never_arrives_is_said_at_the_end() -> None:
    told: list[str] = []
    async with first([]) as serving:
        links, where = serving.links(), serving.links()[0].shown
    joining = Joining(links, told.append)
    joining.add(failing_report())
    await joining.end(BOOKS)
    assert told == [f"not all of this run arrived at {where}: save it (-o) and merge the files"]


async def test_without_a_link_nothing_is_done() -> None:
    told: list[str] = []
    joining = Joining([], told.append)
    joining.greet()
    joining.add(failing_report())
    await joining.end(BOOKS)
    assert told == []
