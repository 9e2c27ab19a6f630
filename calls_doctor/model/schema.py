"""The report's JSON Schema (2020-12), made from the model so that the two cannot differ.

It ships as calls_doctor/report.schema.json, and this writes it anew after the model has grown:

    python -m calls_doctor.model.schema > calls_doctor/report.schema.json

It forbids no field that it does not name: reports grow by addition, and a reader of today's takes tomorrow's too.
"""

from __future__ import annotations

import sys
from typing import Any  # JSON

import msgspec

from calls_doctor.model.report import SCHEMA, Report

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The schema as JSON; the report's own `schema` is pinned, so that another version of it does not pass for this."""
    made = msgspec.json.schema(Report)
    made["$defs"]["Report"]["properties"]["schema"] = {"const": SCHEMA}
    return {"$schema": DIALECT, "title": SCHEMA, **made}


def text() -> str:
    """The file as it ships."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
