"""The report: one record behind every format and the exit code (contract section 5). It grows by addition only."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal  # Any: JSON

import msgspec

from calls_doctor.model.check import CheckResult
from calls_doctor.model.flow import Flow, Party, Role
from calls_doctor.model.site import Mode, Phase, Setting

Schema = Literal["calls-doctor/report/1"]
SCHEMA: Schema = "calls-doctor/report/1"
Moment = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
"""RFC 3339, UTC, to the second."""


class Verdict(StrEnum):
    """One word for a run, in the order of the exit codes (contract section 2)."""

    OK = "ok"
    WARNINGS = "warnings"
    FAILED = "failed"
    UNDECIDED = "undecided"
    BROKEN = "broken"


class Confidence(StrEnum):
    """How sure a cause is: `possible` where another explains as much."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


class Impact(StrEnum):
    """Who is hit by a cause."""

    NO_CALLS = "no calls"
    SOME_CALLERS = "some callers"
    DEGRADED = "degraded"
    SECURITY = "security"
    NONE_NOW = "none now"


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """What wrote the report."""

    name: str = "calls-doctor"
    version: str


class Vantage(msgspec.Struct, frozen=True, kw_only=True):
    """Where checks were made from."""

    id: str
    """The label, or the role where there is none."""
    label: str = ""
    role: str
    """One of the roles from which the doctor runs: "client", "mattermost", "media", "turn", "offloader"."""
    public_address: str = ""
    """As the STUN servers see it; "" where none was asked or they disagree."""
    network_class: str = ""
    """The class of that address: "public", "private", ..."""
    started: Moment


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
    host: str = ""
    """HOST:PORT of the one media host that it is about, where several were tested; "" otherwise."""
    subject: str = ""
    """The host, name or setting in question."""
    summary: str
    """One sentence."""
    because: list[str] = []
    """Ids of the checks whose results it explains."""
    remedy: Remedy


class NextStep(msgspec.Struct, frozen=True, kw_only=True):
    """What to type next, and where."""

    command: str
    on_host: str
    why: str


class NotTested(msgspec.Struct, frozen=True, kw_only=True):
    """What this run leaves open."""

    what: str
    """A check's id."""
    why: str
    unfit: bool = False
    """True where the phase, or what the site names, gives it nothing to do: nobody left it out."""


GuideVerdict = Literal["passed", "failed", "not tested", "manual"]


class GuideStep(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """What this run says of a step of the official deployment guide."""

    step: str
    verdict: GuideVerdict
    from_: Role
    to: Role
    checks: list[str] = []


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A run, or several merged."""

    schema: Schema = SCHEMA
    tool: Tool
    run_id: str
    started: Moment
    duration_s: float
    complete: bool
    """False where the run was cut short, by Ctrl-C or by its own limit."""
    command: str
    """As typed, links cut to HOST:PORT."""
    metadata: dict[str, str] = {}
    phase: Phase
    mode: Mode | None
    """null: nobody said."""
    site: dict[str, Setting] = {}
    """What was told, by dotted name; a secret is only said to be set."""
    vantages: list[Vantage]
    verdict: Verdict
    diagnosis: list[Diagnosis] = []
    """The most important cause first; empty where nothing is wrong."""
    next: list[NextStep] = []
    """At most three."""
    checks: list[CheckResult] = []
    guide: list[GuideStep] = []
    versions: dict[str, str] = {}
    """What the far ends said that they are."""
    settings: list[dict[str, Any]] = []
    lint: list[dict[str, Any]] = []
    candidates: list[dict[str, Any]] = []
    clock: dict[str, Any] = {}
    logs: list[dict[str, Any]] = []
    books: list[dict[str, Any]] = []
    """What each end counted of each session: {run_id, end "near"|"far", flow, session, paths, streams, ...}."""
    missing: list[dict[str, str]] = []
    """Vantages that nobody has looked from yet: {vantage, command}."""
    not_tested: list[NotTested] = []
    redacted: Literal["none", "ip", "full"] = "none"
