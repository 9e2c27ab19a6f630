"""A call of the doctor's own through rtcd itself, for whichever check wants one: one at a time, as rtcd's client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from calls_doctor.model.credentials import RtcdClient
from calls_doctor.net.rtcd_access import RtcdAccess
from calls_doctor.spec import Context, rtcd_versions
from calls_doctor.wire import rtcd_version

if TYPE_CHECKING:
    from calls_doctor.net.rtcd_call import RtcdOutcome


async def held(
    context: Context, host: str, client: RtcdClient, hold: Callable[[RtcdAccess], Awaitable[RtcdOutcome]]
) -> RtcdOutcome:
    """What came of the call that `hold` makes at this address of rtcd's. A service that lives is given no call beside
    another of ours, and our key no more often than it may be used."""
    # In a thread: the probes that go on meanwhile would stand still for a third of a second.
    await asyncio.to_thread(_load)
    from calls_doctor.net import rtcd_client

    authorization = rtcd_client.basic(client.client_id, client.auth_key)
    version = rtcd_versions(context.results).get(host, "")
    access = RtcdAccess(
        url=context.site.rtcd_url, authorization=authorization, host=host, locks=rtcd_version.has_lock(version)
    )
    async with context.rtcd_path.alone():
        await context.registration.pace(host).turn()
        made = await hold(access)
        await context.registration.pace(host).turn()  # its last question used the key again
    context.near_books.extend(made.call.near)
    return made


def _load() -> None:
    from calls_doctor.net import rtcd_call  # noqa: F401 - imported for what that costs, not to be used here
