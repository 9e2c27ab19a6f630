"""`calls-doctor report show` and `merge`: what was saved is shown, several become one, and the exit code is theirs."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from tests.cli.command_line import calls_doctor, here
from tests.reports.samples import failing_report, healthy_report


@pytest.fixture
def saved(tmp_path: Path) -> tuple[str, str]:
    """A healthy one and one with a cause, of two vantages."""
    paths = tmp_path / "healthy.json", tmp_path / "failing.json"
    healthy = healthy_report()
    other = structs.replace(healthy, phase=failing_report().phase)
    for path, report in zip(paths, (other, failing_report()), strict=True):
        path.write_bytes(msgspec.json.encode(report))
    return str(paths[0]), str(paths[1])


def test_a_saved_report_is_shown_with_its_own_exit_code(
    saved: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = saved
    assert here(capsys, "report", "show", good).code == 0
    told = here(capsys, "report", "show", bad)
    assert told.code == 1
    assert "media.udp-blocked-inbound" in told.stdout
    assert json.loads(here(capsys, "report", "show", bad, "--format", "json").stdout) == json.loads(
        Path(bad).read_text()
    )


def test_several_are_shown_one_after_the_other_with_the_worst_code(
    saved: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told = here(capsys, "report", "show", *saved)
    assert told.code == 1
    assert told.stdout.count("Verdict") == 2
    for more in (("-o", str(tmp_path / "x.txt")), ("--format", "json")):
        refused = here(capsys, "report", "show", *saved, *more)
        assert (refused.code, refused.stdout) == (2, "")
        assert "report merge" in refused.stderr


def test_several_are_merged_and_written(
    saved: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    kept = tmp_path / "all.json"
    told = here(capsys, "report", "merge", *saved, saved[1], "-o", str(kept))
    merged = json.loads(kept.read_text())
    every = {vantage["id"] for path in saved for vantage in json.loads(Path(path).read_text())["vantages"]}
    assert {vantage["id"] for vantage in merged["vantages"]} == every
    assert len(merged["vantages"]) == len(every), "a run that comes twice counts once"
    assert told.code in (0, 1, 4) and "Traceback" not in told.stderr
    again = here(capsys, "report", "show", str(kept))
    assert again.code == told.code and again.stdout == told.stdout


def test_one_comes_from_standard_input(saved: tuple[str, str]) -> None:
    told = calls_doctor("report", "show", "-", stdin=Path(saved[1]).read_text())
    assert told.code == 1
    assert told.stdout


@pytest.mark.parametrize("command", ["show", "merge"])
@pytest.mark.parametrize(("file", "said"), [
    ("/nonexistent.json", "/nonexistent.json cannot be read"), ("/dev/null", "no report"), ("", "cannot be read"),
])  # fmt: skip
def test_what_is_no_report_is_one_sentence(
    command: str, file: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = here(capsys, "report", command, file)
    assert (told.code, told.stdout) == (2, "")
    assert said in told.stderr and told.stderr.count("\n") == 1


def test_without_a_file_or_a_known_command_it_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("report",), ("report", "show"), ("report", "mrege", "x")):
        told = here(capsys, *words)
        assert told.code == 2, words
        assert told.stdout == ""
