"""The self-test as `calls-doctor check` runs it, with the stand-in's ports fixed so that a firewall rule can name them.

Run inside a network namespace: `python -m tests.lab.self_test_run '{"media_port": 18443}'`. Prints the report as JSON
and exits with the command's exit code.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from calls_doctor import run
from calls_doctor.model.check import CheckResult
from calls_doctor.standin.launch import Options
from reports import FORMATS
from reports.style import Style


class Quiet:
    """An observer that says nothing."""

    def planned(self, ids: list[str]) -> None: ...

    def started(self, check: str) -> None: ...

    def finished(self, result: CheckResult) -> None: ...

    def said(self, text: str) -> None: ...


def main(options: Options) -> int:
    report = asyncio.run(run.check(run.Request(self_test=True), dict(os.environ), Quiet(), options))
    sys.stdout.write(FORMATS["json"](report, Style()))
    return run.exit_code(report)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    given["without"] = frozenset(given.get("without", ()))
    sys.exit(main(Options(**given)))
