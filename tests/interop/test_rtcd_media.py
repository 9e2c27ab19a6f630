"""`calls-doctor check --from mattermost --rtcd-url …` holds calls of its own through rtcd, and through our stand-in as
if it were one: over UDP, ICE-TCP and a relay, with the same ids, evidence and verdicts."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from aiortc import RTCInboundRtpStreamStats

from calls_doctor import run
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.report import Report
from calls_doctor.net import resolver
from calls_doctor.run import Request
from tests.servers import certificates, turn_servers
from tests.servers.plain_sockets import eventually
from tests.servers.rtcd_callers import Room
from tests.servers.rtcd_or_stand_in import SERVERS, served
from tests.servers.rtcd_server import HOST, RtcdServer, rtcd_server, why_not
from tests.servers.turn_servers import PASSWORD, USER, coturn

needs_rtcd = pytest.mark.skipif(why_not() != "", reason=f"no rtcd here: {why_not()}")
CALLS = ("media.call-udp", "media.call-tcp", "media.call-relay")
INSTANCES = "media.multi-instance"
OTHER_HOST, NAME = "127.0.0.2", "rtcd.example.com"
MEDIA_TIME_S = 0.4
NAMED_S = 5.0
"""In which every failure is to be named."""


class Quiet:
    """An observer that tells nobody."""

    def planned(self, ids: list[str]) -> None: ...

    def started(self, check: str) -> None: ...

    def finished(self, result: CheckResult) -> None: ...

    def said(self, text: str) -> None: ...


def sessions_of(server: RtcdServer) -> int:
    """How many sockets of ours rtcd's media port has a session with: those that are connected to it."""
    return Path("/proc/net/udp").read_text().count(f" 0100007F:{server.media_port:04X} 01 ")


async def checked(
    server: RtcdServer,
    *turn: str,
    more: Mapping[str, str] | None = None,
    media_time_s: float = MEDIA_TIME_S,
    skip: Mapping[str, str] | None = None,
    vantage: str = "mattermost",
) -> Report:
    request = Request(
        vantage=vantage, rtcd_url=server.url, turn=turn, only=("media",), media_time_s=media_time_s,
        no_register=True, skip=skip or {},
    )  # fmt: skip
    environment = {
        "CALLS_DOCTOR_RTCD_CLIENT_ID": server.client_id,
        "CALLS_DOCTOR_RTCD_AUTH_KEY": server.auth_key,
        **(more or {}),
    }
    return await run.check(request, environment, Quiet())


def calls_of(report: Report) -> dict[str, CheckResult]:
    return {one.id: one for one in report.checks if one.id in CALLS}


@pytest.mark.parametrize("of", SERVERS)
@pytest.mark.skipif(turn_servers.why_not() != "", reason=f"no coturn here: {turn_servers.why_not()}")
async def test_every_call_passes(of: str, tmp_path: Path, free_port: Callable[[], int]) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(served(of))
        relay = await stack.enter_async_context(coturn(tmp_path, (free_port(), free_port())))
        given = {"CALLS_DOCTOR_TURN_USERNAME": USER, "CALLS_DOCTOR_TURN_CREDENTIAL": PASSWORD}
        report = await checked(server, str(relay.uri()), more=given)
    found = calls_of(report)
    assert {name: one.status for name, one in found.items()} == dict.fromkeys(CALLS, Status.PASS)
    assert report.verdict == "ok" and report.diagnosis == []
    for one in found.values():
        evidence = one.evidence
        counted = evidence["there_and_back"]
        assert counted["sent"] == counted["received"] >= 2 * 50 * MEDIA_TIME_S
        assert evidence["to_far"]["received"] is None and evidence["far"] is None, "rtcd keeps no books"
        assert evidence["signalling"]["closes_told"] == evidence["sessions"] == 2 and evidence["stage"] == "media"
        assert server.auth_key not in repr(one)
    assert found["media.call-tcp"].target.endswith(f":{server.media_port}/tcp")
    assert found["media.call-relay"].evidence["relay_transport"] == "udp"
    screen = next(one for one in report.checks if one.id == "media.video")
    assert screen.status is Status.PASS and "0.4 Mbit/s sent" in screen.summary, "all media, and not this by its name"
    assert report.phase == ("post" if of == "rtcd" else "pre")


