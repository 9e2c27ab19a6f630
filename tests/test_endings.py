"""Whole runs in which something goes away: the far end at any moment, the person who wanted to know, or all there is to
talk to. Each ends in a report that keeps to the schema, none in an error of ours, and no process is left."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any  # JSON

import jsonschema  # type: ignore[import-untyped]  # it ships no types, and stubs would be one more package to pin
import msgspec
import pytest

from calls_doctor import run
from calls_doctor.engine.select import CheckPlan
from calls_doctor.errors import Cut
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.report import Report, Verdict
from calls_doctor.net import rtcd_client
from calls_doctor.run import Request
from calls_doctor.standin import launch
from calls_doctor.standin.launch import Options, StandInProcess
from calls_doctor.wire.direct import Keys, Link
from checks import CHECKS
from reports.schema import schema

SCHEMA = jsonschema.Draft202012Validator(msgspec.json.decode(schema()))
SHORT_S = 0.1
"""Of media, where a run is about something else."""
LONG_S = 20.0
"""Of media, where a run must still go on when it is interrupted."""
LINK_TO_NOBODY = str(Link("127.0.0.1", 9, Keys(bytes(16)), bytes(32)))


class Listener:
    """An observer that acts when a check starts."""

    def __init__(self, on_start: Callable[[str], object] = lambda _check: None) -> None:
        self.ended: list[str] = []
        self._on_start = on_start

    def planned(self, ids: list[str]) -> None: ...

    def started(self, check: str) -> None:
        self._on_start(check)

    def finished(self, result: CheckResult) -> None:
        self.ended.append(result.id)

    def said(self, text: str) -> None: ...


def sound(report: Report) -> Report:
    """The report, which keeps to the schema and has no error of ours."""
    SCHEMA.validate(msgspec.json.decode(msgspec.json.encode(report)))
    assert {one.id: one.evidence for one in report.checks if one.status is Status.ERROR} == {}
    return report


@pytest.mark.parametrize("part", ["turn", "api", "stun", "media"])
async def test_a_part_that_was_never_there_is_a_finding_with_a_cause(part: str) -> None:
    options = Options(without=frozenset({part}))
    report = sound(await run.check(Request(media_time_s=SHORT_S), {}, Listener(), options))
    assert (report.verdict, run.exit_code(report)) == (Verdict.FAILED, 1)
    assert report.diagnosis
    assert report.next


@pytest.mark.parametrize(
    "moment",
    ["port.rtc-udp-echo", "port.api-tcp", "stun.reach", "turn.relay-range", "media.call-udp", "media.call-tcp"],
)
async def test_a_far_end_that_is_killed_is_a_finding(moment: str) -> None:
    process = StandInProcess(Options())
    async with process as ready:
        pid = process.pid
        request = Request(
            rtcd_url=f"http://127.0.0.1:{ready.api_port}",
            turn=(f"turn:127.0.0.1:{ready.turn_port}", f"turn:127.0.0.1:{ready.turn_port}?transport=tcp"),
            stun=(f"stun:127.0.0.1:{ready.stun_port}",),
            peers=(ready.link,),
            media_time_s=SHORT_S,
        )
        given = {
            "CALLS_DOCTOR_TURN_USERNAME": ready.turn_username,
            "CALLS_DOCTOR_TURN_CREDENTIAL": ready.turn_password,
        }
        kill = Listener(lambda check: os.kill(pid, signal.SIGKILL) if check == moment else None)
        report = sound(await run.check(request, given, kill))
    assert report.complete
    assert report.verdict in (Verdict.FAILED, Verdict.WARNINGS)  # WARNINGS: what failed last was a fallback
    assert report.diagnosis


async def test_a_far_end_that_dies_before_the_report_is_handed_in_costs_the_report_nothing() -> None:
    process = StandInProcess(Options(without=frozenset({"api", "stun", "turn"})))
    async with process as ready:
        pid, only = process.pid, "port.rtc-udp-echo"
        last = Listener()
        request = Request(peers=(ready.link,), only=(only,))

        def finished(result: CheckResult) -> None:
            if result.id == only:
                os.kill(pid, signal.SIGKILL)

        last.finished = finished  # type: ignore[method-assign]  # an observer of this test alone
        async with asyncio.timeout(3.0):
            report = sound(await run.check(request, {}, last))
    assert report.complete and {one.status for one in report.checks if one.id == only} == {Status.PASS}


async def test_rtcd_that_goes_away_between_two_questions_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill meets those few milliseconds once in thirty runs."""

    async def gone(*_: object, **__: object) -> bool:
        raise Cut("the WebSocket")

    monkeypatch.setattr(rtcd_client, "refuses", gone)
    report = sound(await run.check(Request(only=("api.rtcd-auth",)), {}, Listener()))
    assert [one.status for one in report.checks if one.id == "api.rtcd-auth"] == [Status.FAIL]


