"""Several reports as one: every vantage once, and what one end's books say put beside what the other end saw.

The order in which the reports are given makes no difference. Pure: reports in, the parts of one report out; what they
add up to is concluded by whoever merges.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any  # rows of books are JSON

import msgspec
from msgspec import structs

from calls_doctor.errors import UsageError
from calls_doctor.model.check import CheckResult, Evidence
from calls_doctor.model.flow import address_class
from calls_doctor.model.report import Report, Vantage
from calls_doctor.model.site import Phase
from calls_doctor.wire.direct import RUN_CHARS

Books = dict[str, Any]
"""What one end counted of one session, as reports carry it."""
BY_MERGED_BOOKS = "merged books"
"""What told `arrived` where the check itself could not ask."""
WHOLE_RUN = ""
"""The session's name in the row of a stand-in's books that speaks of its whole run: with it at hand, a session that no
row names is one of which nothing arrived."""


@dataclass(frozen=True)
class Merged:
    """What several reports hold together."""

    vantages: list[Vantage]
    checks: list[CheckResult]
    books: list[Books]


def merge(reports: Sequence[Report]) -> Merged:
    """Raises UsageError for reports that cannot be merged: redacted apart."""
    if len({report.redacted for report in reports}) > 1 or any(report.redacted != "none" for report in reports):
        raise UsageError("reports that were redacted cannot be merged: their pseudonyms differ")
    tested = [report for report in reports if report.phase is not Phase.SELF_TEST]  # that tested nothing of the network
    books = _all_books(tested)
    far = _FarBooks(books)
    runs = _each_once(sorted((run for report in tested for run in _runs(report)), key=_order))
    vantages: list[Vantage] = []
    checks: list[CheckResult] = []
    for vantage, results in runs:
        informed = [far.beside(one) for one in results]
        named = structs.replace(
            vantage,
            id=_own_name(vantage, vantages),
            public_address=vantage.public_address or far.address_of(informed),
        )
        vantages.append(named)
        checks += [structs.replace(one, vantage=named.id) for one in informed]
    return Merged(vantages, checks, books)


_Run = tuple[Vantage, list[CheckResult]]
"""What was found from one vantage at one time."""


def _runs(report: Report) -> list[_Run]:
    return [(vantage, [one for one in report.checks if one.vantage == vantage.id]) for vantage in report.vantages]


def _order(run: _Run) -> tuple[str, str, str, int, bytes]:
    """By time and place, whatever the order of the reports; of two copies the one that holds more comes first."""
    vantage, results = run
    known = sum(one.evidence.get("arrived") is not None for one in results)
    return vantage.started, vantage.role, vantage.label, -len(results) - known, msgspec.json.encode(results)


def _each_once(runs: Iterable[_Run]) -> list[_Run]:
    """A run that comes twice, in its own file and in the stand-in's, counts once."""
    kept: list[_Run] = []
    for run in runs:
        if not any(_is_the_same(run, other) for other in kept):
            kept.append(run)
    return kept


def _is_the_same(one: _Run, other: _Run) -> bool:
    """Two callers without a label may have started in the same second: how long each check took tells them apart."""
    (here, results), (there, others) = one, other
    if (here.role, here.label, here.started) != (there.role, there.label, there.started):
        return False
    took_s = {(r.id, r.host): r.duration_s for r in others}
    return all(took_s.get((r.id, r.host), r.duration_s) == r.duration_s for r in results)


def _own_name(vantage: Vantage, vantages: Sequence[Vantage]) -> str:
    """Two vantages of one name are told apart by a number."""
    first = vantage.label or vantage.role
    taken, name, number = {one.id for one in vantages}, first, 2
    while name in taken:
        name, number = f"{first} {number}", number + 1
    return name


def _all_books(reports: Iterable[Report]) -> list[Books]:
    """Each session's books of each end once, as they stood last: counts only grow."""
    latest: dict[tuple[str, str], Books] = {}
    for book in (book for report in reports for book in report.books):
        key = (str(book["end"]), str(book.get("session", "")) or f"{WHOLE_RUN} {book.get('run_id', '')}")
        if key not in latest or _counted(book) > _counted(latest[key]):
            latest[key] = book
    return [latest[key] for key in sorted(latest)]


def _counted(book: Books) -> tuple[int, bytes]:
    packets = (value for path in book.get("paths", ()) for value in path.values() if isinstance(value, int))
    return int(book.get("probes") or 0) + sum(packets), msgspec.json.encode(book, order="deterministic")


class _FarBooks:
    """What the far end counted, to be put beside what a check could not ask it for."""

    def __init__(self, books: Iterable[Books]) -> None:
        far = [book for book in books if book["end"] == "far"]
        self._sessions = {str(book["session"]): book for book in far if book.get("session")}
        self._whole = {str(book["run_id"]) for book in far if book.get("session") == WHOLE_RUN}

    def beside(self, result: CheckResult) -> CheckResult:
        """The result with what arrived, where that is not known yet and these books tell."""
        evidence = result.evidence
        if evidence.get("arrived") is not None:
            return result
        rows = [evidence, *evidence.get("ports", ())]  # a check of the relay has a session for each of its ports
        counts = [self._arrived(row) for row in rows if isinstance(row, dict) and row.get("session")]
        told = [count for count in counts if count is not None]
        if not told or len(told) < len(counts):
            return result
        more = {"arrived": sum(told), "arrived_by": BY_MERGED_BOOKS}
        return structs.replace(result, evidence={**evidence, **more})

    def _arrived(self, row: Evidence) -> int | None:
        """None where these books cannot tell."""
        session = str(row["session"])
        if session in self._sessions:
            return int(self._sessions[session]["probes"])
        return 0 if session[:RUN_CHARS] in self._whole else None

    def address_of(self, results: Iterable[CheckResult]) -> str:
        """The public address from which these results' packets came, as the far end saw it; "" where none is known."""
        for result in results:
            seen = self._sessions.get(str(result.evidence.get("session") or ""), {})
            for path in seen.get("paths", ()):
                if not address_class(path["remote"][0]).is_private:
                    return str(path["remote"][0])
        return ""
