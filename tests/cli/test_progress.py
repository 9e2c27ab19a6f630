"""Progress: live rows on a terminal, which are gone when the report comes; nothing in a pipe."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys

import pytest

from calls_doctor.cli.progress import LiveRows, Quiet, progress
from calls_doctor.model.check import CheckResult, Status
from tests.cli.command_line import ROOT, environment

SHOWN = "\x1b[?25h"
"""The sequence that shows the cursor again."""


def _on_a_terminal(*arguments: str, more: dict[str, str] | None = None) -> tuple[str, str]:
    """Runs `check` with a terminal as standard error: what it said there, and its standard output."""
    here, there = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "calls_doctor", "check", *arguments],
        cwd=ROOT, env=environment(more), stdout=subprocess.PIPE, stderr=there, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(there)
    assert process.stdout is not None
    seen, out, left = b"", b"", {here, process.stdout.fileno()}
    while left:
        for ready in select.select(list(left), [], [], 20)[0]:
            try:
                data = os.read(ready, 4096)
            except OSError:  # Linux's way to say that a terminal's other side has gone
                data = b""
            if not data:
                left.discard(ready)
            elif ready == here:
                seen += data
            else:
                out += data
    process.stdout.close()
    assert process.wait(timeout=5) == 0
    os.close(here)
    return seen.decode(), out.decode()


def test_rows_on_a_terminal_are_gone_at_the_end() -> None:
    seen, out = _on_a_terminal()
    assert "17 checks done" in seen
    assert "media.call-udp" in seen
    assert seen.rfind(SHOWN) > seen.rfind("checks done")
    assert out.startswith("Self-test on 127.0.0.1: this program works here.")
    assert "\x1b" not in out


@pytest.mark.parametrize(("arguments", "more"), [(("-q",), {}), ((), {"TERM": "dumb"})])
def test_no_rows_where_nobody_wants_them(arguments: tuple[str, ...], more: dict[str, str]) -> None:
    assert _on_a_terminal("--only", "env", *arguments, more=more)[0] == ""


def test_what_is_said_comes_to_a_pipe_too_but_not_to_who_wants_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    for silent, expected in ((False, "calls-doctor: a note\n"), (True, "")):
        with Quiet(silent=silent) as observer:
            observer.planned(["a.b"])
            observer.started("a.b")
            observer.said("a note")
        assert capsys.readouterr().err == expected


def test_a_pipe_gets_the_quiet_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert type(progress(quiet=False, no_color=False)) is Quiet
    assert capsys.readouterr().err == ""


def test_rows_count_what_is_done_and_name_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = LiveRows(no_color=True)
    assert str(rows._rows()) == "starting"
    now = 100.0
    monkeypatch.setattr("calls_doctor.cli.progress.time.monotonic", lambda: now)
    rows.planned(["a.one", "a.two"])
    rows.started("a.one")
    rows.started("a.two")
    now = 102.5
    skipped = CheckResult(id="a.one", title="", category="a", status=Status.SKIP, vantage="client")
    rows.finished(skipped)
    assert str(rows._rows()).splitlines() == ["  a.two                   2.5 s", "1 of 2 checks done"]
