"""clocks.skew against clocks that are off by a known time: a site's Date, rtcd's, a stand-in's and a TURN server's."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import cast

import msgspec
import pytest

from calls_doctor.model.check import CheckResult, Finding, Status
from calls_doctor.model.credentials import Credentials, Secret
from calls_doctor.model.facts import Facts
from calls_doctor.model.flow import Role
from calls_doctor.model.site import MediaAddress, Mode, Phase, ServerUri
from calls_doctor.model.site import Site as TestedSite
from calls_doctor.net.paired import PairedHost
from calls_doctor.net.told import Told
from calls_doctor.spec import Context
from calls_doctor.standin.turn_server import TurnServer
from calls_doctor.wire.turn import rest_credentials
from checks import clocks
from tests.diagnosis import findings
from tests.servers.media_host import context, media_host, paired
from tests.servers.site_servers import Site, site

HOST = "127.0.0.1"
SECRET = Secret("north")
HOUR_S = 3600.0
TIMED = Credentials(turn=rest_credentials(SECRET, 4_000_000_000, "alice"))
STATIC = Credentials()


def given(credentials: Credentials = TIMED, **site: object) -> Context:
    tested = msgspec.structs.replace(TestedSite(phase=Phase.PRE), **site)
    return replace(context(None, credentials=credentials), site=tested)


async def probed(asked: Context) -> tuple[Finding, list[str]]:
    finding = await clocks.skew_probe(asked)
    result = CheckResult(
        id="clocks.skew", title="", category="clocks", status=finding.status, vantage="client", target=finding.target,
        summary=finding.summary, evidence=finding.evidence,
    )  # fmt: skip
    msgspec.json.encode(result)
    return finding, findings.causes(result)


@pytest.mark.parametrize(
    ("ahead_s", "credentials", "status", "causes"),
    [
        (0.0, TIMED, Status.PASS, []),
        (10.0, TIMED, Status.WARN, []),
        (-10.0, TIMED, Status.WARN, []),
        (HOUR_S, TIMED, Status.FAIL, ["clock.skewed"]),
        (-HOUR_S, TIMED, Status.FAIL, ["clock.skewed"]),
        (HOUR_S, STATIC, Status.WARN, []),
    ],
)
async def test_a_site_whose_clock_is_off(
    ahead_s: float, credentials: Credentials, status: Status, causes: list[str]
) -> None:
    async with site(Site(ahead_s=ahead_s)) as server:
        finding, named = await probed(given(credentials, mattermost_url=server.url("")))
    assert (finding.status, named) == (status, causes)
    (row,) = finding.evidence["clocks"]
    assert (row["whose"], row["target"]) == ("site", server.url(""))
    assert row["offset_s"] == pytest.approx(ahead_s, abs=1.5)
    assert finding.evidence["apart_s"] == pytest.approx(max(0.0, abs(ahead_s) - 0.5), abs=1.0)
    if ahead_s:
        assert f"{'ahead of' if ahead_s > 0 else 'behind'} this machine" in finding.summary


async def test_rtcds_clock_is_asked_where_its_api_is_judged() -> None:
    async with site(Site(ahead_s=HOUR_S)) as api:
        finding, _ = await probed(given(rtcd_url=api.url("")))
        assert [row["whose"] for row in finding.evidence["clocks"]] == ["rtcd"]
        caller = given(rtcd_url=api.url(""), mode=Mode.RTCD, vantage=Role.CLIENT)
        finding, _ = await probed(caller)
        assert finding.status is Status.SKIP and "no clock to ask" in finding.summary
        finding, _ = await probed(given(rtcd_url=api.url(""), mode=Mode.RTCD, vantage=Role.MATTERMOST))
        assert finding.status is Status.FAIL


def facts(ahead_s: float) -> Facts:
    return Facts(
        local_addresses=[HOST], public_addresses=[HOST], media_port=8443, announced=[], needs_stun=False, stun=[],
        control_port=0, unix_time_s=time.time() + ahead_s,
    )  # fmt: skip


async def test_the_stand_ins_clock_decides_between_two() -> None:
    """It agrees with this machine's, so the site's is the one that is wrong."""
    async with media_host() as stand_in, site(Site(ahead_s=HOUR_S)) as server:
        tested = TestedSite(phase=Phase.PRE, mattermost_url=server.url(""), media=(MediaAddress(host=HOST),))
        now_s = time.time()
        asked = replace(
            context(paired(stand_in.ready), credentials=TIMED, facts=facts(0.0), site=tested),
            told_between_s=lambda: (now_s, now_s + 0.1),
        )
        finding, causes = await probed(asked)
    assert [row["whose"] for row in finding.evidence["clocks"]] == ["site", "stand-in"]
    assert finding.evidence["clocks"][1]["offset_s"] == pytest.approx(0.0, abs=1.0)
    assert (finding.status, causes) == (Status.FAIL, ["clock.skewed"])


async def test_what_a_stand_in_told_is_dated_by_when_it_was_asked() -> None:
    class Asked:
        async def facts(self) -> Facts:
            return facts(HOUR_S)

    told = Told(cast(PairedHost, Asked()))
    before_s = time.time()
    await told.facts()
    assert told.between_s is not None and before_s <= told.between_s[0] <= told.between_s[1] <= time.time()
    assert Told(None).between_s is None
    await told.end()


@pytest.mark.parametrize(("ahead_s", "status"), [(0.0, Status.PASS), (2 * HOUR_S, Status.FAIL)])
async def test_a_turn_servers_clock_where_its_secret_is_at_hand(ahead_s: float, status: Status) -> None:
    async with TurnServer(
        [HOST], users={}, secret=SECRET, may_relay={HOST}.__contains__, unix_time=lambda: time.time() + ahead_s
    ) as server:
        uri = ServerUri(scheme="turn", host=HOST, port=server.port)
        finding, causes = await probed(given(Credentials(turn_secret=SECRET), turn=(uri,)))
        assert finding.status is status and causes == ([] if status is Status.PASS else ["clock.skewed"])
        assert [row["whose"] for row in finding.evidence["clocks"]] == ["turn"]
        assert SECRET.reveal() not in str(finding)
        finding, _ = await probed(given(TIMED, turn=(uri,)))
        assert finding.status is Status.SKIP, "without the secret nobody can ask it"


async def test_a_site_that_tells_no_time() -> None:
    async with site(Site(dated=False)) as server:
        finding, causes = await probed(given(mattermost_url=server.url("")))
    assert (finding.status, causes) == (Status.UNKNOWN, [])


async def test_the_clock_of_a_site_without_an_address_is_left_to_the_checks_of_names() -> None:
    looked_up = CheckResult(
        id="dns.site", title="", category="dns", status=Status.FAIL, vantage="client",
        evidence={"names": [{"name": "nobody.invalid", "addresses": []}]},
    )  # fmt: skip
    tested = given(mattermost_url="http://nobody.invalid")
    assert (await clocks.skew_probe(tested)).status is Status.UNKNOWN
    finding = await clocks.skew_probe(replace(tested, results={looked_up.id: looked_up}))
    assert (finding.status, finding.blocked_by) == (Status.SKIP, "dns.site")
