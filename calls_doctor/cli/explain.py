"""`calls-doctor explain ID`: what a check, a cause, a guide step or a firewall row means, from the data itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from calls_doctor.cli.output import style_for
from calls_doctor.cli.sections import SectionedCommand
from calls_doctor.diagnosis.cause import Cause
from calls_doctor.diagnosis.causes import CAUSES
from calls_doctor.errors import UsageError
from calls_doctor.guide import STEP_BY_NUMBER, Step
from calls_doctor.model.words import did_you_mean, nearest
from calls_doctor.modes import MODES, PortFlow
from calls_doctor.spec import CheckSpec
from checks import CHECKS
from reports.style import Style

INDENT = "  "


@click.command(
    cls=SectionedCommand,
    examples=(
        ("calls-doctor explain port.rtc-udp-echo", "a check: what it proves, what its failure means"),
        ("calls-doctor explain media.udp-blocked-inbound", "a cause: whose it is, what mends it"),
        ("calls-doctor explain 1.6.3", "a step of the official guide"),
    ),
)
@click.argument("identifier", metavar="ID")
@click.option("--no-color", is_flag=True, help="No colours; NO_COLOR does the same.")
def command(identifier: str, no_color: bool) -> int:
    """Explains a check, a cause, a guide step or a firewall row, offline."""
    style = style_for(sys.stdout, no_color=no_color, verbosity=0)
    lines = [line for block in _explained(identifier, style) for line in ("", *block)]
    if not lines:
        raise UsageError(_unknown(identifier))
    sys.stdout.write("\n".join(lines[1:]) + "\n")
    return 0


def _explained(identifier: str, style: Style) -> Iterator[list[str]]:
    """A name may be a check's and a cause's: both are told."""
    yield from (list(_check(spec, style)) for spec in CHECKS if spec.id == identifier)
    yield from (list(_cause(cause, style)) for cause in CAUSES if cause.id == identifier)
    if identifier in STEP_BY_NUMBER:
        yield list(_step(STEP_BY_NUMBER[identifier], style))
    rows = _rows().get(identifier)
    if rows:
        yield list(_row(identifier, rows, style))


def _rows() -> dict[str, list[PortFlow]]:
    """Firewall row -> the flows that ask for it; the same flow of several modes once."""
    rows: dict[str, list[PortFlow]] = {}
    for facts in MODES.values():
        for flow in facts.flows:
            if flow not in rows.setdefault(flow.firewall_row, []):
                rows[flow.firewall_row].append(flow)
    return rows


def _unknown(identifier: str) -> str:
    known = [*(spec.id for spec in CHECKS), *(cause.id for cause in CAUSES), *STEP_BY_NUMBER, *_rows()]
    shown = identifier if identifier.isprintable() and len(identifier) < 60 else "that"
    if nearest(identifier, known) is None:
        return f'"{shown}" is no check, cause, guide step or firewall row; `calls-doctor check --list` names the checks'
    return f'"{shown}" is no check, cause, guide step or firewall row; {did_you_mean(identifier, known)}'


def _check(spec: CheckSpec, style: Style) -> Iterator[str]:
    yield style.paint(f"{spec.id} (a check)", "bold")
    yield from style.wrap(f"Passes when: {spec.title}.", INDENT)
    if spec.fails_when:
        yield from style.wrap(f"When it does not: {spec.fails_when}", INDENT)
    facts = {
        "needs": ", ".join(spec.needs),
        "guide steps": ", ".join(spec.guide_steps),
        "phases": ", ".join(sorted(spec.phases)),
        "from": ", ".join(sorted(spec.vantages)),
        "packets": f"{spec.packets_max} at most to each target" if spec.packets_max else "",
    }
    yield from (line for name, value in facts.items() if value for line in style.wrap(f"{name}: {value}", INDENT))


def _cause(cause: Cause, style: Style) -> Iterator[str]:
    yield style.paint(f"{cause.id} (a cause)", "bold")
    yield from style.wrap(cause.meaning, INDENT)
    yield from style.wrap(f"whose: {cause.party}; who is hit: {cause.impact}", INDENT)
    yield from style.wrap(f"to mend it: {cause.remedy.summary}", INDENT)
    for number, step in enumerate(cause.remedy.steps, 1):
        yield from style.wrap(step, INDENT + "   ", f"{INDENT}{number}. ")
    if cause.remedy.firewall_rows:
        yield from style.wrap(f"firewall rows: {', '.join(cause.remedy.firewall_rows)}", INDENT)
    if cause.remedy.guide_steps:
        yield from style.wrap(f"guide steps: {', '.join(cause.remedy.guide_steps)}", INDENT)


def _step(step: Step, style: Style) -> Iterator[str]:
    yield style.paint(f"{step.number} (a step of the official guide)", "bold")
    yield from style.wrap(f"{step.title}; from {step.from_} to {step.to}.", INDENT)
    proving = [spec.id for spec in CHECKS if step.number in spec.guide_steps]
    by = f"proven by {', '.join(proving)}" if proving else "no check of this version proves it"
    yield from style.wrap(f"{by}, made from the {step.from_} machine", INDENT)


def _row(row: str, flows: list[PortFlow], style: Style) -> Iterator[str]:
    yield style.paint(f"{row} (a firewall row)", "bold")
    for flow in flows:
        ends = f"from {flow.from_} to {flow.to}, {flow.protocol.upper()} {flow.port}"
        yield from style.wrap(f"{ends} ({flow.need}): {flow.note}", INDENT)
        if flow.proven_by:
            yield from style.wrap(f"proven by {', '.join(flow.proven_by)}", INDENT * 2)
