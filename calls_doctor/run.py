"""The one place where the parts are put together: Site -> (self-test: a stand-in) -> engine -> diagnosis -> Report.

The command line and the tests call it. It prints nothing: an observer hears how it goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any  # rows of the report are JSON

import msgspec

from calls_doctor import __version__, conclusion
from calls_doctor.engine.runner import Observer, Runner
from calls_doctor.engine.select import CheckPlan, select
from calls_doctor.errors import CallsDoctorError, UsageError
from calls_doctor.model.books import RunBooks, SessionBooks
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.credentials import Credentials, Secret, TurnCredentials
from calls_doctor.model.flow import Transport
from calls_doctor.model.report import Report, Tool, Vantage
from calls_doctor.model.site import MediaAddress, Phase, ServerUri, Setting, Site
from calls_doctor.site import gather
from calls_doctor.spec import Context
from checks import CHECKS

if TYPE_CHECKING:
    from calls_doctor.net.paired import PairedHost
    from calls_doctor.standin.launch import Options, Ready
    from calls_doctor.wire.direct import Link

MEDIA_TIME_S = 3.0
MEDIA_TIME_SELF_TEST_S = 0.3
MEDIA_TIME_THOROUGH_S = 30.0
WAIT_STEP_S = 0.2
BOOKS_WAIT_S = 1.0
"""How long the report waits for the far end's books at the end."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asked for, as text where the site's sources read it."""

    mode: str = ""
    vantage: str = ""
    label: str = ""
    phase: str = ""
    peers: tuple[str, ...] = ()
    rtcd_url: str = ""
    stun: tuple[str, ...] = ()
    turn: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    skip: Mapping[str, str] = field(default_factory=dict)
    """Id or category -> reason, "" for none."""
    wait_s: float = 0.0
    """How long the far end may take to come up."""
    timeout_s: float | None = None
    """A bound on the whole run; None: each check's own limits alone."""
    media_time_s: float | None = None
    """None: 0.3 s in the self-test, 3 s otherwise, 30 s with `thorough`."""
    thorough: bool = False
    self_test: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    """As typed, links already cut."""


class Interrupted(CallsDoctorError):
    """The run was cut short; `report` holds all that was known by then."""

    def __init__(self, report: Report) -> None:
        super().__init__("the run was interrupted")
        self.report = report


def plan(request: Request, environment: Mapping[str, str]) -> CheckPlan:
    """What would run; touches no network. Raises UsageError."""
    return select(_planned_site(request, environment), CHECKS, only=request.only, skip=request.skip)


def _planned_site(request: Request, environment: Mapping[str, str]) -> Site:
    gathered = gather.gather(request, environment)
    return _self_test_site(None) if gathered.self_test else gathered.site


async def check(
    request: Request, environment: Mapping[str, str], observer: Observer, stand_in: Options | None = None
) -> Report:
    """Runs the checks. Raises UsageError before anything is probed, and Interrupted where it is cancelled.

    `stand_in` shapes the self-test's stand-in (tests leave parts of it out, or fix its ports).
    """
    gathered = gather.gather(request, environment)
    if not gathered.self_test and not gathered.names_a_target:
        raise UsageError(
            "--mode alone names nothing to test; give --peer, --rtcd-url, --stun or --turn, or --list for the plan"
        )
    select(_planned_site(request, environment), CHECKS, only=request.only, skip=request.skip)
    run = _Run(request, observer)
    try:
        async with asyncio.timeout(request.timeout_s):
            if gathered.self_test:
                from calls_doctor.standin import launch

                async with launch.StandInProcess(stand_in or launch.Options()) as ready:
                    return await run.against(_self_test_site(ready), _self_test_credentials(ready), ready.pairing)
            return await run.against(gathered.site, gathered.credentials, next(iter(gathered.links), None))
    except TimeoutError:
        return run.report(complete=False, unfinished="not decided within --timeout")
    except asyncio.CancelledError:
        raise Interrupted(run.report(complete=False, unfinished="not decided when the run was interrupted")) from None


def _self_test_site(ready: Ready | None) -> Site:
    """The stand-in on 127.0.0.1 as a site; ports 0 where it is only planned."""

    def port(name: str) -> int:
        return int(getattr(ready, name)) if ready else 0

    origin = "self-test"
    stun = ServerUri(scheme="stun", host="127.0.0.1", port=port("stun_port"))
    turn = tuple(
        ServerUri(scheme="turn", host="127.0.0.1", port=port("turn_port"), transport=transport)
        for transport in ("udp", "tcp")
    )
    rtcd_url = f"http://127.0.0.1:{port('api_port')}"
    settings = {
        "rtcd.url": Setting(value=rtcd_url, origin=origin),
        "stun.servers": Setting(value=[str(stun)], origin=origin),
        "turn.servers": Setting(value=[str(uri) for uri in turn], origin=origin),
    }
    return Site(
        vantage_reason="the self-test tests this machine against itself",
        phase=Phase.SELF_TEST,
        media=(MediaAddress(host="127.0.0.1", udp_port=port("media_port"), tcp_port=port("media_port")),),
        rtcd_url=rtcd_url,
        stun=(stun,),
        turn=turn,
        settings=settings,
    )


