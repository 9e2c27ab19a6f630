"""What time it is at a TURN server, by which REST credentials it takes: each carries the time at which it ends.

Only whoever knows the shared secret can ask. Some servers look at no time; those tell nothing.
"""

from __future__ import annotations

import time
from itertools import pairwise

from calls_doctor.errors import FarEndError
from calls_doctor.model.credentials import Secret
from calls_doctor.model.flow import Address
from calls_doctor.model.site import ServerUri
from calls_doctor.net import turn_client
from calls_doctor.net.clock import Reading
from calls_doctor.wire.turn import rest_credentials

STEPS_S = (30, 3600, 86_400, 10 * 366 * 86_400)
"""How far off it is asked for, as long as it is farther off than that."""
REFUSED_CODES = (401, 441)
NAME = "calls-doctor-clock"
"""A user of its own, so that no quota of the run's is touched."""


async def of_turn(uri: ServerUri, address: Address, secret: Secret, timeout_s: float) -> Reading | None:
    """None where the server tells nothing: it knows another secret, or looks at no time.

    Each question may take `timeout_s`. Raises NetworkError, ProtocolError.
    """

    async def takes(ends_in_s: int) -> bool:
        made = rest_credentials(secret, int(time.time()) + ends_in_s, NAME)
        try:
            async with await turn_client.allocate(uri, address, made, timeout_s=timeout_s):
                return True
        except FarEndError as error:
            return error.code not in REFUSED_CODES  # a quota comes after the credentials

    nearest_s = STEPS_S[0]
    if not await takes(nearest_s):
        for low_s, high_s in pairwise(STEPS_S):
            if await takes(high_s):
                return Reading((low_s + high_s) / 2, (high_s - low_s) / 2)
        return None
    if not await takes(-nearest_s):
        return Reading(0.0, float(nearest_s))
    for low_s, high_s in pairwise(STEPS_S):
        if not await takes(-high_s):
            return Reading(-(low_s + high_s) / 2, (high_s - low_s) / 2)
    return None
