"""What came of a check."""

from __future__ import annotations

from enum import StrEnum
from typing import Any  # evidence is JSON

import msgspec

UDP_ECHO, TCP_ECHO = ECHOES = ("port.rtc-udp-echo", "port.rtc-tcp-echo")
"""Ids of the checks that others are judged by: does the media port answer at all?"""
API = "port.api-tcp"
"""The check that finds rtcd's API, and what it calls itself."""
NOT_SENT = ("no-route", "forbidden", "not-sent")
"""Words of trouble of the machine that asks: it has no route, its own firewall forbids it, or it lacks something else.
Nothing left it, so nobody else's firewall is in question."""
NO_ROOM = 508
"""What a stand-in answers to one session too many (RFC 8656's code): other vantages are at it, and their sessions end.
It is no finding about the network."""
Evidence = dict[str, Any]
"""JSON: names carry their unit (`rtt_p50_s`, `loss_ratio`, `sent`)."""


class Status(StrEnum):
    """What came of a check (contract section 1)."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"
    SKIP = "skip"
    ERROR = "error"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a check's probe returns."""

    status: Status
    summary: str
    """One sentence without a full stop; for a pass, what was proven and the figures that prove it."""
    target: str = ""
    """What was tested, as the reader knows it: host:port/protocol or a URI."""
    evidence: Evidence = {}
    blocked_by: str = ""
    """For a skip: the id of the check that caused it."""


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """One check of one run, as the report carries it."""

    id: str
    title: str
    category: str
    status: Status
    vantage: str
    """The id of the vantage it was made from."""
    host: str = ""
    """HOST:PORT of the media host that it is about, where several were tested; "" otherwise."""
    target: str = ""
    summary: str = ""
    evidence: Evidence = {}
    duration_s: float = 0.0
    needs: list[str] = []
    blocked_by: str | None = None
    guide_steps: list[str] = []
    for_others: bool = False
    """True where `--only` did not name it, and it ran because a named check needs it."""
