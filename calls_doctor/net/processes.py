"""Programs that run on this machine, by their short name, and what their environment says of given variables.

Nothing of a process is kept but what was asked for by name: its environment holds secrets, and so may its arguments.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

_PROC = Path("/proc")


def named(command: str) -> list[int]:
    """The ids of the processes of that short name (comm), the oldest first; [] where nothing tells."""
    try:
        every = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    except OSError:  # another system
        return []
    return [pid for pid in sorted(every) if _comm(pid) == command]


def _comm(pid: int) -> str:
    """ "" where it has ended meanwhile."""
    try:
        return (_PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def environment_of(pid: int, names: Collection[str]) -> dict[str, str] | None:
    """These variables of what it was started with; None where that may not be read: it takes its user, or root."""
    try:
        data = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return None
    pairs = (pair.decode(errors="replace").partition("=") for pair in data.split(b"\0"))
    return {name: value for name, _, value in pairs if name in names}
