"""The runner, over probes that a test opens and shuts: no network, no sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest

from calls_doctor.engine.runner import Runner
from calls_doctor.engine.select import CheckPlan, select
from calls_doctor.model.check import CheckResult, Finding, Status
from calls_doctor.model.credentials import Credentials
from calls_doctor.model.site import Phase, Site
from calls_doctor.spec import CheckSpec, Context, Probe

SITE = Site(phase=Phase.PRE)


@dataclass
class Diary:
    """An observer that remembers."""

    lines: list[str] = field(default_factory=list)

    def planned(self, ids: list[str]) -> None:
        self.lines.append(f"planned {' '.join(ids)}")

    def started(self, check: str) -> None:
        self.lines.append(f"started {check}")

    def finished(self, result: CheckResult) -> None:
        self.lines.append(f"{result.status} {result.id}")

    def said(self, text: str) -> None:
        self.lines.append(text)


def finds(status: Status, **evidence: object) -> Probe:
    async def probe(_context: Context) -> Finding:
        return Finding(status=status, summary=f"found {status}", evidence=dict(evidence), target="somewhere")

    return probe


def waits_for(gate: asyncio.Event) -> Probe:
    async def probe(_context: Context) -> Finding:
        await gate.wait()
        return Finding(status=Status.PASS, summary="the gate opened")

    return probe


def spec(
    check: str,
    probe: Probe,
    *needs: str,
    uses: tuple[str, ...] = (),
    timeout_s: float = 5.0,
    steps: tuple[str, ...] = (),
) -> CheckSpec:
    return CheckSpec(
        id=check, title=f"{check} is fine", probe=probe, needs=needs, uses=uses, timeout_s=timeout_s, guide_steps=steps
    )


def context(results: Mapping[str, CheckResult]) -> Context:
    return Context(
        site=SITE,
        credentials=Credentials(),
        results=results,
        paired=None,
        media_time_s=0.3,
        thorough=False,
    )  # fmt: skip


def runner(*specs: CheckSpec, plan: CheckPlan | None = None, clock: Callable[[], float] | None = None) -> Runner:
    made = plan or select(SITE, specs)
    return Runner(made, "client", context, Diary(), clock or time.monotonic)


async def statuses(*specs: CheckSpec) -> dict[str, Status]:
    return {r.id: r.status for r in await runner(*specs).run()}


async def test_what_needs_nothing_of_each_other_runs_at_once() -> None:
    """Each waits until the other has begun: one after the other they would never end."""
    here, there = asyncio.Event(), asyncio.Event()

    async def left(_context: Context) -> Finding:
        here.set()
        await there.wait()
        return Finding(status=Status.PASS, summary="met")

    async def right(_context: Context) -> Finding:
        there.set()
        await here.wait()
        return Finding(status=Status.PASS, summary="met")

    assert await statuses(spec("a.left", left), spec("a.right", right)) == {"a.left": "pass", "a.right": "pass"}


async def test_results_come_in_the_plans_order_whichever_ended_first() -> None:
    gate = asyncio.Event()

    async def opens(_context: Context) -> Finding:
        gate.set()
        return Finding(status=Status.PASS, summary="open")

    assert list(await statuses(spec("a.late", waits_for(gate)), spec("b.early", opens))) == ["a.late", "b.early"]


async def test_a_check_is_given_the_results_of_what_it_needs_and_uses_and_no_others() -> None:
    seen: list[set[str]] = []

    async def looks(given: Context) -> Finding:
        seen.append(set(given.results))
        return Finding(status=Status.PASS, summary="")

    fine = finds(Status.PASS)
    await statuses(
        spec("a.need", fine), spec("b.use", finds(Status.FAIL)), spec("c.other", fine),
        spec("d.looks", looks, "a.need", "not.built", uses=("b.use", "not.built")),
    )  # fmt: skip
    assert seen == [{"a.need", "b.use"}]


async def test_a_result_carries_all_that_the_check_declares_and_finds() -> None:
    times = iter((10.0, 10.25))
    (result,) = await runner(spec("a.b", finds(Status.WARN, sent=3), steps=("1.6.1",)), clock=lambda: next(times)).run()
    assert result == CheckResult(
        id="a.b", title="a.b is fine", category="a", status=Status.WARN, vantage="client", target="somewhere",
        summary="found warn", evidence={"sent": 3}, duration_s=0.25, needs=[], blocked_by=None, guide_steps=["1.6.1"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "then"),
    [
        (Status.PASS, Status.PASS), (Status.WARN, Status.PASS), (Status.UNKNOWN, Status.PASS),
        (Status.FAIL, Status.SKIP), (Status.ERROR, Status.SKIP), (Status.SKIP, Status.SKIP),
    ],
)  # fmt: skip
async def test_a_need_that_did_not_work_leaves_nothing_to_find(status: Status, then: Status) -> None:
    found = await statuses(spec("a.need", finds(status)), spec("b.then", finds(Status.PASS), "a.need"))
    assert found["b.then"] is then


async def test_what_is_made_anyway_is_given_the_need_that_failed() -> None:
    async def sees(context: Context) -> Finding:
        return Finding(status=Status.PASS, summary=context.results["a.need"].summary)

    anyway = replace(spec("b.then", sees, "a.need"), anyway=True)
    found = {r.id: r for r in await runner(spec("a.need", finds(Status.FAIL)), anyway).run()}
    assert (found["b.then"].status, found["b.then"].summary) == (Status.PASS, "found fail")


async def test_a_use_that_failed_blocks_nobody() -> None:
    found = await statuses(spec("a.use", finds(Status.FAIL)), spec("b.then", finds(Status.PASS), uses=("a.use",)))
    assert found["b.then"] is Status.PASS


async def test_a_failure_is_weighed_by_what_ran_beside_it_and_a_pass_waits_for_nobody() -> None:
    gate = asyncio.Event()

    def weighed(_site: Site, finding: Finding, results: Mapping[str, CheckResult]) -> Finding:
        return Finding(
            status=Status.WARN if results["b.b"].status is Status.PASS else finding.status, summary="weighed"
        )

    def after(status: Status, check: str) -> CheckSpec:
        return CheckSpec(id=check, title="", probe=finds(status), weighed=weighed, weighed_by=("b.b",))

    async def opens(_context: Context) -> Finding:
        gate.set()
        return Finding(status=Status.PASS, summary="")

    needs_a_pass = spec("d.d", opens, "c.c")
    plan = (after(Status.FAIL, "a.a"), spec("b.b", waits_for(gate)), after(Status.PASS, "c.c"), needs_a_pass)
    found = {result.id: (result.status, result.summary) for result in await runner(*plan).run()}
    assert found["a.a"] == (Status.WARN, "weighed")
    assert found["c.c"] == (Status.PASS, "found pass"), "it did not wait: what it lets run has opened the gate"


async def test_a_chain_of_skips_names_the_first_that_failed() -> None:
    results = await runner(
        spec("a.first", finds(Status.FAIL)), spec("b.second", finds(Status.PASS), "a.first"),
        spec("c.third", finds(Status.PASS), "b.second"),
    ).run()  # fmt: skip
    assert [(r.status, r.blocked_by, r.summary) for r in results[1:]] == [
        (Status.SKIP, "a.first", "a.first failed"),
        (Status.SKIP, "a.first", "a.first did not pass"),
    ]


async def test_a_dependent_is_skipped_the_moment_one_need_fails_whatever_the_others_do() -> None:
    gate = asyncio.Event()
    skipped = asyncio.Event()

    class Watching(Diary):
        def finished(self, result: CheckResult) -> None:
            if result.id == "c.needs-both":
                skipped.set()

    fine = finds(Status.PASS)
    both = spec("c.needs-both", fine, "a.slow", "b.fails")
    specs = (spec("a.slow", waits_for(gate)), spec("b.fails", finds(Status.FAIL)), both)
    run = Runner(select(SITE, specs), "client", context, Watching())
    task = asyncio.create_task(run.run())
    await skipped.wait()
    assert [r.status for r in run.results] == [Status.FAIL, Status.SKIP]
    gate.set()
    assert [r.status for r in await task] == [Status.PASS, Status.FAIL, Status.SKIP]


async def test_an_exception_is_our_own_fault_and_the_others_go_on() -> None:
    async def breaks(_context: Context) -> Finding:
        raise KeyError("servers")

    results = await runner(spec("a.breaks", breaks), spec("b.fine", finds(Status.PASS))).run()
    assert [r.status for r in results] == [Status.ERROR, Status.PASS]
    assert results[0].summary == "calls-doctor itself failed: KeyError"
    assert "in breaks" in results[0].evidence["traceback"]


async def test_a_probe_that_never_ends_is_ended_and_is_our_own_fault() -> None:
    (result,) = await runner(spec("a.hangs", waits_for(asyncio.Event()), timeout_s=0.01)).run()
    assert (result.status, result.summary) == (Status.ERROR, "calls-doctor itself failed: TimeoutError")
    assert result.evidence["time_limit_s"] == 0.01
    assert "await gate.wait()" in result.evidence["traceback"], "where it hung"


async def test_a_probe_that_lets_out_a_cancellation_of_its_own_does_not_hang_its_dependents() -> None:
    async def lets_out(_context: Context) -> Finding:
        raise asyncio.CancelledError

    found = await statuses(spec("a.lets-out", lets_out), spec("b.then", finds(Status.PASS), "a.lets-out"))
    assert found == {"a.lets-out": Status.ERROR, "b.then": Status.SKIP}


async def test_a_probe_that_leaves_its_task_counted_as_cancelled_harms_nobody() -> None:
    """A TaskGroup that failed does, in Python 3.11: what escapes then looks like the run being cancelled."""

    async def fails() -> None:
        raise OSError("no")

    async def leaves_it(_context: Context) -> Finding:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                await asyncio.sleep(1.0)
        except* OSError:
            pass
        raise asyncio.CancelledError

    found = await statuses(spec("a.leaves-it", leaves_it), spec("b.then", finds(Status.PASS), "a.leaves-it"))
    assert found == {"a.leaves-it": Status.ERROR, "b.then": Status.SKIP}


async def test_cancelled_it_keeps_what_is_known() -> None:
    begun = asyncio.Event()

    async def hangs(_context: Context) -> Finding:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError("never")

    run = runner(
        spec("a.fine", finds(Status.PASS)), spec("b.hangs", hangs, "a.fine"),
        spec("c.waits", finds(Status.PASS), "b.hangs"),
        spec("d.waits-too", finds(Status.PASS), uses=("b.hangs",)),
    )  # fmt: skip
    task = asyncio.create_task(run.run())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [(r.id, r.status) for r in run.results] == [("a.fine", Status.PASS)]


async def test_what_ends_while_the_run_is_cancelled_is_kept_as_well() -> None:
    """A probe that cleans up and answers after all must not meet answers that the cancellation has broken."""
    begun = asyncio.Event()

    async def answers_anyway(_context: Context) -> Finding:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return Finding(status=Status.FAIL, summary="known when it was cut short")
        raise AssertionError("never")

    run = runner(spec("a.stubborn", answers_anyway), spec("b.waits", finds(Status.PASS), "a.stubborn"))
    task = asyncio.create_task(run.run())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [r.summary for r in run.results if r.id == "a.stubborn"] == ["known when it was cut short"]


async def test_the_observer_hears_the_plan_first_then_every_start_and_every_result() -> None:
    diary = Diary()
    specs = (
        spec("a.fine", finds(Status.PASS)),
        spec("b.left", finds(Status.PASS)),
        spec("c.skipped", finds(Status.PASS), "b.left"),
    )
    run = Runner(select(SITE, specs, skip={"b.left": "why not"}), "client", context, diary)
    results = await run.run()
    assert diary.lines[:2] == ["planned a.fine c.skipped", "skip b.left"]
    assert sorted(diary.lines[2:]) == ["pass a.fine", "skip c.skipped", "started a.fine"]
    assert diary.lines.index("started a.fine") < diary.lines.index("pass a.fine")
    by_id = {r.id: r for r in results}
    assert (by_id["b.left"].summary, by_id["b.left"].title) == ("why not", "b.left is fine")
    assert (by_id["c.skipped"].blocked_by, by_id["c.skipped"].summary) == ("b.left", "b.left was skipped")


async def test_what_needs_a_check_that_had_nothing_to_do_has_nothing_to_do_either_and_says_why() -> None:
    specs = [
        spec("turn.first", finds(Status.SKIP, nothing_to_do=True)),
        spec("turn.second", finds(Status.PASS), "turn.first"),
    ]
    first, second = await runner(*specs).run()
    assert (second.status, second.summary, second.blocked_by) == (Status.SKIP, first.summary, "turn.first")
    assert second.evidence["nothing_to_do"] is True
