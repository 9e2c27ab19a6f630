"""Waits until the far ends that were named answer at all (`check --wait`); what they answer is for the checks to judge.

It sends what the checks send, a few packets a second at most, and says nothing when time is up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from calls_doctor.errors import Cut, FarEndError, NetworkError, ProtocolError
from calls_doctor.model.site import MediaAddress, ServerUri, Site
from calls_doctor.net import http, relay, stun_client, turn_client

if TYPE_CHECKING:
    from calls_doctor.wire.direct import Link

STEP_S = 0.3
"""Between two tries, for a far end whose closed port answers at once."""
TRY_S = 2.0

Ask = Callable[[], Awaitable[bool]]
"""True where the far end answered; it may raise what the network or the far end did."""


async def wait(site: Site, links: Sequence[Link], wait_s: float) -> bool:
    """True where all that the site names have answered within `wait_s`."""
    asks: list[Ask] = [_stun(uri) for uri in site.stun] + [_turn(uri) for uri in site.turn]
    asks += [_http(f"{site.mattermost_url}/api/v4/system/ping")] if site.mattermost_url else []
    asks += [_http(f"{site.rtcd_url}/version")] if site.rtcd_url else []
    runs: dict[str, list[tuple[Link, MediaAddress]]] = {}
    for link, media in zip(links, site.media[: len(links)], strict=True):
        runs.setdefault(link.keys.run, []).append((link, media))
    asks += [_stand_in(addresses) for addresses in runs.values()]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await asyncio.gather(*(_until(ask) for ask in asks))
            return True
    return False


async def _until(ask: Ask) -> None:
    while not await _answers(ask):  # noqa: ASYNC110 - nobody tells us when a far end comes up
        await asyncio.sleep(STEP_S)


async def _answers(ask: Ask) -> bool:
    try:
        return await ask()
    except (FarEndError, ProtocolError, Cut):
        return True  # it is there, and the checks will say what is wrong with it
    except NetworkError:
        return False


def _stun(uri: ServerUri) -> Ask:
    async def ask() -> bool:
        await stun_client.binding(await relay.address_of(uri), transport=uri.transport, tls_name=uri.host)
        return True

    return ask


def _turn(uri: ServerUri) -> Ask:
    async def ask() -> bool:
        await turn_client.challenge(uri, await relay.address_of(uri), timeout_s=TRY_S)
        return True

    return ask


def _http(url: str) -> Ask:
    async def ask() -> bool:
        await http.get(url, timeout_s=TRY_S)
        return True

    return ask


def _stand_in(addresses: Sequence[tuple[Link, MediaAddress]]) -> Ask:
    """One stand-in, at any of its addresses."""
    from calls_doctor.net.paired import PairedHost

    async def ask() -> bool:
        # A new one each time: it remembers which transports were silent, and asks those no more.
        found = await asyncio.gather(*(PairedHost(link, media).books() for link, media in addresses))
        return any(books is not None for books in found)

    return ask
