"""Which checks fit this site, vantage and phase, in what order, and why the rest does not. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from calls_doctor.errors import UsageError
from calls_doctor.model.site import Site
from calls_doctor.model.words import nearest
from calls_doctor.spec import CheckSpec

TAKES_LONGER = "takes longer; --thorough runs it"


@dataclass(frozen=True)
class LeftOut:
    """A check that does not run, and the reason as the reader is told it."""

    id: str
    why: str
    asked: bool = False
    """True where the user skipped it by name: a result then, and not only an absence."""
    title: str = ""
    unfit: bool = False
    """True where the phase or the site gives it nothing to do."""


@dataclass(frozen=True)
class CheckPlan:
    """What would run. `planned` is in the order of the tables, which puts needs first."""

    site: Site
    planned: tuple[CheckSpec, ...]
    left_out: tuple[LeftOut, ...]
    for_others: frozenset[str] = frozenset()
    """Ids that `--only` did not name and that run because a named check needs them."""


def select(
    site: Site,
    specs: Sequence[CheckSpec],
    *,
    only: Collection[str] = (),
    skip: Mapping[str, str] | None = None,
    thorough: bool = False,
) -> CheckPlan:
    """The plan for a site.

    `only` and the keys of `skip` are check ids or categories; the values of `skip` are reasons, "" for none.
    Raises UsageError for a word that is neither.
    """
    skip = skip or {}
    specs = [spec.of(site) for spec in specs]
    known = {spec.id for spec in specs} | {spec.category for spec in specs}
    for word in (*only, *skip):
        if word not in known:
            raise UsageError(_unknown(word, known))
    wanted = {spec.id for spec in specs if not only or spec.id in only or spec.category in only}
    everything = with_needs(wanted, specs)
    planned: list[CheckSpec] = []
    left_out: dict[str, LeftOut] = {}
    for spec in specs:
        skipped = next((word for word in (spec.id, spec.category) if word in skip), None)
        if spec.id not in everything:
            left_out[spec.id] = LeftOut(spec.id, "not among those named by --only")
        elif why := _unfit(spec, site) or _without_its_need(spec, left_out):
            left_out[spec.id] = LeftOut(spec.id, why, unfit=True)
        elif skipped is not None:
            left_out[spec.id] = LeftOut(spec.id, skip[skipped] or "skipped by --skip", asked=True, title=spec.title)
        elif spec.on_request and spec.id not in only:
            left_out[spec.id] = LeftOut(spec.id, f"only on request: --only {spec.id} runs it")
        elif spec.thorough_only and not thorough:
            left_out[spec.id] = LeftOut(spec.id, TAKES_LONGER)
        else:
            planned.append(replace(spec, about_host=True) if spec.about_host_where(site) else spec)
    for_others = frozenset(spec.id for spec in planned) - wanted
    return CheckPlan(site, tuple(planned), tuple(left_out.values()), for_others)


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


def _without_its_need(spec: CheckSpec, left_out: Mapping[str, LeftOut]) -> str:
    """A need that does not fit this site leaves nothing to build on; one that the user skipped is a result (a skip)."""
    missing = next((left_out[need] for need in spec.needs if need in left_out and not left_out[need].asked), None)
    return f"{missing.id}, which it needs, does not run: {missing.why}" if missing else ""


def _unknown(word: str, known: Collection[str]) -> str:
    near = nearest(word, known)
    hint = f'did you mean "{near}"?' if near else "`calls-doctor check --list` shows them all"
    return f'"{word}" is no check and no category; {hint}'
