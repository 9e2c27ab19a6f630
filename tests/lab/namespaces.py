"""A machine of its own: a network namespace with a loopback and a firewall that a test writes. Needs root and nft."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from types import TracebackType

CLIENT_PORTS = (20000, 29999)
"""Ephemeral ports inside, kept apart from TURN's relay ports so that a rule can tell them from each other."""
COMMAND_LIMIT_S = 25.0

NEEDED = ("ip", "nft", "sysctl")


def why_not() -> str:
    """Why no namespace can be made here; "" where it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    return f"{', '.join(missing)} is not installed" if missing else ""


class Machine:
    """`with Machine() as machine: machine.deny("udp dport 18443")`; nothing of it is left behind."""

    def __init__(self) -> None:
        self._name = f"cdtest-{secrets.token_hex(4)}"

    def __enter__(self) -> Machine:
        self._ip("netns", "add", self._name)
        self.run(["ip", "link", "set", "lo", "up"])
        self.run(["sysctl", "-qw", "net.ipv4.ip_local_port_range={} {}".format(*CLIENT_PORTS)])
        self.run(["nft", "add table inet filter"])
        self.run(["nft", "add chain inet filter in { type filter hook input priority 0; }"])
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._ip("netns", "delete", self._name)

    def rule(self, text: str) -> None:
        """Adds one nft rule to what comes in on this machine, loopback included: `udp dport 18443 counter drop`."""
        self.run(["nft", f"add rule inet filter in {text}"])

    def drop(self, match: str) -> None:
        """Silently loses what matches."""
        self.rule(f"{match} counter drop")

    def run(self, command: Sequence[str]) -> str:
        """Runs a command inside; its output. Raises CalledProcessError where it fails."""
        done = self.start(command)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, list(command), done.stdout, done.stderr)
        return done.stdout

    def start(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Runs a command inside, whatever its exit code."""
        inside = ["ip", "netns", "exec", self._name, *command]
        return subprocess.run(inside, capture_output=True, text=True, check=False, timeout=COMMAND_LIMIT_S)

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, timeout=COMMAND_LIMIT_S)
