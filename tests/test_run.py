"""A run put together: what is planned, what comes of it, and what is left of one that is cut short."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NoReturn  # Any: keyword arguments of a Request

import msgspec
import pytest

from calls_doctor import run, self_test
from calls_doctor.engine.select import CheckPlan
from calls_doctor.errors import UsageError
from calls_doctor.model.check import CheckResult, Finding, Status
from calls_doctor.model.report import Report, Verdict
from calls_doctor.model.site import Mode, Phase, Site
from calls_doctor.net import rtcd_registration
from calls_doctor.net.key_pace import Pace
from calls_doctor.run import Interrupted, Request
from calls_doctor.site.gather import gather
from calls_doctor.spec import CheckSpec, Context
from calls_doctor.standin.launch import Options, StandInProcess
from calls_doctor.standin.serving import Served, Serving
from calls_doctor.wire.direct import KEY_BYTES, Keys, Link
from checks import CHECKS
from tests.servers.registering_api import RegisteringApi, registering_api

IDS = [spec.id for spec in CHECKS if Phase.SELF_TEST in spec.phases]
QUICK_S = 0.1


class Heard:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.plan: list[str] = []
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.notes: list[str] = []
        self.begins: asyncio.Event = asyncio.Event()

    def planned(self, ids: list[str]) -> None:
        self.plan = ids

    def started(self, check: str) -> None:
        self.begun.append(check)
        self.begins.set()

    def finished(self, result: CheckResult) -> None:
        self.ended.append(result.id)

    def said(self, text: str) -> None:
        self.notes.append(text)


def _statuses(report: Report) -> dict[str, Status]:
    return {result.id: result.status for result in report.checks}


async def test_the_self_test_is_a_whole_report() -> None:
    heard = Heard()
    report = await run.check(Request(media_time_s=QUICK_S, metadata={"a": "b"}, command="typed"), {}, heard)
    assert [result.id for result in report.checks] == IDS == heard.plan
    assert set(_statuses(report).values()) <= {Status.PASS, Status.WARN}  # a port of Calls may be taken here
    assert sorted(heard.ended) == sorted(heard.begun) == sorted(IDS)
    assert (report.phase, report.mode, report.complete) == (Phase.SELF_TEST, None, True)
    assert (report.metadata, report.command, report.diagnosis) == ({"a": "b"}, "typed", [])
    assert {setting.origin for setting in report.site.values()} == {"self-test"}
    assert {step.verdict for step in report.guide} <= {"not tested", "manual"}
    assert report.versions["rtcd"].startswith("dev-calls-doctor")
    assert [(one.role, one.public_address) for one in report.vantages] == [("client", "")]
    assert {row["end"] for row in report.books} == {"near", "far"}
    calls = [row for row in report.books if row["flow"] == "call over UDP"]
    assert [row["sent_rtp"] for row in calls if row["end"] == "near"] == [5, 5]
    assert {row["session"] for row in calls if row["end"] == "near"} == {
        row["session"] for row in calls if row["end"] == "far"
    }


async def test_a_stand_in_that_a_link_names_is_phase_pre() -> None:
    async with StandInProcess(Options()) as ready:
        request = Request(peers=(ready.link,), media_time_s=QUICK_S, label="Berlin", skip={"quality": "too short"})
        report = await run.check(request, {}, Heard())
    found = _statuses(report)
    assert report.phase is Phase.PRE
    assert report.site["peers"].value == [f"127.0.0.1:{ready.media_port}"]
    assert [found[check] for check in ("port.rtc-udp-echo", "media.call-udp", "media.call-tcp")] == [Status.PASS] * 3
    assert {result.vantage for result in report.checks} == {"Berlin"}
    assert [one.summary for one in report.checks if one.id == "quality.path"] == ["too short"]
    assert {step.step for step in report.guide if step.verdict == "passed"} == set(), "it was tried over loopback"
    assert report.diagnosis == [] and report.verdict == "ok"
    of_callers = {"nat.advertised-class", "nat.advertised-reachable", "nat.hairpin", "port.api-exposure"}
    assert {one.what for one in report.not_tested if "over loopback" in one.why} == of_callers
    assert report.next[0].command == "calls-doctor serve --host NAME|ADDRESS"


async def test_a_run_that_was_cut_short_says_what_to_type_and_not_what_stands_in_the_report() -> None:
    async with StandInProcess(Options()) as ready:
        typed, again = "calls-doctor check --peer 127.0.0.1:8443", "calls-doctor check --peer LINK"
        request = Request(peers=(ready.link,), timeout_s=0.2, command=typed, again=again)
        report = await run.check(request, {}, Heard())
    assert (report.command, report.complete) == (typed, False)
    assert [one.command for one in report.next] == [again]


async def test_servers_that_were_named_are_tested_without_a_media_host() -> None:
    async with StandInProcess(Options()) as ready:
        environment = {
            "CALLS_DOCTOR_TURN_USERNAME": ready.turn_username,
            "CALLS_DOCTOR_TURN_CREDENTIAL": ready.turn_password,
        }
        request = Request(turn=(f"turn:127.0.0.1:{ready.turn_port}",), stun=(f"stun:127.0.0.1:{ready.stun_port}",))
        report = await run.check(request, environment, Heard())
    found = _statuses(report)
    assert report.phase is Phase.UNDETERMINED
    assert [found[f"turn.{name}"] for name in ("challenge", "allocate", "relay-range")] == [Status.PASS] * 3
    assert (report.vantages[0].public_address, report.vantages[0].network_class) == ("127.0.0.1", "loopback")
    assert "media.call-udp" in {row.what for row in report.not_tested}
    assert report.books == []


async def test_what_only_others_need_is_marked() -> None:
    report = await run.check(Request(only=("stun.public-ip",)), {}, Heard())
    assert {one.id: one.for_others for one in report.checks} == {
        "env.platform": True,
        "stun.reach": True,
        "stun.public-ip": False,
    }


@pytest.fixture
def silent_turn() -> str:
    """A TURN server that takes everything and answers nothing; the test's process keeps it."""
    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taken.bind(("127.0.0.1", 0))
    KEPT.append(taken)
    return f"turn:127.0.0.1:{taken.getsockname()[1]}"


