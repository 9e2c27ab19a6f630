"""clocks.*: do the machines of a call agree on the time?

Certificates and TURN credentials carry times. Another clock is read from HTTP's Date, from what the stand-in tells, and
from which credentials a TURN server takes where its secret is at hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any  # evidence is JSON

from calls_doctor.errors import FarEndError, NetworkError, ProtocolError
from calls_doctor.model.check import Evidence, Finding, Status
from calls_doctor.model.flow import Role
from calls_doctor.model.site import Site
from calls_doctor.net import relay
from calls_doctor.spec import NETWORK_PHASES, CheckSpec, Context, no_site_address, nothing_to_do
from calls_doctor.wire.turn_auth import expiry_unix_s

if TYPE_CHECKING:
    from calls_doctor.net.clock import Reading

TIMEOUT_S = 2.6
NO_CLOCK = "no clock to ask: give --mattermost, --peer or --rtcd-url"
AGREE_S = 2.0
APART_S = 30.0
"""Contract section 6."""
Read = Callable[[], "Awaitable[Reading | None]"]


async def skew_probe(context: Context) -> Finding:
    """Each clock at hand beside this machine's own."""
    asked = _clocks(context)
    if not asked:
        return nothing_to_do(NO_CLOCK)
    rows = [row for row in await asyncio.gather(*(_row(*one) for one in asked)) if row is not None]
    timed = await _are_timed(context)
    target = ", ".join(row["target"] for row in rows)
    if not rows:
        unread = Finding(status=Status.UNKNOWN, summary="no clock elsewhere could be read")
        return no_site_address(context) or unread
    apart_s = _apart_s(rows)
    evidence: Evidence = {"clocks": rows, "apart_s": apart_s, "turn_is_timed": timed}
    if apart_s <= AGREE_S:
        summary = f"{len(rows)} other {'clock agrees' if len(rows) == 1 else 'clocks agree'} with this machine's"
        return Finding(status=Status.PASS, summary=summary, target=target, evidence=evidence)
    status = Status.FAIL if apart_s > APART_S and timed else Status.WARN
    return Finding(status=status, summary=_told(rows), target=target, evidence=evidence)


def _clocks(context: Context) -> list[tuple[str, str, Read]]:
    """Whose it is, where it is asked, and how."""
    site = context.site
    found: list[tuple[str, str, Read]] = []
    if site.mattermost_url:
        url = f"{site.mattermost_url}/api/v4/system/ping"
        found.append(("site", site.mattermost_url, lambda: _of_http(url)))
    if _asks_rtcd(site):
        found.append(("rtcd", site.rtcd_url, lambda: _of_http(f"{site.rtcd_url}/version")))
    if context.paired is not None:
        found.append(("stand-in", site.media[0].shown_host, lambda: _of_stand_in(context)))
    if context.credentials.turn_secret is not None and site.turn:
        found.append(("turn", str(site.turn[0]), lambda: _of_turn(context)))
    return found


def _asks_rtcd(site: Site) -> bool:
    return bool(site.rtcd_url) and (site.mode is None or site.vantage is Role.MATTERMOST)


async def _row(whose: str, target: str, read: Read) -> dict[str, Any] | None:
    """None where nobody tells the time: that nobody answers is for other checks to judge."""
    try:
        reading = await read()
    except (NetworkError, ProtocolError, FarEndError):
        return None
    if reading is None:
        return None
    told = {"offset_s": reading.offset_s, "uncertainty_s": reading.uncertainty_s}
    return {"whose": whose, "target": target, **told}


async def _of_http(url: str) -> Reading | None:
    from calls_doctor.net import clock

    return await clock.of_http(url, TIMEOUT_S)


async def _of_stand_in(context: Context) -> Reading | None:
    from calls_doctor.net import clock

    facts, between_s = await context.told(), context.told_between_s()
    if facts is None or between_s is None or not facts.unix_time_s:
        return None
    return clock.between(facts.unix_time_s, *between_s)


async def _of_turn(context: Context) -> Reading | None:
    from calls_doctor.net import turn_clock

    uri, secret = context.site.turn[0], context.credentials.turn_secret
    assert secret is not None, "asked for only where it is at hand"
    return await turn_clock.of_turn(uri, await relay.address_of(uri), secret, TIMEOUT_S)


async def _are_timed(context: Context) -> bool:
    """True where TURN credentials carry a time: made from a secret, or by their user name."""
    if context.credentials.turn_secret is not None:
        return True
    given = (await context.turn_credentials()).turn
    return given is not None and expiry_unix_s(given.username) is not None


def _apart_s(rows: list[dict[str, Any]]) -> float:
    """By how much any two clocks differ at least, this machine's own among them."""
    own = {"offset_s": 0.0, "uncertainty_s": 0.0}
    every = [own, *rows]
    differences: list[float] = [
        round(abs(one["offset_s"] - other["offset_s"]) - one["uncertainty_s"] - other["uncertainty_s"], 3)
        for n, one in enumerate(every)
        for other in every[n + 1 :]
    ]
    return max(0.0, *differences)


def _told(rows: list[dict[str, Any]]) -> str:
    off = [row for row in rows if abs(row["offset_s"]) - row["uncertainty_s"] > AGREE_S] or rows
    ways = {True: "ahead of", False: "behind"}
    words = (f"{row['target']} is {abs(row['offset_s']):.0f} s {ways[row['offset_s'] > 0]}" for row in off)
    return f"{', '.join(words)} this machine's clock"


def _no_clock(site: Site) -> str:
    asked = site.paired or site.mattermost_url or _asks_rtcd(site)
    return "" if asked or site.turn else NO_CLOCK


CHECKS = (
    CheckSpec(
        id="clocks.skew",
        title="The clocks of the site, the media host and this machine agree",
        probe=skew_probe,
        needs=("env.platform",),
        uses=("dns.site",),
        phases=NETWORK_PHASES,
        nothing_to_do=_no_clock,
        targets=lambda site: (
            [one for one in (site.mattermost_url, site.rtcd_url if _asks_rtcd(site) else "") if one]
            or [media.shown_host for media in site.media]
            or [str(uri) for uri in site.turn]
        ),
        packets_max=60,
        timeout_s=25.0,
        fails_when="Two clocks are more than 30 s apart, and TURN credentials carry a time (a warning from 2 s on, and "
        "where none do). A machine whose own clock is wrong takes good certificates for expired, and makes or takes "
        "TURN credentials whose time is over. Read from HTTP's Date (a second fine), from what the stand-in tells, and "
        "where the TURN secret is at hand from which credentials the server takes.",
    ),
)
