"""Which checks fit this site, vantage and phase, in what order, and why the rest does not. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from calls_doctor.errors import UsageError
from calls_doctor.model.site import Site
from calls_doctor.spec import CheckSpec


@dataclass(frozen=True)
class LeftOut:
    """A check that does not run, and the reason as the reader is told it."""

    id: str
    why: str
    asked: bool = False
    """True where the user skipped it by name."""


@dataclass(frozen=True)
class CheckPlan:
    """What would run. `planned` is in the order of the tables, which puts needs first."""

    planned: tuple[CheckSpec, ...]
    left_out: tuple[LeftOut, ...]
    for_others: frozenset[str] = frozenset()
    """Ids that `--only` did not name and that run because a named check needs them."""


def select(
    site: Site, specs: Sequence[CheckSpec], *, only: Collection[str] = (), skip: Mapping[str, str] | None = None
) -> CheckPlan:
    """The plan for a site.

    `only` and the keys of `skip` are check ids or categories; the values of `skip` are reasons, "" for none.
    Raises UsageError for a word that is neither.
    """
    skip = skip or {}
    known = {spec.id for spec in specs} | {spec.category for spec in specs}
    for word in (*only, *skip):
        if word not in known:
            raise UsageError(_unknown(word, known))
    wanted = {spec.id for spec in specs if not only or spec.id in only or spec.category in only}
    everything = with_needs(wanted, specs)
    planned: list[CheckSpec] = []
    left_out: list[LeftOut] = []
    for spec in specs:
        skipped = next((word for word in (spec.id, spec.category) if word in skip), None)
        if spec.id not in everything:
            left_out.append(LeftOut(spec.id, "not among those named by --only"))
        elif skipped is not None:
            left_out.append(LeftOut(spec.id, skip[skipped] or "skipped by --skip", asked=True))
        elif why := _unfit(spec, site):
            left_out.append(LeftOut(spec.id, why))
        else:
            planned.append(spec)
    return CheckPlan(tuple(planned), tuple(left_out), frozenset(everything - wanted))


def with_needs(ids: Collection[str], specs: Sequence[CheckSpec]) -> set[str]:
    """The ids and all that they need, directly or through others."""
    by_id = {spec.id: spec for spec in specs}
    found: set[str] = set()
    left = list(ids)
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left.extend(need for need in by_id[one].needs if need in by_id)
    return found


def _unfit(spec: CheckSpec, site: Site) -> str:
    if site.phase not in spec.phases:
        return f"not part of phase {site.phase}"
    if site.vantage not in spec.vantages:
        return f"made from {' or '.join(sorted(spec.vantages))}, not from {site.vantage}"
    return spec.nothing_to_do(site)


def _unknown(word: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.4)
    hint = f"; the nearest is {near[0]}" if near else "; `calls-doctor check --list` shows them all"
    return f"{word!r} is no check and no category{hint}"
