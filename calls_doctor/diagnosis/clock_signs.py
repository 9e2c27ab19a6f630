"""Whose clock is wrong, as far as those that were read tell; and whether a certificate's or a credential's time is
over, or only some clock says so. Pure.

Every machine that checked has read other clocks beside its own, so all that are linked by such readings stand on one
scale. Most of them are right where two machines agree and fewer do on anything else. Two clocks that differ tell that
one is wrong, and not which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from calls_doctor.diagnosis.cause import Evidence, Row
from calls_doctor.diagnosis.host import OWNERS
from calls_doctor.diagnosis.place import host_and_port, role_of
from calls_doctor.model.flow import Party
from calls_doctor.model.report import Confidence

SKEW = "clocks.skew"
APART_S = 30.0
"""Contract section 6."""
_PARTIES = {
    "site": Party.MATTERMOST_HOST,
    "rtcd": Party.MEDIA_HOST,
    "stand-in": Party.MEDIA_HOST,
    "turn": Party.TURN_HOST,
}
_ISSUERS = {"given": "site", "stand-in": "stand-in"}
"""Whose clock made a credential, beside this machine's own."""


class Clock(NamedTuple):
    """One that was read."""

    whose: str
    """"own" for that of the machine that checked, else as the check has it."""
    where: str
    """The vantage, or the target."""


@dataclass(frozen=True)
class Scale:
    """Clocks that are linked by readings, each by its offset from one of them, in seconds."""

    offsets_s: Mapping[Clock, float]
    right: frozenset[Clock]
    """Those that two machines at least agree on; empty where that is undecided."""

    @property
    def wrong(self) -> list[Clock]:
        """Those that are not; empty where that is undecided."""
        return [one for one in self.offsets_s if self.right and one not in self.right]

    @property
    def apart_s(self) -> float:
        """Between the earliest and the latest."""
        return max(self.offsets_s.values()) - min(self.offsets_s.values())


def scales(evidence: Evidence) -> list[Scale]:
    """All clocks that were read, in as many parts as nothing links."""
    links: dict[Clock, dict[Clock, float]] = {}
    for result in evidence.of(SKEW):
        own = Clock("own", result.vantage)
        for row in result.evidence.get("clocks", ()):
            other = Clock(str(row["whose"]), str(row["target"]))
            links.setdefault(own, {})[other] = float(row["offset_s"])
            links.setdefault(other, {})[own] = -float(row["offset_s"])
    left, found = dict.fromkeys(links), []
    while left:
        offsets_s = _linked(next(iter(left)), links)
        left = dict.fromkeys(one for one in left if one not in offsets_s)
        found.append(Scale(offsets_s, _right(evidence, offsets_s)))
    return found


def _linked(first: Clock, links: Mapping[Clock, Mapping[Clock, float]]) -> dict[Clock, float]:
    offsets_s, reached = {first: 0.0}, [first]
    for one in reached:
        for other, offset_s in links[one].items():
            if other not in offsets_s:
                offsets_s[other] = offsets_s[one] + offset_s
                reached.append(other)
    return offsets_s


def _right(evidence: Evidence, offsets_s: Mapping[Clock, float]) -> frozenset[Clock]:
    """The group that most machines agree on, where no other is as large."""
    best = _largest(evidence, offsets_s)
    rest = {one: offset_s for one, offset_s in offsets_s.items() if one not in best}
    machines = len({_machine(evidence, one) for one in best})
    others = len({_machine(evidence, one) for one in _largest(evidence, rest)})
    return frozenset(best) if machines >= 2 and machines > others else frozenset()


def _largest(evidence: Evidence, offsets_s: Mapping[Clock, float]) -> Sequence[Clock]:
    """Those of one group within APART_S."""
    groups = [
        [other for other, offset_s in offsets_s.items() if 0 <= offset_s - first_s <= APART_S]
        for first_s in offsets_s.values()
    ]
    return max(groups, key=lambda group: len({_machine(evidence, one) for one in group}), default=[])


