"""`calls-doctor` as a person runs it (a process of its own), and as it is called within a test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from calls_doctor import cli

ROOT = Path(__file__).parents[2]
OURS = ("CALLS_DOCTOR_", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHON")
"""Variables that would change what is said; none of the tester's own counts."""


@dataclass(frozen=True)
class Outcome:
    """What came of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The tester's, without what counts here, and with `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return kept | {"TERM": "xterm"} | dict(more or {})


def calls_doctor(
    *arguments: str, more: Mapping[str, str] | None = None, stdin: str = "", cwd: Path = ROOT, before: str = ""
) -> Outcome:
    """Runs it to its end. `before` is Python that the process runs first, to break something in it."""
    home = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {before or 'pass'}"
    words = [sys.executable, "-c", f"{home}\nfrom calls_doctor.cli import main; main()", *arguments]
    done = subprocess.run(
        words, env=environment(more), input=stdin, cwd=cwd, capture_output=True, text=True, check=False, timeout=25
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def started(arguments: Sequence[str], more: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Starts it, to be signalled."""
    return subprocess.Popen(
        [sys.executable, "-m", "calls_doctor", *arguments],
        env=environment(more), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def here(capsys: pytest.CaptureFixture[str], *arguments: str) -> Outcome:
    """Within this process: quicker, for whatever ends before a packet is sent."""
    code = cli._run(arguments)
    told = capsys.readouterr()
    return Outcome(code, told.out, told.err)
