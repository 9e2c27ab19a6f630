"""The report as text, for people: every check with its category, then what is wrong, whose it is to mend, the verdict
and the next command.

It computes nothing and leaves out no skip. Words carry the meaning: without colour and symbols nothing is lost. What
came from the network is shown with its control characters written out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any  # evidence is JSON

from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Endpoint, Flow, shown
from calls_doctor.model.report import Diagnosis, Impact, Report, Vantage, Verdict
from reports.style import COLOUR_OF_STATUS, Style, clean

SELF_TEST = "self-test"
VERDICTS: dict[Verdict, tuple[str, str]] = {
    Verdict.OK: ("green", "everything that was tested works"),
    Verdict.WARNINGS: ("yellow", "what was tested works; mind the warnings"),
    Verdict.FAILED: ("red", "something that was tested does not work"),
    Verdict.UNDECIDED: ("magenta", "a flow that calls need could not be decided, so this is no all-clear"),
    Verdict.BROKEN: ("red", "calls-doctor itself failed; what it could not test is not judged"),
}
_WORDS = {
    Status.FAIL: "failed",
    Status.ERROR: "could not be made",
    Status.UNKNOWN: "undecided",
    Status.WARN: "warned",
    Status.PASS: "passed",
    Status.SKIP: "skipped",
}
_NOT_WELL = (Status.FAIL, Status.ERROR, Status.UNKNOWN, Status.WARN)
_LOST = {"request": "the request is lost", "reply": "the reply is lost", "both": "both ways are lost"}


def render(report: Report, style: Style) -> str:
    """The whole report; its last line is the next command, where there is one."""
    lines = [*_opening(report, style)]
    if style.verbosity >= 0:
        lines += [*_checks(report, style), *_not_tested(report, style)]
    if style.verbosity > 0:
        lines += [*_guide(report, style), *_site(report, style), *_books(report, style)]
    lines += [*_trouble(report, style), *_verdict(report, style), *_next(report, style)]
    return "\n".join(lines) + "\n"


def _heading(text: str, style: Style) -> list[str]:
    lines = style.wrap(text, "")
    return ["", *(style.paint(line, "bold") for line in lines), "-" * max(map(len, lines), default=0)]


def _opening(report: Report, style: Style) -> Iterator[str]:
    """The first line stands whole at any width: scripts look for it."""
    if report.phase == SELF_TEST:
        works = report.verdict in (Verdict.OK, Verdict.WARNINGS) and report.complete
        found = "this program works here" if works else "this program does not do all its work here"
        if not report.complete:
            found = "it was cut short"
        yield f"Self-test on 127.0.0.1: {found}. Nothing of your network was tested."
    else:
        mode = f", mode {report.mode}" if report.mode else ""
        yield clean(f"Calls checked {_from(report.vantages)}{_why(report)}{mode}, phase {report.phase}.")
    if not report.complete:
        yield from style.wrap("Cut short: this report is partial; what was not finished is listed as not tested.", "")


def _why(report: Report) -> str:
    """Where nobody said from where, the reason for what was taken."""
    origin = report.site["from"].origin if "from" in report.site else ""
    return f" ({origin})" if origin.startswith("default") else ""


def _from(vantages: Sequence[Vantage]) -> str:
    return "from " + " and ".join(_vantage(one) for one in vantages) if vantages else "from files only"


def _vantage(one: Vantage) -> str:
    label = f' "{one.label}"' if one.label else ""
    return f"{one.role}{label}{f' ({one.public_address})' if one.public_address else ''}"


def _checks(report: Report, style: Style) -> Iterator[str]:
    several = len(report.vantages) > 1
    names = {one.id: _vantage(one) for one in report.vantages}
    for (vantage, category), results in groupby(
        report.checks, key=lambda r: (r.vantage if several else "", r.category)
    ):
        yield from _heading(f"{category}, from {names.get(vantage, vantage)}" if several else category, style)
        for result in results:
            yield from _check(result, style)


def _check(result: CheckResult, style: Style) -> Iterator[str]:
    """One check: whether, what, where; then the sentence of what was found; with -v the evidence."""
    host, indent = f" ({result.host})" if result.host else "", " " * (style.badge_columns + 1)
    first, *rest = style.wrap(f"{result.id}  {result.title}{host}", indent, indent)
    yield f"{style.badge(result.status)} {first.lstrip()}"
    yield from rest
    indent = " " * (style.badge_columns + 3)
    for line in style.wrap(_finding(result), indent):
        yield style.paint(line, "dim") if result.status in (Status.PASS, Status.SKIP) else line
    if style.verbosity > 0:
        yield from _evidence(result, indent, style)


def _finding(result: CheckResult) -> str:
    named = result.summary.startswith(result.target) or result.status is Status.SKIP
    return result.summary if named or not result.target else f"{result.target}: {result.summary}"


def _evidence(result: CheckResult, indent: str, style: Style) -> Iterator[str]:
    facts: dict[str, Any] = {"took": f"{result.duration_s:.3f} s"} if result.status is not Status.SKIP else {}
    if result.for_others:
        facts["ran"] = "for checks that --only names"
    if result.needs:
        facts["needs"] = ", ".join(result.needs)
    if result.guide_steps:
        facts["guide steps"] = ", ".join(result.guide_steps)
    for name, value in {**facts, **result.evidence}.items():
        yield from _fact(name, value, indent, style)


def _fact(name: str, value: Any, indent: str, style: Style) -> Iterator[str]:
    """A list of records has a line for each; a text of several lines (a trace) keeps them."""
    deeper = indent + "  "
    if isinstance(value, list) and value and isinstance(value[0], dict):
        yield f"{indent}{clean(name)}:"
        for row in value:
            yield from style.wrap(f"- {_value(row)}", deeper + "  ", deeper)
    elif isinstance(value, str) and "\n" in value:
        yield f"{indent}{clean(name)}:"
        for line in value.splitlines():
            yield f"{deeper}{clean(line)}"
    else:
        yield from style.wrap(f"{name}: {_value(value)}", deeper, indent)


def _value(value: Any) -> str:
    """JSON in words: what is a text stands without quotes, records as `name value`."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(one)}" for name, one in value.items()) or "nothing"
    if isinstance(value, list | tuple):
        if len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int):
            return shown((value[0], value[1]))
        return " ".join(_value(one) for one in value) if value else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return {None: "unknown", "": "none"}.get(value, str(value))


