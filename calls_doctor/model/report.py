"""The report: one record behind every format and the exit code (contract section 5). It grows by addition only."""

from __future__ import annotations

from enum import StrEnum
from typing import Any  # JSON

import msgspec

from calls_doctor.model.check import CheckResult
from calls_doctor.model.flow import Flow, Party
from calls_doctor.model.site import Setting

SCHEMA = "calls-doctor/report/1"


class Verdict(StrEnum):
    OK = "ok"
    WARNINGS = "warnings"
    FAILED = "failed"
    UNDECIDED = "undecided"
    BROKEN = "broken"


class Confidence(StrEnum):
    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


class Impact(StrEnum):
    NO_CALLS = "no calls"
    SOME_CALLERS = "some callers"
    DEGRADED = "degraded"
    SECURITY = "security"
    NONE_NOW = "none now"


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    name: str = "calls-doctor"
    version: str


class Vantage(msgspec.Struct, frozen=True, kw_only=True):
    """Where checks were made from."""

    id: str
    label: str = ""
    role: str
    public_address: str = ""
    network_class: str = ""
    started: str
    """RFC 3339, UTC."""


class Remedy(msgspec.Struct, frozen=True, kw_only=True):
    """What mends a cause; only causes carry one."""

    summary: str
    steps: list[str] = []
    firewall_rows: list[str] = []
    guide_steps: list[str] = []
    url: str = ""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """One cause: what is wrong, on which flow, whose to mend, and how."""

    cause: str
    confidence: Confidence
    flow: Flow
    party: Party
    impact: Impact
    subject: str = ""
    """The host, name or setting in question."""
    summary: str
    """One sentence."""
    because: list[str] = []
    """Ids of the checks whose results it explains."""
    remedy: Remedy


class NextStep(msgspec.Struct, frozen=True, kw_only=True):
    command: str
    on_host: str
    why: str


class NotTested(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    why: str


class GuideStep(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    step: str
    verdict: str
    """"passed", "failed", "not tested" or "manual"."""
    from_: str
    to: str
    checks: list[str] = []


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A run, or several merged."""

    schema: str = SCHEMA
    tool: Tool
    run_id: str
    started: str
    """RFC 3339, UTC."""
    duration_s: float
    complete: bool
    """False where the run was interrupted."""
    command: str
    """As typed, links cut to HOST:PORT."""
    metadata: dict[str, str] = {}
    phase: str
    mode: str | None
    site: dict[str, Setting] = {}
    vantages: list[Vantage]
    verdict: Verdict
    diagnosis: list[Diagnosis] = []
    next: list[NextStep] = []
    checks: list[CheckResult] = []
    guide: list[GuideStep] = []
    versions: dict[str, str] = {}
    settings: list[dict[str, Any]] = []
    lint: list[dict[str, Any]] = []
    candidates: list[dict[str, Any]] = []
    clock: dict[str, Any] = {}
    logs: list[dict[str, Any]] = []
    books: list[dict[str, Any]] = []
    """What each end counted: {run_id, end "near"|"far", flow, ...}."""
    missing: list[dict[str, str]] = []
    not_tested: list[NotTested] = []
    redacted: str = "none"
