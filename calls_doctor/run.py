"""The one place where the parts are put together: Site -> (self-test: a stand-in) -> engine -> diagnosis -> Report.

The command line and the tests call it. It prints nothing: an observer hears how it goes on.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any  # rows of the report are JSON; nothing is sent to a coroutine

import msgspec

from calls_doctor import __version__, conclusion, self_test
from calls_doctor.engine.runner import Observer, Runner
from calls_doctor.engine.select import CheckPlan, select
from calls_doctor.errors import CallsDoctorError, UsageError
from calls_doctor.model.books import RunBooks, SessionBooks
from calls_doctor.model.check import UDP_ECHO, CheckResult, Status
from calls_doctor.model.credentials import Credentials
from calls_doctor.model.report import NotTested, Report, Tool, Vantage
from calls_doctor.model.site import Mode, Phase, Site
from calls_doctor.net import resolver
from calls_doctor.net.path_lock import PathLock
from calls_doctor.net.relay import Relays
from calls_doctor.net.rtcd_registration import RtcdRegistration
from calls_doctor.net.told import Told
from calls_doctor.saved import registrations
from calls_doctor.saved.rows import book_row, rfc_3339
from calls_doctor.site import secrecy
from calls_doctor.site.gather import Gathered, gather
from calls_doctor.site.request import Request
from calls_doctor.spec import Context
from checks import CHECKS

if TYPE_CHECKING:
    from calls_doctor.net.media_hosts import Target
    from calls_doctor.net.paired import PairedHost
    from calls_doctor.standin.launch import Options
    from calls_doctor.wire.direct import Link

__all__ = ["Interrupted", "Observer", "Request", "check", "exit_code", "media_time_s", "plan"]

MEDIA_TIME_S = 3.0
MEDIA_TIME_SELF_TEST_S = 0.3
MEDIA_TIME_THOROUGH_S = 30.0
CALLS_IN_TURN = 3
BOOKS_WAIT_S = 1.0
"""How long the report waits for the far end's books at the end."""
OWN_SFU = "media.self"
"""The check that tells whether this program understands itself."""


class Interrupted(CallsDoctorError):
    """The run was cut short; `report` holds all that was known by then."""

    def __init__(self, report: Report) -> None:
        super().__init__("the run was interrupted")
        self.report = report


def plan(request: Request, environment: Mapping[str, str]) -> CheckPlan | Mode:
    """What would run; the mode itself where nothing but a mode was named. Touches no network. Raises UsageError."""
    gathered = gather(request, environment)
    planned = _select(gathered, request)
    if gathered.names_a_target or gathered.self_test:
        return planned
    assert planned.site.mode is not None, "whoever names neither a target nor a mode gets the self-test"
    return planned.site.mode


def media_time_s(request: Request, phase: Phase) -> float:
    """How long each call of the run lasts."""
    if request.media_time_s is not None:
        return request.media_time_s
    if request.thorough:
        return MEDIA_TIME_THOROUGH_S
    return MEDIA_TIME_SELF_TEST_S if phase is Phase.SELF_TEST else MEDIA_TIME_S


def _select(gathered: Gathered, request: Request) -> CheckPlan:
    return _plan_for(self_test.site(None) if gathered.self_test else gathered.site, request)


def _plan_for(site: Site, request: Request) -> CheckPlan:
    return select(site, CHECKS, only=request.only, skip=request.skip, thorough=request.thorough)


def check(
    request: Request, environment: Mapping[str, str], observer: Observer, stand_in: Options | None = None
) -> Coroutine[Any, Any, Report]:
    """The run, to be awaited; it raises Interrupted where it is cancelled.

    Files and standard input are read here, where no loop waits for them. Raises UsageError before anything is probed.
    `stand_in` shapes the self-test's stand-in (tests leave parts of it out, or fix its ports).
    """
    gathered = gather(request, environment)
    planned = _select(gathered, request)
    _refuse_an_empty_run(gathered, planned, request)
    for note in gathered.notes:
        observer.said(note)
    run = _Run(request, planned, gathered.credentials, observer, registrations.folder(environment))
    return _check(run, request, gathered, observer, stand_in)


