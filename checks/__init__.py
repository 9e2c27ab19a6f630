"""Every check, in the order in which they are shown: needs stand before what needs them."""

from __future__ import annotations

from calls_doctor.spec import CheckSpec
from checks import api, environment, exposure, machine, media, mtu, names, nat, ports, quality, relay, stun, turn

CHECKS: tuple[CheckSpec, ...] = (
    *environment.CHECKS,
    *machine.CHECKS,
    *names.CHECKS,
    *ports.CHECKS,
    *api.CHECKS,
    *stun.CHECKS,
    *turn.CHECKS,
    *relay.CHECKS,
    *nat.CHECKS,
    *exposure.CHECKS,
    *media.CHECKS,
    *quality.CHECKS,
    *mtu.CHECKS,
)
