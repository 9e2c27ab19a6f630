"""What `check --list` prints: what would run, from where to where, how many packets at most, and why not the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

from calls_doctor import run
from calls_doctor.engine.select import CheckPlan
from calls_doctor.model.site import Mode
from calls_doctor.modes import MODES, PortFlow
from calls_doctor.site import options
from reports.style import Style


def plan_text(request: run.Request, environment: Mapping[str, str], style: Style) -> str:
    """The plan; for a mode alone, who talks to whom in it. Raises UsageError."""
    planned = run.plan(request, environment)
    names_nothing = not (request.peers or request.rtcd_url or request.stun or request.turn)
    by_mode = request.mode and names_nothing
    lines = _mode(options.mode(request.mode), style) if by_mode else _plan(planned, style)
    return "\n".join(lines) + "\n"


def _plan(plan: CheckPlan, style: Style) -> Iterator[str]:
    yield from style.wrap(f"{len(plan.planned)} checks would run; nothing was sent.", "")
    for spec in plan.planned:
        because = " (needed by another)" if spec.id in plan.for_others else ""
        yield from style.wrap(f"{spec.id}  {spec.title}{because}", "      ", "  ")
    yield from _packets(plan, style)
    if plan.left_out:
        yield ""
        yield "Not these:"
        for why, left in groupby(sorted(plan.left_out, key=lambda one: one.why), key=lambda one: one.why):
            yield from style.wrap(f"{', '.join(one.id for one in left)}: {why}", "      ", "  ")


def _packets(plan: CheckPlan, style: Style) -> Iterator[str]:
    yield ""
    yield "From here to, at most (the media of calls aside):"
    for spec in plan.planned:
        for target in spec.targets(plan.site):
            if spec.packets_max:
                yield from style.wrap(f"{target}  {spec.packets_max} packets ({spec.id})", "      ", "  ")


def _mode(mode: Mode, style: Style) -> Iterator[str]:
    facts = MODES[mode]
    yield from style.wrap(f"Mode {mode}: {facts.title}. Media ends at {facts.media_nodes}. Nothing was sent.", "")
    for role, flows in groupby(sorted(facts.flows, key=lambda flow: flow.from_), key=lambda flow: flow.from_):
        yield ""
        yield f"On the {role} machine, --from {role}:"
        for flow in flows:
            yield from style.wrap(_flow(flow), "      ", "  ")
    yield ""
    yield from style.wrap(
        "Name what is to be tested: --peer LINK for the media host, --rtcd-url, --stun and --turn for the others.", ""
    )


def _flow(flow: PortFlow) -> str:
    proven = f"; proven by {', '.join(flow.proven_by)}" if flow.proven_by else "; not tested yet by this version"
    return f"to {flow.to}, {flow.protocol.upper()} {flow.port} ({flow.need}): {flow.note}{proven}"
