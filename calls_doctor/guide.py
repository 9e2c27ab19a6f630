"""The official deployment guide's numbered steps as data, and from where each must be made to count.

A step is passed only by a check made from the vantage that the step names.
"""

from __future__ import annotations

from dataclasses import dataclass

from calls_doctor.model.flow import Role


@dataclass(frozen=True)
class Step:
    """One numbered step of the guide."""

    number: str
    from_: Role
    to: Role
    title: str
    manual: bool = False
    """True for a step that sets something: nobody on the network can see that it was done."""


STEPS: tuple[Step, ...] = (
    Step("1.3.1", Role.MEDIA, Role.STUN, "how the media host learns its public address", True),
    Step("1.6.1", Role.CLIENT, Role.MEDIA, "UDP 8443 from callers to the Mattermost server"),
    Step("1.6.2", Role.CLIENT, Role.MEDIA, "TCP 8443 from callers to the Mattermost server"),
    Step("1.6.3", Role.CLIENT, Role.MEDIA, "UDP 8443 from callers to rtcd"),
    Step("1.6.4", Role.CLIENT, Role.MEDIA, "TCP 8443 from callers to rtcd"),
    Step("1.6.5", Role.MATTERMOST, Role.MEDIA, "TCP 8045 from Mattermost to rtcd"),
    Step("1.6.10", Role.CLIENT, Role.TURN, "UDP 3478 from callers to TURN"),
    Step("1.6.11", Role.CLIENT, Role.TURN, "TCP 3478 from callers to TURN"),
    Step("1.6.12", Role.CLIENT, Role.TURN, "TURN's relay ports"),
    Step("2A.2.3", Role.MATTERMOST, Role.MEDIA, "ICE host override: private, public, or empty for STUN", True),
    Step("2A.2.4", Role.MATTERMOST, Role.TURN, "ICE servers, TURN's static secret and its credentials' time", True),
    Step("2A.3.1", Role.CLIENT, Role.MEDIA, "a second person joins a call"),
    Step("2A.3.2", Role.CLIENT, Role.MEDIA, "both hear each other"),
    Step("2B.2.1", Role.MATTERMOST, Role.MEDIA, "rtcd's port 8045 is open"),
    Step("2B.2.2", Role.MATTERMOST, Role.MEDIA, "rtcd answers with its version"),
    Step("2B.3.4", Role.MATTERMOST, Role.MEDIA, "the RTCD service URL with the client id and key", True),
    Step("2B.5.1", Role.CLIENT, Role.MEDIA, "a second person joins a call through rtcd"),
    Step("2B.5.2", Role.CLIENT, Role.MEDIA, "both hear each other through rtcd"),
)
STEP_BY_NUMBER = {step.number: step for step in STEPS}
