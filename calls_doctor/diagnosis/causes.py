"""Every cause that a diagnosis may name."""

from __future__ import annotations

from calls_doctor.diagnosis import (
    advertise,
    api,
    client,
    clocks,
    host,
    mattermost,
    media,
    media_nodes,
    media_ports,
    names,
    nat,
    path,
    stun,
    tls,
    turn,
)
from calls_doctor.diagnosis.cause import Cause

CAUSES: tuple[Cause, ...] = (
    *media.CAUSES,
    *media_nodes.CAUSES,
    *media_ports.CAUSES,
    *client.CAUSES,
    *names.CAUSES,
    *advertise.CAUSES,
    *nat.CAUSES,
    *api.CAUSES,
    *mattermost.CAUSES,
    *tls.CAUSES,
    *clocks.CAUSES,
    *stun.CAUSES,
    *turn.CAUSES,
    *path.CAUSES,
    *host.CAUSES,
)
