"""The report's words are the contract's, and a report that was written is read back."""

from __future__ import annotations

import msgspec
import pytest

from calls_doctor.model.flow import Party
from calls_doctor.model.report import SCHEMA, Confidence, Impact, Report, Verdict
from tests.reports.samples import failing_report, healthy_report


def test_the_contracts_words() -> None:
    assert SCHEMA == "calls-doctor/report/1"
    assert [*Verdict] == ["ok", "warnings", "failed", "undecided", "broken"]
    assert [*Confidence] == ["certain", "likely", "possible"]
    assert [*Impact] == ["no calls", "some callers", "degraded", "security", "none now"]
    assert [*Party] == [
        "caller-machine", "caller-network", "server-network", "media-host", "mattermost-host", "turn-host",
        "offloader-host", "dns-zone", "dns-resolver", "mattermost-settings", "rtcd-settings", "turn-settings",
        "kubernetes", "path", "undecided",
    ]  # fmt: skip


@pytest.mark.parametrize("report", [healthy_report(), failing_report()], ids=["healthy", "failing"])
def test_what_was_written_is_read_back(report: Report) -> None:
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_a_report_of_a_later_version_is_read_without_what_it_added() -> None:
    grown = msgspec.to_builtins(healthy_report()) | {"later": 1}
    grown["checks"][0]["later"] = 2
    assert msgspec.convert(grown, Report) == healthy_report()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", "calls-doctor/report/2"),
        ("verdict", "fine"),
        ("started", "yesterday"),
        ("phase", "later"),
        ("checks", 1),
    ],
)
def test_what_is_no_report_is_refused(field: str, value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(msgspec.to_builtins(healthy_report()) | {field: value}, Report)
