"""The command line: which commands there are, and what becomes of an error. It loads click and nothing else, so that
`--version` and `--help` answer at once; a command's own file is loaded when it is called.

checks/ and reports/ are plain top-level packages beside calls_doctor/ in the tree, and lie inside it in a wheel (no
wheel may put such names into site-packages). So the folder that holds them goes to the head of the path, here and not
in `calls_doctor/__init__`: importing `calls_doctor.model` alone must not hide somebody else's `reports`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import NoReturn

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - pathlib costs 8 ms here
_HOMES = (os.path.join(_PACKAGE, "_bundle"), os.path.dirname(_PACKAGE))  # noqa: PTH118, PTH120 - as above
for _home in _HOMES:
    if os.path.exists(os.path.join(_home, "checks", "__init__.py")):  # noqa: PTH110, PTH118 - as above
        sys.path.insert(0, _home)
        break

try:
    import click
except KeyboardInterrupt:  # half of the time before main(), which has a word for it
    os._exit(130)

from calls_doctor import __version__  # noqa: E402 - the path comes first
from calls_doctor.errors import CallsDoctorError, UsageError  # noqa: E402 - the path comes first

COMMANDS: dict[str, tuple[str, str]] = {
    "check": ("calls_doctor.cli.check", "Test whether calls work, and say who must change what if not."),
    "serve": ("calls_doctor.cli.serve", "Stand where rtcd or the plugin will stand, and print pairing links."),
    "report": ("calls_doctor.cli.report", "Show saved reports, and merge those of several vantages."),
    "explain": ("calls_doctor.cli.explain", "Explain a check, a cause, a guide step or a firewall row."),
    "turn-credential": ("calls_doctor.cli.turn_credential", "Make a TURN user name and credential from the secret."),
}
"""Command -> the module whose `command` it is, and its line of help. The one table."""

PROGRAM = "calls-doctor"
EXIT_USAGE = 2
EXIT_OWN_FAULT = 5
EXIT_INTERRUPTED = 130
COLUMNS_FOR_CLICK = 52
TRAIL_PLACES = 4


class Commands(click.Group):
    """The table as a click group: a command is imported when it is called, not when it is listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Imports the command's module; None where there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, but an unknown command is told the nearest."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from calls_doctor.model.words import did_you_mean
            from calls_doctor.site.options import shown

            raise UsageError(f"{shown(args[0])} is no command; {did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """The lines of the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=Commands,
    no_args_is_help=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Tells whether Mattermost Calls will work on a network, before and after install, and if not, who must change
    what.

    `calls-doctor check` without anything else tests this program and this machine, and says what to run next.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(EXIT_USAGE)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits; `arguments` are those after the program's name, None: the process's own."""
    sys.excepthook = _own_fault
    _mend_streams()
    given = tuple(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(given)
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`), which is nobody's fault.
        forget_stdout()
        code = 0
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # all is said: the interpreter's own end would answer with a traceback
    sys.exit(code)


def _run(arguments: tuple[str, ...]) -> int:
    """The command's exit code; what the person at the keyboard did wrong is said in one sentence."""
    # click writes no help narrower than 50 columns by itself.
    columns = os.environ.get("COLUMNS", "")
    narrow = int(columns) if columns.isdecimal() and 20 <= int(columns) < COLUMNS_FOR_CLICK else None
    try:
        code = cli.main(
            args=list(arguments), prog_name=PROGRAM, standalone_mode=False, obj=arguments, terminal_width=narrow
        )
    except click.exceptions.Exit as asked:
        return asked.exit_code
    except click.ClickException as error:
        say(error.format_message())
        return EXIT_USAGE
    except UsageError as error:
        say(str(error))
        return EXIT_USAGE
    except CallsDoctorError as error:
        say(f"this program could not do its work: {error}")
        return EXIT_OWN_FAULT
    return code if isinstance(code, int) else 0


def say(text: str) -> None:
    """One sentence on standard error; nothing secret that was typed or set leaves in it."""
    from calls_doctor.site import secrecy

    click.echo(f"{PROGRAM}: {secrecy.sentence(text, os.environ)}", err=True)


def forget_stdout() -> None:
    """What is written to standard output from here on goes nowhere, the interpreter's own flush at its end too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _mend_streams() -> None:
    """A stream that was closed by whoever started us, or that cannot encode a letter, is no reason to fail."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - pathlib costs 8 ms; open until we end
        elif hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="backslashreplace")


def _own_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What no command caught: our own fault. Names kind and place, and not the text, which may hold a secret."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
        kind, trace = type(error), error.__traceback__ or trace
    say(
        f"this program failed, which is its own fault and not your network's: {kind.__name__} at {_trail(trace)}. "
        f"Please report this line, with the command that you typed and the version ({__version__})."
    )
    os._exit(EXIT_OWN_FAULT)


def _trail(trace: TracebackType | None) -> str:
    """The last few places on the way to the fault, the fault's own first."""
    import traceback

    frames = reversed(traceback.extract_tb(trace)[-TRAIL_PLACES:])
    places = [f"{os.path.relpath(f.filename, os.path.dirname(_PACKAGE))}:{f.lineno} ({f.name})" for f in frames]  # noqa: PTH120 - as above
    return ", called from ".join(places) or "an unknown place"
