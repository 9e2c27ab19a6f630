"""Prints one of the README's two commands as it stands there: `readme_command.py check`, `readme_command.py tests`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ENDS = {"check": "calls-doctor check", "tests": "pytest"}


def command(name: str) -> str:
    """The one shell block of the README that ends in this; LookupError where it is not there exactly once."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    blocks = [block.strip() for block in re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)]
    found = [block for block in blocks if block.endswith(f"/{ENDS[name]}")]
    if len(found) != 1:
        raise LookupError(f"README.md has {len(found)} commands that end in {ENDS[name]}, not one")
    return str(found[0])


if __name__ == "__main__":
    sys.stdout.write(command(sys.argv[1]) + "\n")
