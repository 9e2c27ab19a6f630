"""The table of commands, and what becomes of an error whatever the command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from calls_doctor import __version__
from calls_doctor.cli import COMMANDS
from tests.cli.command_line import ROOT, calls_doctor, environment, here

CRASH = "import calls_doctor.run as r; r.check = lambda *a, **k: [][1]"
GROUP_CRASH = """
import calls_doctor.run as r
def check(*a, **k):
    try:
        raise ValueError("canary-in-an-exception")
    except ValueError as error:
        raise ExceptionGroup("canary-in-a-group", [error])
r.check = check
"""


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert here(capsys, "--version").stdout == f"calls-doctor {__version__}\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    told = here(capsys, "--help")
    assert told.code == 0
    for name, (_, line) in COMMANDS.items():
        assert name in told.stdout
        assert line.split()[0] in told.stdout


@pytest.mark.parametrize("name", [*(one for one in COMMANDS if one != "report"), "report show", "report merge"])
def test_every_command_of_the_table_loads_and_has_help(capsys: pytest.CaptureFixture[str], name: str) -> None:
    told = here(capsys, *name.split(), "--help")
    assert told.code == 0
    assert told.stdout.startswith(f"Usage: calls-doctor {name}")
    assert told.stdout.index("Examples:") < told.stdout.index("\n\n  ")


def test_nothing_at_all_is_wrong_usage_and_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    told = here(capsys)
    assert told.code == 2
    assert told.stdout == ""
    assert "check" in told.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("chek",), '"chek" is no command; did you mean "check"?'),
        (("frobnicate",), "it is one of check, serve, report, explain, turn-credential"),
        (("check", "--tunr", "x"), "--turn"),
        (("check", "--stun"), "--stun"),
        (("check", "surplus"), "surplus"),
    ],
)
def test_a_wrong_word_is_one_sentence_with_the_nearest(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], hint: str
) -> None:
    told = here(capsys, *arguments)
    assert told.code == 2
    assert told.stdout == ""
    assert told.stderr.startswith("calls-doctor: ")
    assert hint in told.stderr
    assert told.stderr.count("\n") == 1


LINK = "calls-doctor://192.0.2.1:8443/#canarykey.canaryprint"


@pytest.mark.parametrize(
    "arguments",
    [(LINK,), ("check", LINK), ("check", "--stun", LINK), ("check", "--peer", LINK), ("explain", LINK),
     ("check", "--mode", LINK), ("check", "-o", LINK), ("check", "--media-time", LINK), (f"--{LINK}",)],
)  # fmt: skip
def test_no_wrong_place_for_a_link_shows_its_key(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    told = here(capsys, *arguments)
    assert told.code == 2
    assert "canary" not in told.stdout + told.stderr


def test_our_own_fault_is_one_sentence_with_its_place_and_code_5() -> None:
    told = calls_doctor("check", before=CRASH)
    assert told.code == 5
    assert told.stdout == ""
    assert "IndexError at " in told.stderr
    assert "check_run.py" in told.stderr
    assert __version__ in told.stderr
    assert told.stderr.count("\n") == 1
    assert "Traceback" not in told.stderr


def test_a_fault_in_a_group_is_told_by_the_first_of_it_and_never_by_its_text() -> None:
    told = calls_doctor("check", before=GROUP_CRASH)
    assert told.code == 5
    assert "ValueError at " in told.stderr
    assert "canary" not in told.stderr


def test_a_stand_in_that_does_not_come_up_is_said_in_its_own_words() -> None:
    told = calls_doctor("check", before="import calls_doctor.standin.launch as l; l._BOOT = 'raise SystemExit(9)'")
    assert told.code == 5
    assert told.stderr.startswith("calls-doctor: this program could not do its work: the stand-in's process ended")
    assert "Traceback" not in told.stderr


def test_a_reader_that_goes_away_is_nobodys_fault() -> None:
    command = f"{sys.executable} -m calls_doctor explain | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=25,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_closed_stream_is_no_reason_to_fail(closed: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m calls_doctor explain turn.allocate {closed}"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=25,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("arguments", [["--help"], ["check", "--help"], ["explain", "--help"]])
def test_help_keeps_to_the_width_but_for_commands_and_metavars(columns: int, arguments: list[str]) -> None:
    told = calls_doctor(*arguments, more={"COLUMNS": str(columns)})
    assert told.code == 0
    long = [line for line in told.lines if len(line) > min(columns, 80) and "calls-doctor " not in line]
    assert long == []
