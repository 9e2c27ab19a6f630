"""`calls-doctor check`: from words to a Request, from a Report to places and an exit code."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar  # click's decorators take anything

import click

from calls_doctor import run
from calls_doctor.cli import EXIT_INTERRUPTED
from calls_doctor.cli.output import style_for, targets, write
from calls_doctor.cli.plan_text import plan_text
from calls_doctor.cli.progress import progress
from calls_doctor.cli.sections import SectionedCommand, SectionOption
from calls_doctor.errors import UsageError
from calls_doctor.model.report import Report
from calls_doctor.site import environment as env
from calls_doctor.site import options

WHAT, WHERE, HOW_LONG, OUTPUT = "What to test", "From where", "How long", "Output"
EXAMPLES = (
    ("calls-doctor check", "the self-test: does this program do all its work on this machine?"),
    ("calls-doctor check --turn turn:turn.example.com:3478 --stun stun:stun.example.com:3478",
     "are these servers reached from here, and does the relay carry data?"),
    ("calls-doctor check --mode rtcd --list", "who talks to whom on which port in this mode, and what proves it"),
)  # fmt: skip
SHORTEST_S = 0.02
F = TypeVar("F", bound=Callable[..., Any])


def _option(section: str, *names: str, **settings: Any) -> Callable[[F], F]:
    return click.option(*names, cls=SectionOption, section=section, **settings)


@click.command(cls=SectionedCommand, examples=EXAMPLES, short_help="Test whether calls work.")
@_option(WHAT, "--mode", default="", metavar="MODE", help="How Calls is deployed: integrated, rtcd, ha-clustered, "
         "ha-handler, ha-rtcd or kubernetes.")
@_option(WHAT, "--peer", "peers", multiple=True, metavar="LINK", help="A stand-in's pairing link; - reads it from "
         "standard input, @FILE from a file, and CALLS_DOCTOR_PEER may hold it.")
@_option(WHAT, "--rtcd-url", default="", metavar="URL", help="rtcd's API as the Mattermost nodes reach it.")
@_option(WHAT, "--stun", multiple=True, metavar="URI", help="A STUN server, stun:host:port. Repeatable.")
@_option(WHAT, "--turn", multiple=True, metavar="URI", help="A TURN server, turn:host:port?transport=udp|tcp or "
         "turns:host:port. Repeatable.")
@_option(WHAT, "--self-test", is_flag=True, help="This machine against itself; the default where nothing is named.")
@_option(WHAT, "--only", multiple=True, metavar="ID|CATEGORY", help="Only this, and what it needs. Repeatable.")
@_option(WHAT, "--skip", multiple=True, metavar="ID[=REASON]", help="Not this check or category. Repeatable.")
@_option(WHAT, "--list", "list_only", is_flag=True, help="Say what would run; touch no network.")
@_option(WHERE, "--from", "vantage", default="", metavar="ROLE", help="Where this machine stands: client, mattermost, "
         "media, turn or offloader.")
@_option(WHERE, "--label", default="", metavar="TEXT", help='Tells two callers apart: "Berlin office, cable".')
@_option(WHERE, "--phase", default="", metavar="PHASE", help="pre or post: what stands at the media host.")
@_option(HOW_LONG, "--wait", default="", metavar="DURATION", help="How long the stand-in may take to come up.")
@_option(HOW_LONG, "--timeout", default="", metavar="DURATION", help="A bound on the whole run.")
@_option(HOW_LONG, "--media-time", default="", metavar="DURATION", help="How long each call lasts: 0.3s in the "
         "self-test, 3s otherwise, 30s with --thorough.")
@_option(HOW_LONG, "--thorough", is_flag=True, help="Longer calls, and a second, independent WebRTC stack.")
@_option(OUTPUT, "--format", "format_name", default="text", metavar="FORMAT", help="On standard output: text or json.")
@_option(OUTPUT, "-o", "--output", "outputs", multiple=True, metavar="FILE", help="Also to a file; .txt or .json picks "
         "the format. Repeatable; - is standard output.")
@_option(OUTPUT, "--fail-on", default="fail", metavar="fail|warn", help="warn: exit code 3 for warnings only.")
@_option(OUTPUT, "--metadata", multiple=True, metavar="KEY=VALUE", help="Goes into the report. Repeatable.")
@_option(OUTPUT, "-v", "--verbose", count=True, help="More words: the evidence. What is done stays the same.")
@_option(OUTPUT, "-q", "--quiet", is_flag=True, help="Fewer words: verdict, what is wrong, next step.")
@_option(OUTPUT, "--no-color", is_flag=True, help="No colours; NO_COLOR does the same.")
def command(
    *,
    format_name: str,
    outputs: Sequence[str],
    fail_on: str,
    list_only: bool,
    verbose: int,
    quiet: bool,
    no_color: bool,
    **asked: Any,
) -> int:
    """Tests whether calls work, and says who must change what where they do not.

    Without anything to test it is the self-test: every stage runs for real on 127.0.0.1. Secrets never come by option
    but by CALLS_DOCTOR_TURN_SECRET, CALLS_DOCTOR_TURN_USERNAME, CALLS_DOCTOR_TURN_CREDENTIAL and their kin, or the
    same with _FILE holding a path.

    Exit codes: 0 well, 1 a check failed, 2 wrong usage, 3 warnings only (with --fail-on warn), 4 a flow that calls need
    could not be decided, 5 this program failed, 130 interrupted.
    """
    if fail_on not in ("fail", "warn"):
        raise UsageError(f"--fail-on: {options.shown(fail_on)} is not known; it is fail or warn")
    request = _request(asked)
    style = style_for(sys.stdout, no_color=no_color, verbosity=-1 if quiet else verbose)
    if list_only:
        sys.stdout.write(plan_text(request, os.environ, style))
        return 0
    wanted = targets(format_name, outputs)
    for sentence in env.warnings(os.environ):
        click.echo(f"calls-doctor: {sentence}", err=True)
    with progress(quiet) as observer:
        report, interrupted = _checked(request, observer)
    write(report, wanted, style)
    return EXIT_INTERRUPTED if interrupted else run.exit_code(report, fail_on)


def _checked(request: run.Request, observer: run.Observer) -> tuple[Report, bool]:
    """The report, and whether the run was interrupted."""
    try:
        return asyncio.run(run.check(request, os.environ, observer)), False
    except run.Interrupted as interrupted:
        return interrupted.report, True


def _request(asked: dict[str, Any]) -> run.Request:
    def duration(name: str, option: str, minimum_s: float = 0.0) -> float | None:
        return options.duration_s(asked[name], option, minimum_s=minimum_s) if asked[name] else None

    return run.Request(
        mode=asked["mode"],
        vantage=asked["vantage"],
        label=asked["label"],
        phase=asked["phase"],
        peers=tuple(asked["peers"]),
        rtcd_url=asked["rtcd_url"],
        stun=tuple(asked["stun"]),
        turn=tuple(asked["turn"]),
        only=tuple(asked["only"]),
        skip=dict(options.pair(text, "--skip", value_needed=False) for text in asked["skip"]),
        wait_s=duration("wait", "--wait") or 0.0,
        timeout_s=duration("timeout", "--timeout", SHORTEST_S),
        media_time_s=duration("media_time", "--media-time", SHORTEST_S),
        thorough=asked["thorough"],
        self_test=asked["self_test"],
        metadata=dict(options.pair(text, "--metadata") for text in asked["metadata"]),
        command=_typed(sys.argv[1:]),
    )


def _typed(words: Sequence[str]) -> str:
    """The command line for the report, with pairing links cut to HOST:PORT."""
    return shlex.join(["calls-doctor", *(_cut(word) for word in words)])


def _cut(word: str) -> str:
    scheme, found, rest = word.partition("calls-doctor://")
    return f"{scheme}{rest.split('/')[0].split('#')[0]}" if found else word


