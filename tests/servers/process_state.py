"""What became of a process that was signalled: a signal is sent before it has its effect."""

from __future__ import annotations

from pathlib import Path

GONE_OR_STOPPED = ("Z", "T", "")


def state(pid: int) -> str:
    """As Linux tells it: Z is dead, T is stopped, "" is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # it went before the file was opened, or before it was read
        return ""
