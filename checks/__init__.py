"""Every check, in the order in which they are shown: needs stand before what needs them."""

from __future__ import annotations

from calls_doctor.spec import CheckSpec
from checks import (
    api,
    bandwidth,
    clocks,
    environment,
    exposure,
    idle,
    machine,
    media,
    mtu,
    names,
    nat,
    need,
    ports,
    quality,
    relay,
    relay_ports,
    rtcd,
    signal,
    stun,
    tls,
    turn,
    versions,
)

CHECKS: tuple[CheckSpec, ...] = (
    *environment.CHECKS,
    *machine.CHECKS,
    *names.CHECKS,
    *ports.CHECKS,
    *api.CHECKS,
    *rtcd.CHECKS,
    *versions.CHECKS,
    *stun.CHECKS,
    *turn.CHECKS,
    *relay.CHECKS,
    *relay_ports.CHECKS,
    *tls.CHECKS,
    *signal.CHECKS,
    *clocks.CHECKS,
    *nat.CHECKS,
    *idle.CHECKS,
    *exposure.CHECKS,
    *media.CHECKS,
    *quality.CHECKS,
    *bandwidth.CHECKS,
    *mtu.CHECKS,
    *need.CHECKS,
)