def _not_tested(report: Report, style: Style) -> Iterator[str]:
    # The self-test is about this program: what looks at a network has no part in it, as its first line says.
    left_open = [one for one in report.not_tested if not (one.unfit and report.phase == SELF_TEST)]
    if not left_open and not report.missing:
        return
    yield from _heading("not tested", style)
    reasons: dict[str, list[str]] = {}
    for one in left_open:
        reasons.setdefault(one.why, []).append(one.what)
    for why, left_out in reasons.items():
        yield from style.wrap(f"{', '.join(left_out)}: {why}", "  ", "")
    for gap in report.missing:
        yield from style.wrap(f"nobody looked from {gap.get('vantage', '')} yet; run there:", "  ", "")
        yield f"    {clean(gap.get('command', ''))}"


def _guide(report: Report, style: Style) -> Iterator[str]:
    if not report.guide or report.phase == SELF_TEST:  # it tests no step, as the first line says
        return
    yield from _heading("steps of the official guide", style)
    for step in report.guide:
        by = f", by {', '.join(step.checks)}" if step.checks else ""
        yield from style.wrap(f"{step.step:<8} {step.verdict}, from {step.from_} to {step.to}{by}", " " * 9, "")


def _site(report: Report, style: Style) -> Iterator[str]:
    if not report.site and not report.metadata:
        return
    yield from _heading("what was told, and where", style)
    for name, setting in sorted(report.site.items()):
        yield from style.wrap(f"{name} = {_value(setting.value)}   ({setting.origin})", "  ", "")
    for key, value in sorted(report.metadata.items()):
        yield from style.wrap(f"{key} = {value}   (--metadata)", "  ", "")


_COUNTED = ("stun", "dtls", "rtp", "rtcp")


def _books(report: Report, style: Style) -> Iterator[str]:
    """A line for each path of each session: packets out and in. JSON has the rest."""
    if not report.books:
        return
    yield from _heading("what each end counted, in packets sent and received", style)
    for book in report.books:
        for path in book.get("paths", ()):
            counts = ", ".join(f"{kind.upper()} {path[f'{kind}_out']}/{path[f'{kind}_in']}" for kind in _COUNTED)
            ends = f"{_value(path['local'])} to {_value(path['remote'])}"
            yield from style.wrap(f"{book['end']:<5}{book['flow']}, {ends}: {counts}", " " * 7, "")
        if book.get("failure"):
            yield from style.wrap(f"{book['end']:<5}{book['flow']}: {book['failure']}", " " * 7, "")


