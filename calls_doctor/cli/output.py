"""Where a result goes: stdout, files by their suffix, and a temporary file where a file cannot be written."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from calls_doctor.cli import forget_stdout, say
from calls_doctor.errors import UsageError
from calls_doctor.model.words import did_you_mean
from calls_doctor.site.options import shown
from reports import FORMATS, SUFFIXES
from reports.style import SYMBOLS, Style

STDOUT = "-"
WIDTH_DEFAULT = 80
WIDTH_MAX = 120
"""A terminal may be wider, and lines are hard to follow then."""
WIDTH_OF_FILES = 100

Render = Callable[[str, Style], str]
"""(format, style) -> text."""


@dataclass(frozen=True)
class Target:
    """One place that a result is written to."""

    format: str
    path: str
    """STDOUT, or a file."""


def one_of(text: str, valid: Iterable[str], option: str) -> str:
    """A word of a closed set. Raises UsageError with the nearest."""
    words = list(valid)
    if text in words:
        return text
    raise UsageError(f"{option}: {shown(text)} is not known; {did_you_mean(text, words)}")


def targets(format_name: str, outputs: Sequence[str]) -> list[Target]:
    """stdout in `format_name`, and each output in the format of its suffix.

    Raises UsageError for a format or suffix that is not known, and for a file that cannot be written as things stand.
    """
    found = [Target(one_of(format_name, FORMATS, "--format"), STDOUT)]
    for path in dict.fromkeys(outputs):
        if path != STDOUT:
            found.append(Target(_format_of(path), path))
            _judge(Path(path))
    return found


def _format_of(path: str) -> str:
    suffix = Path(path).suffix
    if suffix.lower() in SUFFIXES:
        return SUFFIXES[suffix.lower()]
    if not suffix:
        raise UsageError(f"-o: {path} has no suffix to pick the format by; write {path}{' or '.join(SUFFIXES)}")
    raise UsageError(f"-o: {path}: no format has this suffix; {did_you_mean(suffix, SUFFIXES)}")


def _judge(path: Path) -> None:
    """Raises UsageError where the file could not be written."""
    folder = path.parent
    if not folder.is_dir():
        raise UsageError(f"-o: {path} cannot be written: there is no folder {folder}")
    if path.is_dir():
        raise UsageError(f"-o: {path} is a folder")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"-o: {path} cannot be written: no permission, or a read-only file system")


def write(render: Render, wanted: Sequence[Target], style: Style) -> None:
    """Writes a result everywhere. What cannot be written goes to a temporary file, which is named on stderr."""
    for target in wanted:
        if target.path == STDOUT:
            _to_stdout(render(target.format, style))
        else:
            _to_file(render(target.format, Style(width=WIDTH_OF_FILES, verbosity=style.verbosity)), Path(target.path))


def _to_stdout(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has gone (`| head`): files are written all the same, and the code stands
        forget_stdout()
    except OSError as error:
        forget_stdout()
        _keep(text, "standard output", ".txt", error)


def _to_file(text: str, path: Path) -> None:
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        _keep(text, str(path), path.suffix, error)


def _keep(text: str, place: str, suffix: str, error: OSError) -> None:
    """A run may have taken long: what it found is kept."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="calls-doctor-", suffix=suffix, delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(text)
    except OSError as second:
        say(f"{place} cannot be written ({error.strerror}), nor can a temporary file ({second.strerror})")
        return
    say(f"{place} cannot be written ({error.strerror}); what belongs there is in {file.name}")


def style_for(stream: TextIO, *, no_color: bool, verbosity: int = 0) -> Style:
    """How text for this stream is set: NO_COLOR, FORCE_COLOR and COLUMNS are obeyed."""
    return Style(
        colour=not no_color and _wants_colour(stream),
        width=_width(stream),
        unicode=_has_symbols(stream),
        verbosity=verbosity,
    )


def _wants_colour(stream: TextIO) -> bool:
    """NO_COLOR goes before FORCE_COLOR (no-color.org, force-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    forced = os.environ.get("FORCE_COLOR", "")
    if forced:
        return forced != "0"
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _width(stream: TextIO) -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    if not stream.isatty():
        return WIDTH_DEFAULT
    try:
        return min(os.get_terminal_size(stream.fileno()).columns or WIDTH_DEFAULT, WIDTH_MAX)
    except OSError:
        return WIDTH_DEFAULT


def _has_symbols(stream: TextIO) -> bool:
    try:
        SYMBOLS.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
