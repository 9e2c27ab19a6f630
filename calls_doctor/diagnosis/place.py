"""Where a fault sits: the flow in question, and whose it is as far as the vantages at hand can tell. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from calls_doctor.diagnosis.cause import Evidence
from calls_doctor.model.check import CheckResult
from calls_doctor.model.flow import Endpoint, Flow, Lost, Party, Role
from calls_doctor.model.report import Confidence
from calls_doctor.model.site import Phase


@dataclass(frozen=True)
class Place:
    """Whose a fault is to mend, and how sure that is."""

    party: Party | None
    """None: the cause's own party."""
    confidence: Confidence


def own_machine(evidence: Evidence) -> Place | None:
    """In the self-test every packet stays on this machine, so nobody else can be to blame."""
    return Place(Party.CALLER_MACHINE, Confidence.CERTAIN) if evidence.phase is Phase.SELF_TEST else None


def on_the_path(evidence: Evidence) -> Place:
    """A fault between the two ends: one vantage alone cannot tell at whose firewall."""
    return own_machine(evidence) or Place(Party.UNDECIDED, Confidence.LIKELY)


def at_the_far_end(evidence: Evidence) -> Place:
    """A fault that the far end itself has shown (an answer, an error, a refusal)."""
    return own_machine(evidence) or Place(None, Confidence.CERTAIN)


_TARGET = re.compile(
    r"""(?: [a-z]+ : (?://)? )??                          # http://, turn:
        (?: \[ (?P<v6>[0-9a-fA-F:.%\w]+) \] | (?P<host>[^\s:/?\[\]]+) )
        (?: : (?P<port>\d{1,5}) )?
        (?: [/?] .* )?                                    # /udp, ?transport=udp, a path
    """,
    re.VERBOSE,
)


def host_and_port(target: str) -> tuple[str, int | None]:
    """Host and port of the first target in `host:8443/udp`, `[::1]:8443/tcp`, `turn:host:3478?transport=udp` or
    `http://host:8045`; ("", None) where there is none."""
    found = _TARGET.fullmatch(target.split(",")[0].strip())
    if found is None:
        return "", None
    return found["v6"] or found["host"], int(found["port"]) if found["port"] else None


def role_of(evidence: Evidence, vantage: str) -> Role:
    """The role of a vantage: its id may be a label of the user's."""
    known = evidence.vantages.get(vantage)
    name = known.role if known else vantage
    return next((role for role in Role if role == name), Role.CLIENT)


def flow_of(
    evidence: Evidence, result: CheckResult, to: Role, protocol: str, default_port: int, lost: Lost | None = None
) -> Flow:
    """The flow that a result is about, from its vantage to its target."""
    host, port = host_and_port(result.target)
    return Flow(
        from_=Endpoint(role=role_of(evidence, result.vantage)),
        to=Endpoint(role=to, address=host),
        protocol=protocol,
        port=port or default_port,
        lost=lost,
    )


def vantages_of(results: Iterable[CheckResult]) -> set[str]:
    """Where these results were made."""
    return {r.vantage for r in results}
