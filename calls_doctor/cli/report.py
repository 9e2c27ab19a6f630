"""`calls-doctor report`: shows saved reports and merges those of several vantages."""

from __future__ import annotations

from typing import Any  # click's own signatures

import click

from calls_doctor.cli.sections import SectionedCommand

EXAMPLES = (
    ("calls-doctor report show audit.json", "a saved report, as text"),
    ("calls-doctor report merge berlin.json paris.json mattermost.json -o all.json", "one diagnosis drawn from all"),
)


@click.group(invoke_without_command=False, context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Works on saved reports."""


def _outputs(function: Any) -> Any:
    for decorate in (
        click.option("--no-color", is_flag=True, help="No colours; NO_COLOR does the same."),
        click.option("--fail-on", default="fail", metavar="fail|warn", help="warn: exit code 3 for warnings only."),
        click.option("-o", "--output", "outputs", multiple=True, metavar="FILE", help="Also to a file, .txt or .json."),
        click.option("--format", "format_name", default="text", metavar="FORMAT", help="text or json."),
        click.option("-v", "--verbose", count=True, help="More words: the evidence."),
    ):
        function = decorate(function)
    return function


@command.command(cls=SectionedCommand, examples=EXAMPLES[:1])
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@_outputs
def show(files: tuple[str, ...], **asked: Any) -> int:
    """Shows saved reports; the exit code is the report's own."""
    from calls_doctor.cli import report_run

    return report_run.show(files, asked)


@command.command(cls=SectionedCommand, examples=EXAMPLES[1:])
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@_outputs
def merge(files: tuple[str, ...], **asked: Any) -> int:
    """Makes one report and one diagnosis of several vantages'; a run that comes twice counts once."""
    from calls_doctor.cli import report_run

    return report_run.merge(files, asked)
