"""A client of this run's own at rtcd: made where that is allowed, and gone whatever becomes of the run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from calls_doctor.model.credentials import RtcdClient, Secret
from calls_doctor.net import rtcd_registration
from calls_doctor.net.key_pace import Pace
from calls_doctor.net.rtcd_client import basic, hello, refuses
from calls_doctor.net.rtcd_registration import Registration, RtcdRegistration
from calls_doctor.saved.registrations import RegistrationFiles
from tests.servers import rtcd_server
from tests.servers.registering_api import RegisteringApi, registering_api
from tests.servers.scripted_tcp import HOST

ID = "calls-doctor-test"
NO_RTCD = rtcd_server.why_not()
with_rtcd = pytest.mark.skipif(bool(NO_RTCD), reason=f"no rtcd here: {NO_RTCD}")


@pytest.fixture
async def api() -> AsyncIterator[RegisteringApi]:
    async with registering_api() as server:
        yield server


@pytest.fixture(autouse=True)
def _no_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtcd_registration, "Pace", lambda: Pace(0.0))


def noted(at: Path) -> list[str]:
    """The files there."""
    return [path.name for path in at.iterdir()]


async def left_by_a_killed_run(at: Path, url: str) -> RtcdClient:
    client = RtcdClient("calls-doctor-killed", Secret("k" * 32))
    note = await asyncio.to_thread(RegistrationFiles(at).write, Registration(url, (HOST,), client))
    note.let_go()
    return client


class Said(list[str]):
    """What the reader of the progress was told."""


def mine(at: Path, said: Said, url: str = "", client_id: str = ID) -> RtcdRegistration:
    return RtcdRegistration(client_id, RegistrationFiles(at), said.append, url=url)


async def test_it_is_said_made_and_gone_at_the_end(api: RegisteringApi, tmp_path: Path) -> None:
    said = Said()
    async with mine(tmp_path, said, api.url) as run:
        assert await run.register(api.url, [HOST]) == ""
        assert run.client is not None and len(run.client.auth_key.reveal()) == 32
        assert api.known == {ID: run.client.auth_key.reveal()} and len(noted(tmp_path)) == 1
        assert await run.register(api.url, [HOST]) == "" and len(api.asked) == 1, "once is enough"
    assert api.known == {} and noted(tmp_path) == []
    (line,) = said
    assert ID in line and api.url in line and "--no-register" in line and run.client.auth_key.reveal() not in line


async def test_several_addresses_of_one_rtcd_are_one_client(api: RegisteringApi, tmp_path: Path) -> None:
    async with mine(tmp_path, Said()) as run:
        assert await run.register(api.url, [HOST, HOST]) == "" and list(api.known) == [ID]
    assert api.known == {} and noted(tmp_path) == []


async def test_a_run_that_is_cancelled_undoes_it_too(api: RegisteringApi, tmp_path: Path) -> None:
    async def runs() -> None:
        async with mine(tmp_path, Said()) as run:
            await run.register(api.url, [HOST])
            registered.set()
            await asyncio.sleep(60)

    registered = asyncio.Event()
    task = asyncio.create_task(runs())
    await registered.wait()
    assert list(api.known) == [ID]
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled() and api.known == {} and noted(tmp_path) == []


async def test_a_run_that_is_cancelled_while_it_undoes_goes_on_with_it(api: RegisteringApi, tmp_path: Path) -> None:
    async def runs() -> None:
        async with mine(tmp_path, Said()) as run:
            await run.register(api.url, [HOST])
            api.held.clear()

    task = asyncio.create_task(runs())
    await asyncio.wait_for(api.holding.wait(), 5)
    task.cancel()
    await asyncio.sleep(0)
    api.held.set()
    await asyncio.wait({task})
    assert task.cancelled() and api.known == {} and noted(tmp_path) == []


async def test_what_a_killed_run_has_left_is_undone_by_the_next_that_names_this_rtcd(
    api: RegisteringApi, tmp_path: Path
) -> None:
    client = await left_by_a_killed_run(tmp_path, api.url)
    api.known[client.client_id] = client.auth_key.reveal()
    said = Said()
    async with mine(tmp_path, said, "http://another.example.com:8045"):
        pass
    assert list(api.known) == ["calls-doctor-killed"] and said == [], "another rtcd is not touched"
    async with mine(tmp_path, said, api.url):
        pass
    assert api.known == {} and noted(tmp_path) == []
    assert len(said) == 1 and "calls-doctor-killed is no longer registered" in said[0]


async def test_a_note_of_what_was_never_made_is_forgotten(api: RegisteringApi, tmp_path: Path) -> None:
    await left_by_a_killed_run(tmp_path, api.url)
    async with mine(tmp_path, Said(), api.url):
        pass
    assert noted(tmp_path) == []


async def test_what_cannot_be_undone_stays_noted_and_is_said(api: RegisteringApi, tmp_path: Path) -> None:
    said = Said()
    async with mine(tmp_path, said) as run:
        await run.register(api.url, [HOST])
        api.unregisters = False
    assert list(api.known) == [ID] and len(noted(tmp_path)) == 1
    assert len(said) == 2 and "could not be unregistered" in said[1]
    api.unregisters = True
    async with mine(tmp_path, said, api.url, "calls-doctor-next"):
        pass
    assert api.known == {} and noted(tmp_path) == []


async def test_nothing_is_registered_where_it_may_not_be_or_cannot_be_noted(
    api: RegisteringApi, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for run, why in (
        (RtcdRegistration(ID, RegistrationFiles(tmp_path), print, why_not="--no-register forbids it"), "--no-register"),
        (RtcdRegistration(ID, None, print), "nowhere to note"),
        (RtcdRegistration(ID, RegistrationFiles(tmp_path / "file"), print), "cannot be written"),
    ):
        async with run:
            assert why in await run.register(api.url, [HOST]) and run.client is None
    assert api.asked == []


async def test_where_registration_is_shut_there_is_no_client_and_no_note(api: RegisteringApi, tmp_path: Path) -> None:
    api.registers = False
    async with mine(tmp_path, Said()) as run:
        assert "no-authorization" in await run.register(api.url, [HOST]) and run.client is None
    assert noted(tmp_path) == []


@with_rtcd
async def test_rtcd_itself_knows_the_client_while_the_run_lasts(tmp_path: Path) -> None:
    async with rtcd_server.rtcd_server() as server:
        async with mine(tmp_path, Said(), server.url) as run:
            assert await run.register(server.url, [HOST]) == "" and run.client is not None
            pair = basic(run.client.client_id, run.client.auth_key)
            assert (await hello(server.url, pair, 2.0)).client_id == ID
        assert await refuses(server.url, pair, 2.0) and noted(tmp_path) == []
