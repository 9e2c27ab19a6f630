"""What to type next, and where: at most three commands that follow from what a run, or several together, have found.

First what keeps the run from telling anything (the wrong link), then the tests that decide what is undecided, then the
vantages from which nobody has looked, and last the same check again, to see that what was mended is gone. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from calls_doctor.diagnosis.cause import BAD
from calls_doctor.diagnosis.causes import CAUSES
from calls_doctor.diagnosis.commands import Command, commands_of
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Role
from calls_doctor.model.report import Diagnosis, NextStep, Vantage
from calls_doctor.model.site import Mode, Phase
from calls_doctor.modes import API_PORT, WITHOUT_RTCD
from calls_doctor.spec import LINK_TROUBLES, OTHER_CERTIFICATE, OTHER_NETWORK, UNAUTHORISED

NEXT_MAX = 3
HERE = "this machine"
MACHINES: dict[str, str] = {
    Role.CLIENT: "a caller's machine",
    Role.MATTERMOST: "a Mattermost node",
    Role.MEDIA: "the media host",
    Role.TURN: "the TURN host",
    Role.OFFLOADER: "the offloader's host",
}
"""Each vantage as a place to type something."""
RTCD_URL = f"http://HOST:{API_PORT}"
"""Where nobody said how the Mattermost nodes reach rtcd."""
_DECIDING = {cause.id: cause.deciding_test for cause in CAUSES}


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is known once a run has ended, or several were merged."""

    phase: Phase
    results: Sequence[CheckResult]
    found: Sequence[Diagnosis] = ()
    """The most important cause first."""
    missing: Sequence[dict[str, str]] = ()
    """Vantages that nobody has looked from, as a report has them."""
    vantages: Sequence[Vantage] = ()
    """Those that were merged; none for a run of this machine's own."""
    command: str = "calls-doctor check"
    """What led here, LINK in the place of each link."""
    complete: bool = True
    """False where it was cut short."""
    over_loopback: bool = False
    """A stand-in was tested on the very machine: a trial."""
    mode: Mode | None = None
    rtcd_url: str = ""


def command_at(role: Role, mode: Mode | None, *, peer: str = "LINK", rtcd_url: str = "") -> str:
    """What to type at a vantage; `peer` is the stand-in as the command names it."""
    words = f"calls-doctor check --peer {peer}"
    if role is not Role.CLIENT:
        words += f" --from {role}"
    if role is Role.MATTERMOST and mode not in WITHOUT_RTCD:
        words += f" --rtcd-url {rtcd_url or RTCD_URL}"
    return words


def next_steps(run: Run) -> list[NextStep]:
    """The most urgent first, and each command once. What was mended is always looked at again, last."""
    again = list(_again(run))
    first = [*_link(run), *_deciding(run), *_missing(run), *_explained(run)]
    steps: dict[tuple[str, str], NextStep] = {}
    for one in [*first, *again]:
        steps.setdefault((one.command, one.on_host), one)
    left = [one for one in steps.values() if one not in again]
    return [*left[: NEXT_MAX - len(again)], *again]


def _link(run: Run) -> Iterator[NextStep]:
    """A link that is not this stand-in's, or whose address is of another network: nothing else can be told then."""
    words = {r.evidence.get("trouble") for r in run.results}
    if words & {UNAUTHORISED, OTHER_CERTIFICATE}:
        why = "is this the link of the `serve` that runs now? Take the one that it prints, the whole line"
        yield NextStep(command="calls-doctor check --peer LINK", on_host=HERE, why=why)
    if OTHER_NETWORK in words:
        why = f"{LINK_TROUBLES[OTHER_NETWORK]}; then take the link that it prints"
        yield NextStep(command="calls-doctor serve --host NAME|ADDRESS", on_host=MACHINES[Role.MEDIA], why=why)


def _deciding(run: Run) -> Iterator[NextStep]:
    """The tests that tell whose an undecided cause is: they stand before the remedy's own steps."""
    for one in run.found:
        steps, last = one.remedy.steps, _DECIDING.get(one.cause, "")
        for step in steps[: steps.index(last) + 1] if last in steps else ():
            for command in commands_of(step)[:1]:
                why = f"whose is {one.cause}? {_said_of(command, step)}"
                yield NextStep(command=command.text, on_host=command.on_host, why=why)


def _said_of(command: Command, step: str) -> str:
    """What a step says beside where it is made, and beside the command where it begins with that."""
    return step.partition(": ")[2].removeprefix(f"`{command.text}`").lstrip(",; ")


def _missing(run: Run) -> Iterator[NextStep]:
    for row in run.missing:
        where = MACHINES.get(row["vantage"], row["vantage"])
        yield NextStep(command=row["command"], on_host=where, why="nothing here is from there yet")


def _explained(run: Run) -> Iterator[NextStep]:
    """How to mend what is decided; and what no cause explains, or what is our own fault."""
    for one in run.found:
        yield NextStep(command=f"calls-doctor explain {one.cause}", on_host=HERE, why=f"how to mend it: {one.summary}")
    broken = next((r for r in run.results if r.status is Status.ERROR), None)
    failed = next((r for r in run.results if r.status is Status.FAIL), None)
    if broken:
        why = f"this program failed in {broken.id}; send its authors that file, which says where"
        yield NextStep(command=f"{run.command} -o calls-doctor-report.json", on_host=HERE, why=why)
    elif failed and not run.found:
        why = f"{failed.id} did not pass and no known cause explains it"
        yield NextStep(command=f"calls-doctor explain {failed.id}", on_host=HERE, why=why)
    elif run.complete and run.phase is Phase.SELF_TEST and not run.found:
        why = "what is tested for your deployment; name your mode there"
        yield NextStep(command="calls-doctor check --mode rtcd --list", on_host=HERE, why=why)
    elif run.complete and run.over_loopback and not run.found:
        why = "this was a trial on one machine, and no network was tested; check from a caller's machine with its link"
        yield NextStep(command="calls-doctor serve --host NAME|ADDRESS", on_host=MACHINES[Role.MEDIA], why=why)


def _again(run: Run) -> Iterator[NextStep]:
    """The check that showed what is wrong, where it did, once that is mended; or the run that was cut short."""
    if not run.complete:
        yield NextStep(command=run.command, on_host=HERE, why="this run was cut short; let it come to its end")
    elif run.found:
        at = _shown_at(run)
        where, command = HERE, run.command
        if at is not None:
            where = f"{MACHINES.get(at.role, at.role)}{f' ({at.label})' if at.label else ''}"
            command = command_at(Role(at.role), run.mode, rtcd_url=run.rtcd_url)
        why = f"the same check again, once {run.found[0].cause} is mended: is it gone?"
        yield NextStep(command=command, on_host=where, why=why)


def _shown_at(run: Run) -> Vantage | None:
    """Of merged vantages the one that shows the most important cause: a merged report does not say what was typed."""
    shown = {r.vantage for r in run.results if r.status in BAD and r.id in run.found[0].because}
    return next((one for one in run.vantages if one.id in shown and one.role in MACHINES), None)
