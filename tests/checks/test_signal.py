"""signal.websocket against sites on 127.0.0.1: one that is well, and each way to fail, with its cause; signal.teardown
by what calls saw at their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from calls_doctor.model.check import CheckResult, Evidence, Finding, Status
from calls_doctor.model.site import Phase
from calls_doctor.model.site import Site as TestedSite
from calls_doctor.net import resolver
from calls_doctor.spec import RTCD_CALLS
from checks import signal
from tests.diagnosis import findings
from tests.servers import certificates
from tests.servers.media_host import context
from tests.servers.scripted_tcp import HOST, answering, http_answer
from tests.servers.site_servers import Site, site

HOLD_S = 0.15
WELL = Site()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "HOLD_S", HOLD_S)
    monkeypatch.setattr(signal, "TIMEOUT_S", 0.4)


async def probed(url: str) -> tuple[Finding, list[str]]:
    """The finding, and the causes that are named for it."""
    given = replace(context(None, phase=Phase.UNDETERMINED), site=TestedSite(mattermost_url=url))
    finding = await signal.websocket_probe(given)
    result = CheckResult(
        id="signal.websocket", title="", category="signal", status=finding.status, vantage="client",
        target=finding.target, summary=finding.summary, evidence=finding.evidence,
    )  # fmt: skip
    msgspec.json.encode(result)
    return finding, findings.causes(result)


async def against(how: Site) -> tuple[Finding, list[str]]:
    async with site(how) as server:
        return await probed(server.url(""))


def words(finding: Finding) -> tuple[Status, str, str]:
    return finding.status, finding.evidence["stage"], finding.evidence["trouble"]


async def test_a_site_that_is_well() -> None:
    async with site(WELL) as server:
        finding, causes = await probed(server.url("/chat"))
        ping, upgrade = server.requests
    assert (finding.status, causes) == (Status.PASS, [])
    assert ping.startswith(b"GET /chat/api/v4/system/ping ")
    assert upgrade.startswith(b"GET /chat/api/v4/websocket ")
    evidence = finding.evidence
    assert (evidence["http_status"], evidence["is_mattermost"]) == (200, True)
    assert 0 < evidence["upgrade_s"] < 0.4 and 0 < evidence["pong_s"] < 0.4
    assert evidence["hold_s"] == pytest.approx(HOLD_S, abs=0.1)


async def test_the_upgrade_is_a_browsers() -> None:
    async with site(WELL) as server:
        await probed(server.url(""))
        upgrade = server.requests[-1].decode()
    assert f"\r\nOrigin: http://{HOST}:{server.port}\r\n" in upgrade
    assert "\r\nUpgrade: websocket\r\n" in upgrade and "Authorization" not in upgrade and "Cookie" not in upgrade


async def test_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = certificates.authority(tmp_path).trusted(monkeypatch)
    async with site(WELL, own.context()) as server:
        finding, causes = await probed(f"https://localhost:{server.port}")
    assert (finding.status, causes) == (Status.PASS, [])


@pytest.mark.parametrize(
    ("how", "stage", "trouble"),
    [
        (Site(strips=True), "websocket", "status-400"),
        (Site(upgrade_status=502), "websocket", "status-502"),
        (Site(upgrade_status=200), "websocket", "status-200"),
        (Site(hides_host=True), "websocket", "origin"),
        (Site(pongs=0), "websocket", "silent"),
        (Site(pongs=1), "hold", "silent"),
        (Site(hangs_up_after_s=HOLD_S / 3), "hold", "cut"),
    ],
    ids=["stripped", "502", "200", "another Host", "carries nothing", "forgets", "impatient"],
)
async def test_http_works_and_the_websocket_does_not(how: Site, stage: str, trouble: str) -> None:
    finding, causes = await against(how)
    assert words(finding) == (Status.FAIL, stage, trouble)
    assert causes == ["mattermost.websocket-blocked"]
    assert finding.evidence["is_mattermost"] is True


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_bad_gateway(status: int) -> None:
    finding, causes = await against(Site(status=status, body=b"<html>bad gateway"))
    assert words(finding) == (Status.FAIL, "http", f"status-{status}") and causes == ["mattermost.unreachable"]
    assert "bad gateway" not in finding.summary, "what came is not repeated"


async def test_a_hang_and_what_is_no_http_and_a_closed_port(free_port: Callable[[], int]) -> None:
    finding, causes = await against(Site(hangs=True))
    assert words(finding) == (Status.FAIL, "http", "silent") and causes == ["mattermost.unreachable"]
    async with answering(b"SSH-2.0-OpenSSH_9.2\r\n") as server:
        finding, causes = await probed(server.url(""))
    assert words(finding) == (Status.FAIL, "http", "not-http") and causes == ["mattermost.unreachable"]
    finding, causes = await probed(f"http://{HOST}:{free_port()}")
    assert words(finding) == (Status.FAIL, "connect", "refused") and causes == ["mattermost.unreachable"]


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_something_else_that_answers_there(status: int) -> None:
    finding, causes = await against(Site(status=status, body=b"no", upgrade_status=404))
    assert words(finding) == (Status.FAIL, "http", "not-mattermost") and causes == ["mattermost.unreachable"]
    finding, causes = await against(Site(status=status, body=b"no"))
    assert finding.status is Status.PASS, "a proxy may keep the ping to itself, and let calls through"


async def test_a_redirect_leads_elsewhere_and_says_nothing_of_the_site() -> None:
    async with answering(http_answer(301, b"", "Location: https://mm.example.com/")) as server:
        finding, causes = await probed(server.url(""))
    assert words(finding) == (Status.UNKNOWN, "http", "status-301") and causes == []


async def test_a_name_server_that_is_slow_is_not_the_websocket(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def slowly(host: str) -> list[str]:
        asked.append(host)
        await asyncio.sleep(signal.TIMEOUT_S * 1.2)
        return [HOST]

    monkeypatch.setattr(resolver, "resolve", slowly)
    async with site(WELL) as server:
        finding, causes = await probed(f"http://mm.example.com:{server.port}")
    assert (finding.status, causes, asked) == (Status.PASS, [], ["mm.example.com"])


async def test_a_name_that_is_none_is_for_the_checks_of_names() -> None:
    finding, causes = await probed("http://nobody.invalid")
    assert words(finding) == (Status.UNKNOWN, "connect", "unresolved") and causes == []


def looked_up(**answers: bool) -> dict[str, CheckResult]:
    """What dns.site found: whether each address takes connections."""
    rows = [{"address": f"127.0.0.{one[1:]}", "answers": well} for one, well in answers.items()]
    result = CheckResult(
        id="dns.site", title="", category="dns", status=Status.WARN, vantage="client",
        evidence={"names": [{"name": "mm.example.com", "addresses": rows}]},
    )  # fmt: skip
    return {result.id: result}


async def test_a_name_without_an_address_is_left_to_its_own_check() -> None:
    given = context(None, site=TestedSite(mattermost_url="http://mm.example.com"), results=looked_up())
    finding = await signal.websocket_probe(given)
    assert (finding.status, finding.blocked_by) == (Status.SKIP, "dns.site")


async def test_of_several_addresses_the_one_that_answers_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def both(_host: str) -> list[str]:
        return ["127.0.0.9", HOST]

    monkeypatch.setattr(resolver, "resolve", both)
    async with site(WELL) as server:
        tested = TestedSite(mattermost_url=f"http://mm.example.com:{server.port}")
        found = looked_up(_9=False, _1=True)
        finding = await signal.websocket_probe(context(None, site=tested, results=found))
    assert finding.status is Status.PASS


async def torn_down(*ends: Evidence) -> Finding:
    """What is found after calls that ended so."""
    results = {
        check: CheckResult(
            id=check, title="", category="media", status=Status.PASS, vantage="mattermost", target="", summary="",
            evidence={"signalling": end},
        )
        for check, end in zip(RTCD_CALLS, ends, strict=False)
    }  # fmt: skip
    given = context(None, phase=Phase.UNDETERMINED, results=results)
    return await signal.teardown_probe(replace(given, site=TestedSite(rtcd_url="http://rtcd:8045")))


def end(closes_told: int, left_over: int | None) -> Evidence:
    return {"sessions": 2, "closes_told": closes_told, "left_over": left_over}


async def test_sessions_that_left_are_gone() -> None:
    finding = await torn_down(end(2, 0), end(2, None))
    assert finding.status is Status.PASS and finding.target == "http://rtcd:8045"
    assert finding.evidence == {"calls": 2, "sessions": 4, "closes_told": 4, "left_over": 0}


async def test_a_session_that_stays_in_its_call_is_a_failure() -> None:
    finding = await torn_down(end(2, 0), end(1, 1))
    assert finding.status is Status.FAIL and finding.summary.startswith("1 of 4 sessions that left are still")


async def test_a_session_that_is_gone_and_was_not_said_to_be_is_a_warning() -> None:
    finding = await torn_down(end(0, 0))
    assert finding.status is Status.WARN and "rtcd said of 0" in finding.summary


async def test_an_api_that_does_not_say_is_told() -> None:
    finding = await torn_down(end(2, None))
    assert finding.status is Status.PASS and finding.summary.endswith("its API does not say whether one is left")


async def test_a_call_that_failed_says_nothing_of_its_end() -> None:
    finding = await torn_down({"sessions": 2, "closes_told": 0}, {})
    assert (finding.status, finding.blocked_by) == (Status.SKIP, "media.call-udp")
