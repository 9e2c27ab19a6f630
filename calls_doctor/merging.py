"""Several reports as one, with one diagnosis drawn from all: where saved/merge.py and the conclusion meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from msgspec import structs

from calls_doctor import __version__, conclusion
from calls_doctor.model.books import RunBooks
from calls_doctor.model.check import CheckResult
from calls_doctor.model.report import Report, Tool, Verdict
from calls_doctor.model.site import Phase, Site
from calls_doctor.next_steps import Run, next_steps
from calls_doctor.saved.merge import BY_MERGED_BOOKS, WHOLE_RUN, merge
from calls_doctor.saved.rows import book_row, rfc_3339
from checks import CHECKS

PHASES_MERGED = (Phase.PRE, Phase.POST, Phase.UNDETERMINED, Phase.OFFLINE, Phase.SELF_TEST)
"""What reports together say of the phase: that a stand-in or a service was recognised once is enough."""


SENTENCES = {spec.id: spec.reworded for spec in CHECKS if spec.reworded}


def merged(
    reports: Sequence[Report], books: RunBooks | None = None, site: Site | None = None, peer: str = ""
) -> Report:
    """One report of several vantages' and one diagnosis drawn from all; `books` are those of a stand-in that collected
    them, `peer` is that stand-in's HOST:PORT. Raises UsageError."""
    reports = sorted(reports, key=lambda one: (one.started, one.run_id))
    found = merge([*reports, collected(books)] if books else reports)
    found = replace(found, checks=[_reworded(one) for one in found.checks])
    phases = {one.phase for one in reports}
    phase = next((one for one in PHASES_MERGED if one in phases), Phase.PRE)
    mode = next((one.mode for one in reports if one.mode), site.mode if site else None)
    concluded = Site(mode=mode, phase=phase)
    diagnosis = conclusion.diagnosis(concluded, found.checks, found.vantages)
    rtcd_url = _told(reports, site, "rtcd.url")
    missing = conclusion.missing(mode, found.vantages, CHECKS, peer=peer or _peer(reports), rtcd_url=rtcd_url)
    return Report(
        tool=Tool(version=__version__),
        run_id=books.run if books else "+".join(dict.fromkeys(one.run_id for one in reports)),
        started=min((one.started for one in found.vantages), default=rfc_3339(datetime.now(UTC))),
        duration_s=max((one.duration_s for one in reports), default=0.0),
        complete=all(one.complete for one in reports),
        command="calls-doctor report merge",
        phase=phase,
        mode=mode,
        site=next((one.site for one in reports if one.site), site.settings if site else {}),
        vantages=found.vantages,
        verdict=conclusion.verdict(found.checks, CHECKS, complete=all(one.complete for one in reports)),
        diagnosis=diagnosis,
        next=next_steps(
            Run(
                phase=phase,
                results=found.checks,
                found=diagnosis,
                missing=missing,
                vantages=found.vantages,
                mode=mode,
                rtcd_url=rtcd_url,
            )
        ),
        checks=found.checks,
        guide=conclusion.merged_guide(reports),
        versions={key: value for one in reports for key, value in one.versions.items()},
        clock=conclusion.clock(found.checks),
        books=found.books,
        missing=missing,
        not_tested=conclusion.merged_not_tested(reports, found.checks),
    )


def _peer(reports: Sequence[Report]) -> str:
    """The stand-in that these reports were made with, HOST:PORT."""
    links = (one.site["peers"].value for one in reports if "peers" in one.site)
    return next((link[0] for link in links if isinstance(link, list) and link), "LINK")


def _told(reports: Sequence[Report], site: Site | None, name: str) -> str:
    settings = [*([site.settings] if site else ()), *(one.site for one in reports)]
    return next((str(told[name].value) for told in settings if name in told), "")


def _reworded(result: CheckResult) -> CheckResult:
    """A check of which merged books told more says so in its sentence too."""
    if result.id not in SENTENCES or result.evidence.get("arrived_by") != BY_MERGED_BOOKS:
        return result
    try:
        return structs.replace(result, summary=SENTENCES[result.id](result.evidence))
    except (KeyError, TypeError):  # another version's report, whose evidence has other names: it keeps what it said
        return result


def collected(books: RunBooks) -> Report:
    """A stand-in's own part: its books, and one row of its whole run, by which it is known that they are complete."""
    whole = {
        "run_id": books.run, "end": "far", "session": WHOLE_RUN, "flow": "the whole run", "probes": 0,
        "foreign_runs": books.foreign_runs, "bad_integrity": books.bad_integrity,
        "unauthenticated": books.unauthenticated,
    }  # fmt: skip
    rows = [{"run_id": books.run, "end": "far", **book_row(one)} for one in books.sessions]
    return Report(
        tool=Tool(version=__version__), run_id=books.run, started=rfc_3339(datetime.now(UTC)), duration_s=0.0,
        complete=True, command="calls-doctor serve", phase=Phase.PRE, mode=None, vantages=[], verdict=Verdict.OK,
        books=[whole, *rows],
    )  # fmt: skip
