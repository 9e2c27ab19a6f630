"""Somebody who holds relays of a TURN server: `python -m tests.lab.turn_holder ADDRESS NUMBER`, with the user name and
the password in the environment as for the check. Prints a line once it holds them, and holds them until it is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

from calls_doctor.model.credentials import Credentials
from calls_doctor.model.site import ServerUri
from calls_doctor.net.relay import Relays
from calls_doctor.site import environment


async def main(address: str, number: int, given: Credentials) -> None:
    uri = ServerUri(scheme="turn", host=address, port=3478)
    relays = Relays()
    async with contextlib.AsyncExitStack() as held:
        for _ in range(number):
            await held.enter_async_context(relays.lent(uri, given))
        print("ready", flush=True)  # noqa: T201 - what the test waits for
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), environment.credentials(os.environ)))
