"""Runs a plan: all checks at once that may, each as soon as the answers it uses are there.

A dependent is skipped the moment its need fails. An exception in a probe becomes `error` and the others go on. It
tells an observer and prints nothing. Nothing that is known is lost where it is cancelled.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from calls_doctor.engine.select import CheckPlan
from calls_doctor.model.check import CheckResult, Finding, Status
from calls_doctor.spec import CheckSpec, Context

BLOCKING = (Status.FAIL, Status.ERROR, Status.SKIP)
"""A need with one of these leaves its dependents nothing to find; `unknown` does not: they may decide it."""


class Observer(Protocol):
    """Hears how a run goes on."""

    def planned(self, ids: list[str]) -> None:
        """Once, before the first check starts."""

    def started(self, check: str) -> None:
        """A probe begins."""

    def finished(self, result: CheckResult) -> None:
        """A result is known; skips too."""

    def said(self, text: str) -> None:
        """One line for the reader of the progress."""


class Runner:
    """One run of one plan."""

    def __init__(
        self,
        plan: CheckPlan,
        vantage: str,
        context_for: Callable[[Mapping[str, CheckResult]], Context],
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
        *,
        host: str = "",
        known: Iterable[CheckResult] = (),
    ) -> None:
        """`host` is the media host that this run is about, where there are several; `known` was found before, for the
        whole run."""
        self.results: list[CheckResult] = []
        """In the order in which they became known."""
        self._plan = plan
        self._vantage = vantage
        self._context_for = context_for
        self._observer = observer
        self._clock = clock
        self._host = host
        self._known = list(known)
        self._answers: dict[str, asyncio.Future[CheckResult]] = {}

    async def run(self) -> list[CheckResult]:
        """All results, in the plan's order. Cancelled, it leaves what is known in `results`."""
        loop = asyncio.get_running_loop()
        asked = [out for out in self._plan.left_out if out.asked]
        order = [spec.id for spec in self._plan.planned]
        self._answers = {one: loop.create_future() for one in (*order, *(out.id for out in asked))}
        for one in self._known:
            self._answers[one.id] = loop.create_future()
            self._answers[one.id].set_result(one)
        self._observer.planned(order)
        for out in asked:
            self._keep(CheckResult(
                id=out.id, title=out.title or out.id, category=out.id.split(".")[0], status=Status.SKIP,
                vantage=self._vantage, summary=out.why,
            ))  # fmt: skip
        async with asyncio.TaskGroup() as group:
            for spec in self._plan.planned:
                group.create_task(self._one(spec), name=spec.id)
        self.results.sort(key=lambda r: order.index(r.id) if r.id in order else len(order))
        return self.results

    async def _one(self, spec: CheckSpec) -> None:
        if not spec.anyway and (failed := await self._first_that_blocks(spec)):
            self._finish(spec, _skipped(failed), 0.0)
            return
        known = await self._results_of((*spec.needs, *spec.uses))
        self._observer.started(spec.id)
        began = self._clock()
        finding = await self._probe(spec, known)
        duration_s = self._clock() - began
        if finding.status is Status.FAIL and spec.weighed is not None:
            finding = spec.weighed(self._plan.site, finding, await self._results_of(spec.weighed_by))
        self._finish(spec, finding, duration_s)

    async def _results_of(self, ids: Sequence[str]) -> dict[str, CheckResult]:
        """The results of those of them that run at all, once they are there."""
        wanted = [self._answers[one] for one in ids if one in self._answers]
        if wanted:
            await asyncio.wait(wanted)
        return {one.result().id: one.result() for one in wanted}

    async def _first_that_blocks(self, spec: CheckSpec) -> CheckResult | None:
        """Waits for all needs, or until one has failed: whatever the others come to then, nothing is left to find.

        `asyncio.wait` leaves the answers alone when this task is cancelled; others wait for them too.
        """
        needs = [self._answers[need] for need in spec.needs if need in self._answers]
        while True:
            if failed := next((one.result() for one in needs if one.done() and one.result().status in BLOCKING), None):
                return failed
            pending = [one for one in needs if not one.done()]
            if not pending:
                return None
            await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)

    async def _probe(self, spec: CheckSpec, known: Mapping[str, CheckResult]) -> Finding:
        """A task of its own, so that whatever a probe does to the task it runs in (a TaskGroup that failed leaves it
        counted as cancelled) it does to itself alone."""
        probe = asyncio.create_task(self._called(spec, known), name=f"{spec.id}, the probe")
        cancelled = False
        try:
            done, _ = await asyncio.wait({probe}, timeout=spec.timeout_s)
        except asyncio.CancelledError:
            done, cancelled = set(), True
        if not done:
            probe.cancel()
            await asyncio.wait({probe})
        try:
            return probe.result()
        except asyncio.CancelledError as error:
            if cancelled:
                raise
            # Late, or something inside was cancelled and let it out; the traceback says where it was.
            return _own_fault(spec, error if done else _caused_by(TimeoutError(), error))

    async def _called(self, spec: CheckSpec, known: Mapping[str, CheckResult]) -> Finding:
        try:
            return await spec.probe(self._context_for(known))
        except Exception as error:  # noqa: BLE001 - the one place: our own fault must not end the other checks
            return _own_fault(spec, error)

    def _finish(self, spec: CheckSpec, finding: Finding, duration_s: float) -> None:
        self._keep(CheckResult(
            id=spec.id,
            title=spec.title,
            category=spec.category,
            status=finding.status,
            vantage=self._vantage,
            host=self._host if spec.about_host else "",
            target=finding.target,
            summary=finding.summary,
            evidence=finding.evidence,
            duration_s=round(duration_s, 4),
            needs=list(spec.needs),
            blocked_by=finding.blocked_by or None,
            guide_steps=list(spec.guide_steps),
        ))  # fmt: skip

    def _keep(self, result: CheckResult) -> None:
        self.results.append(result)
        self._observer.finished(result)
        self._answers[result.id].set_result(result)


def _caused_by(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def _own_fault(spec: CheckSpec, error: BaseException) -> Finding:
    return Finding(
        status=Status.ERROR,
        summary=f"calls-doctor itself failed: {type(error).__name__}",
        evidence={"traceback": "".join(traceback.format_exception(error)), "time_limit_s": spec.timeout_s},
    )


def _skipped(need: CheckResult) -> Finding:
    if need.evidence.get("nothing_to_do"):
        return Finding(status=Status.SKIP, summary=need.summary, evidence=need.evidence, blocked_by=need.id)
    first = need.blocked_by if need.status is Status.SKIP and need.blocked_by else need.id
    verb = {Status.FAIL: "failed", Status.ERROR: "could not be made", Status.SKIP: "was skipped"}[need.status]
    if first != need.id:
        verb = "did not pass"
    return Finding(status=Status.SKIP, summary=f"{first} {verb}", blocked_by=first)
