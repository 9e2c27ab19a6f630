"""Writes docs/checks.md from the table of checks, so that the two cannot drift: a test holds them together.

python -m docs.generate
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from calls_doctor.model.flow import Role
from calls_doctor.model.site import Phase
from calls_doctor.spec import CheckSpec
from checks import CHECKS

PAGE = Path(__file__).with_name("checks.md")
HEAD = """\
# The checks

Made by `python -m docs.generate` from the tables in `checks/`; a test holds the two together. `calls-doctor explain ID`
says the same offline, `calls-doctor check --list` says which of them fit a site, and
[adding-a-check.md](adding-a-check.md) how one more is added.
"""


def page() -> str:
    """The whole of docs/checks.md."""
    return HEAD + "\n" + "\n".join(_table()) + "\n" + "".join("\n" + "\n".join(_check(spec)) + "\n" for spec in CHECKS)


def _table() -> Iterator[str]:
    yield "| id | is true when it passes | needs |"
    yield "|---|---|---|"
    for spec in CHECKS:
        yield f"| [{spec.id}](#{spec.id.replace('.', '')}) | {spec.title} | {', '.join(spec.needs) or '–'} |"


def _check(spec: CheckSpec) -> Iterator[str]:
    yield f"## {spec.id}"
    yield ""
    yield f"{spec.title}."
    yield ""
    yield f"When it does not pass: {spec.fails_when}"
    yield ""
    facts = {
        "needs": ", ".join(spec.needs),
        "uses, where they run": ", ".join(spec.uses),
        "made from": _all_or(spec.vantages, set(Role), "any machine"),
        "in phases": _all_or(spec.phases, set(Phase) - {Phase.OFFLINE}, "all but offline"),
        "runs": _runs(spec),
        "proves steps of the official guide": ", ".join(spec.guide_steps),
        "sends": spec.sends,
        "undecided": "exit code 4: calls need this" if spec.required else "",
    }
    for name, value in facts.items():
        if value:
            yield f"- {name}: {value}"


def _runs(spec: CheckSpec) -> str:
    if spec.on_request:
        return f"only on request: --only {spec.id}"
    return "with --thorough alone" if spec.thorough_only else ""


def _all_or(some: Collection[str], everything: Collection[str], word: str) -> str:
    return word if set(some) == set(everything) else ", ".join(sorted(some))


if __name__ == "__main__":
    PAGE.write_text(page())
