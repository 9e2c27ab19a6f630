"""Ctrl-C: the first ends in a partial report, the second at once, and neither in a traceback."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command_line import ROOT, environment, started

HANGS = """
import asyncio, sys
from calls_doctor.cli.interrupt import run_interruptible
async def work():
    print("working", flush=True)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        await asyncio.Event().wait()
run_interruptible(work())
"""
STUCK = HANGS.replace("await asyncio.Event().wait()\n    except", "while True: pass\n    except")


@pytest.fixture
def silent_server() -> socket.socket:
    """Takes what is sent to it, and never answers."""
    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taken.bind(("127.0.0.1", 0))
    taken.settimeout(10)
    return taken


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_partial_report_is_written_everywhere(
    silent_server: socket.socket, number: signal.Signals, tmp_path: Path
) -> None:
    kept = tmp_path / "report.json"
    with silent_server:
        turn = f"turn:127.0.0.1:{silent_server.getsockname()[1]}"
        process = started(["check", "--turn", turn, "-o", str(kept)])
        silent_server.recv(2048)  # it is in the middle of turn.challenge
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert err == ""
    assert "Cut short: this report is partial" in out
    report = json.loads(kept.read_text())
    assert report["complete"] is False
    assert [row["id"] for row in report["checks"]] == ["env.platform"]
    assert {"what": "turn.challenge", "why": "the run was interrupted", "unfit": False} in report["not_tested"]
    assert report["verdict"] == "undecided"


def test_the_self_test_takes_its_stand_in_along() -> None:
    process = started(["check", "--media-time", "20s"])
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not children.read_text().split():
        assert process.poll() is None
    stand_in = int(children.read_text().split()[0])
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, "")
    assert out.startswith("Self-test on 127.0.0.1: it was cut short.")
    assert not Path(f"/proc/{stand_in}").exists()


@pytest.mark.parametrize("program", [HANGS, STUCK], ids=["the loop waits", "the loop hangs"])
def test_the_second_leaves_at_once(program: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGINT)
    if program is HANGS:
        assert process.stdout.readline() == "cancelled\n"
    else:
        # One signal that is pending swallows the next: the first must have been taken.
        while int(_status(process.pid, "ShdPnd"), 16):
            pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, "")


def _status(pid: int, field: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(field))
