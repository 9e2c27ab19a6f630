"""Makes every sample that the documents show from a real run, in a network namespace, and writes it where it is shown.

    python -m docs.make_samples            writes docs/samples/ and the marked places of README.md (needs root and nft)
    python -m docs.make_samples --check    exit code 1 where one is out of date, times and round trips aside

A sample is the self-test with its stand-in's ports fixed, so that a firewall rule can name the one that is shut.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from calls_doctor import run
from calls_doctor.model.check import CheckResult
from calls_doctor.standin.launch import Options
from reports import FORMATS
from reports.style import Style
from tests.lab.namespaces import Machine

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
PORTS = Options(media_port=18443, api_port=18045, stun_port=13478, turn_port=13479, relay_ports=(40000, 40999))
COLUMNS = 100
VOLATILE = re.compile(r"\d+(\.\d+)? m?s\b|\d+ of \d+|\d+ kbit/s|MOS [\d.]+|Python [\d.]+")
"""What differs from one good run to the next: times, the packet that a busy machine drops, what follows from both, and
the machine itself."""
KERNEL = re.compile(r"Linux [^,\s]+,")
"""Left out of a sample: whose machine it was is nobody's business."""


@dataclass(frozen=True)
class Sample:
    """One run that is shown."""

    name: str
    drop: str
    """An nft match whose packets are lost; "" for none."""
    verbosity: int


SAMPLES = (
    Sample("udp-blocked", "udp dport 18443 udp sport 20000-29999", verbosity=-1),
    Sample("healthy", "", verbosity=0),
)


class Quiet:
    """An observer that says nothing."""

    def planned(self, ids: list[str]) -> None: ...

    def started(self, check: str) -> None: ...

    def finished(self, result: CheckResult) -> None: ...

    def said(self, text: str) -> None: ...


def self_test(verbosity: int) -> str:
    """The self-test here and now, as its report is read."""
    report = asyncio.run(run.check(run.Request(self_test=True), dict(os.environ), Quiet(), PORTS))
    return FORMATS["text"](report, Style(width=COLUMNS, verbosity=verbosity))


def made(sample: Sample) -> str:
    """The sample, from a run in a namespace of its own."""
    with Machine() as machine:
        if sample.drop:
            machine.drop(sample.drop)
        done = machine.start([sys.executable, "-m", "docs.make_samples", "--inside", str(sample.verbosity)])
    if not done.stdout:
        raise SystemExit(done.stderr)
    return KERNEL.sub("Linux,", done.stdout)


def in_readme(text: str, name: str, sample: str) -> str:
    """README.md's text with the sample between its marks; unchanged where it has no such marks."""
    marks = re.compile(rf"(<!-- sample {name} -->\n```text\n).*?(```\n<!-- end -->)", re.DOTALL)
    return marks.sub(lambda found: f"{found[1]}{sample}{found[2]}", text)


def words(text: str) -> list[str]:
    """What a run says, without what differs from run to run; the width of a time moves the words after it."""
    return VOLATILE.sub("#", " ".join(text.split())).split()


def main(check: bool) -> int:
    """Writes all samples, or says which are out of date."""
    stale = []
    readme = README.read_text()
    for sample in SAMPLES:
        file, text = HERE / "samples" / f"{sample.name}.txt", made(sample)
        shown = in_readme(readme, sample.name, file.read_text() if file.exists() else "")
        if not file.exists() or words(file.read_text()) != words(text) or shown != readme:
            stale.append(sample.name)
        if not check:
            file.write_text(text)
            readme = in_readme(readme, sample.name, text)
    if not check:
        README.write_text(readme)
        return 0
    sys.stdout.write("".join(f"docs/samples/{name}.txt or README.md is out of date\n" for name in stale))
    return 1 if stale else 0


if __name__ == "__main__":
    if "--inside" in sys.argv:
        sys.stdout.write(self_test(int(sys.argv[-1])))
    else:
        sys.exit(main("--check" in sys.argv))
