"""A machine of the lab whose clock is wrong: no namespace has a date of its own, so its programs are told another."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.lab.network import Machine

SOURCE = Path(__file__).with_suffix(".c")
COMPILE_S = 20.0


def why_not() -> str:
    """Why no clock can be shifted here; "" where it can."""
    return "" if shutil.which("cc") else "a C compiler (cc), which a shifted clock takes, is not installed"


class Shifted(Machine):
    """The same machine, seconds ahead (or behind, below 0) of the others. Compiles into `folder`."""

    def __init__(self, machine: Machine, ahead_s: int, folder: Path) -> None:
        super().__init__(machine.name)
        self.namespace = machine.namespace
        self._library, self._ahead_s = folder / "shifted_clock.so", ahead_s
        words = ["cc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(SOURCE)]
        subprocess.run(words, check=True, timeout=COMPILE_S)

    def command(self, words: Sequence[str]) -> list[str]:
        """What runs a command there, by that clock."""
        return super().command(["env", f"LD_PRELOAD={self._library}", f"AHEAD_S={self._ahead_s}", *words])
