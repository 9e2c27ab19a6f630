"""The formats a report can be written in: the one table. A report computes nothing."""

from __future__ import annotations

from collections.abc import Callable

from calls_doctor.model.report import Report
from reports import json, text
from reports.style import Style

Render = Callable[[Report, Style], str]

FORMATS: dict[str, Render] = {
    "text": text.render,
    "json": json.render,
}
SUFFIXES: dict[str, str] = {
    ".txt": "text",
    ".json": "json",
}
"""File name suffix -> format."""
