"""The report as JSON, for programs: fields in the model's order, keys of free tables sorted, nothing left out.

`calls_doctor/report.schema.json` describes it (reports/schema.py).
"""

from __future__ import annotations

import msgspec

from calls_doctor.model.report import Report
from reports.style import Style

INDENT = 2


def render(report: Report, _style: Style) -> str:
    """The whole report; words of a style change nothing here."""
    encoded = msgspec.json.encode(report, order="deterministic")
    return msgspec.json.format(encoded, indent=INDENT).decode() + "\n"