KEPT: list[socket.socket] = []


@pytest.fixture(autouse=True)
def _sockets_are_closed() -> Any:
    yield
    while KEPT:
        KEPT.pop().close()


async def test_its_own_limit_leaves_what_is_known(silent_turn: str) -> None:
    report = await run.check(Request(turn=(silent_turn,), timeout_s=0.2), {}, Heard())
    assert (report.complete, report.verdict) == (False, Verdict.UNDECIDED)
    assert _statuses(report) == {"env.platform": Status.PASS}
    assert "the run's own limit (--timeout) came first" in {row.why for row in report.not_tested}
    assert run.exit_code(report) == 4


async def test_a_cancelled_run_hands_over_its_report(silent_turn: str) -> None:
    heard = Heard()
    going = asyncio.create_task(run.check(Request(turn=(silent_turn,)), {}, heard))
    while "turn.challenge" not in heard.begun:
        heard.begins.clear()
        await heard.begins.wait()
    going.cancel()
    with pytest.raises(Interrupted) as caught:
        await going
    report = caught.value.report
    assert (report.complete, report.verdict) == (False, Verdict.UNDECIDED)
    assert _statuses(report) == {"env.platform": Status.PASS}
    unfinished = {row.what for row in report.not_tested if row.why == "the run was interrupted"}
    assert unfinished == {
        "turn.challenge", "turn.allocate", "turn.permission", "turn.relay-range", "turn.relay-ports",
        "port.turn-listener", "client.udp-egress", "turn.expiry",
    }  # fmt: skip


