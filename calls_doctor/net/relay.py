"""The TURN relay as checks use it: which credentials, which server, an allocation that is given back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any  # rows of evidence are JSON

from calls_doctor.errors import FarEndError
from calls_doctor.model.check import CheckResult
from calls_doctor.model.credentials import Credentials, TurnCredentials
from calls_doctor.model.flow import Address
from calls_doctor.model.site import ServerUri
from calls_doctor.net import resolver, turn_client
from calls_doctor.wire.turn import rest_credentials

TIMEOUT_S = 2.6
"""For one conversation with a server; the silence schedule of the STUN codec ends just before."""
CREDENTIAL_LIFE_S = 3600
ALLOCATION_QUOTA_REACHED = 486
FREED_AFTER_S = 1.3


def credentials_of(given: Credentials, now_s: float) -> TurnCredentials | None:
    """What was given, or a REST credential made from the shared secret for this run; None where neither is there.

    `now_s` is the wall clock, in seconds since 1970.
    """
    if given.turn is not None:
        return given.turn
    if given.turn_secret is not None:
        return rest_credentials(given.turn_secret, int(now_s) + CREDENTIAL_LIFE_S, "calls-doctor")
    return None


async def address_of(uri: ServerUri) -> Address:
    """The first address of the server's name that this machine can try. Raises what `resolver.resolve` raises."""
    return resolver.routed(await resolver.resolve(uri.host))[0], uri.port


def usable(uris: Sequence[ServerUri], results: Mapping[str, CheckResult]) -> ServerUri:
    """The first URI that gave a relay, at a server that allows a peer where there is one.

    Asked for only where turn.allocate has found a URI that works; turn.permission counts where it has run.
    """
    for check in ("turn.permission", "turn.allocate"):
        rows: Sequence[Mapping[str, Any]] = results[check].evidence.get("servers", ()) if check in results else ()
        good = [uri for uri in uris for row in rows if row["uri"] == str(uri) and row["ok"]]
        if good:
            return good[0]
    raise ValueError("no TURN server gave a relay")


async def opened(uri: ServerUri, given: Credentials) -> turn_client.Allocation:
    """An allocation with the credentials at hand; the caller closes it. Raises what `turn_client.allocate` raises.

    A quota that is reached is asked once more: coturn frees what was given back only a second later (measured), and
    an allocation of this very run is no finding.
    """
    credentials = credentials_of(given, time.time())
    assert credentials is not None, "asked for only where credentials are there"
    address = await address_of(uri)
    try:
        return await turn_client.allocate(uri, address, credentials, timeout_s=TIMEOUT_S)
    except FarEndError as error:
        if error.code != ALLOCATION_QUOTA_REACHED:
            raise
    await asyncio.sleep(FREED_AFTER_S)
    return await turn_client.allocate(uri, address, credentials, timeout_s=TIMEOUT_S)
