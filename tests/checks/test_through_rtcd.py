"""How any call through rtcd is held: at one address, as the client that was let in, and never beside another."""

from __future__ import annotations

import asyncio

import pytest

from calls_doctor.model.books import SessionBooks
from calls_doctor.model.check import Evidence, Finding, Status
from calls_doctor.model.credentials import RtcdClient, Secret
from calls_doctor.model.flow import Role
from calls_doctor.model.site import Phase, Site
from calls_doctor.net import rtcd_registration
from calls_doctor.net.call import CallOutcome
from calls_doctor.net.key_pace import Pace
from calls_doctor.net.rtcd_access import RtcdAccess
from calls_doctor.net.rtcd_call import RtcdOutcome
from calls_doctor.spec import Context
from checks import through_rtcd
from tests.servers.media_host import context, result

CLIENT = RtcdClient("x", Secret("y"))
HOSTS = {"192.0.2.1": "v1.2.6", "192.0.2.2": "v1.0.0"}


@pytest.fixture(autouse=True)
def uses(monkeypatch: pytest.MonkeyPatch) -> list[Pace]:
    """Each use of the key, in order."""
    turns: list[Pace] = []

    class Counted(Pace):
        async def turn(self) -> None:
            turns.append(self)

    monkeypatch.setattr(rtcd_registration, "Pace", Counted)
    return turns


def given() -> Context:
    evidence: Evidence = {"addresses": [{"address": host, "version": version} for host, version in HOSTS.items()]}
    api = result("port.api-tcp", Finding(status=Status.PASS, summary="it answers", evidence=evidence))
    site = Site(phase=Phase.UNDETERMINED, vantage=Role.MATTERMOST, rtcd_url="http://rtcd.example.com:8045")
    return context(None, results={api.id: api}, site=site)


def outcome(name: str) -> RtcdOutcome:
    near = [SessionBooks(session=name)]
    return RtcdOutcome(call=CallOutcome(near=near, far=None, failure=None, rtts_s=[], warning=None), signalling={})


async def test_it_goes_to_that_address_as_that_client_with_what_its_version_has(uses: list[Pace]) -> None:
    made, seen = given(), list[RtcdAccess]()

    async def hold(access: RtcdAccess) -> RtcdOutcome:
        seen.append(access)
        assert len(uses) == 2 * len(seen) - 1, "the key has had its turn"
        return outcome(access.host)

    for host in HOSTS:
        await through_rtcd.held(made, host, CLIENT, hold)
    assert [(one.url, one.host, one.locks) for one in seen] == [
        (made.site.rtcd_url, "192.0.2.1", True),
        (made.site.rtcd_url, "192.0.2.2", False),
    ]
    assert {one.authorization.reveal() for one in seen} == {"Basic eDp5"}
    assert [books.session for books in made.near_books] == list(HOSTS)
    assert len(uses) == 4, "each call's last question uses the key again"


async def test_two_that_are_wanted_at_once_come_one_after_the_other() -> None:
    made, running = given(), 0

    async def hold(access: RtcdAccess) -> RtcdOutcome:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0.01)
        running -= 1
        return outcome(access.host)

    await asyncio.gather(*(through_rtcd.held(made, host, CLIENT, hold) for host in HOSTS))
    assert len(made.near_books) == 2
