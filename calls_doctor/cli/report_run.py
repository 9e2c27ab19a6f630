"""What `calls-doctor report show` and `merge` do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any  # click hands over its options by name

from calls_doctor import merging
from calls_doctor import run as runs
from calls_doctor.cli import output as out
from calls_doctor.errors import UsageError
from calls_doctor.model.report import Report
from calls_doctor.saved.load import load
from reports import FORMATS


def show(files: Sequence[str], asked: dict[str, Any]) -> int:
    """Each report as it was saved; the worst exit code of them. Raises UsageError."""
    if len(files) > 1 and (asked["outputs"] or asked["format_name"] == "json"):
        raise UsageError("a file, and JSON, holds one report; make one of several with calls-doctor report merge")
    targets = out.targets(asked["format_name"], asked["outputs"])
    return max(_write(load(path), targets, asked) for path in files)


def merge(files: Sequence[str], asked: dict[str, Any]) -> int:
    """One report of all. Raises UsageError."""
    targets = out.targets(asked["format_name"], asked["outputs"])
    return _write(merging.merged([load(path) for path in files]), targets, asked)


def _write(report: Report, targets: Sequence[out.Target], asked: dict[str, Any]) -> int:
    style = out.style_for(sys.stdout, no_color=asked["no_color"], verbosity=asked["verbose"])
    out.write(lambda name, how: FORMATS[name](report, how), targets, style)
    return runs.exit_code(report, out.one_of(asked["fail_on"], ("fail", "warn"), "--fail-on"))