@needs_rtcd
async def test_over_tls_at_two_addresses_of_one_name_as_a_client_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def both(_host: str) -> list[str]:
        return [HOST, OTHER_HOST]

    monkeypatch.setattr(resolver, "resolve", both)
    own = certificates.authority(tmp_path).trusted(monkeypatch)
    pem = tmp_path / "both.pem"
    own.ca.issue_cert(NAME).private_key_and_cert_chain_pem.write_to_path(str(pem))
    tls = {"RTCD_API_HTTP_TLS_ENABLE": "true"} | {
        f"RTCD_API_HTTP_TLS_{one}": str(pem) for one in ("CERTFILE", "CERTKEY")
    }
    async with rtcd_server(tls) as one, rtcd_server(tls, api=(OTHER_HOST, one.api_port)):
        request = Request(
            vantage="mattermost", rtcd_url=f"https://{NAME}:{one.api_port}", only=("media",), media_time_s=MEDIA_TIME_S
        )
        report = await run.check(request, {"XDG_STATE_HOME": str(tmp_path)}, Quiet())
    assert {name: one.status for name, one in calls_of(report).items()} == dict.fromkeys(CALLS[:2], Status.PASS)
    every = next(one for one in report.checks if one.id == INSTANCES)
    assert every.status is Status.PASS and [row["address"] for row in every.evidence["addresses"]] == [HOST, OTHER_HOST]
    assert report.verdict == "ok"


@needs_rtcd
async def test_the_broken_one_of_two_is_named_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async def both(_host: str) -> list[str]:
        return [HOST, OTHER_HOST]

    monkeypatch.setattr(resolver, "resolve", both)
    async with rtcd_server() as one:
        known = (one.client_id, one.auth_key)
        wrong = {"RTCD_RTC_ICEHOSTOVERRIDE": "127.9.9.9"}
        async with rtcd_server(wrong, client=known, api=(OTHER_HOST, one.api_port)):
            report = await checked(replace(one, host=NAME))
    assert {name: one.status for name, one in calls_of(report).items()} == dict.fromkeys(CALLS[:2], Status.PASS)
    broken = next(one for one in report.checks if one.id == INSTANCES)
    assert (broken.status, broken.evidence["address"], broken.evidence["stage"]) == (Status.FAIL, OTHER_HOST, "ice")
    assert f"a call works through {HOST}" in broken.summary
    (found,) = report.diagnosis
    assert (found.cause, found.because) == ("advertise.wrong-address", [INSTANCES])


@needs_rtcd
@pytest.mark.parametrize("vantage", ["mattermost", "client"])
async def test_a_call_of_others_loses_nothing_beside_it(vantage: str) -> None:
    async with rtcd_server() as server:
        others = Room(server)
        try:
            await others.open()
            speaker, listener = await others.two()
            speaker.publish()
            await eventually(lambda: listener.frames > 5)
            report = await checked(server, vantage=vantage)
            assert report.verdict == "ok" and len(calls_of(report)) == 2
            (receiver,) = listener.peer.getReceivers()
            heard = [one for one in (await receiver.getStats()).values() if isinstance(one, RTCInboundRtpStreamStats)]
            assert [one.packetsLost for one in heard] == [0] and heard[0].packetsReceived > 50
        finally:
            await others.close()


@needs_rtcd
async def test_without_a_turn_server_there_is_no_relayed_call() -> None:
    async with rtcd_server() as server:
        report = await checked(server)
    assert list(calls_of(report)) == ["media.call-udp", "media.call-tcp"]
    assert any(one.what == "media.call-relay" and "--turn" in one.why for one in report.not_tested)


@needs_rtcd
@pytest.mark.parametrize(
    ("settings", "stage", "cause"),
    [
        ({"RTCD_RTC_ICEHOSTOVERRIDE": "127.9.9.9"}, "ice", "advertise.wrong-address"),
        ({"RTCD_RTC_ICEHOSTOVERRIDE": "nowhere.invalid"}, "join", "advertise.nothing"),
    ],
    ids=["elsewhere", "unresolvable"],
)
async def test_an_override_that_leads_nowhere_is_named(settings: dict[str, str], stage: str, cause: str) -> None:
    async with rtcd_server(settings) as server:
        report = await checked(server)
    calls = calls_of(report)
    assert {one.evidence["stage"] for one in calls.values()} == {stage}
    assert {one.status for one in calls.values()} == {Status.FAIL, Status.WARN}
    (found,) = report.diagnosis
    assert (found.cause, set(found.because)) == (cause, set(calls))


@needs_rtcd
@pytest.mark.parametrize(
    ("what", "cause"), [(signal.SIGKILL, "api.refused"), (signal.SIGSTOP, "api.no-answer")], ids=["killed", "hung"]
)
async def test_one_that_ends_or_hangs_in_the_middle_of_a_call_is_named(what: signal.Signals, cause: str) -> None:
    async with rtcd_server() as server:
        checking = asyncio.create_task(checked(server, media_time_s=6.0, skip={"media.call-tcp": ""}))
        await eventually(lambda: sessions_of(server) == 2)
        await asyncio.sleep(0.3)
        os.kill(server.pid, what)
        began_s = time.monotonic()
        report = await checking
        assert time.monotonic() - began_s < NAMED_S
    call = calls_of(report)["media.call-udp"]
    assert (call.status, call.evidence["stage"]) == (Status.FAIL, "media")
    assert [found.cause for found in report.diagnosis] == [cause]