def _trouble(report: Report, style: Style) -> Iterator[str]:
    """Every failure once more, under the cause that explains it; what no cause explains stands by itself."""
    not_well = [r for r in report.checks if r.status in _NOT_WELL]
    explained: set[tuple[str, str]] = set()
    for number, one in enumerate(report.diagnosis, 1):
        shown = [r for r in not_well if r.id in one.because and (r.host == one.host or not r.host or not one.host)]
        yield from _cause(number, one, shown, style)
        explained.update((r.id, r.host) for r in shown)
    left = [r for r in not_well if (r.id, r.host) not in explained]
    if left:
        yield from _heading("not passed, and explained by no known cause", style)
        yield from _repeated(left, "", style)


def _cause(number: int, one: Diagnosis, because: Sequence[CheckResult], style: Style) -> Iterator[str]:
    yield from _heading(f"what is wrong ({number}): {one.cause}", style)
    for line in style.wrap(one.summary, ""):
        yield style.paint(line, "bold")
    facts = {
        "how sure": str(one.confidence),
        "who is hit": str(one.impact),
        "whose": str(one.party),
        "what": one.subject,
        "flow": _flow(one.flow),
    }
    for name, value in facts.items():
        if value:
            yield from style.wrap(value, " " * 13, f"  {name:<10} ")
    yield "  because"
    yield from _repeated(because, "    ", style)
    yield from _remedy(one, style)


def _repeated(results: Sequence[CheckResult], indent: str, style: Style) -> Iterator[str]:
    for result in results:
        word = style.paint(str(result.status), COLOUR_OF_STATUS[result.status])
        first, *rest = style.wrap(f"{result.id}  {_finding(result)}", indent + " " * 8, indent + " " * 8)
        yield f"{indent}{word}{' ' * (8 - len(str(result.status)))}{first.lstrip()}"
        yield from rest


def _remedy(one: Diagnosis, style: Style) -> Iterator[str]:
    yield from style.wrap(one.remedy.summary, " " * 13, "  to mend it ")
    for number, step in enumerate(one.remedy.steps, 1):
        yield from style.wrap(step, " " * 7, f"    {number}. ")
    rows = {"firewall rows": one.remedy.firewall_rows, "guide steps": one.remedy.guide_steps}
    named = "; ".join(f"{name} {', '.join(ids)}" for name, ids in rows.items() if ids)
    if named:
        yield from style.wrap(named, "    ")
    if one.remedy.url:
        yield f"    {clean(one.remedy.url)}"


def _flow(flow: Flow) -> str:
    lost = f"; {_LOST[flow.lost]}" if flow.lost else ""
    return f"{_endpoint(flow.from_)} to {_endpoint(flow.to)}, {flow.protocol.upper()} {flow.port}{lost}"


def _endpoint(end: Endpoint) -> str:
    return f"{end.role} {end.address}".rstrip()


def _verdict(report: Report, style: Style) -> Iterator[str]:
    colour, meaning = VERDICTS[report.verdict]
    if any(one.impact is Impact.NO_CALLS for one in report.diagnosis) and report.phase != SELF_TEST:
        meaning = "calls fail from here"
    elif not report.complete and report.verdict is Verdict.UNDECIDED:
        meaning = "not everything was tested, so this is no all-clear"
    counts = Counter(result.status for result in report.checks)
    counted = ", ".join(f"{counts[status]} {word}" for status, word in _WORDS.items() if counts[status])
    sentence = f"{report.verdict}: {meaning} ({counted or 'nothing was tested'}; {report.duration_s:.1f} s)."
    first, *rest = style.wrap(sentence, "  ", "Verdict ")
    yield ""
    yield first.replace(str(report.verdict), style.paint(str(report.verdict), colour), 1)
    yield from rest


def _next(report: Report, style: Style) -> Iterator[str]:
    for step in report.next:
        yield ""
        where = f", on {step.on_host}" if step.on_host else ""
        yield from style.wrap(f"Next{where}: {step.why}", "  ", "")
        yield f"  {clean(step.command)}"
