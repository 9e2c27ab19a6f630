"""The JSON Schema of a report, made from the model: types, and the strings under the fields as descriptions.

`python -m reports.schema > calls_doctor/report.schema.json` writes the one that ships; a test holds it against this.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from typing import Any  # a schema is JSON

import msgspec

from calls_doctor.model import check, flow, report, site
from calls_doctor.model.report import Report

MODULES = (check, flow, report, site)
INDENT = 2


def schema() -> str:
    """The schema (2020-12) of what reports/json.py writes."""
    made = msgspec.json.schema(Report)
    for name, definition in made["$defs"].items():
        _describe(definition, name)
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A report of calls-doctor",
        **made,
    }
    return msgspec.json.format(msgspec.json.encode(described), indent=INDENT).decode() + "\n"


def _describe(definition: dict[str, Any], name: str) -> None:
    kind = next(getattr(module, name) for module in MODULES if hasattr(module, name))
    names = getattr(kind, "__struct_fields__", ())
    encoded = dict(zip(names, getattr(kind, "__struct_encode_fields__", ()), strict=True))
    for field, text in _strings_under_fields(kind):
        if field in encoded:
            _set(definition["properties"], encoded[field], text)


def _set(properties: dict[str, Any], name: str, text: str) -> None:
    properties[name] = {"description": text, **properties[name]}


def _strings_under_fields(kind: type) -> Iterator[tuple[str, str]]:
    """Python keeps no string that stands under a field; its source does."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef), "a type of the model is a class"
    for field, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            text = ast.literal_eval(below.value)
            yield field.target.id, " ".join(str(text).split())


if __name__ == "__main__":
    sys.stdout.write(schema())
