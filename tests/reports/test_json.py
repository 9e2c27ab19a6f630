"""The report as JSON: all of it, in the contract's shape, the same for the same report."""

from __future__ import annotations

import json
from typing import Any  # a report as JSON

import msgspec
import pytest

from calls_doctor.model.report import Report
from reports.json import render
from reports.style import Style
from tests.reports.samples import failing_report, healthy_report


def written(report: Report) -> Any:  # JSON
    return json.loads(render(report, Style()))


@pytest.mark.parametrize("report", [healthy_report(), failing_report()], ids=["healthy", "failing"])
def test_it_reads_back_as_the_same_report(report: Report) -> None:
    assert msgspec.json.decode(render(report, Style()), type=Report) == report


def test_every_field_of_the_contract_is_there_in_its_order() -> None:
    assert list(written(healthy_report())) == [
        "schema", "tool", "run_id", "started", "duration_s", "complete", "command", "metadata", "phase", "mode", "site",
        "vantages", "verdict", "diagnosis", "next", "checks", "guide", "versions", "settings", "lint", "candidates",
        "clock", "logs", "books", "missing", "not_tested", "redacted",
    ]  # fmt: skip


def test_the_parts_are_shaped_as_the_contract_says() -> None:
    document = written(failing_report())
    assert set(document["vantages"][0]) == {"id", "label", "role", "public_address", "network_class", "started"}
    assert set(document["diagnosis"][0]) >= {
        "cause", "confidence", "flow", "party", "impact", "subject", "summary", "because", "remedy",
    }  # fmt: skip
    assert document["diagnosis"][0]["flow"] == {
        "from": {"role": "client", "address": "203.0.113.9"}, "to": {"role": "media", "address": "198.51.100.20"},
        "protocol": "udp", "port": 8443, "lost": "request",
    }  # fmt: skip
    assert set(document["diagnosis"][0]["remedy"]) == {"summary", "steps", "firewall_rows", "guide_steps", "url"}
    assert set(document["checks"][0]) >= {
        "id", "title", "category", "status", "vantage", "target", "summary", "evidence", "duration_s", "needs",
        "blocked_by", "guide_steps",
    }  # fmt: skip
    assert set(document["next"][0]) == {"command", "on_host", "why"}
    assert set(document["guide"][0]) == {"step", "verdict", "from", "to", "checks"}
    assert set(document["site"]["turn.secret"]) == {"value", "origin"}


def test_a_style_changes_nothing_and_it_ends_in_a_line_end() -> None:
    loud = render(failing_report(), Style(colour=True, width=40, unicode=False, verbosity=2))
    assert loud == render(failing_report(), Style())
    assert loud.endswith("}\n")
    assert "\x1b" not in loud


def test_tables_without_an_order_of_their_own_are_sorted_so_that_two_reports_can_be_compared() -> None:
    one = msgspec.structs.replace(healthy_report(), metadata={"b": "1", "a": "2"})
    other = msgspec.structs.replace(healthy_report(), metadata={"a": "2", "b": "1"})
    assert render(one, Style()) == render(other, Style())
