"""`calls-doctor serve`: its options and its help; what it does stands in serve_run.py."""

from __future__ import annotations

from typing import Any  # click hands over its options by name

import click

from calls_doctor.cli.sections import SectionedCommand, option

WHERE, PORTS, HOW_LONG, OUTPUT = "By what callers reach it", "What stands in", "How long", "Output"
EXAMPLES = (
    ("calls-doctor serve", "on the host where rtcd or the plugin will stand; prints links for the other machines"),
    ("calls-doctor serve --host rtcd.example.com", "callers know it by this name"),
    ("calls-doctor serve --site calls-doctor.toml --once -o audit.json", "ends with the first report, and keeps it"),
)


@click.command(cls=SectionedCommand, examples=EXAMPLES, short_help="Stand where rtcd or the plugin will stand.")
@option(WHERE, "--site", default="", metavar="FILE", help="The site file; ./calls-doctor.toml if it is there.")
@option(
    WHERE,
    "--host",
    "hosts",
    multiple=True,
    metavar="NAME|ADDRESS",
    help="What callers use to reach this machine. Repeatable; the site file's [media] and nat otherwise.",
)
@option(
    WHERE,
    "--bind",
    "binds",
    multiple=True,
    metavar="ADDRESS",
    help="A local address to listen on. Repeatable; all but loopback otherwise.",
)
@option(
    PORTS,
    "--as",
    "parts",
    multiple=True,
    metavar="media|api|turn",
    help="What to stand in for. turn is a TURN server that relays to the media port alone; callers get a credential of "
    "this run with the link. Repeatable; media, and api where the mode has an rtcd.",
)
@option(
    WHERE,
    "--peer",
    "peers",
    multiple=True,
    metavar="LINK",
    help="The link of another stand-in whose run this one joins: it gets the reports that come in here, and the books "
    "at the end. - reads it from standard input, @FILE from a file.",
)
@option(PORTS, "--media-port", default=0, metavar="PORT", help="UDP and TCP; 8443, or the site file's.")
@option(PORTS, "--api-port", default=8045, metavar="PORT", show_default=True, help="rtcd's API.")
@option(PORTS, "--turn-port", default=3478, metavar="PORT", show_default=True, help="TURN and STUN, UDP and TCP.")
@option(
    HOW_LONG,
    "--for",
    "duration",
    default="60m",
    metavar="DURATION",
    show_default=True,
    help="How long it stands; forever has no end.",
)
@option(HOW_LONG, "--once", is_flag=True, help="End when the first report has come.")
@option(
    OUTPUT,
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="FILE",
    help="The merged report of all that paired, at the end. Repeatable; .txt or .json picks the format.",
)
@option(OUTPUT, "--no-color", is_flag=True, help="No colours; NO_COLOR does the same.")
def command(**asked: Any) -> int:
    """Stands where rtcd or the plugin will stand, and prints pairing links: run `calls-doctor check --peer LINK` with
    one of them elsewhere. Both ends count what they send and see, so that a verdict names direction and party.

    A link is a capability for this one run and worthless after its end. The reports of all that pair are collected.
    Ctrl-C ends it; exit code 0, or 2 where it could not start.
    """
    from calls_doctor.cli import serve_run

    return serve_run.run(asked)
