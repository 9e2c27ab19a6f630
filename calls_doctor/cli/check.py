"""`calls-doctor check`: its options and its help. What it does with them stands in check_run.py, which is loaded when
it runs: the help needs none of the checks."""

from __future__ import annotations

from typing import Any  # click hands over its options by name

import click

from calls_doctor.cli.sections import SectionedCommand, option

WHAT, WHERE, HOW_LONG, OUTPUT = "What to test", "From where", "How long", "Output"
EXAMPLES = (
    ("calls-doctor check", "the self-test: does this program do all its work on this machine?"),
    (
        "calls-doctor check --turn turn:turn.example.com --stun stun:stun.example.com",
        "are these servers reached from here, and does the relay carry data?",
    ),
    ("calls-doctor check --mode rtcd --list", "who talks to whom on which port in this mode, and what proves it"),
)


@click.command(cls=SectionedCommand, examples=EXAMPLES, short_help="Test whether calls work.")
@option(WHAT, "--site", default="", metavar="FILE", help="The site file; ./calls-doctor.toml if it is there.")
@option(
    WHAT,
    "--mode",
    default="",
    metavar="MODE",
    help="How Calls is deployed: integrated, rtcd, ha-clustered, ha-handler, ha-rtcd or kubernetes.",
)
@option(
    WHAT,
    "--peer",
    "peers",
    multiple=True,
    metavar="LINK",
    help="The pairing link of a stand-in on the media "
    "host; - reads it from standard input, @FILE from a file, and CALLS_DOCTOR_PEER may hold it. Repeatable: links "
    "with one key are one media host at several addresses, another key is another host.",
)
@option(WHAT, "--mattermost", default="", metavar="URL", help="The Mattermost site as callers open it, https://HOST.")
@option(
    WHAT, "--rtcd-url", default="", metavar="URL", help="rtcd's API as the Mattermost nodes reach it, http://HOST:8045."
)
@option(
    WHAT,
    "--no-register",
    is_flag=True,
    help="Never make a client of this run's own at an rtcd that registers whoever asks; else it is made where no "
    "credentials were given, said beforehand, and gone at the end.",
)
@option(WHAT, "--stun", multiple=True, metavar="URI", help="A STUN server, stun:HOST:PORT. Repeatable.")
@option(
    WHAT,
    "--turn",
    multiple=True,
    metavar="URI",
    help="A TURN server, turn:HOST:PORT?transport=udp|tcp or turns:HOST:PORT. Repeatable.",
)
@option(WHAT, "--self-test", is_flag=True, help="This machine against itself; the default where nothing is named.")
@option(WHAT, "--only", multiple=True, metavar="ID|CATEGORY", help="Only this, and what it needs. Repeatable.")
@option(WHAT, "--skip", multiple=True, metavar="ID[=REASON]", help="Not this check or category. Repeatable.")
@option(WHAT, "--list", "list_only", is_flag=True, help="Say what would run, and touch no network.")
@option(
    WHERE,
    "--from",
    "vantage",
    default="",
    metavar="ROLE",
    help="What this machine is: client (the default), mattermost, media, turn or offloader.",
)
@option(WHERE, "--label", default="", metavar="TEXT", help='Tells two callers apart: "Berlin office, cable".')
@option(
    WHERE,
    "--phase",
    default="",
    metavar="PHASE",
    help="What stands at the media host: pre (a stand-in, or nothing yet), post (rtcd or the plugin) or undetermined.",
)
@option(HOW_LONG, "--wait", default="", metavar="DURATION", help="Begin when what was named answers, or after this.")
@option(HOW_LONG, "--timeout", default="", metavar="DURATION", help="A bound on the whole run.")
@option(
    HOW_LONG,
    "--media-time",
    default="",
    metavar="DURATION",
    help="How long each call lasts: 0.3s in the self-test, 3s otherwise, 30s with --thorough.",
)
@option(
    HOW_LONG,
    "--thorough",
    is_flag=True,
    help="Longer calls, a second, independent WebRTC stack, and for how long NATs remember a silent flow.",
)
@option(OUTPUT, "--format", "format_name", default="text", metavar="FORMAT", help="On standard output: text or json.")
@option(
    OUTPUT,
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="FILE",
    help="Also to a file; .txt or .json picks the format. Repeatable; - is standard output.",
)
@option(OUTPUT, "--fail-on", default="fail", metavar="fail|warn", help="With warn, warnings alone give exit code 3.")
@option(OUTPUT, "--metadata", multiple=True, metavar="KEY=VALUE", help="Goes into the report. Repeatable.")
@option(OUTPUT, "-v", "--verbose", is_flag=True, help="More words: the evidence. What is done stays the same.")
@option(OUTPUT, "-q", "--quiet", is_flag=True, help="Fewer words: verdict, what is wrong, next step.")
@option(OUTPUT, "--no-color", is_flag=True, help="No colours; NO_COLOR does the same.")
@click.pass_obj
def command(typed: tuple[str, ...], /, **asked: Any) -> int:
    """Tests whether calls work, and says who must change what where they do not.

    With nothing to test it is the self-test: every stage runs for real on 127.0.0.1. Durations are 500ms, 3s or 2m.
    Secrets come by environment only: CALLS_DOCTOR_RTCD_CLIENT_ID and CALLS_DOCTOR_RTCD_AUTH_KEY;
    CALLS_DOCTOR_TURN_SECRET, or CALLS_DOCTOR_TURN_USERNAME and CALLS_DOCTOR_TURN_CREDENTIAL; each also with _FILE for a
    path.

    Exit codes: 0 well, 1 a check failed, 2 wrong usage, 3 warnings only (with --fail-on warn), 4 a flow that calls need
    could not be decided, 5 this program failed, 130 interrupted.
    """
    from calls_doctor.cli import check_run

    return check_run.run(typed, asked)
