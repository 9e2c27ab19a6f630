"""A skip is a failure unless tests/allowed-skips.txt lists it with its reason; so is an expected failure.

Nobody reads a count of skips: a test that silently stopped running is worse than one that was deleted.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

LIST = Path(__file__).with_name("allowed-skips.txt")


@dataclass(frozen=True)
class AllowedSkip:
    """One line of the list."""

    tests: str
    """A pattern of test ids (`*` and `?`; a bracket stands for itself)."""
    reason: str
    """A pattern of the reason that the skip itself gives."""

    def covers(self, test: str, reason: str) -> bool:
        """True where this line allows that skip."""
        return fnmatchcase(test, self.tests.replace("[", "[[]")) and fnmatchcase(reason, self.reason)


def parse(text: str) -> list[AllowedSkip]:
    """Lines `TESTS | REASON`; blank lines and lines that begin with # are for people. ValueError for anything else."""
    allowed = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        tests, _, reason = (part.strip() for part in line.partition(" | "))
        if not tests or not reason.strip("* "):
            raise ValueError(f"{LIST.name}:{number}: a line is TESTS | REASON, and the reason says something")
        allowed.append(AllowedSkip(tests, reason))
    return allowed


ALLOWED = parse(LIST.read_text())


def verdict(test: str, reason: str) -> str | None:
    """Why this skip fails the run; None where it is listed."""
    if any(one.covers(test, reason) for one in ALLOWED):
        return None
    return f"skipped, and tests/{LIST.name} does not list it: {reason or 'no reason given'}"


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(getattr(report, "wasxfail", report.longrepr or ""))


def _judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.outcome == "skipped" and (why := verdict(report.nodeid, _reason(report))):
        report.outcome = "failed"
        report.longrepr = why
        vars(report).pop("wasxfail", None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turns an unlisted skip of one test into a failure."""
    report = yield
    _judge(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a file that skips as a whole."""
    report = yield
    _judge(report)
    return report
