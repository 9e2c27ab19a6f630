"""What was captured of rtcd's WebSocket and data channels (tests/data/rtcd), record by record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # what the capturing program read in the message, as JSON

from calls_doctor.wire.rtcd_signal import Sender

DIRECTORY = Path(__file__).parents[1] / "data" / "rtcd"
CALLS = sorted(path.stem for pattern in ("aiortc-*", "pion-*") for path in DIRECTORY.glob(f"{pattern}.jsonl"))
ERRORS = "ws-errors"


@dataclass(frozen=True)
class Captured:
    """One record."""

    kind: str
    """"ws" or "dc"; "event" and "case" carry no message."""
    at_s: float
    """Since the WebSocket was open."""
    sender: Sender
    session: str
    """Of a data channel; "" for the WebSocket."""
    message: bytes | str
    name: str
    """Of an event or a case."""
    shown: Any  # as in the import

    @property
    def frame(self) -> bytes:
        """The message where it is binary: every one of the WebSocket is."""
        assert isinstance(self.message, bytes)
        return self.message


def records(capture: str) -> Iterator[Captured]:
    for line in (DIRECTORY / f"{capture}.jsonl").read_text().splitlines():
        record = json.loads(line)
        yield Captured(
            kind=record["kind"],
            at_s=record["t_ms"] / 1000,
            sender=Sender.SERVER if record.get("dir") == "s2c" else Sender.CLIENT,
            session=record.get("session", ""),
            message=record["text"] if "text" in record else bytes.fromhex(record.get("hex", "")),
            name=record.get("event") or record.get("name") or "",
            shown=record.get("data", record.get("payload")),
        )


def messages(capture: str, kind: str) -> Iterator[Captured]:
    return (record for record in records(capture) if record.kind == kind)