async def test_a_run_that_is_cancelled_before_it_began_names_all_that_it_would_have_tested() -> None:
    going = asyncio.create_task(run.check(Request(), {}, Heard()))
    await asyncio.sleep(0)
    going.cancel()
    with pytest.raises(Interrupted) as caught:
        await going
    report = caught.value.report
    assert report.phase is Phase.SELF_TEST
    assert report.checks == []
    left = [row.what for row in report.not_tested if "not part of phase" not in row.why]
    assert left == IDS


async def test_a_timeout_that_is_not_the_runs_own_is_our_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> NoReturn:
        raise TimeoutError("not the limit's")

    monkeypatch.setattr(run, "Runner", broken)
    with pytest.raises(TimeoutError, match="not the limit's"):
        await run.check(Request(stun=("stun:127.0.0.1:9",), timeout_s=5), {}, Heard())


async def test_waiting_ends_when_the_far_end_answers(free_port: Callable[[], int]) -> None:
    heard, port = Heard(), free_port()
    going = asyncio.create_task(run.check(Request(stun=(f"stun:127.0.0.1:{port}",), wait_s=20), {}, heard))
    async with StandInProcess(Options(stun_port=port)):
        report = await going
    assert heard.notes == ["waiting at most 20 s until the far ends answer"]
    assert _statuses(report)["stun.reach"] is Status.PASS


