"""coturn on a machine of the lab."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab.network import Machine
from tests.lab.two_hosts import READY_S

ALWAYS = """
no-cli
no-tls
no-dtls
log-file=stdout
pidfile={directory}/turn.pid
userdb={directory}/turn.db
"""


@contextlib.contextmanager
def coturn(machine: Machine, directory: Path, configuration: str, listeners: Sequence[str]) -> Iterator[None]:
    """It runs with these lines of its configuration, and is there once it listens on each HOST:PORT over UDP."""
    file = directory / "turnserver.conf"
    file.write_text(configuration + ALWAYS.format(directory=directory))
    process = subprocess.Popen(
        machine.command(["turnserver", "-c", str(file)]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(machine, listeners)
        yield
    finally:
        process.terminate()
        process.wait(READY_S)


def _wait_for(machine: Machine, listeners: Sequence[str]) -> None:
    until = time.monotonic() + READY_S
    while True:
        listening = subprocess.run(machine.command(["ss", "-lunH"]), capture_output=True, text=True, check=True).stdout
        if all(one in listening for one in listeners):
            return
        assert time.monotonic() < until, listening
        time.sleep(0.02)
