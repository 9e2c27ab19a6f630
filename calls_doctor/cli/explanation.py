"""The text of `calls-doctor explain`: checks, causes, guide steps and firewall rows in words. Everything stands in
their tables; nothing is looked up elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from calls_doctor.diagnosis.cause import Cause
from calls_doctor.diagnosis.causes import CAUSES
from calls_doctor.errors import UsageError
from calls_doctor.guide import STEP_BY_NUMBER, Step
from calls_doctor.model.flow import Role
from calls_doctor.model.words import nearest
from calls_doctor.modes import FIREWALL_ROWS, MODES, PortFlow
from calls_doctor.site.options import shown
from calls_doctor.spec import CheckSpec
from checks import CHECKS
from reports.style import Style

INDENT = "  "
NAME_COLUMNS = 13
GUIDE = "the official guide"


def explanation(identifier: str, style: Style) -> str:
    """The page; for a category what it holds, and for "" all that there is. Raises UsageError for an unknown id."""
    pages = list(_pages(identifier, style)) if identifier else [list(_everything(style))]
    pages = pages or list(_category(identifier, style))
    if not pages:
        raise UsageError(_unknown(identifier))
    return "\n\n".join("\n".join(page) for page in pages) + "\n"


def _pages(identifier: str, style: Style) -> Iterator[list[str]]:
    """A name may be a check's and a cause's: both are told. Upper and lower case are the same."""
    wanted = identifier.casefold()
    yield from (list(_check(spec, style)) for spec in CHECKS if spec.id.casefold() == wanted)
    yield from (list(_cause(cause, style)) for cause in CAUSES if cause.id.casefold() == wanted)
    yield from (list(_step(step, style)) for number, step in STEP_BY_NUMBER.items() if number.casefold() == wanted)
    yield from (list(_row(row, style)) for row in FIREWALL_ROWS if row.casefold() == wanted)


def _kinds() -> Mapping[str, Mapping[str, str]]:
    """All that can be explained: kind -> id -> a line about it."""
    return {
        "checks": {spec.id: spec.title for spec in CHECKS},
        "causes": {cause.id: cause.meaning.rstrip(".") for cause in CAUSES},
        f"steps of {GUIDE}": {number: step.title for number, step in STEP_BY_NUMBER.items()},
        "firewall rows": FIREWALL_ROWS,
    }


def _everything(style: Style) -> Iterator[str]:
    yield from style.wrap("calls-doctor explain ID tells more about each of these.", "")
    for kind, entries in _kinds().items():
        yield ""
        yield from _entries(kind, entries, style)


def _category(identifier: str, style: Style) -> Iterator[list[str]]:
    """Checks and causes of a category ("turn"), rows of a kind ("FW") and steps of a chapter ("1.6")."""
    start = identifier.casefold().rstrip(".-*")
    for kind, entries in _kinds().items():
        of_it = {
            one: line
            for one, line in entries.items()
            if start and one.casefold().startswith((f"{start}.", f"{start}-"))
        }
        if of_it:
            yield list(_entries(kind, of_it, style))


def _entries(kind: str, entries: Mapping[str, str], style: Style) -> Iterator[str]:
    yield style.paint(kind, "bold")
    for one, line in entries.items():
        yield from style.wrap(f"{one}  {line}", INDENT * 3, INDENT)


def _unknown(identifier: str) -> str:
    known = [one for entries in _kinds().values() for one in entries]
    near = nearest(identifier, known)
    hint = f'did you mean "{near}"?' if near else "`calls-doctor explain` names them all"
    return f"{shown(identifier)} is no check, cause, guide step or firewall row; {hint}"


def _facts(facts: Mapping[str, str], style: Style) -> Iterator[str]:
    """`name  value`, one under the other; those without a value are left out."""
    for name, value in facts.items():
        if value:
            yield from style.wrap(value, " " * (len(INDENT) + NAME_COLUMNS), f"{INDENT}{name:<{NAME_COLUMNS}}")


def _check(spec: CheckSpec, style: Style) -> Iterator[str]:
    yield f"{style.paint(spec.id, 'bold')}, a check"
    yield from style.wrap(f"It passes when this is true: {spec.title}.", INDENT)
    if spec.fails_when:
        yield from style.wrap(f"When it does not pass: {spec.fails_when}", INDENT)
    roles, phases = sorted(spec.vantages), sorted(spec.phases)
    yield from _facts(
        {
            "needs": ", ".join(spec.needs),
            "made from": "any machine" if set(roles) == set(Role) else ", ".join(roles),
            "in phases": ", ".join(phases),
            "sends": spec.sends,
            "proves steps": ", ".join(spec.guide_steps),
            "run it alone": f"calls-doctor check --only {spec.id}{' --thorough' if spec.thorough_only else ''}",
        },
        style,
    )


def _cause(cause: Cause, style: Style) -> Iterator[str]:
    yield f"{style.paint(cause.id, 'bold')}, a cause"
    yield from style.wrap(cause.meaning, INDENT)
    yield from _facts(
        {
            "whose it is": str(cause.party),
            "who is hit": str(cause.impact),
            "in doubt": cause.deciding_test,
            "to mend it": cause.remedy.summary,
        },
        style,
    )
    for number, step in enumerate(cause.remedy.steps, 1):
        yield from style.wrap(step, INDENT * 3 + " ", f"{INDENT * 2}{number}. ")
    yield from _facts({row: FIREWALL_ROWS.get(row, "") for row in cause.remedy.firewall_rows}, style)
    yield from _facts({"guide steps": ", ".join(cause.remedy.guide_steps), "read on": cause.remedy.url}, style)


def _step(step: Step, style: Style) -> Iterator[str]:
    yield f"{style.paint(step.number, 'bold')}, a step of {GUIDE}"
    yield from style.wrap(f"{step.title[0].upper()}{step.title[1:]}; from {step.from_} to {step.to}.", INDENT)
    proving = [spec.id for spec in CHECKS if step.number in spec.guide_steps]
    if step.manual:
        yield from style.wrap(
            "It sets something, which nobody on the network can see: only a person can tick it.", INDENT
        )
    elif proving:
        yield from style.wrap(f"Proven by {', '.join(proving)}, made from the {step.from_} machine.", INDENT)
    else:
        yield from style.wrap("No check of this version proves it.", INDENT)


def _row(row: str, style: Style) -> Iterator[str]:
    yield f"{style.paint(row, 'bold')}, a row of the firewall request"
    line = FIREWALL_ROWS[row]
    yield from style.wrap(f"{line[0].upper()}{line[1:]}.", INDENT)
    asking: dict[PortFlow, list[str]] = {}
    for mode, facts in MODES.items():
        for flow in facts.flows:
            if flow.firewall_row == row:
                asking.setdefault(flow, []).append(str(mode))
    for flow, modes in asking.items():
        ends = f"{flow.from_} to {flow.to}, {flow.protocol.upper()} {flow.port}"
        yield from _facts(
            {
                "flow": f"{ends} ({flow.need})",
                "modes": "all six" if len(modes) == len(MODES) else ", ".join(modes),
                "proven by": ", ".join(flow.proven_by),
            },
            style,
        )
