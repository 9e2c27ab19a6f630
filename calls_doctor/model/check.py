"""A check: what it proves, what it needs, and what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol  # Any: evidence is JSON

import msgspec

from calls_doctor.model.books import RunBooks, SessionBooks
from calls_doctor.model.credentials import Credentials
from calls_doctor.model.flow import Role
from calls_doctor.model.site import MediaAddress, Phase, Site

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
    """For a skip: the id of the check that caused it or answered it."""


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """One check of one run, as the report carries it."""

    id: str
    title: str
    category: str
    status: Status
    vantage: str
    """The id of the vantage it was made from."""
    target: str = ""
    summary: str = ""
    evidence: Evidence = {}
    duration_s: float = 0.0
    needs: list[str] = []
    blocked_by: str | None = None
    guide_steps: list[str] = []


class FarEnd(Protocol):
    """The stand-in that a link was given for, as a check sees it."""

    address: MediaAddress
    run: str

    async def books(self) -> RunBooks | None:
        """The far end's books of this run over any path that works; None where no path does."""
        ...


@dataclass(frozen=True)
class Context:
    """All that a check is given. It never prints, exits or reads a file."""

    site: Site
    credentials: Credentials
    results: Mapping[str, CheckResult]
    """Results of what it needs and uses, by id; only those are there."""
    far_end: FarEnd | None
    media_time_s: float
    thorough: bool
    deadline_s: float
    """How long the probe may take in all; the runner cancels it then."""
    near_books: list[SessionBooks] = field(default_factory=list)
    """A check adds its own books of each session it had."""


Probe = Callable[[Context], Awaitable[Finding]]


@dataclass(frozen=True, kw_only=True)
class CheckSpec:
    """One check, declared."""

    id: str
    """`category.slug`, permanent, never reused."""
    title: str
    """A sentence that is true when the check passes."""
    probe: Probe
    needs: Sequence[str] = ()
    """Ids that must not have failed; where one did, or was skipped, this one is skipped."""
    uses: Sequence[str] = ()
    """Ids whose results are wanted first where they run at all, whatever came of them."""
    vantages: frozenset[Role] = frozenset(Role)
    phases: frozenset[Phase] = frozenset(Phase) - {Phase.OFFLINE}
    wants: Callable[[Site], str] = lambda _site: ""
    """Why this site gives the check nothing to do; "" if it does."""
    targets: Callable[[Site], Sequence[str]] = lambda _site: ()
    """From where to where, for `check --list`."""
    required: bool = False
    """An `unknown` here means a required flow could not be decided (exit code 4)."""
    guide_steps: Sequence[str] = ()
    packets_max: int = 0
    timeout_s: float = 5.0
    fails_when: str = ""
    """One or two sentences for `explain`: what is seen when it fails, and what that means."""

    @property
    def category(self) -> str:
        return self.id.split(".")[0]