async def _check(
    run: _Run, request: Request, gathered: Gathered, observer: Observer, stand_in: Options | None
) -> Report:
    try:
        async with asyncio.timeout(request.timeout_s) as limit:
            if gathered.self_test:
                from calls_doctor.standin import launch

                process = launch.StandInProcess(stand_in or launch.Options())
                async with process as ready:
                    links = (ready.pairing,)
                    report = await run.against(self_test.site(ready), self_test.credentials(ready), links)
                return run.report(own_fault=process.said) if process.said else report
            if request.wait_s:
                await _wait(gathered, request.wait_s, observer)
            return await run.against(gathered.site, gathered.credentials, gathered.links)
    except TimeoutError:
        if not limit.expired():
            raise
        return run.report(cut_short="the run's own limit (--timeout) came first")
    except asyncio.CancelledError:
        raise Interrupted(run.report(cut_short="the run was interrupted")) from None


def _refuse_an_empty_run(gathered: Gathered, planned: CheckPlan, request: Request) -> None:
    """Nothing tested must not look like nothing wrong. Raises UsageError."""
    if not gathered.self_test and not gathered.names_a_target:
        raise UsageError(
            "--mode alone names nothing to test; give --peer, --mattermost, --rtcd-url, --stun or --turn, or --list for"
            " the plan"
        )
    if any(spec.id not in planned.for_others for spec in planned.planned):
        return
    if not request.only:
        raise UsageError("--skip leaves nothing to test")
    by_name = [out for out in planned.left_out if out.id in request.only or out.id.split(".")[0] in request.only]
    raise UsageError(f"--only {' '.join(request.only)}: nothing to test ({by_name[0].id}: {by_name[0].why})")


async def _wait(gathered: Gathered, wait_s: float, observer: Observer) -> None:
    from calls_doctor.net import arrival

    observer.said(f"waiting at most {wait_s:g} s until the far ends answer")
    await arrival.wait(gathered.site, gathered.links, wait_s)


