"""The schema that ships is the model's, real reports keep to it, and it lets a report grow by addition only."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any  # JSON

import jsonschema  # type: ignore[import-untyped]  # it ships no types, and stubs would be one more package to pin
import msgspec
import pytest

import calls_doctor
from calls_doctor.model.report import SCHEMA, Report
from reports.schema import schema
from tests.reports.samples import failing_report, healthy_report

SHIPPED = Path(calls_doctor.__file__).with_name("report.schema.json")
MADE: dict[str, Any] = msgspec.json.decode(schema())


def as_json(report: Report) -> Any:
    return msgspec.json.decode(msgspec.json.encode(report))


def valid(document: Any) -> bool:
    found: bool = jsonschema.Draft202012Validator(MADE).is_valid(document)
    return found


def test_the_file_that_ships_is_up_to_date() -> None:
    assert SHIPPED.read_text(encoding="utf-8") == schema(), (
        "write it anew: python -m reports.schema > calls_doctor/report.schema.json"
    )


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(MADE)


@pytest.mark.parametrize("report", [healthy_report(), failing_report()], ids=["healthy", "failing"])
def test_reports_keep_to_it(report: Report) -> None:
    jsonschema.Draft202012Validator(MADE).validate(as_json(report))


@pytest.mark.parametrize("field", MADE["$defs"]["Report"]["required"])
def test_a_report_that_lacks_what_every_report_has_does_not(field: str) -> None:
    document = as_json(healthy_report())
    del document[field]
    assert not valid(document)


def test_another_version_of_the_report_does_not_pass_for_this_one() -> None:
    assert not valid(as_json(healthy_report()) | {"schema": "calls-doctor/report/2"})
    assert SCHEMA == "calls-doctor/report/1"


def test_every_type_is_explained() -> None:
    """A reader of the schema has nothing else: at least each type says what it is."""
    silent = [name for name, definition in MADE["$defs"].items() if not definition.get("description")]
    assert silent == []


@pytest.mark.parametrize("word", ["passed", "PASS", "", None])
def test_a_status_is_one_of_the_six_words(word: str | None) -> None:
    document = as_json(healthy_report())
    document["checks"][0]["status"] = word
    assert not valid(document)


def test_what_a_later_version_adds_anywhere_is_allowed() -> None:
    document = as_json(failing_report())
    grown = copy.deepcopy(document) | {"later": 1}
    for part in (grown["checks"][0], grown["diagnosis"][0], grown["vantages"][0], grown["tool"]):
        part["later"] = {"of any": ["shape"]}
    assert valid(grown)


def test_a_report_of_an_earlier_version_without_the_newer_fields_is_allowed() -> None:
    """`for_others` came after the first report; whoever kept one from before still has a report."""
    document = as_json(healthy_report())
    for check in document["checks"]:
        del check["for_others"]
    assert valid(document)
