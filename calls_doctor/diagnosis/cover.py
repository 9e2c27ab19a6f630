"""The fewest causes that explain all the evidence.

Every failure wants explaining, and every warning that a cause is declared for. Among the smallest sets of causes
that cover them, one that is more certain wins; where two sets are as good, what they disagree about is `possible`.
A wrong cause is worse than none: what no cause explains stays unexplained. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from calls_doctor.diagnosis.cause import Cause, Evidence, Outcome, Prediction
from calls_doctor.model.check import Status
from calls_doctor.model.report import Confidence, Diagnosis, Impact

CAUSES_MAX = 6
"""A covering set is never larger: more independent faults at once are read from the checks themselves."""
_IMPACT_ORDER = list(Impact)
_CONFIDENCE_COST = {Confidence.CERTAIN: 0, Confidence.LIKELY: 1, Confidence.POSSIBLE: 2}


@dataclass(frozen=True)
class Candidate:
    """A cause that would explain something here."""

    cause: Cause
    prediction: Prediction


def diagnose(evidence: Evidence, causes: Sequence[Cause]) -> list[Diagnosis]:
    """The diagnosis, the most important cause first; empty where nothing is wrong."""
    candidates = [
        Candidate(cause, prediction) for cause in causes if (prediction := cause.predicts(evidence)) is not None
    ]
    chosen, disputed = cover(unexplained(evidence), candidates)
    found = [_diagnosis(candidate, possible=candidate in disputed) for candidate in chosen]
    return sorted(found, key=_importance)


def unexplained(evidence: Evidence) -> frozenset[Outcome]:
    """What wants explaining: every failure; a warning only where a candidate offers an explanation for it."""
    return frozenset((r.id, r.vantage) for r in evidence.results if r.status in (Status.FAIL, Status.WARN))


def cover(wanted: frozenset[Outcome], candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
    """The smallest covering set, and those of its members that other sets as good replace by something else.

    Where no set covers everything, as much as can be covered is.
    """
    useful = [c for c in candidates if c.prediction.explains & wanted]
    reachable = frozenset[Outcome]().union(*(c.prediction.explains for c in useful)) & wanted
    if not reachable:
        return [], []
    for size in range(1, min(len(useful), CAUSES_MAX) + 1):
        covering = [sets for sets in combinations(useful, size) if reachable <= _explained(sets)]
        if covering:
            return _best(covering)
    return _greedy(reachable, useful), []


def _best(covering: list[tuple[Candidate, ...]]) -> tuple[list[Candidate], list[Candidate]]:
    least = min(_cost(sets) for sets in covering)
    equals = [sets for sets in covering if _cost(sets) == least]
    everywhere = [c for c in equals[0] if all(c in sets for sets in equals)]
    ordered = list(dict.fromkeys(c for sets in equals for c in sets))
    return ordered, [c for c in ordered if c not in everywhere]


def _cost(sets: Iterable[Candidate]) -> tuple[int, int]:
    """Fewer doubts first; then the set that says no more than was seen."""
    sets = list(sets)
    doubts = sum(_CONFIDENCE_COST[c.prediction.confidence] for c in sets)
    return doubts, sum(len(c.prediction.explains) for c in sets) - len(_explained(sets))


def _explained(sets: Iterable[Candidate]) -> frozenset[Outcome]:
    return frozenset[Outcome]().union(*(c.prediction.explains for c in sets))


def _greedy(wanted: frozenset[Outcome], useful: Sequence[Candidate]) -> list[Candidate]:
    chosen: list[Candidate] = []
    while wanted:
        best = max(useful, key=lambda c: len(c.prediction.explains & wanted))
        chosen.append(best)
        wanted -= best.prediction.explains
    return chosen


def _diagnosis(candidate: Candidate, possible: bool) -> Diagnosis:
    cause, prediction = candidate.cause, candidate.prediction
    return Diagnosis(
        cause=cause.id,
        confidence=Confidence.POSSIBLE if possible else prediction.confidence,
        flow=prediction.flow,
        party=prediction.party or cause.party,
        impact=prediction.impact or cause.impact,
        subject=prediction.subject,
        summary=prediction.summary,
        because=sorted({check for check, _ in prediction.explains}),
        remedy=prediction.remedy or cause.remedy,
    )


def _importance(one: Diagnosis) -> tuple[int, int, str]:
    return _IMPACT_ORDER.index(one.impact), _CONFIDENCE_COST[one.confidence], one.cause
