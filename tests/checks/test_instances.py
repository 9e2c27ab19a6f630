"""A call through each rtcd behind one name: all work, one is broken, or none can be judged from here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any  # rows of evidence are JSON

import pytest

from calls_doctor.model.check import Evidence, Finding, Status
from calls_doctor.model.credentials import Credentials, RtcdClient, Secret
from calls_doctor.model.flow import Role
from calls_doctor.model.site import Phase, Setting, Site
from calls_doctor.net import rtcd_registration
from calls_doctor.net.key_pace import Pace
from calls_doctor.spec import Context
from calls_doctor.standin.launch import Options
from checks import instances
from tests.servers.media_host import context, result
from tests.servers.rtcd_or_stand_in import served
from tests.servers.rtcd_server import HOST, RtcdServer

OTHER_HOST, DEAD_HOST = "127.0.0.2", "127.0.0.3"
MEDIA_S = 0.2


@pytest.fixture(autouse=True)
def _no_second_between_logins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in takes any number of them."""
    monkeypatch.setattr(rtcd_registration, "Pace", lambda: Pace(0.0))


def given(server: RtcdServer, *hosts: str) -> Context:
    """Where rtcd's API answered at these addresses, and let the run in as the client that it knows."""
    evidence: Evidence = {"addresses": [{"address": host, "version": ""} for host in hosts]}
    api = result("port.api-tcp", Finding(status=Status.PASS, summary="it answers", evidence=evidence))
    site = Site(phase=Phase.UNDETERMINED, vantage=Role.MATTERMOST, rtcd_url=server.url)
    made = replace(context(None, results={api.id: api}, site=site), media_time_s=MEDIA_S)
    made.registration.let_in = RtcdClient(server.client_id, Secret(server.auth_key))
    return made


@pytest.mark.parametrize("several", [True, False], ids=["several", "one"])
async def test_each_that_works_is_named_and_one_alone_is_nothing_to_do(several: bool) -> None:
    parts = Options(addresses=(HOST, OTHER_HOST), without=frozenset({"stun", "turn"}))
    async with served("stand-in", parts) as server:
        finding = await instances.instances_probe(given(server, *((HOST, OTHER_HOST) if several else (HOST,))))
    if not several:
        assert finding.status is Status.SKIP and finding.evidence == {"nothing_to_do": True}
        assert f"one address ({HOST})" in finding.summary
        return
    assert finding.status is Status.PASS, finding
    rows = finding.evidence["addresses"]
    assert [row["address"] for row in rows] == [HOST, OTHER_HOST] and "detail" not in finding.evidence
    assert all(row["sent"] == row["received"] >= 2 * 50 * MEDIA_S for row in rows)
    assert all(row["signalling"]["sessions"] == row["signalling"]["closes_told"] == 2 for row in rows)
    assert len({row["signalling"]["call"] for row in rows}) == 2, "a call of its own at each"


async def test_the_one_that_is_broken_is_named_though_it_stands_in_the_site_file_alone() -> None:
    async with served("stand-in") as server:
        before = given(server, HOST)
        nodes = {"rtcd.nodes": Setting(value=[HOST, DEAD_HOST], origin="site file")}
        site = Site(phase=Phase.UNDETERMINED, vantage=Role.MATTERMOST, rtcd_url=server.url, settings=nodes)
        known = Credentials(rtcd_client_id=server.client_id, rtcd_auth_key=Secret(server.auth_key))
        finding = await instances.instances_probe(replace(before, site=site, credentials=known))
        unknown = await instances.instances_probe(replace(before, site=site))
    assert (finding.status, finding.evidence["address"]) == (Status.FAIL, DEAD_HOST)
    assert (finding.evidence["stage"], finding.evidence["trouble"]) == ("hello", "refused")
    assert finding.summary.startswith(f"1 of 2 addresses hold no call: {DEAD_HOST} fails at hello")
    assert finding.summary.endswith(f"a call works through {HOST}")
    assert unknown.status is Status.SKIP, "a client of this run's own is known to no other node"


async def test_of_several_keys_none_is_tried_everywhere() -> None:
    async with served("stand-in") as server:
        made = given(server, HOST, OTHER_HOST)
        made.registration.let_in = None
        finding = await instances.instances_probe(made)
    assert finding.status is Status.SKIP and "its own link" in finding.summary


async def test_what_there_is_no_time_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "INSTANCES_MAX", 1)
    async with served("stand-in") as server:
        finding = await instances.instances_probe(given(server, HOST, DEAD_HOST))
    assert (finding.status, finding.evidence["untried"]) == (Status.WARN, [DEAD_HOST])


def row(address: str, works: bool, stage: str = "ice", lost: str | None = None, **more: str) -> dict[str, Any]:
    return {"address": address, "works": works, "stage": stage, "lost": lost, "reason": "no answer", **more}


@pytest.mark.parametrize(
    ("rows", "is_caller", "status"),
    [
        ([row("a", False), row("b", False)], False, Status.UNKNOWN),
        ([row("a", False), row("b", False)], True, Status.FAIL),
        ([row("a", True), row("b", False)], False, Status.FAIL),
        ([row("a", False, lost="request"), row("b", False)], False, Status.FAIL),
        ([row("a", False, trouble="refused"), row("b", False)], False, Status.FAIL),
        ([row("a", False, "join"), row("b", False)], False, Status.FAIL),
    ],
)
def test_silence_of_all_decides_nothing_where_no_caller_is(
    rows: list[dict[str, Any]], is_caller: bool, status: Status
) -> None:
    assert instances.judged(rows, [], is_caller=is_caller)[0] is status
