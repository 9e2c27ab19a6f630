"""Several reports as one: every vantage once, and what one end's books say put beside what the other end saw.

Pure: reports in, the parts of one report out; what they add up to is concluded by whoever merges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any  # rows of books are JSON

from msgspec import structs

from calls_doctor.errors import UsageError
from calls_doctor.model.check import CheckResult
from calls_doctor.model.report import Report, Vantage
from calls_doctor.model.site import Phase


@dataclass(frozen=True)
class Merged:
    """What several reports hold together."""

    vantages: list[Vantage]
    checks: list[CheckResult]
    books: list[dict[str, Any]]


def merge(reports: Sequence[Report]) -> Merged:
    """Raises UsageError for reports that cannot be merged: redacted apart."""
    if len({report.redacted for report in reports}) > 1 or any(report.redacted != "none" for report in reports):
        raise UsageError("reports that were redacted cannot be merged: their pseudonyms differ")
    vantages: list[Vantage] = []
    checks: list[CheckResult] = []
    books: dict[tuple[str, str], dict[str, Any]] = {}
    for report in reports:
        if report.phase is Phase.SELF_TEST:
            continue  # it tested nothing of the network
        for vantage in report.vantages:
            if _known(vantage, vantages):
                continue
            renamed = _own_name(vantage, vantages)
            vantages.append(renamed)
            checks += [structs.replace(one, vantage=renamed.id) for one in report.checks if one.vantage == vantage.id]
        for book in report.books:
            books.setdefault((book["end"], book.get("session", "")), book)
    far = {session: book for (end, session), book in books.items() if end == "far"}
    return Merged(vantages, [_with_far_books(one, far) for one in checks], list(books.values()))


def _known(vantage: Vantage, vantages: Sequence[Vantage]) -> bool:
    """A run that comes twice, in its own file and in the stand-in's, counts once."""
    return any((one.role, one.label, one.started) == (vantage.role, vantage.label, vantage.started) for one in vantages)


def _own_name(vantage: Vantage, vantages: Sequence[Vantage]) -> Vantage:
    """Two vantages of one name are told apart by a number."""
    taken, name, number = {one.id for one in vantages}, vantage.id, 2
    while name in taken:
        name, number = f"{vantage.id} {number}", number + 1
    return structs.replace(vantage, id=name)


def _with_far_books(result: CheckResult, far: dict[str, dict[str, Any]]) -> CheckResult:
    """The result with what arrived, where it could not ask for the books itself."""
    session = result.evidence.get("session")
    if not session or result.evidence.get("arrived") is not None or not far:
        return result
    book = far.get(session)
    evidence = {**result.evidence, "arrived": book["probes"] if book else 0, "arrived_by": "merged books"}
    return structs.replace(result, evidence=evidence)
