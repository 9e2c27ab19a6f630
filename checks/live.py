"""port.rtc-tcp-live: is it rtcd that has the media port's TCP side, as far as strangers can see?"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any  # rows of evidence are JSON
from urllib.parse import urlsplit

from calls_doctor.errors import NetworkError
from calls_doctor.model.check import API, TCP_ECHO, Evidence, Finding, Status
from calls_doctor.model.flow import CALLERS, Transport
from calls_doctor.model.site import MediaAddress, Phase, Site
from calls_doctor.net.knock import said_nothing
from calls_doctor.net.mux_reaction import Reaction, Reactions, reactions
from calls_doctor.net.sockets import trouble_word
from calls_doctor.spec import CheckSpec, Context, no_tcp, nothing_to_do, rtcd_versions
from calls_doctor.wire import rtcd_version

Row = dict[str, Any]
KINDS = {b"HTTP/": "a web server", b"\x15\x03": "a TLS server", b"\x16\x03": "a TLS server", b"SSH-": "an SSH server"}
"""How their answers to what is none of theirs begin."""


async def tcp_live_probe(context: Context) -> Finding:
    """One connection at a time to each media host, one packet on each."""
    if context.paired is not None:
        return nothing_to_do(f"a stand-in's link says more: {TCP_ECHO}")
    if any(map(rtcd_version.is_stand_in, rtcd_versions(context.results).values())):
        return nothing_to_do("a stand-in answers in rtcd's place; what it has at the media port its link tells")
    knocked = context.results.get(TCP_ECHO)
    if knocked is not None and "trouble" in knocked.evidence:
        return Finding(status=Status.SKIP, summary=knocked.summary, target=knocked.target, blocked_by=TCP_ECHO)
    hosts = _hosts(context.site)
    rows = await asyncio.gather(*(_row(one) for one in hosts))
    evidence: Evidence = {"hosts": rows}
    row = next((one for one in rows if not one["as_rtcds"]), rows[0])
    if not (context.site.media or row["as_rtcds"]):
        return nothing_to_do(f"no media host was named, and rtcd's own has no rtcd at the usual port: {row['target']}")
    return Finding(status=_status(context.site, row), summary=_summary(row), target=row["target"], evidence=evidence)


def _hosts(site: Site) -> list[MediaAddress]:
    """Those that were named; else rtcd's, as its API has it, at the port that it has by itself."""
    named = [one for one in site.media if one.tcp_port]
    return named or [MediaAddress(host=urlsplit(site.rtcd_url).hostname or "")]


async def _row(media: MediaAddress) -> Row:
    from calls_doctor.net import resolver

    row: Row = {"target": media.target(Transport.TCP), "as_rtcds": False}
    try:
        address = (await resolver.resolve(media.host))[0]
        found = await reactions((address, media.tcp_port), secrets.token_bytes)
    except NetworkError as error:
        word = "silent" if said_nothing(error) else trouble_word(error)
        return row | {"trouble": word, "trouble_detail": str(error)}
    row |= {"bare": found.bare, "unknown": found.unknown, "connect_s": round(found.connect_s, 6)}
    return row | {"as_rtcds": found.as_rtcds, "what": _what(found)}


def _what(found: Reactions) -> str:
    """What answers there, in words; "" where nothing does."""
    if not found.head:
        return ""
    return next((kind for head, kind in KINDS.items() if found.head.startswith(head)), "another service")


def _status(site: Site, row: Row) -> Status:
    """A way beside UDP's that is lost is a warning. What a machine that is no caller does not reach, callers may."""
    if row["as_rtcds"]:
        return Status.PASS
    undecided = row.get("trouble") == "silent" and site.vantage not in CALLERS
    return Status.UNKNOWN if undecided else Status.WARN


def _summary(row: Row) -> str:
    if "trouble" in row:
        return str(row["trouble_detail"])
    if row["as_rtcds"]:
        return "behaves as rtcd's media port does: consistent with rtcd, which only a call proves"
    if row["what"]:
        return f"is answered by {row['what']}, and not by rtcd"
    if row["bare"] == Reaction.HELD:
        return "holds a check without a user name, which rtcd closes at once: another service, or something in between"
    return "closes whatever comes, and rtcd holds a check with a user name: a proxy without rtcd behind it, or another"


def _nowhere(site: Site) -> str:
    if site.media:
        return no_tcp(site)
    return "" if site.rtcd_url else "no media host was named, nor rtcd's API"


CHECKS = (
    CheckSpec(
        id="port.rtc-tcp-live",
        title="TCP at the media port behaves as rtcd's does",
        probe=tcp_live_probe,
        uses=(API, TCP_ECHO),
        phases=frozenset({Phase.POST, Phase.UNDETERMINED}),
        nothing_to_do=_nowhere,
        targets=lambda site: [one.target(Transport.TCP) for one in _hosts(site)],
        packets_max=16,
        timeout_s=15.0,
        fails_when="It warns where TCP at the media port is refused, silent (from a caller's network), or taken by "
        "something that is not as rtcd: a web, TLS or SSH server that answers, or who does not close at once on a "
        "check without a user name and hold one with an unknown one. No credentials are needed, and a pass is no "
        "proof: it is consistent with rtcd. Where only rtcd's API was named port 8443 is looked at; what is not as "
        "rtcd's there is not judged, for rtcd may have another port.",
    ),
)
