"""Where a result goes, and how it is set for that place."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from calls_doctor.cli import output
from calls_doctor.cli.output import STDOUT, Target, style_for, targets, write
from calls_doctor.errors import UsageError
from reports.style import Style


class Stream(io.StringIO):
    """A text stream that says of itself what a test wants."""

    def __init__(self, *, terminal: bool = False, encoding: str = "utf-8") -> None:
        super().__init__()
        self._terminal, self._encoding = terminal, encoding

    def isatty(self) -> bool:
        return self._terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]  # StringIO's is read-only and None
        return self._encoding


def _render(format_name: str, style: Style) -> str:
    return f"{format_name} at {style.width}\n"


def test_stdout_comes_first_and_every_file_by_its_suffix(tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("a.json", "b.txt", "a.json", "c.TXT")]
    wanted = targets("json", [files[0], STDOUT, *files[1:]])
    assert wanted == [
        Target("json", STDOUT), Target("json", files[0]), Target("text", files[1]), Target("text", files[3])
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("format_name", "path", "sentence"),
    [
        ("jsn", STDOUT, '--format: "jsn" is not known; did you mean "json"?'),
        ("text", "report.jsn", '-o: report.jsn: no format has this suffix; did you mean ".json"?'),
        ("text", "report.docx", "-o: report.docx: no format has this suffix; it is one of .txt, .json"),
        ("text", "report", "-o: report has no suffix to pick the format by; write report.txt or .json"),
        (
            "text",
            "no/such/folder/report.txt",
            "-o: no/such/folder/report.txt cannot be written: there is no folder no/such/folder",
        ),
    ],
)
def test_a_wrong_place_is_said_before_anything_is_probed(format_name: str, path: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        targets(format_name, [path])
    assert str(caught.value) == sentence


def test_a_folder_and_what_is_locked_are_no_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        targets("text", [str(tmp_path / "folder.txt")])
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(UsageError, match="no permission"):
        targets("text", [str(tmp_path / "report.txt")])


def test_every_place_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.txt"
    write(_render, [Target("json", STDOUT), Target("text", str(path))], Style(width=40))
    assert capsys.readouterr().out == "json at 40\n"
    assert path.read_text() == f"text at {output.WIDTH_OF_FILES}\n"


def test_a_file_that_cannot_be_written_any_more_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    gone = tmp_path / "gone" / "a.json"
    write(_render, [Target("json", str(gone)), Target("text", STDOUT)], Style())
    told = capsys.readouterr()
    kept = Path(told.err.strip().rsplit(" is in ", 1)[1])
    assert kept.parent == tmp_path
    assert kept.suffix == ".json"
    assert kept.read_text().startswith("json at ")
    assert f"{gone} cannot be written (No such file or directory)" in told.err
    assert told.out.startswith("text at ")


def test_where_nothing_can_be_written_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    write(_render, [Target("json", str(tmp_path / "gone" / "a.json"))], Style())
    assert "nor can a temporary file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "terminal", "no_color", "coloured"),
    [
        ({}, True, False, True),
        ({}, False, False, False),
        ({}, True, True, False),
        ({"NO_COLOR": "1"}, True, False, False),
        ({"NO_COLOR": ""}, True, False, True),
        ({"TERM": "dumb"}, True, False, False),
        ({"FORCE_COLOR": "1"}, False, False, True),
        ({"FORCE_COLOR": "0"}, True, False, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False, False),
    ],
)
def test_colour(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], terminal: bool, no_color: bool, coloured: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert style_for(Stream(terminal=terminal), no_color=no_color).colour is coloured


@pytest.mark.parametrize(
    ("columns", "width"), [("40", 40), ("200", 200), ("0", 80), ("wide", 80), ("-3", 80), ("", 80)]
)
def test_columns_are_obeyed_where_they_are_a_number(monkeypatch: pytest.MonkeyPatch, columns: str, width: int) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert style_for(Stream(), no_color=False).width == width


@pytest.mark.parametrize(("columns", "width"), [(60, 60), (300, output.WIDTH_MAX), (0, 80)])
def test_a_terminal_tells_its_width(monkeypatch: pytest.MonkeyPatch, columns: int, width: int) -> None:
    monkeypatch.setattr(Stream, "fileno", lambda _: 7)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((columns, 24)))
    assert style_for(Stream(terminal=True), no_color=False).width == width


@pytest.mark.parametrize(
    ("encoding", "symbols"), [("utf-8", True), ("ascii", False), ("latin-1", False), ("odd", False)]
)
def test_symbols_are_for_streams_that_have_them(encoding: str, symbols: bool) -> None:
    assert style_for(Stream(encoding=encoding), no_color=False).unicode is symbols
