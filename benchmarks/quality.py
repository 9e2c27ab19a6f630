"""docs/quality.md: the one table of what was measured, against which bar, by which command, when.

`record` replaces a figure's row and keeps the others, so that each benchmark can be run by itself.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "quality.md"
HEAD = """\
# Quality, measured

Written by `benchmarks/quality.py`, which `.ci/evidence` calls, never by hand: each row is a figure, the bar it is held
against, what was measured, the command that measured it, the commit and the day. Times are of a whole process on the
machine that ran it.

| figure | bar | measured | holds | command | commit | date |
|---|---|---|---|---|---|---|
"""
ROW = re.compile(r"^\| (?P<figure>[^|]+) \|(?: [^|]* \|){6}$", re.MULTILINE)


@dataclass(frozen=True)
class Figure:
    """One thing that was measured."""

    name: str
    bar: str
    measured: str
    holds: bool
    command: str


def _row(figure: Figure, commit: str, date: str) -> str:
    cells = (
        figure.name,
        figure.bar,
        figure.measured,
        "yes" if figure.holds else "**no**",
        f"`{figure.command}`",
        commit,
        date,
    )
    return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"


def written(page: str, figures: Sequence[Figure], commit: str, date: str) -> str:
    """The page with these figures' rows, in the place of older ones."""
    rows = {found["figure"]: found[0] for found in ROW.finditer(page) if found["figure"] != "figure"}
    rows |= {figure.name: _row(figure, commit, date) for figure in figures}
    return HEAD + "".join(f"{row}\n" for row in rows.values())


def record(*figures: Figure) -> int:
    """Prints the figures and writes them down; the exit code: 1 where a bar does not hold."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    page = PAGE.read_text() if PAGE.exists() else ""
    PAGE.write_text(written(page, figures, commit, datetime.now(UTC).strftime("%Y-%m-%d")))
    for figure in figures:
        sys.stdout.write(
            f"{'holds' if figure.holds else 'DOES NOT HOLD'}: {figure.name}: {figure.measured} (bar: {figure.bar})\n"
        )
    return 0 if all(figure.holds for figure in figures) else 1


def main(arguments: Sequence[str]) -> int:
    """`quality.py NAME BAR MEASURED yes|no COMMAND`: one figure that a shell script measured."""
    name, bar, measured, holds, command = arguments
    return record(Figure(name, bar, measured, holds == "yes", command))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