class _Run:
    """One run: what is known so far, and the report made of it."""

    def __init__(
        self, request: Request, planned: CheckPlan, credentials: Credentials, observer: Observer, notes_at: Path | None
    ) -> None:
        """`notes_at` is where it notes what must be undone should it be killed."""
        self._request = request
        self._credentials = credentials
        """The environment's, which the report must not hold."""
        self._observer = observer
        self._run_id = secrets.token_hex(8)
        self._began = time.monotonic()
        self._started = datetime.now(UTC)
        self._site = planned.site
        self._registration, self._rtcd_path = self._own_client(notes_at), PathLock()
        self._plan = planned
        self._runners: list[Runner] = []
        """One for each media host, one after the other: they must not disturb each other."""
        self._hosts: list[str] = []
        self._skipped: list[CheckResult] = []
        """Of media hosts that are not tested."""
        self._told: list[Told] = []
        """One for each media host."""
        self._near_books: list[SessionBooks] = []
        self._far_books: list[RunBooks] = []

    async def against(self, site: Site, credentials: Credentials, links: Sequence[Link]) -> Report:
        """The whole run against this site; `links` are the stand-ins', none where there is none."""
        with resolver.each_name_once():
            async with self._registration:
                return await self._against(site, credentials, links)

    def _own_client(self, notes_at: Path | None) -> RtcdRegistration:
        """Of this run, at the rtcd that was named; the self-test's stand-in knows its link."""
        return RtcdRegistration(
            f"calls-doctor-{self._run_id}",
            registrations.RegistrationFiles(notes_at) if notes_at else None,
            self._observer.said,
            url="" if self._site.phase is Phase.SELF_TEST else self._site.rtcd_url,
            why_not="--no-register forbids it" if self._request.no_register else "",
        )

    async def _against(self, site: Site, credentials: Credentials, links: Sequence[Link]) -> Report:
        self._site = site
        self._plan = self._with_time_for_media(_plan_for(site, self._request))
        targets = await self._targets(links, site)
        if not targets:
            await self._against_one(site, credentials, None, ())
            return self.report()
        from calls_doctor.net.stand_ins import StandIns

        stand_ins = StandIns(targets)
        for one in targets:
            media = (one.media, *(other.media for other in targets if other is not one))
            here = msgspec.structs.replace(site, media=media)
            await self._against_one(here, credentials, stand_ins.of(one), stand_ins.besides(one))
        self._far_books = await stand_ins.books(BOOKS_WAIT_S)
        report = self.report()
        if site.phase is not Phase.SELF_TEST:
            for name in await stand_ins.hand_in(report):
                where = f" at {name}" if len(targets) > 1 else ""
                self._observer.said(f"no path brought this report to the stand-in{where}: save it (-o) to merge files")
        return report

    async def _targets(self, links: Sequence[Link], site: Site) -> Sequence[Target]:
        """The media hosts to test, in the order in which they are tested; what is left out is a skip."""
        if not site.media:
            return ()
        from calls_doctor.net import media_hosts

        found = await media_hosts.find(links, site)
        self._hosts = [one.name for one in found.targets]
        if any(spec.id == UDP_ECHO for spec in self._plan.planned):
            self._skipped = [self._skip(name, why, site) for name, why in found.left_out.items()]
        return found.targets

    def _skip(self, name: str, why: str, site: Site) -> CheckResult:
        """The echo of an address that is not tested. Only a host that the site names is a node of the guide's steps."""
        echo = next(spec for spec in CHECKS if spec.id == UDP_ECHO)
        hosts = site.settings["media.hosts"].value if "media.hosts" in site.settings else []
        is_node = isinstance(hosts, list) and name.rpartition(":")[0].strip("[]") in hosts
        return CheckResult(
            id=echo.id, title=echo.title, category=echo.category, status=Status.SKIP, vantage=self._vantage_id(),
            host=name, summary=why, guide_steps=list(echo.guide_steps) if is_node else [],
        )  # fmt: skip

    async def _against_one(
        self, site: Site, credentials: Credentials, paired: PairedHost | None, others: Sequence[PairedHost]
    ) -> None:
        """The checks that are about a media host; with the first host those too that are about none."""
        told, relays = Told(None if site.phase is Phase.SELF_TEST else paired), Relays()
        self._told.append(told)

        def context_for(results: Mapping[str, CheckResult]) -> Context:
            return Context(
                site=site,
                credentials=credentials,
                results=results,
                paired=paired,
                others=others,
                told=told.facts,
                relays=relays,
                rtcd_path=self._rtcd_path,
                registration=self._registration,
                told_between_s=lambda: told.between_s,
                media_time_s=media_time_s(self._request, self._site.phase),
                thorough=self._request.thorough,
                asked_for=frozenset(self._request.only),
                near_books=self._near_books,
            )

        planned, host = self._plan, self._hosts[len(self._runners)] if len(self._hosts) > 1 else ""
        if self._runners:
            about = tuple(spec for spec in planned.planned if spec.about_host)
            planned = replace(planned, planned=about, left_out=())
        known = [one for runner in self._runners for one in runner.results if not one.host]
        runner = Runner(planned, self._vantage_id(), context_for, self._observer, host=host, known=known)
        self._runners.append(runner)
        try:
            await runner.run()
        finally:
            await relays.close()
            await told.end()

    def _with_time_for_media(self, planned: CheckPlan) -> CheckPlan:
        """A probe's limit is our own fault to reach, so what the user made longer must not reach it: calls through rtcd
        come one after the other."""
        more_s = CALLS_IN_TURN * media_time_s(self._request, self._site.phase)
        specs = tuple(replace(spec, timeout_s=spec.timeout_s + more_s) for spec in planned.planned)
        return replace(planned, planned=specs)

    def _vantage_id(self) -> str:
        return self._request.label or str(self._site.vantage)

    def report(self, cut_short: str = "", own_fault: str = "") -> Report:
        """All that is known by now; `cut_short` says why there is no more, "" where the run came to its end.

        `own_fault` is what the self-test's stand-in wrote to its standard error: then the network is not to blame.
        """
        results, idle = self._results()
        if own_fault:
            results = [_with_own_fault(one, own_fault) if one.id == OWN_SFU else one for one in results]
        vantage, site = self._vantage(results), conclusion.recognised(self._site, results)
        diagnosis = conclusion.diagnosis(site, results, [vantage])
        verdict = conclusion.verdict(results, CHECKS, complete=not cut_short)
        made = Report(
            tool=Tool(version=__version__),
            run_id=self._run_id,
            started=rfc_3339(self._started),
            duration_s=round(time.monotonic() - self._began, 3),
            complete=not cut_short,
            command=self._request.command,
            metadata=dict(self._request.metadata),
            phase=site.phase,
            mode=self._site.mode,
            site=self._site.settings,
            vantages=[vantage],
            verdict=verdict,
            diagnosis=diagnosis,
            next=conclusion.next_of_one_vantage(
                site, results, diagnosis, vantage, CHECKS,
                command=self._request.again or "calls-doctor check", complete=not cut_short,
            ),
            checks=results,
            guide=conclusion.guide(self._site, results),
            versions=conclusion.versions(results),
            clock=conclusion.clock(results),
            books=self._books(),
            not_tested=[*self._unfinished([*results, *idle], cut_short), *conclusion.not_tested(self._plan, idle)],
        )  # fmt: skip
        of_others = [told.credentials for told in self._told]
        return secrecy.report(made, self._credentials, self._registration.credentials, *of_others)

    def _results(self) -> tuple[list[CheckResult], list[CheckResult]]:
        """In the plan's order, whether the run has come to its end or not; those that only others need are marked.

        Beside them those that had nothing to do, as only the stand-in could tell: they are no results, unless `--only`
        asked for them. Nothing tested must not look like nothing wrong.
        """
        known = [*self._skipped, *(one for runner in self._runners for one in runner.results)]
        order = {spec.id: place for place, spec in enumerate(CHECKS)}
        marked = (msgspec.structs.replace(one, for_others=one.id in self._plan.for_others) for one in known)
        results = sorted(marked, key=lambda one: order[one.id])
        idle = [one for one in results if one.evidence.get("nothing_to_do") and not self._request.only]
        return [one for one in results if one not in idle], idle

    def _unfinished(self, results: list[CheckResult], cut_short: str) -> list[NotTested]:
        known = {(one.id, one.host) for one in results}
        hosts = self._hosts if len(self._hosts) > 1 else [""]
        wanted = [(spec.id, host) for spec in self._plan.planned for host in (hosts if spec.about_host else [""])]
        return [
            NotTested(what=check, why=f"{cut_short}{f', at {host}' if host else ''}")
            for check, host in wanted
            if (check, host) not in known
        ]

    def _vantage(self, results: list[CheckResult]) -> Vantage:
        address, network_class = conclusion.seen_as(self._site, results)
        return Vantage(
            id=self._vantage_id(),
            label=self._request.label,
            role=str(self._site.vantage),
            public_address=address,
            network_class=network_class,
            started=rfc_3339(self._started),
        )

    def _books(self) -> list[dict[str, Any]]:
        far = [session for books in self._far_books for session in books.sessions]
        return [
            {"run_id": self._run_id, "end": end, **book_row(session)}
            for end, sessions in (("near", self._near_books), ("far", far))
            for session in sessions
        ]


def _with_own_fault(result: CheckResult, said: str) -> CheckResult:
    return msgspec.structs.replace(
        result,
        status=Status.ERROR,
        summary="calls-doctor itself failed: its own stand-in's process wrote an error",
        evidence={**result.evidence, "traceback": said},
    )


def exit_code(report: Report, fail_on: str = "fail") -> int:
    """The contract's exit code, the first that applies; 130 is for whoever was interrupted to give."""
    return conclusion.exit_code(report, fail_on)