def _machine(evidence: Evidence, clock: Clock) -> str:
    """What tells machines apart: rtcd's API and the stand-in are on one, and count once."""
    party = party_of(evidence, clock)
    return clock.where if party is Party.CALLER_MACHINE else str(party)


def party_of(evidence: Evidence, clock: Clock) -> Party:
    """Whose a clock is to mend."""
    if clock.whose == "own":
        return OWNERS.get(role_of(evidence, clock.where), Party.CALLER_MACHINE)
    return _PARTIES.get(clock.whose, Party.UNDECIDED)


class Others(NamedTuple):
    """The other clocks beside a vantage's own; offsets are theirs less its own, in seconds."""

    offsets_s: Mapping[Clock, float]
    truth_s: float | None
    """Of those that are right; None where that is undecided."""

    def of(self, whose: str, host: str = "") -> float | None:
        """The first of these, at this host where one is named; None where it was not read."""
        read = (one for one in self.offsets_s if one.whose == whose and host in ("", host_and_port(one.where)[0]))
        return next((self.offsets_s[one] for one in read), None)


def others(evidence: Evidence, vantage: str) -> Others:
    """What is known beside this vantage's own clock."""
    own = Clock("own", vantage)
    for scale in scales(evidence):
        if own in scale.offsets_s:
            own_s = scale.offsets_s[own]
            offsets_s = {clock: at_s - own_s for clock, at_s in scale.offsets_s.items() if clock != own}
            right = [scale.offsets_s[clock] - own_s for clock in scale.right]
            truth_s = 0.0 if own in scale.right else sum(right) / len(right) if right else None
            return Others(offsets_s, truth_s)
    return Others({}, None)


def certificate_is_at_fault(evidence: Evidence, vantage: str, row: Row) -> Confidence | None:
    """How sure it is that a certificate whose time this machine takes for wrong is so; None where it may be a clock's
    fault: by the right one, or by another while nobody knows which is right, it is valid."""
    known = others(evidence, vantage)
    began, ends, asked = (row.get(key) for key in ("not_before_unix_s", "not_after_unix_s", "asked_unix_s"))
    if began is None or ends is None or asked is None:
        off = known.truth_s is None or abs(known.truth_s) <= APART_S
        return Confidence.LIKELY if off else None
    judges = list(known.offsets_s.values()) if known.truth_s is None else [known.truth_s]
    if not judges:
        return Confidence.LIKELY
    return None if any(began <= asked + offset_s <= ends for offset_s in judges) else Confidence.CERTAIN


def has_expired(evidence: Evidence, vantage: str, row: Row) -> bool | None:
    """Whether a TURN user name's time is over; None where that depends on which of two clocks is right."""
    left_s = row.get("expires_in_s")
    if left_s is None:
        return row.get("expired_s") is not None
    known = others(evidence, vantage)
    judges = [0.0, *known.offsets_s.values()] if known.truth_s is None else [known.truth_s]
    said = {bool(left_s < offset_s) for offset_s in judges}
    return said.pop() if len(said) == 1 else None


def expired_by_a_clock(evidence: Evidence, vantage: str, row: Row) -> bool:
    """Whether a TURN user name is valid by the clock that made it (by the right one, where the TURN server's is known
    and that is not), and over by the one that judges it: the TURN server's own where that is known, else the right one,
    else any other."""
    left_s, known = row.get("expires_in_s"), others(evidence, vantage)
    issuer = _ISSUERS.get(str(row.get("issued_by")))
    server_s = known.of("turn", host_and_port(str(row.get("uri", "")))[0])
    made_by_s = known.of(issuer) if issuer else 0.0
    if made_by_s is None and server_s is not None:
        made_by_s = known.truth_s or 0.0
    if left_s is None or made_by_s is None:
        return False
    judge_s = known.truth_s if server_s is None else server_s
    judges = [0.0, *known.offsets_s.values()] if judge_s is None else [judge_s]
    return bool(left_s > made_by_s) and any(left_s <= offset_s for offset_s in judges)
