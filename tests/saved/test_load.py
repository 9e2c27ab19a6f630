"""Saved reports: read as they were written, from a file or standard input; what is no report is one sentence."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calls_doctor.errors import UsageError
from calls_doctor.model.report import SCHEMA, Report
from calls_doctor.saved import load as load_module
from calls_doctor.saved.load import load
from tests.reports.samples import failing_report, healthy_report

REPORT = msgspec.json.encode(failing_report())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "report.json"


@pytest.mark.parametrize("report", [failing_report(), healthy_report()])
def test_a_report_reads_back_as_it_was_written(report: Report, place: Path) -> None:
    place.write_bytes(msgspec.json.encode(report))
    assert load(str(place)) == report


def test_it_comes_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(REPORT)))
    assert load("-") == failing_report()


def test_a_newer_one_is_read_as_far_as_it_is_known(place: Path) -> None:
    told = msgspec.json.decode(REPORT)
    told["schema"] = "calls-doctor/report/2"
    told["what is new"] = {"a": [1]}
    told["checks"][0]["what is new"] = 1
    place.write_bytes(msgspec.json.encode(told))
    assert load(str(place)) == failing_report()
    assert load(str(place)).schema == SCHEMA


@pytest.mark.parametrize(("data", "said"), [
    (b"", "no report that this version can read"), (b"[]", "no report that this version can read"),
    (b"{", "no report that this version can read"), (b"{}", "is no report of calls-doctor"),
    (b'{"schema": 1}', "no report that this version can read"), (b"[" * 100_000, "no report that this version"),
    (b'{"schema": "another/report/1"}', "is no report of calls-doctor"), (b"\xff\xfe", "no report"),
    (b'{"schema": "calls-doctor/report/1"}', "missing required field"), (REPORT[:-10], "no report"),
    (REPORT.replace(b'"verdict":"', b'"verdict":"x'), "no report that this version can read"),
])  # fmt: skip
def test_what_is_no_report(data: bytes, said: str, place: Path) -> None:
    place.write_bytes(data)
    with pytest.raises(UsageError, match=said) as caught:
        load(str(place))
    assert str(caught.value).startswith(str(place)) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "said"), [
    ("absent.json", "No such file"), (".", "Is a directory"), ("a\0b", "no such path"),
])  # fmt: skip
def test_what_cannot_be_read(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        load(f"{tmp_path}/{name}")


def test_a_file_has_a_largest_size(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write_bytes(REPORT)
    monkeypatch.setattr(load_module, "FILE_MAX_BYTES", len(REPORT))
    load(str(place))
    monkeypatch.setattr(load_module, "FILE_MAX_BYTES", len(REPORT) - 1)
    with pytest.raises(UsageError, match="larger than 0 MB"):
        load(str(place))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(REPORT)), st.integers(0, 255)), max_size=4), st.integers(0, len(REPORT)))
def test_a_report_altered_and_cut_is_read_or_refused(place: Path, changes: list[tuple[int, int]], at: int) -> None:
    changed = bytearray(REPORT)
    for index, value in changes:
        changed[index % len(changed)] = value
    for data in (bytes(changed), REPORT[:at]):
        place.write_bytes(data)
        with contextlib.suppress(UsageError):
            assert isinstance(load(str(place)), Report)
