"""The commands in the steps of a remedy. A step that has one begins with where it is typed, and the command stands
between backticks: "On the media host: `ss -lnu` shows ...". Nothing else does either. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_WHERE = re.compile(r"On (?P<where>[^:`]+): ")
_COMMAND = re.compile(r"`(?P<command>[^`]+)`")


@dataclass(frozen=True)
class Command:
    """What to type, and where."""

    text: str
    on_host: str
    """In words: "the media host". "" where the step does not say."""


def commands_of(step: str) -> list[Command]:
    """The commands of one step, in the order in which it names them."""
    said = _WHERE.match(step)
    where = said["where"] if said else ""
    return [Command(found["command"], where) for found in _COMMAND.finditer(step)]
