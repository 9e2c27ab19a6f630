"""`check` from end to end, as a process of its own: what it prints, writes and exits with."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from calls_doctor.model.site import Phase
from checks import CHECKS
from tests.cli.command_line import ROOT, Outcome, calls_doctor, environment

FIRST = "Self-test on 127.0.0.1: this program works here. Nothing of your network was tested."
CLOSED = "127.0.0.1:9"
LONG_WORD = 20
"""An address or URI, which is never broken, so that it can be copied whole."""


OF_THE_SELF_TEST = [spec for spec in CHECKS if Phase.SELF_TEST in spec.phases]


@cache
def self_test() -> Outcome:
    return calls_doctor("check")


@cache
def failing() -> Outcome:
    return calls_doctor("check", "--turn", f"turn:{CLOSED}", "--stun", f"stun:{CLOSED}")


def test_the_self_test_runs_every_stage_and_says_what_is_next() -> None:
    told = self_test()
    assert told.code == 0
    assert told.stderr == ""
    assert told.lines[0] == FIRST
    assert told.lines[-1].strip() == "calls-doctor check --mode rtcd --list"
    for spec in OF_THE_SELF_TEST:
        assert f" {spec.id}  " in told.stdout
    assert "  skip  " not in told.stdout


def test_its_last_line_is_a_command_that_works() -> None:
    words = self_test().lines[-1].split()
    assert words[0] == "calls-doctor"
    assert calls_doctor(*words[1:]).code == 0


def test_self_test_is_the_default_and_has_an_option_of_its_own() -> None:
    told = calls_doctor("check", "--self-test", "--only", "env", "-q")
    assert told.code == 0
    assert told.lines[0] == FIRST


def test_a_failure_is_told_with_its_cause_and_its_remedy_at_the_end() -> None:
    told = failing()
    assert told.code == 1
    assert told.lines[0] == "Calls checked from client (default: nothing told otherwise), phase undetermined."
    assert "what is wrong (1): turn.not-running" in told.stdout
    assert "what is wrong (2): stun.blocked-client" in told.stdout
    checks, _, end = told.stdout.partition("what is wrong (1)")
    assert checks.count("fail    turn.challenge") == 1
    assert end.count("fail    turn.challenge") == 1
    typed = f"calls-doctor check --turn turn:{CLOSED} --stun stun:{CLOSED}"
    assert (told.lines[-1].strip(), told.stdout.count("\nNext, on ")) == (typed, 3)


def test_what_was_not_tested_says_why() -> None:
    told = failing()
    left_out = " ".join(told.stdout.split())
    assert re.search(r"tls\.rtcd(, [a-z.-]+)*: no rtcd API was named: give it with --rtcd-url", left_out)


def test_quiet_keeps_the_verdict_the_cause_and_the_next_step() -> None:
    told = calls_doctor("check", "--turn", f"turn:{CLOSED}", "-q")
    assert told.code == 1
    assert "turn.not-running" in told.stdout
    assert "Verdict failed" in told.stdout
    assert "not tested" not in told.stdout


def test_verbose_shows_the_evidence() -> None:
    told = calls_doctor("check", "--turn", f"turn:{CLOSED}", "-v", "--metadata", "ticket=MM-1")
    assert told.code == 1
    assert "took: " in told.stdout
    assert "trouble refused" in told.stdout
    assert "ticket = MM-1   (--metadata)" in told.stdout


def test_json_on_stdout_is_a_report_and_nothing_else() -> None:
    told = calls_doctor(
        "check", "--turn", f"turn:{CLOSED}", "--format", "json", "--label", "Berlin", "--metadata", "a=b"
    )
    report = json.loads(told.stdout)
    assert told.code == 1
    assert report["schema"] == "calls-doctor/report/1"
    assert report["verdict"] == "failed"
    assert report["metadata"] == {"a": "b"}
    assert [(v["id"], v["label"], v["role"]) for v in report["vantages"]] == [("Berlin", "Berlin", "client")]
    assert report["command"].startswith("calls-doctor check --turn ")
    assert report["site"]["turn.servers"] == {"value": [f"turn:{CLOSED}?transport=udp"], "origin": "--turn"}


def test_files_get_their_format_by_suffix_and_stdout_its_text_all_the_same(tmp_path: Path) -> None:
    text, data = tmp_path / "report.txt", tmp_path / "REPORT.JSON"
    text.write_text("an older report, " * 1000)
    told = calls_doctor("check", "--only", "env", "-o", str(text), "-o", str(data), "-o", "-")
    assert told.code == 0
    assert told.lines[0] == FIRST
    assert text.read_text().startswith(FIRST)
    assert text.read_text().count(FIRST) == 1
    assert json.loads(data.read_text())["complete"] is True


def test_a_secret_file_that_is_not_there_is_wrong_usage_before_anything_is_probed() -> None:
    told = calls_doctor("check", "--turn", f"turn:{CLOSED}", more={"CALLS_DOCTOR_TURN_SECRET_FILE": "/nowhere/at/all"})
    assert told.code == 2
    assert told.stderr == (
        "calls-doctor: CALLS_DOCTOR_TURN_SECRET_FILE: /nowhere/at/all cannot be read: No such file or directory\n"
    )


def test_a_variable_that_is_nearly_one_of_ours_is_noted() -> None:
    told = calls_doctor("check", "--only", "env", more={"CALLS_DOCTOR_TURN_SECRT": "canary"})
    assert told.code == 0
    assert "did you mean CALLS_DOCTOR_TURN_SECRET?" in told.stderr
    assert "canary" not in told.stderr + told.stdout


def test_warnings_give_code_3_only_where_they_are_to_fail() -> None:
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # another program holds it already, which does as well
            taken.bind(("0.0.0.0", 8045))
            taken.listen()
        lenient = calls_doctor("check", "--only", "env")
        strict = calls_doctor("check", "--only", "env", "--fail-on", "warn")
    assert (lenient.code, strict.code) == (0, 3)
    assert "Verdict warnings" in lenient.stdout
    assert "8045/tcp by " in lenient.stdout
    assert lenient.lines[0] == FIRST


def test_a_run_that_its_own_limit_ends_is_partial_and_undecided() -> None:
    told = calls_doctor("check", "--timeout", "0.3", "--format", "json")
    report = json.loads(told.stdout)
    assert told.code == 4
    assert report["complete"] is False
    assert report["verdict"] == "undecided"
    assert report["phase"] == "self-test"
    finished = {row["id"] for row in report["checks"]}
    cut = {row["what"] for row in report["not_tested"] if "--timeout" in row["why"]}
    assert finished | cut == {spec.id for spec in OF_THE_SELF_TEST}
    assert cut


@pytest.mark.parametrize("columns", [40, 80])
def test_lines_keep_to_the_width_but_for_what_cannot_be_broken(columns: int) -> None:
    told = calls_doctor("check", "--turn", f"turn:{CLOSED}", more={"COLUMNS": str(columns)})
    long = [line for line in told.lines[1:] if len(line) > columns]
    unbreakable = [line for line in long if len(line.split()[-1]) > LONG_WORD or "calls-doctor" in line]
    assert long == unbreakable


@pytest.mark.parametrize(
    ("more", "arguments", "coloured"),
    [
        ({}, (), False),
        ({"FORCE_COLOR": "1"}, (), True),
        ({"FORCE_COLOR": "0"}, (), False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, (), False),
        ({"FORCE_COLOR": "1"}, ("--no-color",), False),
    ],
)
def test_colour_is_for_who_wants_it(more: dict[str, str], arguments: tuple[str, ...], coloured: bool) -> None:
    told = calls_doctor("check", "--only", "env", *arguments, more=more)
    assert ("\x1b[" in told.stdout) is coloured


@pytest.mark.parametrize("more", [{"LANG": "C"}, {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}])
def test_a_poor_terminal_gets_every_word(more: dict[str, str]) -> None:
    told = calls_doctor("check", "--only", "env", "--label", "Küche", more=more)
    assert told.code == 0
    assert told.stderr == ""
    assert "pass    env.platform" in told.stdout
    if "PYTHONIOENCODING" in more:
        assert told.stdout.isascii()


def test_whoever_reads_only_the_first_line_disturbs_nothing(tmp_path: Path) -> None:
    kept = tmp_path / "report.json"
    command = f"{sys.executable} -m calls_doctor check --only env -v -o {kept} | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=25,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, FIRST + "\n", "")
    assert json.loads(kept.read_text())["complete"] is True


def test_a_full_disk_loses_no_report() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m calls_doctor check --only env > /dev/full"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=25,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr.startswith("calls-doctor: standard output cannot be written (No space left on device)")
    kept = Path(done.stderr.rsplit(" is in ", 1)[1].strip())
    assert kept.read_text().startswith(FIRST)
    kept.unlink()
