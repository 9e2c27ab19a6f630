"""nat.advertised-class and -reachable at rtcd itself: by what calls through it were told, and by which of that answered
them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from calls_doctor.model.check import Evidence, Finding, Status
from calls_doctor.model.flow import Role, Transport
from calls_doctor.model.site import Phase, Site
from calls_doctor.net import rtcd_call
from calls_doctor.net.rtcd_access import straight
from calls_doctor.spec import RTCD_CALLS, Context
from checks import advertised
from tests.diagnosis import findings as f
from tests.servers.media_host import context
from tests.servers.scripted_rtcd import HOST, OWN_PORT, Script, scripted_rtcd

API_HOST, PUBLIC, PRIVATE = "203.0.113.10", "198.51.100.7", "10.7.0.3"
UDP_CALL = RTCD_CALLS[0]


def heard(
    *told: str,
    reached: bool = False,
    stage: str = "ice",
    vantage: Role = Role.CLIENT,
    api: str = API_HOST,
    users: str = "public",
    seen_as: str = "192.0.2.9",
    override: str = "",
) -> Context:
    """After a call over UDP in which rtcd told these candidates; none of its checks was answered, or all were."""
    checked = [
        {"protocol": "udp", "address": one.rpartition(":")[0], "port": 8443, "sent": 2, "returned": 2 * reached}
        for one in told
        if one.endswith("/udp") and not one.startswith("127.")
    ]
    signalling: Evidence = {"answer_s": 0.1, "advertised": list(told), "checked": checked}
    status = Status.PASS if reached else Status.FAIL if vantage is Role.CLIENT else Status.UNKNOWN
    results = (
        f.result("port.api-tcp", Status.PASS, f"http://{api}:8045", str(vantage), address=api, version=""),
        f.result(UDP_CALL, status, f"{api}:8443/udp", str(vantage), stage=stage, signalling=signalling),
        f.result("stun.public-ip", Status.PASS, "", str(vantage), addresses=[seen_as]),
    )
    site = Site(phase=Phase.POST, vantage=vantage, rtcd_url=f"http://{api}:8045", users=users, host_override=override)
    return context(None, results={one.id: one for one in results}, site=site)


async def both(given: Context) -> tuple[Finding, Finding]:
    """What callers are handed, and whether it is reached."""
    handed = await advertised.class_probe(given)
    known = f.result("nat.advertised-class", handed.status, handed.target, str(given.site.vantage), **handed.evidence)
    return handed, await advertised.reachable_probe(
        replace(given, results={**given.results, "nat.advertised-class": known})
    )


def both_ways(address: str, port: int = 8443) -> list[str]:
    return [f"{address}:{port}/udp", f"{address}:{port}/tcp"]


async def test_a_public_address_that_answers() -> None:
    handed, reached = await both(heard(*both_ways("127.0.0.1"), *both_ways(PUBLIC), reached=True))
    assert (handed.status, reached.status) == (Status.PASS, Status.PASS)
    assert [(row["address"], row["protocol"], row["class"]) for row in handed.evidence["candidates"]] == [
        (PUBLIC, "udp", "public"), (PUBLIC, "tcp", "public"),
    ], "loopback leads nobody there, and is told to all"  # fmt: skip
    assert reached.target == f"{PUBLIC}:8443/udp"


async def test_private_addresses_fail_a_caller_who_is_public_and_reaches_none() -> None:
    handed, _ = await both(heard(*both_ways(PRIVATE)))
    assert handed.status is Status.FAIL and handed.evidence["caller_is_public"]


@pytest.mark.parametrize(
    "given",
    [
        heard(*both_ways(PRIVATE), reached=True),
        heard(*both_ways(PRIVATE), users="private"),
        heard(*both_ways(PRIVATE), api=PRIVATE),
        heard(*both_ways(PRIVATE), seen_as="10.0.0.4"),
    ],
    ids=["reached", "nobody is outside", "its API is reached there", "a caller within"],
)
async def test_private_addresses_are_well_where_callers_are_within(given: Context) -> None:
    assert (await both(given))[0].status is Status.PASS


async def test_from_a_machine_that_is_no_caller_private_addresses_decide_nothing() -> None:
    handed, reached = await both(heard(*both_ways(PRIVATE), vantage=Role.MATTERMOST))
    assert (handed.status, reached.status) == (Status.UNKNOWN, Status.UNKNOWN)


@pytest.mark.parametrize("told", [[], both_ways("0.0.0.0")], ids=["none", "unspecified"])
async def test_nothing_that_anybody_could_try(told: list[str]) -> None:
    handed, _ = await both(heard(*told, stage="candidates"))
    assert handed.status is Status.FAIL and handed.evidence["candidates"] == []


async def test_loopback_alone_fails_and_is_no_news_where_rtcd_is_asked_over_it() -> None:
    assert (await both(heard(*both_ways("127.0.0.1"), stage="candidates")))[0].status is Status.FAIL
    at_home = await advertised.class_probe(heard(*both_ways("127.0.0.1"), api="127.0.0.1"))
    assert at_home.status is Status.SKIP and at_home.evidence == {"nothing_to_do": True}


async def test_a_name_that_the_site_gives_is_told_for_the_causes_of_names() -> None:
    assert (await both(heard(override="rtc.example.com")))[0].evidence["override_name"] == "rtc.example.com"
    assert (await both(heard(override=PUBLIC)))[0].evidence["override_name"] == ""


async def test_without_a_call_nothing_is_known() -> None:
    given = heard(*both_ways(PUBLIC))
    del given.results[UDP_CALL].evidence["signalling"]["answer_s"]
    for finding in (await advertised.class_probe(given), await advertised.reachable_probe(given)):
        assert (finding.status, finding.blocked_by) == (Status.SKIP, UDP_CALL)


async def test_a_wrong_address_and_a_wrong_port_are_not_reached() -> None:
    handed, reached = await both(heard(*both_ways(PUBLIC)))
    assert (handed.status, reached.status) == (Status.PASS, Status.FAIL)
    assert reached.summary.endswith(f"is reached from here: {PUBLIC}:8443/udp")


async def test_what_rtcds_own_machine_reaches_over_loopback_is_no_callers() -> None:
    given = heard(*both_ways("127.0.0.1"), *both_ways(PUBLIC), reached=True)
    rows = given.results[UDP_CALL].evidence["signalling"]["checked"]
    rows[0]["returned"] = 0
    rows.append({"protocol": "udp", "address": "127.0.0.1", "port": 8443, "sent": 2, "returned": 2})
    _, reached = await both(given)
    assert reached.status is Status.UNKNOWN and [row["address"] for row in reached.evidence["candidates"]] == [PUBLIC]


async def test_a_call_tells_which_candidates_answered() -> None:
    dead = f"candidate:2 1 udp 2130706431 127.0.0.9 {OWN_PORT} typ host"
    well = f"candidate:1 1 udp 2130706431 {HOST} {OWN_PORT} typ host"
    async with scripted_rtcd(Script(candidates=(dead, well))) as server:
        outcome = await rtcd_call.hold(server.access, [straight(Transport.UDP)], 0.1)
    rows = {row["address"]: (row["sent"], row["returned"]) for row in outcome.signalling["checked"]}
    assert rows == {"127.0.0.9": (1, 0), HOST: (1, 1)}


@pytest.mark.parametrize(
    ("told", "stage", "cause"),
    [
        (both_ways(PRIVATE), "ice", "advertise.private-address"),
        (both_ways("127.0.0.1"), "candidates", "advertise.private-address"),
        ([], "candidates", "advertise.nothing"),
    ],
    ids=["private", "loopback", "none"],
)
async def test_one_cause_explains_what_is_handed_out_and_the_call(told: list[str], stage: str, cause: str) -> None:
    given = heard(*told, stage=stage)
    handed, _ = await both(given)
    results = list(given.results.values())
    results[1].evidence["detail"] = "no check was answered"
    known = f.result("nat.advertised-class", handed.status, handed.target, "client", **handed.evidence)
    (found,) = f.diagnosed(*results, known, phase=Phase.POST)
    assert found.cause == cause and set(found.because) >= {UDP_CALL, "nat.advertised-class"}


async def test_a_wrong_address_explains_that_nothing_handed_out_is_reached() -> None:
    given = heard(*both_ways(PUBLIC))
    _, reached = await both(given)
    api, call, stun = given.results.values()
    call.evidence.update(detail="refused", trouble="refused", lost=None)
    call.evidence["signalling"]["api"] = "answers"
    elsewhere = f.result(UDP_CALL, Status.FAIL, f"{PUBLIC}:8443/udp", "client", **call.evidence)
    known = f.result("nat.advertised-reachable", reached.status, reached.target, "client", **reached.evidence)
    (found,) = f.diagnosed(api, elsewhere, stun, known, phase=Phase.POST)
    assert found.cause == "advertise.wrong-address"
    assert set(found.because) == {UDP_CALL, "nat.advertised-reachable"}
