"""What `calls-doctor check` does: from words to a Request, from a Report to places and an exit code."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any  # click hands over its options by name

from calls_doctor import run as runs
from calls_doctor.cli import EXIT_INTERRUPTED, PROGRAM
from calls_doctor.cli import output as out
from calls_doctor.cli.interrupt import run_interruptible
from calls_doctor.cli.plan import PLAN_FORMATS, Planned
from calls_doctor.cli.progress import progress
from calls_doctor.errors import UsageError
from calls_doctor.model.report import Report
from calls_doctor.model.site import Mode
from calls_doctor.site import options
from calls_doctor.site.secrecy import cut_links, link_named
from reports import FORMATS
from reports.style import Style

SHORTEST_S = 0.02
FAIL_ON = ("fail", "warn")


def run(typed: Sequence[str], asked: dict[str, Any]) -> int:
    """Runs or lists, writes, and gives the exit code. `typed` are the words after the program's name, `asked` the
    options by their names. Raises UsageError before anything is probed."""
    fail_on = out.one_of(asked["fail_on"], FAIL_ON, "--fail-on")
    style = out.style_for(sys.stdout, no_color=asked["no_color"], verbosity=_verbosity(asked))
    targets = out.targets(asked["format_name"], asked["outputs"])
    request = _request(typed, asked)
    if asked["list_only"]:
        planned = _planned(request)
        out.write(lambda name, how: PLAN_FORMATS[name](planned, how), targets, style)
        return 0
    with progress(quiet=asked["quiet"], no_color=asked["no_color"]) as observer:
        report, interrupted = _checked(request, observer)
    _write(report, targets, style)
    return EXIT_INTERRUPTED if interrupted else runs.exit_code(report, fail_on)


def _planned(request: runs.Request) -> Planned:
    what = runs.plan(request, os.environ)
    return Planned(what) if isinstance(what, Mode) else Planned(what, runs.media_time_s(request, what.site.phase))


def _checked(request: runs.Request, observer: runs.Observer) -> tuple[Report, bool]:
    """The report, and whether the run was interrupted."""
    try:
        return run_interruptible(runs.check(request, os.environ, observer)), False
    except runs.Interrupted as interrupted:
        return interrupted.report, True


def _write(report: Report, targets: Sequence[out.Target], style: Style) -> None:
    out.write(lambda name, how: FORMATS[name](report, how), targets, style)


def _verbosity(asked: dict[str, Any]) -> int:
    if asked["quiet"] and asked["verbose"]:
        raise UsageError("-v and -q contradict each other")
    return int(asked["verbose"]) - int(asked["quiet"])


def _request(typed: Sequence[str], asked: dict[str, Any]) -> runs.Request:
    def duration(name: str, option: str, minimum_s: float) -> float | None:
        return options.duration_s(asked[name], option, minimum_s=minimum_s) if asked[name] else None

    return runs.Request(
        site=asked["site"],
        mode=asked["mode"],
        vantage=asked["vantage"],
        label=asked["label"],
        phase=asked["phase"],
        peers=tuple(asked["peers"]),
        mattermost=asked["mattermost"],
        rtcd_url=asked["rtcd_url"],
        stun=tuple(asked["stun"]),
        turn=tuple(asked["turn"]),
        only=tuple(asked["only"]),
        skip=dict(options.pair(text, "--skip", value_needed=False) for text in asked["skip"]),
        wait_s=duration("wait", "--wait", 0.0) or 0.0,
        timeout_s=duration("timeout", "--timeout", SHORTEST_S),
        media_time_s=duration("media_time", "--media-time", SHORTEST_S),
        thorough=asked["thorough"],
        self_test=asked["self_test"],
        no_register=asked["no_register"],
        metadata=dict(options.pair(text, "--metadata") for text in asked["metadata"]),
        command=cut_links(shlex.join([PROGRAM, *typed])),
        again=shlex.join([PROGRAM, *map(link_named, typed)]),
    )
