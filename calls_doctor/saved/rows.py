"""How a report writes down what travels otherwise: books as rows with names, moments as RFC 3339 has them."""

from __future__ import annotations

from datetime import datetime
from typing import Any  # rows of the report are JSON

from calls_doctor.model.books import SessionBooks
from calls_doctor.wire.direct import RUN_CHARS

TIME_DIGITS = 6
FLOWS = {
    "u": "echo over UDP",
    "t": "echo over TCP",
    "r": "echo through the relay",
    "m": "echo of large packets",
    "U": "call over UDP",
    "T": "call over TCP",
    "R": "call through the relay",
}
"""The leg in a session's name (direct.RUN_CHARS characters of run before it) -> what the report calls its flow."""


def book_row(session: SessionBooks) -> dict[str, Any]:
    """Books travel as arrays; a report names their fields."""
    fields = {
        "flow": FLOWS.get(session.session[RUN_CHARS : RUN_CHARS + 1], "another"),
        "session": session.session,
        "sent_rtp": session.sent_rtp,
        "probes": len(session.probes),
        "dtls_retransmissions": session.dtls_retransmissions,
        "over_limit": session.over_limit,
        "failure": session.failure,
        "timeline": {stage: round(at_s, TIME_DIGITS) for stage, at_s in session.timeline.items()},
    }
    for name, rows in (("paths", session.paths), ("streams", session.streams)):
        fields[name] = [{key: _plain(getattr(row, key)) for key in row.__struct_fields__} for row in rows]
    return fields


def _plain(value: Any) -> Any:
    """As JSON has it, times to the microsecond."""
    if isinstance(value, float):
        return round(value, TIME_DIGITS)
    return list(value) if isinstance(value, tuple) else value


def rfc_3339(moment: datetime) -> str:
    """To the second, UTC."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