async def test_waiting_in_vain_is_for_the_checks_to_judge() -> None:
    report = await run.check(Request(stun=("stun:127.0.0.1:9",), wait_s=0.05), {}, Heard())
    assert _statuses(report)["stun.reach"] is Status.FAIL


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"mode": "rtcd"}, "--mode alone names nothing to test"),
        ({"only": ("media.call-udp",), "stun": ("stun:a",)}, "nothing to test (media.call-udp: no stand-in"),
        ({"only": ("media",), "stun": ("stun:a",)}, "nothing to test (media.self: not part of phase"),
        ({"skip": dict.fromkeys({spec.category for spec in CHECKS}, "")}, "--skip leaves nothing to test"),
        ({"only": ("turn.alocate",)}, 'did you mean "turn.allocate"?'),
        ({"skip": {"medai": ""}}, 'did you mean "media"?'),
    ],
)
def test_a_run_that_would_test_nothing_is_refused(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        asyncio.run(run.check(Request(**asked), {}, Heard()))
    assert said in str(caught.value)


def test_what_has_no_effect_is_told_to_the_observer() -> None:
    heard = Heard()
    going = run.check(Request(phase="pre"), {}, heard)
    going.close()
    assert heard.notes == ["--phase has no effect in the self-test"]


def test_a_plan_is_one_of_checks_or_of_a_mode() -> None:
    of_a_mode = run.plan(Request(mode="ha-rtcd"), {})
    assert of_a_mode is Mode.HA_RTCD
    named = run.plan(Request(mode="ha-rtcd", stun=("stun:a",)), {})
    assert isinstance(named, CheckPlan)
    assert [spec.id for spec in named.planned] == [
        "env.platform", "dns.media-names", "stun.reach", "stun.public-ip", "nat.type", "client.udp-egress",
    ]  # fmt: skip
    whole = run.plan(Request(), {})
    assert isinstance(whole, CheckPlan)
    assert [spec.id for spec in whole.planned] == IDS


@pytest.mark.parametrize("thorough", [False, True])
def test_what_takes_longer_is_planned_for_a_thorough_look_alone(thorough: bool) -> None:
    link = str(Link("192.0.2.1", 8443, Keys(bytes(KEY_BYTES)), bytes(32)))
    planned = run.plan(Request(peers=(link,), thorough=thorough), {})
    assert isinstance(planned, CheckPlan)
    assert ("nat.idle" in {spec.id for spec in planned.planned}) is thorough


@pytest.mark.parametrize(
    ("asked", "phase", "seconds"),
    [
        ({}, Phase.SELF_TEST, 0.3),
        ({}, Phase.PRE, 3.0),
        ({"thorough": True}, Phase.SELF_TEST, 30.0),
        ({"thorough": True, "media_time_s": 0.7}, Phase.PRE, 0.7),
    ],
)
def test_how_long_a_call_lasts(asked: dict[str, Any], phase: Phase, seconds: float) -> None:
    assert run.media_time_s(Request(**asked), phase) == seconds


async def test_a_longer_call_does_not_reach_a_probes_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def probe(context: Context) -> Finding:
        await asyncio.sleep(context.media_time_s)
        return Finding(status=Status.PASS, summary="slept")

    slow = CheckSpec(id="media.slow", title="It lasts", probe=probe, timeout_s=0.1)
    monkeypatch.setattr(run, "CHECKS", (slow,))
    report = await run.check(Request(stun=("stun:127.0.0.1:9",), media_time_s=0.2), {}, Heard())
    assert _statuses(report) == {"media.slow": Status.PASS}


async def test_a_check_that_breaks_is_an_error_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def probe(_: Context) -> Finding:
        raise ZeroDivisionError("a fault with hunter22 in it")

    broken = tuple(dataclasses.replace(spec, probe=probe) if spec.id == "stun.reach" else spec for spec in CHECKS)
    monkeypatch.setattr(run, "CHECKS", broken)
    request = Request(only=("stun", "port.api-tcp"), command="calls-doctor check")
    report = await run.check(request, {"CALLS_DOCTOR_TURN_SECRET": "hunter22"}, Heard())
    found = _statuses(report)
    assert (found["stun.reach"], found["stun.public-ip"], found["port.api-tcp"]) == (
        Status.ERROR, Status.SKIP, Status.PASS
    )  # fmt: skip
    trace = next(one.evidence["traceback"] for one in report.checks if one.id == "stun.reach")
    assert "ZeroDivisionError: a fault with *** in it" in trace
    assert (report.verdict, run.exit_code(report)) == (Verdict.BROKEN, 5)
    assert report.next[0].command == "calls-doctor check -o calls-doctor-report.json"


def test_a_planned_self_test_has_a_port_for_everything() -> None:
    planned = run.plan(Request(), {})
    assert isinstance(planned, CheckPlan)
    targets = [target for spec in planned.planned for target in spec.targets(planned.site)]
    assert targets
    assert all(f":{self_test.PORT_TO_BE_PICKED}" in target for target in targets)
    assert gather(Request(), {}).site.media == ()


def _served(*parts: str, host: str = "127.0.0.1") -> Served:
    site = Site(host_override=host)
    return Served(site=site, local=(host,), parts=frozenset(parts), media_port=0, api_port=0, turn_port=0)


TURN = ("turn.challenge", "turn.allocate", "turn.permission", "turn.relay-range", "port.turn-listener")
RELAYED = (*TURN, "media.call-relay")


async def test_a_stand_in_that_serves_turn_is_all_that_a_caller_needs_to_test_the_relay() -> None:
    async with Serving(_served("media", "turn"), lambda _report: None) as serving:
        link = str(serving.links()[0])
        report = await run.check(Request(peers=(link,), media_time_s=QUICK_S, skip={"quality": ""}), {}, Heard())
        facts = serving.facts()
    found = _statuses(report)
    assert {name: found[name] for name in RELAYED} == dict.fromkeys(RELAYED, Status.PASS)
    assert report.diagnosis == [] and facts is not None
    assert b"turn_credential" not in msgspec.json.encode(report)


async def test_one_that_serves_none_leaves_a_line_and_no_result() -> None:
    async with Serving(_served("media"), lambda _report: None) as serving:
        link = str(serving.links()[0])
        whole = await run.check(Request(peers=(link,), media_time_s=QUICK_S, skip={"quality": ""}), {}, Heard())
        named = await run.check(Request(peers=(link,), only=("turn",)), {}, Heard())
    assert not set(_statuses(whole)) & set(RELAYED)
    (why,) = {one.why for one in whole.not_tested if one.what in RELAYED}
    assert "--as turn" in why and {one.what for one in whole.not_tested} >= set(RELAYED)
    assert whole.verdict is Verdict.OK
    assert _statuses(named)["turn.challenge"] is Status.SKIP, "nothing tested must not look like nothing wrong"


async def test_each_of_several_stand_ins_is_tested_with_its_own_turn_server() -> None:
    async with (
        Serving(_served("media", "turn"), lambda _report: None) as one,
        Serving(_served("media", "turn", host="127.0.0.2"), lambda _report: None) as two,
        Serving(_served("media", host="127.0.0.3"), lambda _report: None) as three,
    ):
        links = [str(serving.links()[0]) for serving in (one, two, three)]
        request = Request(peers=tuple(links), media_time_s=QUICK_S, skip={"quality": ""})
        report = await run.check(request, {}, Heard())
    statuses = {(result.id, result.host): result.status for result in report.checks if result.id in RELAYED}
    hosts = {host for _, host in statuses}
    assert len(hosts) == 2 and statuses == {(name, host): Status.PASS for name in RELAYED for host in hosts}
    assert len([one for one in report.not_tested if one.what == "turn.challenge" and "127.0.0.3" in one.why]) == 1


@pytest.fixture
async def an_rtcd(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RegisteringApi]:
    """It registers whoever asks; keys may be used as often as a test likes."""
    monkeypatch.setattr(rtcd_registration, "Pace", lambda: Pace(0.0))
    async with registering_api() as api:
        yield api


async def test_rtcd_itself_is_phase_post_and_keeps_nothing_of_a_run(an_rtcd: RegisteringApi, tmp_path: Path) -> None:
    heard = Heard()
    report = await run.check(Request(rtcd_url=an_rtcd.url), {"XDG_STATE_HOME": str(tmp_path)}, heard)
    auth = next(one for one in report.checks if one.id == "api.rtcd-auth")
    assert (report.phase, auth.status, auth.evidence["client"]) == (Phase.POST, Status.PASS, "registered")
    assert an_rtcd.known == {} and "/unregister" in an_rtcd.asked
    (said,) = heard.notes
    assert f"calls-doctor-{report.run_id}" in said


async def test_a_run_that_must_not_register_does_not(an_rtcd: RegisteringApi, tmp_path: Path) -> None:
    request = Request(rtcd_url=an_rtcd.url, no_register=True)
    report = await run.check(request, {"XDG_STATE_HOME": str(tmp_path)}, Heard())
    auth = next(one for one in report.checks if one.id == "api.rtcd-auth")
    assert (auth.status, an_rtcd.known) == (Status.SKIP, {}) and "--no-register" in auth.summary
    assert an_rtcd.asked.count("/register") == 1, "with nothing that could be registered"


async def test_the_key_of_a_client_of_its_own_is_in_no_report(
    an_rtcd: RegisteringApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[str] = []

    async def quotes(context: Context) -> Finding:
        await context.registration.register(an_rtcd.url, ["127.0.0.1"])
        assert context.registration.client is not None
        keys.append(context.registration.client.auth_key.reveal())
        return Finding(status=Status.PASS, summary=f"says {keys[0]}")

    spec = next(spec for spec in CHECKS if spec.id == "api.rtcd-auth")
    monkeypatch.setattr(
        run, "CHECKS", tuple(dataclasses.replace(one, probe=quotes) if one is spec else one for one in CHECKS)
    )
    report = await run.check(Request(rtcd_url=an_rtcd.url), {"XDG_STATE_HOME": str(tmp_path)}, Heard())
    assert keys and keys[0] not in repr(report)
