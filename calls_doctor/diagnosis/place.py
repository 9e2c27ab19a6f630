"""Where a fault sits: the flow in question, and whose it is as far as the vantages at hand can tell. Pure."""

from __future__ import annotations

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


def flow_of(result: CheckResult, to: Role, protocol: str, port: int, lost: Lost | None = None) -> Flow:
    """The flow that a result is about, from its vantage."""
    role = next((role for role in Role if role == result.vantage), Role.CLIENT)
    host = result.target.split(",")[0].rsplit("/", 1)[0].rsplit(":", 1)[0]
    return Flow(from_=Endpoint(role=role), to=Endpoint(role=to, address=host), protocol=protocol, port=port, lost=lost)


def port_of(result: CheckResult, default: int) -> int:
    """The port in a target such as `host:8443/udp`, `turn:host:3478?transport=udp` or `http://host:8045`."""
    digits = result.target.split(",")[0].split("?")[0].split("/udp")[0].split("/tcp")[0].rsplit(":", 1)[-1]
    return int(digits) if digits.isdecimal() else default
