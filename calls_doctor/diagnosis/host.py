"""Causes on the machine the doctor runs on. Pure."""

from __future__ import annotations

from calls_doctor.diagnosis.cause import Cause, Evidence, Prediction, outcomes
from calls_doctor.diagnosis.place import flow_of
from calls_doctor.model.check import Status
from calls_doctor.model.flow import Party, Role
from calls_doctor.model.report import Impact, Remedy
from calls_doctor.modes import MEDIA_PORT


def no_sockets(evidence: Evidence) -> Prediction | None:
    """The machine gives this program no socket."""
    shown = evidence.of("env.platform", Status.FAIL)
    if not shown:
        return None
    flow = flow_of(evidence, shown[0], Role.MEDIA, "udp", MEDIA_PORT)
    return Prediction(explains=outcomes(shown), flow=flow, summary=shown[0].summary)


CAUSES = (
    Cause(
        id="host.no-sockets",
        party=Party.CALLER_MACHINE,
        impact=Impact.NO_CALLS,
        meaning="This machine's policy forbids the doctor to open sockets.",
        predicts=no_sockets,
        remedy=Remedy(
            summary="Run the doctor where it may open sockets",
            steps=["Look for a sandbox, a seccomp profile or a container without a network"],
        ),
    ),
)
