"""Where a result goes: stdout, files by their suffix, and a temporary file where a file cannot be written."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import click

from calls_doctor.errors import UsageError
from calls_doctor.model.report import Report
from calls_doctor.model.words import did_you_mean
from reports import FORMATS, SUFFIXES
from reports.style import SYMBOLS, Style

STDOUT = "-"
WIDTH_DEFAULT = 80


@dataclass(frozen=True)
class Target:
    """One place that a report is written to."""

    format: str
    path: str
    """STDOUT, or a file."""


def targets(format_name: str, outputs: Sequence[str]) -> list[Target]:
    """stdout in `format_name`, and each output in the format of its suffix.

    Raises UsageError for a format or suffix that is not known, and for a file that cannot be written as things stand.
    """
    if format_name not in FORMATS:
        raise UsageError(f'--format: "{format_name}" is not known; {did_you_mean(format_name, FORMATS)}')
    found = [Target(format_name, STDOUT)]
    for path in outputs:
        if path == STDOUT:
            continue
        suffix = Path(path).suffix
        if suffix not in SUFFIXES:
            said = f'the suffix "{suffix}" is not known' if suffix else "the file has no suffix"
            raise UsageError(f"-o: {path}: {said}, which picks the format; {did_you_mean(suffix or path, SUFFIXES)}")
        _judge(Path(path))
        found.append(Target(SUFFIXES[suffix], path))
    return found


def _judge(path: Path) -> None:
    """Raises UsageError where the file could not be written."""
    folder = path.parent
    if not folder.is_dir():
        raise UsageError(f"-o: {path}: there is no folder {folder}")
    if path.is_dir():
        raise UsageError(f"-o: {path} is a folder")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"-o: {path} cannot be written: permission denied")


def write(report: Report, wanted: Sequence[Target], style: Style) -> None:
    """Writes the report everywhere. What cannot be written goes to a temporary file, which is named on stderr."""
    for target in wanted:
        if target.path == STDOUT:
            sys.stdout.write(FORMATS[target.format](report, style))
            sys.stdout.flush()
            continue
        text = FORMATS[target.format](report, Style(width=WIDTH_DEFAULT, verbosity=style.verbosity))
        try:
            Path(target.path).write_text(text, encoding="utf-8")
        except OSError as error:
            kept = _keep(text, Path(target.path).suffix)
            click.echo(
                f"calls-doctor: {target.path} cannot be written ({error.strerror}); the report is in {kept}", err=True
            )


def _keep(text: str, suffix: str) -> str:
    with tempfile.NamedTemporaryFile(
        "w", prefix="calls-doctor-", suffix=suffix, delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    return file.name


def style_for(stream: TextIO, *, no_color: bool, verbosity: int) -> Style:
    """How text for this stream is set: NO_COLOR, FORCE_COLOR and COLUMNS are obeyed."""
    environment = os.environ
    colour = bool(environment.get("FORCE_COLOR")) or stream.isatty()
    if no_color or environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        colour = False
    return Style(colour=colour, width=_width(stream), unicode=_has_symbols(stream), verbosity=verbosity)


def _width(stream: TextIO) -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    if not stream.isatty():
        return WIDTH_DEFAULT
    try:
        return os.get_terminal_size(stream.fileno()).columns or WIDTH_DEFAULT
    except OSError:
        return WIDTH_DEFAULT


def _has_symbols(stream: TextIO) -> bool:
    try:
        SYMBOLS.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
