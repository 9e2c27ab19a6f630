"""Causes on the machine the doctor runs on. Pure."""

from __future__ import annotations

from calls_doctor.diagnosis.callers import HAIRPIN
from calls_doctor.diagnosis.cause import BAD, Cause, Evidence, Prediction, outcome_of, outcomes
from calls_doctor.diagnosis.media_evidence import ADVERTISED, UDP_CALLS, is_shut, trouble
from calls_doctor.diagnosis.place import flow_of, own_machine, role_of, vantages_of
from calls_doctor.model.check import TCP_ECHO, CheckResult, Status
from calls_doctor.model.flow import Lost, Party, Role
from calls_doctor.model.report import Impact, Remedy
from calls_doctor.modes import MEDIA_PORT

FORBIDDEN = "forbidden"
OWNERS = {
    Role.MATTERMOST: Party.MATTERMOST_HOST,
    Role.MEDIA: Party.MEDIA_HOST,
    Role.TURN: Party.TURN_HOST,
    Role.OFFLOADER: Party.OFFLOADER_HOST,
}
"""Whose a machine is to mend; a caller's is the caller's."""
FAR_ENDS = {"stun": Role.STUN, "turn": Role.TURN}
"""Whom checks of a category ask; the others ask the media host."""


def no_sockets(evidence: Evidence) -> Prediction | None:
    """The machine gives this program no socket."""
    shown = evidence.of("env.platform", Status.FAIL)
    if not shown:
        return None
    flow = flow_of(evidence, shown[0], Role.MEDIA, "udp", MEDIA_PORT)
    return Prediction(explains=outcomes(shown), flow=flow, summary=shown[0].summary)


def firewall(evidence: Evidence) -> Prediction | None:
    """The system call that sends was refused (EPERM), or this machine sent itself an ICMP error."""
    bad = [r for r in evidence.results if r.status in BAD]
    shown = [r for r in bad if trouble(r) == FORBIDDEN]
    rows = [(r, row) for r in bad for row in r.evidence.get("servers", ()) if row.get("trouble") == FORBIDDEN]
    if not shown and not rows:
        return None
    first, said = (shown[0], shown[0].evidence) if shown else rows[0]
    own = own_machine(evidence)
    return Prediction(
        explains=outcomes([*shown, *_unsaid(evidence, shown)]) | {outcome_of(r, row) for r, row in rows},
        flow=flow_of(evidence, first, FAR_ENDS.get(first.category, Role.MEDIA), "udp", MEDIA_PORT, Lost.REQUEST),
        summary=str(said.get("trouble_detail") or said.get("detail") or first.summary),
        subject=first.target,
        party=own.party if own else OWNERS.get(role_of(evidence, first.vantage)),
    )


def _unsaid(evidence: Evidence, shown: list[CheckResult]) -> list[CheckResult]:
    """What fails where the media port may not be asked. A rule that drops a SYN tells nobody, so silence over TCP from
    the same machine is the same rule's as far as anybody knows."""
    where = vantages_of(shown)
    calls = evidence.bad_at(where, *UDP_CALLS, ADVERTISED, HAIRPIN)
    return [*calls, *(r for r in evidence.bad_at(where, TCP_ECHO) if is_shut(r, ("silent",)))]


CAUSES = (
    Cause(
        id="host.no-sockets",
        party=Party.CALLER_MACHINE,
        impact=Impact.NO_CALLS,
        meaning="This machine's policy forbids the doctor to open sockets.",
        predicts=no_sockets,
        remedy=Remedy(
            summary="Run the doctor where it may open sockets",
            steps=[
                "Look for a sandbox, a seccomp profile or a container without a network",
                "On this machine: `calls-doctor check --only env.platform` says whether it may now",
            ],
            guide_steps=["1.6.1", "1.6.3"],
        ),
    ),
    Cause(
        id="host.firewall",
        party=Party.CALLER_MACHINE,
        impact=Impact.SOME_CALLERS,
        meaning="The firewall of the machine itself drops or rejects what leaves it for Calls.",
        predicts=firewall,
        remedy=Remedy(
            summary="Let this machine send to the media port",
            steps=[
                "On this machine: `nft list ruleset` (or `iptables-save`): which rule drops or rejects what goes out?",
                "On this machine: where no rule does, look for an endpoint protection, and whether `dmesg` says that "
                "nf_conntrack's table is full",
            ],
            firewall_rows=["FW-15"],
            guide_steps=["1.6.1", "1.6.3"],
        ),
    ),
)
