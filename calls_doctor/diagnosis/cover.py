"""The fewest causes that explain all the evidence.

Every failure and every warning wants explaining. A warning that no cause predicts needs none (a port that is taken
while nothing is to be installed), and a failure that no cause predicts stays unexplained: a wrong cause is worse than
none. Among the smallest sets of causes that cover the rest, one that is more certain wins; where two sets are as good,
what they disagree about is `possible`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec import structs

from calls_doctor.diagnosis.cause import BAD, CONCLUDED, Cause, Evidence, Outcome, Prediction, outcomes
from calls_doctor.diagnosis.local_rule import with_local_rule
from calls_doctor.model.flow import Party
from calls_doctor.model.report import Confidence, Diagnosis, Impact, Remedy
from calls_doctor.model.site import Phase

STEPS_MAX = 20_000
"""The search gives up after so many looks and takes the greedy cover: an answer now, not the best one later."""
LOOK_HERE = (
    "On this machine: `nft list ruleset` (or `iptables-save`) shows its own firewall, since nothing has left it; look "
    "at what inspects traffic on it too. The rest is for a real network"
)
"""First in the self-test, where the cause's own steps speak of networks that were not touched."""
_IMPACT_ORDER = list(Impact)
_DOUBT = {Confidence.CERTAIN: 0, Confidence.LIKELY: 1, Confidence.POSSIBLE: 2}


@dataclass(frozen=True, eq=False)
class Candidate:
    """A cause that would explain something here. Each is itself only, whatever it says."""

    cause: Cause
    prediction: Prediction


def diagnose(evidence: Evidence, causes: Sequence[Cause]) -> list[Diagnosis]:
    """The diagnosis, the most important cause first; empty where nothing is wrong."""
    wanted = bad_outcomes(evidence)
    candidates = [
        Candidate(cause, prediction) for cause in causes if (prediction := cause.predicts(evidence)) is not None
    ]
    chosen, disputed = cover(wanted, candidates)
    own_machine = evidence.phase is Phase.SELF_TEST
    found = (
        structs.replace(made, because=sorted({*made.because, *_concluded(evidence, one.prediction)}))
        for one in chosen
        for made in (_diagnosis(one, wanted, possible=one in disputed, own_machine=own_machine),)
    )
    return sorted((with_local_rule(one, evidence) for one in found), key=importance)


def _concluded(evidence: Evidence, prediction: Prediction) -> set[str]:
    """Ids of what is drawn from the results that it explains."""
    explained = {(check, vantage) for check, vantage, _ in prediction.explains}
    bad = [r for r in evidence.results if r.id in CONCLUDED and r.status in BAD]
    return {r.id for r in bad if any((check, r.vantage) in explained for check in CONCLUDED[r.id])}


def bad_outcomes(evidence: Evidence) -> frozenset[Outcome]:
    """All failures and warnings, part by part: what a cover is looked for."""
    return outcomes(r for r in evidence.results if r.status in BAD)


def cover(wanted: frozenset[Outcome], candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
    """The causes of the best covering sets, and those of them that not every best set holds.

    Best: the fewest causes; among these the fewest doubts; then the least that is explained twice. Where no set covers
    everything, as much as can be covered is.
    """
    explains = {c: c.prediction.explains & wanted for c in candidates}
    useful = [c for c in candidates if explains[c]]
    reachable = frozenset[Outcome]().union(*(explains[c] for c in useful))
    search = _Search({one: [c for c in useful if one in explains[c]] for one in reachable}, explains)
    sets = search.smallest() or [_greedy(reachable, useful)]
    return _best(sets, explains)


class _Search:
    """All covering sets of the smallest size: each step tries those that explain the outcome that fewest explain.

    Depth first with a rising limit. A candidate that alone explains something is in every set, so many faults at once
    that have nothing to do with each other cost one step each.
    """

    def __init__(
        self, explained_by: dict[Outcome, list[Candidate]], explains: dict[Candidate, frozenset[Outcome]]
    ) -> None:
        self._explained_by, self._explains = explained_by, explains
        self._largest = max((len(one) for one in explains.values()), default=0)
        self._order = sorted(explained_by, key=lambda one: (len(explained_by[one]), one))
        self._steps = 0

    def smallest(self) -> list[frozenset[Candidate]]:
        """Empty where it gave up, or where nothing is to be covered."""
        wanted = frozenset(self._explained_by)
        for size in range(1, len(wanted) + 1):
            found: set[frozenset[Candidate]] = set()
            self._look(wanted, frozenset(), size, found)
            if self._steps > STEPS_MAX:
                return []
            if found:
                return list(found)
        return []

    def _look(
        self, left: frozenset[Outcome], taken: frozenset[Candidate], size: int, found: set[frozenset[Candidate]]
    ) -> None:
        self._steps += 1
        if not left:
            found.add(taken)
        elif len(left) <= size * self._largest and self._steps <= STEPS_MAX:
            hardest = next(one for one in self._order if one in left)
            for candidate in self._explained_by[hardest]:
                self._look(left - self._explains[candidate], taken | {candidate}, size - 1, found)


def _best(
    sets: Sequence[frozenset[Candidate]], explains: dict[Candidate, frozenset[Outcome]]
) -> tuple[list[Candidate], list[Candidate]]:
    def cost(one: Iterable[Candidate]) -> tuple[int, int]:
        chosen = list(one)
        return sum(_DOUBT[c.prediction.confidence] for c in chosen), sum(len(explains[c]) for c in chosen)

    least = min(map(cost, sets))
    equals = [one for one in sets if cost(one) == least]
    anywhere = [c for c in explains if any(c in one for one in equals)]
    return anywhere, [c for c in anywhere if not all(c in one for one in equals)]


def _greedy(wanted: frozenset[Outcome], useful: Sequence[Candidate]) -> frozenset[Candidate]:
    chosen: set[Candidate] = set()
    while wanted:
        best = max(useful, key=lambda c: len(c.prediction.explains & wanted))
        chosen.add(best)
        wanted -= best.prediction.explains
    return frozenset(chosen)


def _diagnosis(candidate: Candidate, wanted: frozenset[Outcome], *, possible: bool, own_machine: bool) -> Diagnosis:
    cause, prediction = candidate.cause, candidate.prediction
    party = prediction.party or cause.party
    return Diagnosis(
        cause=cause.id,
        confidence=Confidence.POSSIBLE if possible else prediction.confidence,
        flow=prediction.flow,
        party=party,
        impact=prediction.impact or cause.impact,
        subject=prediction.subject,
        summary=prediction.summary,
        because=sorted({check for check, _, _ in prediction.explains & wanted}),
        remedy=_remedy(cause, prediction, undecided=possible or party is Party.UNDECIDED, own_machine=own_machine),
    )


def _remedy(cause: Cause, prediction: Prediction, *, undecided: bool, own_machine: bool) -> Remedy:
    """The cause's own, after what must be found out first (contract section 6)."""
    here = (LOOK_HERE,) if own_machine else (cause.deciding_test,) if undecided and cause.deciding_test else ()
    first = dict.fromkeys((*prediction.steps_first, *here))
    return structs.replace(cause.remedy, steps=[*first, *cause.remedy.steps])


def importance(one: Diagnosis) -> tuple[int, int, str]:
    """Sorts the most important cause first."""
    return _IMPACT_ORDER.index(one.impact), _DOUBT[one.confidence], one.cause