def _self_test_credentials(ready: Ready) -> Credentials:
    return Credentials(turn=TurnCredentials(ready.turn_username, Secret(ready.turn_password)))


class _Run:
    """One run: what is known so far, and the report made of it."""

    def __init__(self, request: Request, observer: Observer) -> None:
        self._request = request
        self._observer = observer
        self._run_id = secrets.token_hex(8)
        self._began = time.monotonic()
        self._started = datetime.now(UTC)
        self._site = Site()
        self._plan = CheckPlan(Site(), (), ())
        self._runner: Runner | None = None
        self._near_books: list[SessionBooks] = []
        self._far_books: RunBooks | None = None

    async def against(self, site: Site, credentials: Credentials, link: Link | None) -> Report:
        """The whole run against this site; `link` is the stand-in's, or None."""
        self._site = site
        self._plan = select(site, CHECKS, only=self._request.only, skip=self._request.skip)
        paired = _paired(link, site) if link is not None else None

        def context_for(results: Mapping[str, CheckResult]) -> Context:
            return Context(
                site=site,
                credentials=credentials,
                results=results,
                paired=paired,
                media_time_s=self._media_time_s(),
                thorough=self._request.thorough,
                near_books=self._near_books,
            )

        self._runner = Runner(self._plan, self._vantage_id(), context_for, self._observer)
        if paired is not None and self._request.wait_s:
            await _until_there(paired, self._request.wait_s)
        await self._runner.run()
        if paired is not None:
            with contextlib.suppress(TimeoutError):  # the stand-in is gone: the near end's books remain
                async with asyncio.timeout(BOOKS_WAIT_S):
                    self._far_books = await paired.books()
        return self.report(complete=True)

    def _media_time_s(self) -> float:
        if self._request.media_time_s is not None:
            return self._request.media_time_s
        if self._request.thorough:
            return MEDIA_TIME_THOROUGH_S
        return MEDIA_TIME_SELF_TEST_S if self._site.phase is Phase.SELF_TEST else MEDIA_TIME_S

    def _vantage_id(self) -> str:
        return self._request.label or str(self._site.vantage)

    def report(self, complete: bool, unfinished: str = "") -> Report:
        """All that is known by now; `unfinished` says of the checks without a result why they have none."""
        results = self._results(unfinished)
        vantage = Vantage(
            id=self._vantage_id(),
            label=self._request.label,
            role=str(self._site.vantage),
            started=_rfc3339(self._started),
        )
        diagnosis = conclusion.diagnosis(self._site, results, [vantage])
        return Report(
            tool=Tool(version=__version__),
            run_id=self._run_id,
            started=_rfc3339(self._started),
            duration_s=round(time.monotonic() - self._began, 3),
            complete=complete,
            command=self._request.command,
            metadata=dict(self._request.metadata),
            phase=str(self._site.phase),
            mode=str(self._site.mode) if self._site.mode else None,
            site=self._site.settings,
            vantages=[vantage],
            verdict=conclusion.verdict(results, CHECKS),
            diagnosis=diagnosis,
            next=conclusion.next_steps(self._site, results, diagnosis),
            checks=results,
            guide=conclusion.guide(self._site, results),
            books=self._books(),
            not_tested=conclusion.not_tested(self._plan),
        )

    def _results(self, unfinished: str) -> list[CheckResult]:
        known = {result.id: result for result in (self._runner.results if self._runner else ())}
        missing = [
            CheckResult(
                id=spec.id, title=spec.title, category=spec.category, status=Status.UNKNOWN, vantage=self._vantage_id(),
                summary=unfinished, needs=list(spec.needs), guide_steps=list(spec.guide_steps),
            )
            for spec in self._plan.planned if spec.id not in known
        ]  # fmt: skip
        return [*known.values(), *missing]

    def _books(self) -> list[dict[str, Any]]:
        far = self._far_books.sessions if self._far_books else []
        return [
            {"run_id": self._run_id, "end": end, "flow": session.session, **_as_fields(session)}
            for end, sessions in (("near", self._near_books), ("far", far))
            for session in sessions
        ]


def _as_fields(session: SessionBooks) -> dict[str, Any]:
    """Books travel as arrays; a report names their fields."""
    plain = {name: getattr(session, name) for name in ("sent_rtp", "failure", "timeline")}
    for name in ("paths", "streams"):
        rows = getattr(session, name)
        plain[name] = [{key: msgspec.to_builtins(getattr(row, key)) for key in row.__struct_fields__} for row in rows]
    return plain | {"probes": len(session.probes)}


def _paired(link: Link, site: Site) -> PairedHost:
    from calls_doctor.net.paired import PairedHost

    return PairedHost(link, site.media[0])


async def _until_there(paired: PairedHost, wait_s: float) -> None:
    """Waits until the stand-in answers with this key, at most `wait_s`; what is wrong then is for the checks to say."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            while await paired.books() is None:  # noqa: ASYNC110 - the far end tells nobody that it has come up
                await asyncio.sleep(WAIT_STEP_S)


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def exit_code(report: Report, fail_on: str = "fail") -> int:
    """The contract's exit code, the first that applies; 130 is for whoever was interrupted to give."""
    return conclusion.exit_code(report, fail_on)


__all__ = ["Interrupted", "Observer", "Request", "Transport", "check", "exit_code", "plan"]
