"""What came of a check, as a report carries it."""

from __future__ import annotations

import msgspec
import pytest

from calls_doctor.model.check import CheckResult, Finding, Status


def test_the_six_words_of_the_contract() -> None:
    assert [str(status) for status in Status] == ["pass", "warn", "fail", "unknown", "skip", "error"]


@pytest.mark.parametrize("kind", [Finding, CheckResult])
def test_a_result_cannot_be_changed_afterwards(kind: type[Finding] | type[CheckResult]) -> None:
    made = msgspec.convert(
        {"status": "pass", "summary": "s", "id": "a.b", "title": "t", "category": "a", "vantage": "client"}, kind
    )
    with pytest.raises(AttributeError):
        made.status = Status.FAIL  # type: ignore[misc]  # what is tried


def test_evidence_of_one_result_is_not_anothers() -> None:
    one, other = (Finding(status=Status.PASS, summary="s") for _ in range(2))
    one.evidence["sent"] = 1
    assert other.evidence == {}


def test_an_unknown_status_is_refused_where_a_report_is_read() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"status": "passed", "summary": "s"}, Finding)
