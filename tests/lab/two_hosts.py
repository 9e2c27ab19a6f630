"""A run of `calls-doctor` between machines of the lab, as a user types it: serve on one, check on others, merge."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # a report is JSON

from tests.lab.network import Machine, Network

COMMAND = [sys.executable, "-m", "calls_doctor"]
READY_S = 10.0
CHECK_S = 25.0
Vantage = tuple[Machine, str, Sequence[str]]
"""Who checks, with which link and which options beside it."""
EVERY_SCENARIO = os.environ.get("CALLS_DOCTOR_LAB") == "all"
"""They take minutes: .ci/evidence wants them all. At every stop .ci/run plays one of each family in the fault lab."""
HERE = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "NO_COLOR": "1"}


@dataclass
class Stand:
    """A `serve` that runs: its links, and where its merged report will be."""

    links: list[str]
    directory: Path

    def link_to(self, address: str) -> str:
        """The link that leads to this address."""
        return next(link for link in self.links if f"//{address}:" in link or address in link)


@contextlib.contextmanager
def serving(net: Network, directory: Path, arguments: Sequence[str], site: str = "") -> Iterator[Stand]:
    """`calls-doctor serve` on the server; ended as Ctrl-C ends it, and then it has written served.json."""
    words = ["serve", *arguments, "-o", str(directory / "served.json")]
    if site:
        (directory / "site.toml").write_text(site)
        words += ["--site", str(directory / "site.toml")]
    errors = directory / "serve.err"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            net.server.command([*COMMAND, *words]), stdout=subprocess.PIPE, stderr=stderr, cwd=directory, env=HERE
        )
    try:
        yield Stand(_links(process, errors), directory)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            assert process.stdout is not None
            process.stdout.close()
    assert code == 0, errors.read_text()


def _links(process: subprocess.Popen[bytes], errors: Path) -> list[str]:
    """They come all together in one write."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(READY_S):
            raise AssertionError(f"serve printed no link: {errors.read_text()}")
    text = os.read(process.stdout.fileno(), 65536).decode()
    assert text, errors.read_text()
    return text.split()


def checking(
    directory: Path,
    vantages: Sequence[Vantage],
    *,
    media_time: str = "1s",
    doctor: Sequence[str] = COMMAND,
    limit_s: float = CHECK_S,
) -> list[dict[str, Any]]:
    """`calls-doctor check` on several machines at once, each with its link and options of its own: their reports."""
    started = []
    for machine, link, arguments in vantages:
        target = directory / f"{machine.name}.json"
        words = ["check", "--peer", link, "--label", machine.name, "--media-time", media_time, "-o", str(target)]
        command = machine.command([*doctor, *words, *arguments])
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=directory, env=HERE)
        started.append((process, target))
    reports = []
    for process, target in started:
        said, _ = process.communicate(timeout=limit_s)
        assert process.returncode in (0, 1, 3, 4), said.decode()
        reports.append(json.loads(target.read_text()))
    return reports


def merging(directory: Path, names: Sequence[str]) -> dict[str, Any]:
    """`calls-doctor report merge` of these machines' reports."""
    files = [str(directory / f"{name}.json") for name in names]
    target = directory / "merged.json"
    done = subprocess.run(
        [*COMMAND, "report", "merge", *files, "-o", str(target)],
        capture_output=True, text=True, check=False, timeout=CHECK_S, cwd=directory, env=HERE,
    )  # fmt: skip
    assert done.returncode in (0, 1, 3, 4), done.stdout + done.stderr
    report: dict[str, Any] = json.loads(target.read_text())
    return report


def diagnosed(report: dict[str, Any]) -> frozenset[tuple[str, str]]:
    """(cause, party) of each."""
    return frozenset((one["cause"], one["party"]) for one in report["diagnosis"])
