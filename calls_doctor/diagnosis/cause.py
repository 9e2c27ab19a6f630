"""A cause: what is wrong, on which flow, whose to mend, what it explains and what mends it.

Declared data. No cause names another; `cover` chooses among them. Pure: evidence in, predictions out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Flow, Party
from calls_doctor.model.report import Confidence, Impact, Remedy, Vantage
from calls_doctor.model.site import Phase

Outcome = tuple[str, str]
"""(check id, vantage id): one result that wants explaining."""


@dataclass(frozen=True)
class Evidence:
    """All results at hand, of all vantages."""

    phase: Phase
    results: Sequence[CheckResult]
    vantages: Mapping[str, Vantage] = field(default_factory=dict)

    def of(self, check: str, *statuses: Status) -> list[CheckResult]:
        """Results of one check, of these statuses where any is named."""
        return [r for r in self.results if r.id == check and (not statuses or r.status in statuses)]

    def bad(self, *checks: str) -> list[CheckResult]:
        """Failures and warnings of these checks."""
        return [r for check in checks for r in self.of(check, Status.FAIL, Status.WARN)]

    def passed(self, check: str, vantage: str) -> bool:
        """True where that check passed there."""
        return any(r.vantage == vantage for r in self.of(check, Status.PASS))


@dataclass(frozen=True)
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
    remedy: Remedy | None = None
    """None: the cause's own."""


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

    @property
    def family(self) -> str:
        return self.id.split(".")[0]


def outcomes(results: Iterable[CheckResult]) -> frozenset[Outcome]:
    """The outcomes that these results are."""
    return frozenset((r.id, r.vantage) for r in results)
