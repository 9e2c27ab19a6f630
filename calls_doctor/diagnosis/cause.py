"""A cause: what is wrong, on which flow, whose to mend, what it explains and what mends it.

Declared data. No cause names another; `cover` chooses among them. Pure: evidence in, predictions out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any  # rows of evidence are JSON

from calls_doctor.model.check import TCP_ECHO, UDP_ECHO, CheckResult, Status
from calls_doctor.model.flow import Flow, Party
from calls_doctor.model.report import Confidence, Impact, Remedy, Vantage
from calls_doctor.model.site import Mode, Phase

Row = dict[str, Any]
"""One row of a check's evidence: a server, or a fault."""
Outcome = tuple[str, str, str]
"""(check id, vantage id, part): one thing that wants explaining. The part names a row of the check's evidence where
the check looks at several things by themselves (two TURN servers may be broken in two ways), and is "" otherwise."""

BAD = (Status.FAIL, Status.WARN)
CONCLUDED = {"turn.necessity": (UDP_ECHO, TCP_ECHO)}
"""Checks that are drawn from others (their ids), whose causes explain them too: they want none of their own."""


@dataclass(frozen=True)
class Evidence:
    """All results at hand, of all vantages."""

    phase: Phase
    results: Sequence[CheckResult]
    vantages: Mapping[str, Vantage] = field(default_factory=dict)
    mode: Mode | None = None
    """None: nobody said."""

    def of(self, check: str, *statuses: Status) -> list[CheckResult]:
        """Results of one check, of these statuses where any is named."""
        return [r for r in self.results if r.id == check and (not statuses or r.status in statuses)]

    def bad(self, *checks: str) -> list[CheckResult]:
        """Failures and warnings of these checks."""
        return [r for check in checks for r in self.of(check, *BAD)]

    def bad_at(self, vantages: Collection[str], *checks: str) -> list[CheckResult]:
        """Failures and warnings of these checks, made from these vantages."""
        return [r for r in self.bad(*checks) if r.vantage in vantages]

    def at(self, check: str, vantage: str) -> CheckResult | None:
        """What that check found there; None where it was not made. One address that was left out beside another is no
        word of the check."""
        found = [r for r in self.of(check) if r.vantage == vantage]
        return next((r for r in found if r.status is not Status.SKIP), next(iter(found), None))

    def passed(self, check: str, vantage: str) -> bool:
        """True where that check passed there."""
        return any(r.vantage == vantage for r in self.of(check, Status.PASS))


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a cause would explain, were it true here, in words for the report."""

    explains: frozenset[Outcome]
    flow: Flow
    summary: str
    subject: str = ""
    party: Party | None = None
    """None: the cause's own."""
    impact: Impact | None = None
    """None: the cause's own."""
    confidence: Confidence = Confidence.CERTAIN
    steps_first: tuple[str, ...] = ()
    """What is to be done here before the remedy's own steps."""


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One declared cause."""

    id: str
    """`family.what`, never renamed or reused."""
    party: Party
    impact: Impact
    meaning: str
    """One sentence for `explain`."""
    predicts: Callable[[Evidence], Prediction | None]
    """What it explains in this evidence; None where something contradicts it or nothing speaks for it."""
    remedy: Remedy
    """What to change. A command in its steps stands as `commands` reads it."""
    deciding_test: str = ""
    """What tells whose it is, where the vantages at hand cannot: the first step then, with the command for it (as
    `commands` reads it). "" where they always can."""


def bad_rows(result: CheckResult) -> list[Row]:
    """The rows of a result's evidence that are not well; none where the check looks at one thing alone."""
    servers = [
        row for row in result.evidence.get("servers", ()) if not row.get("ok", True) or row.get("relayed_private")
    ]
    return servers or list(result.evidence.get("faults", ()))


def row_name(row: Row) -> str:
    """What tells a row of one check from its other rows."""
    return " ".join(str(row[key]) for key in ("uri", "peer", "name", "what") if row.get(key))


def outcomes(results: Iterable[CheckResult]) -> frozenset[Outcome]:
    """All that wants explaining in these results."""
    return frozenset(
        (r.id, r.vantage, part)
        for r in results
        if r.id not in CONCLUDED
        for part in ({row_name(row) for row in bad_rows(r)} or {""})
    )


def outcome_of(result: CheckResult, row: Row) -> Outcome:
    """One row of a result, as a thing that wants explaining."""
    return result.id, result.vantage, row_name(row)