async def test_silence_and_closed_ports_everywhere() -> None:
    request = Request(
        stun=("stun:127.0.0.1:9", "stun:[::1]:9", "stuns:127.0.0.1:9"),
        turn=("turn:127.0.0.1:9", "turn:[::1]:9?transport=tcp", "turns:127.0.0.1:9"),
        rtcd_url="http://[::1]:9",
        peers=(LINK_TO_NOBODY,),
    )
    report = sound(await run.check(request, {}, Listener()))
    assert report.verdict is Verdict.FAILED
    assert "127.0.0.1:9" in report.checks[1].target


async def test_names_that_do_not_resolve() -> None:
    request = Request(
        stun=("stun:does-not-exist.invalid",),
        turn=("turns:does-not-exist.invalid",),
        rtcd_url="https://does-not-exist.invalid",
    )
    report = sound(await run.check(request, {}, Listener()))
    failed = [one for one in report.checks if one.status is Status.FAIL]
    assert {one.category for one in failed} == {"dns", "stun", "turn", "port"}
    assert all("does-not-exist.invalid" in one.summary for one in failed)
    # Nothing was sent, so nobody's firewall is to blame. Why it does not resolve, this machine's resolver says, if any.
    assert {one.cause for one in report.diagnosis} <= {"dns.nxdomain", "dns.servfail", "dns.timeout"}
    assert all({one.id for one in failed} == set(one.because) for one in report.diagnosis)
    assert report.next


def children() -> set[int]:
    """Of this process, dead or alive: one that nobody waited for counts too."""
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


@pytest.mark.parametrize(
    "moment", ["the stand-in starts", "env.platform", "port.api-tcp", "turn.relay-range", "media.call-udp"]
)
async def test_an_interruption_keeps_what_is_known_and_leaves_no_process(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = children()
    reached = asyncio.Event()
    ready = StandInProcess._ready

    async def starting(self: StandInProcess, process: Any) -> Any:
        if moment == "the stand-in starts":
            reached.set()
        return await ready(self, process)

    monkeypatch.setattr(StandInProcess, "_ready", starting)
    listener = Listener(lambda check: reached.set() if check == moment else None)
    going = asyncio.ensure_future(run.check(Request(media_time_s=LONG_S), {}, listener))
    await reached.wait()
    going.cancel()
    with pytest.raises(run.Interrupted) as caught:
        await going
    report = sound(caught.value.report)
    assert (report.complete, report.verdict) == (False, Verdict.UNDECIDED)
    assert {one.id for one in report.checks} == set(listener.ended)
    assert {one.id for one in report.checks} | {one.what for one in report.not_tested} == {spec.id for spec in CHECKS}
    assert children() <= before


def test_a_plan_touches_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*_arguments: object, **_options: object) -> None:
        raise AssertionError("the network was touched")

    for name in ("socket", "create_connection", "getaddrinfo", "create_server"):
        monkeypatch.setattr(socket, name, touched)
    everything = Request(
        peers=(LINK_TO_NOBODY,),
        stun=("stun:stun.example.com",),
        turn=("turn:turn.example.com",),
        rtcd_url="http://rtcd.example.com:8045",
    )
    for request in (everything, Request()):
        planned = run.plan(request, {})
        assert isinstance(planned, CheckPlan)
        targets = [target for spec in planned.planned for target in spec.targets(planned.site)]
        assert targets


async def test_a_stand_in_that_breaks_is_our_own_fault_and_not_the_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = launch._BOOT.replace("main()", "print('Traceback: it broke', file=sys.stderr); main()")
    assert broken != launch._BOOT
    monkeypatch.setattr(launch, "_BOOT", broken)
    report = await run.check(Request(media_time_s=SHORT_S), {}, Listener())
    (own,) = [one for one in report.checks if one.status is Status.ERROR]
    assert (own.id, own.evidence["traceback"].strip()) == ("media.self", "Traceback: it broke")
    assert report.verdict is Verdict.BROKEN and run.exit_code(report) == 5
