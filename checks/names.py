"""dns.*: does every name lead where it should, in time, from where it is used?

What counts is what the applications of this machine get (getaddrinfo); what each of its resolvers says stands beside it
and tells a name that does not exist from a resolver that fails. Every address of a name is tried, of both families.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Any  # rows of evidence are JSON
from urllib.parse import urlsplit

from calls_doctor.model.check import Evidence, Finding, Status
from calls_doctor.model.flow import CALLERS, Role, address_class, is_literal, reachable_by_address
from calls_doctor.model.site import Site
from calls_doctor.modes import WITHOUT_RTCD
from calls_doctor.net import address_try
from calls_doctor.net.address_try import Try
from calls_doctor.net.sockets import local_addresses
from calls_doctor.spec import NETWORK_PHASES, CheckSpec, Context

if TYPE_CHECKING:
    from calls_doctor.net.name_look_up import NameSeen
    from calls_doctor.net.name_service import NameService
    from calls_doctor.net.paired import PairedHost

Row = dict[str, Any]
TryFor = Callable[[str, Sequence[str]], Try | None]
"""How to try the addresses of a name."""
OVERRIDE_S = 1.0
"""The media host gives the name of its ICE host override no longer, and a join fails then (catalogue 0.11)."""
TTL_S = 60
"""Longer, and callers are still sent to a media host that was taken out of the name."""
ADDRESSES_MAX = 8
"""Of one name; more are not tried."""
LOOK_UP, NAME_SERVICE = "calls_doctor.net.name_look_up", "calls_doctor.net.name_service"
"""Loaded where there is a name, and beside the other checks: dnspython takes a tenth of a second."""
LIGHT = ("dns.slow", "dns.stale-record", "dns.ipv6-dead")
"""Faults with which calls still work, mostly."""


async def media_names_probe(context: Context) -> Finding:
    """The names by which callers come to media, STUN and TURN; at the media host those that it looks up itself."""
    return await _looked_at(context, media_names(context.site), lambda name, of: _media_try(context, name, of))


async def site_probe(context: Context) -> Finding:
    """The site's name; every address takes a TCP connection at the URL's port."""
    url = context.site.mattermost_url
    return await _looked_at(context, {_host(url): ["site"]}, lambda *_: address_try.by_connection(url))


async def rtcd_probe(context: Context) -> Finding:
    """The name in the RTCD service URL: the plugin keeps a connection to each of its IPv4 addresses."""
    url = context.site.rtcd_url
    return await _looked_at(context, {_host(url): ["rtcd"]}, lambda *_: address_try.by_connection(url))


def media_names(site: Site) -> dict[str, list[str]]:
    """Name -> what it is used for at this vantage."""
    uses: dict[str, list[str]] = {}

    def add(use: str, hosts: Iterable[str]) -> None:
        for host in hosts:
            if host and not is_literal(host) and use not in uses.setdefault(host, []):
                uses[host].append(use)

    if site.vantage in CALLERS:
        add("media", site.media_names)
    elif _serves_media(site):
        add("override", [site.host_override])
    else:
        return {}
    add("stun", (uri.host for uri in site.stun))
    add("turn", (uri.host for uri in site.turn))
    return uses


def _serves_media(site: Site) -> bool:
    return site.vantage is Role.MEDIA or (site.vantage is Role.MATTERMOST and site.mode in WITHOUT_RTCD)


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


async def _looked_at(context: Context, names: Mapping[str, list[str]], try_for: TryFor) -> Finding:
    look_up, name_service = await asyncio.to_thread(lambda: (import_module(LOOK_UP), import_module(NAME_SERVICE)))
    service: NameService = await asyncio.to_thread(name_service.read)
    known = await _known(context)

    async def one(name: str, uses: list[str]) -> Row:
        row = _row(await look_up.look_at(name, service), uses)
        addresses = row["addresses"]
        if "rtcd" in uses:
            row["addresses"] = addresses = [one for one in addresses if ":" not in one["address"]]
        # Of one public address alone nothing can be told that the checks of its service do not tell.
        telling = len(addresses) > 1 or {"media", "site"} & set(uses) or any(one["private"] for one in addresses)
        attempt = try_for(name, [one["address"] for one in addresses]) if telling else None
        found = await asyncio.gather(*(address_try.tried(one["address"], attempt) for one in addresses))
        for at, tried in zip(addresses, found, strict=True):
            at |= {"known": at["address"] in known, "answers": tried.answers, "trouble": tried.trouble}
        return row

    rows = await asyncio.gather(*(one(name, uses) for name, uses in names.items()))
    faults = [fault for row in rows for fault in _faults(context, row, known)]
    evidence: Evidence = {"names": rows, "faults": faults, "sources": list(service.sources)}
    return Finding(
        status=_status(rows, faults), summary="; ".join(_said(row, faults) for row in rows),
        target=", ".join(names), evidence=evidence,
    )  # fmt: skip


async def _known(context: Context) -> set[str]:
    """Addresses that the site and the links say are media hosts', and those that are said to be rtcd's."""
    site = context.site
    nodes = site.settings["rtcd.nodes"].value if "rtcd.nodes" in site.settings else []
    found = {address for pair in site.nat for address in pair} | set(nodes if isinstance(nodes, list) else ())
    found |= {one.host for one in (*site.media, *site.media_beside_links) if is_literal(one.host)}
    return found | {address for one in _hosts(context) if (address := await address_try.address_of(one))}


def _hosts(context: Context) -> list[PairedHost]:
    return [*([context.paired] if context.paired else ()), *context.others]


def _row(seen: NameSeen, uses: list[str]) -> Row:
    addresses = seen.system.addresses[:ADDRESSES_MAX]
    return {
        "name": seen.name,
        "used_for": uses,
        "addresses": [{"address": one, "private": address_class(one).is_private} for one in addresses],
        "took_s": round(seen.system.took_s, 6),
        "trouble": seen.trouble,
        "detail": str(seen.system.trouble or ""),
        "hosts_file": list(seen.in_hosts_file),
        "resolvers": [
            asdict(one) | {"outcome": str(one.outcome), "took_s": round(one.took_s, 6)} for one in seen.resolvers
        ],
    }


def _media_try(context: Context, name: str, addresses: Sequence[str]) -> Try | None:
    """An echo with the keys at hand to a media host's name; a Binding request to a server of STUN or TURN that has
    several addresses. The media host itself asks nobody. One family is told dead beside the other, so of both every
    address is tried, a link's own too."""
    site = context.site
    if site.vantage not in CALLERS:
        return None
    if name in site.media_names:
        hosts = _hosts(context)
        of_both_families = len({":" in one for one in addresses}) > 1
        return address_try.by_echo(hosts, linked_too=of_both_families) if hosts else None
    uri = next((uri for uri in (*site.turn, *site.stun) if uri.host == name), None)
    return address_try.by_binding(uri) if uri else None


def _faults(context: Context, row: Row, known: set[str]) -> list[Row]:
    """What is wrong with a name, each kind once, with the addresses that show it."""

    def fault(what: str, of: Sequence[Row] = (), detail: str = "") -> Row:
        addresses = [one["address"] for one in of]
        # Where the site says which addresses its media hosts have, one that it does not name is none of them.
        told = bool(context.site.nat) or "rtcd.nodes" in context.site.settings
        by_file = bool(addresses) and set(addresses) <= set(row["hosts_file"])
        return {
            "name": row["name"], "what": what, "addresses": addresses, "used_for": row["used_for"],
            "by_hosts_file": by_file, "told_otherwise": told, "detail": detail,
            "asked": all(one["answers"] is not None for one in of),
        }  # fmt: skip

    found = [fault(f"dns.{row['trouble']}", detail=_detail(row))] if row["trouble"] not in ("", "unresolved") else []
    if not row["addresses"] and not row["trouble"]:
        found.append(fault("dns.nxdomain", detail="has no IPv4 address, and the plugin takes no other"))
    kinds = _dead(context, row, known)
    return [*found, *(fault(what, of) for what, of in kinds.items())]


def _detail(row: Row) -> str:
    """What the name, or its resolver, does instead."""
    if row["trouble"] == "slow":
        return f"takes {row['took_s']:.1f} s to look up"
    if row["trouble"] == "nxdomain":
        gone = any(one["outcome"] == "nxdomain" for one in row["resolvers"]) or not row["resolvers"]
        return "does not exist (NXDOMAIN)" if gone else "has no address"
    bad = [one for one in row["resolvers"] if one["outcome"] in ("silent", "unreachable", "servfail", "refused")]
    return ", ".join(f"{one['server']}: {one['outcome']}" for one in bad) or row["detail"]


def _dead(context: Context, row: Row, known: set[str]) -> dict[str, list[Row]]:
    """Addresses from which nothing is heard, by what that makes of the name."""
    addresses: list[Row] = row["addresses"]
    dead = [one for one in addresses if one["answers"] is False or _is_misplaced(context, row, one)]
    untried = [one for one in addresses if one["answers"] is None and one["known"] and one not in dead]
    well = [*(one for one in addresses if one["answers"]), *untried]
    kinds: dict[str, list[Row]] = {}
    for one in dead:
        if what := _kind(context, row, one, well, known):
            kinds.setdefault(what, []).append(one)
    return kinds


def _is_misplaced(context: Context, row: Row, one: Row) -> bool:
    """Nobody is there to be asked, and the one name of the one media host leads to none of the addresses that the site
    file gives it for callers."""
    told = {public for public, _ in context.site.nat}
    alone = not _hosts(context) and context.site.media_names == (row["name"],)
    return alone and bool(told) and "media" in row["used_for"] and one["address"] not in told


def _kind(context: Context, row: Row, dead: Row, well: Sequence[Row], known: set[str]) -> str:
    if ":" in dead["address"] and well and all(":" not in one["address"] for one in well):
        return "dns.ipv6-dead"
    all_private = bool(well) and all(one["private"] for one in well)
    if dead["private"] and not all_private and "rtcd" not in row["used_for"]:
        is_elsewhere = not reachable_by_address(dead["address"], local_addresses())
        return "dns.private-answer" if is_elsewhere or _is_reached(context, row, known) else ""
    if dead["known"]:
        return ""  # that the media host is not reached there is no fault of the name's
    if well:
        return "" if dead["trouble"] == "refused" and _may_be_a_node(context, row) else "dns.stale-record"
    others = [one for one in known if not address_class(one).is_private]
    ours = _is_ours(context) or dead["answers"] is None
    return "dns.wrong-answer" if "media" in row["used_for"] and others and ours else ""


def _may_be_a_node(context: Context, row: Row) -> bool:
    """An address that refuses is there, and nothing listens on it yet: no fault of the name's, but where the site file
    says which addresses callers have of its media hosts, and this is none of them."""
    return "rtcd" in row["used_for"] or ("media" in row["used_for"] and not context.site.nat)


def _is_ours(context: Context) -> bool:
    """There are as many stand-ins as names of media hosts: a name that leads to none of them leads nowhere else."""
    return len(context.site.media_names) <= len({host.run for host in _hosts(context)})


def _is_reached(context: Context, row: Row, known: set[str]) -> bool:
    """The media host has a public address, and was heard from here: a private one that is silent is not for here."""
    others = any(not address_class(one).is_private for one in known)
    return "media" in row["used_for"] and others and any(host.heard for host in _hosts(context))


def _status(rows: Sequence[Row], faults: Sequence[Row]) -> Status:
    heavy = [one["used_for"] for one in faults if one["what"] not in LIGHT]
    heavy += [row["used_for"] for row in rows if row["trouble"] == "unresolved"]
    # Without STUN callers can call, and whether the media host needs it stun.reach tells.
    if any(set(uses) != {"stun"} for uses in heavy):
        return Status.FAIL
    return Status.WARN if heavy or faults or any(_oddities(row) for row in rows) else Status.PASS


def _oddities(row: Row) -> list[str]:
    """What works today, and is to be known."""
    said: list[str] = []
    if not row["addresses"]:
        return said
    differing = [one for one in row["resolvers"] if one["outcome"] in ("nxdomain", "no-data", "servfail", "refused")]
    if differing and len(differing) < len(row["resolvers"]):
        said += [f"{one['server']} says {one['outcome']}" for one in differing]
    if "override" in row["used_for"] and row["took_s"] > OVERRIDE_S:
        said.append("the media host waits 1 s for it")
    if "override" in row["used_for"] and len(row["addresses"]) > 1:
        said.append("the media host takes the first of them")
    ttl_s = max((one["ttl_s"] for one in row["resolvers"]), default=0)
    if "rtcd" in row["used_for"] and len(row["addresses"]) > 1 and ttl_s > TTL_S:
        said.append(f"its answers are kept for {ttl_s} s, {TTL_S} are enough")
    return said


_WORDS = {
    "dns.private-answer": "a private address that leads nowhere from here",
    "dns.wrong-answer": "where the media host is not",
    "dns.stale-record": "where nothing answers, beside one that does",
    "dns.ipv6-dead": "where nothing answers, beside an IPv4 address that does",
}


def _said(row: Row, faults: Sequence[Row]) -> str:
    name, found = row["name"], [one["address"] for one in row["addresses"]]
    if not found:
        resolvers = ", ".join(f"{one['server']}: {one['outcome']}" for one in row["resolvers"])
        return f"{name} has no address here ({resolvers or row['detail'] or 'no IPv4 address'})"
    words = [f"{name} is {' and '.join(found)} ({row['took_s'] * 1000:.0f} ms)"]
    if row["trouble"] in ("slow", "timeout"):
        words = [f"{name} is {' and '.join(found)}, after {row['took_s']:.1f} s"]
    mine = [one for one in faults if one["name"] == name and one["addresses"]]
    words += [f"{' and '.join(one['addresses'])}: {_WORDS[one['what']]}" for one in mine]
    return ", ".join([*words, *_oddities(row)])


def _no_media_name(site: Site) -> str:
    if site.vantage is Role.MATTERMOST and not _serves_media(site):
        return "a Mattermost node looks up no name for media: rtcd and callers do"
    return "" if media_names(site) else "no name is used for media, STUN or TURN here: addresses need no DNS"


def _no_site_name(site: Site) -> str:
    host = _host(site.mattermost_url)
    if not host:
        return "no Mattermost site was named"
    return "the site is an address and no name" if is_literal(host) else ""


def _no_rtcd_name(site: Site) -> str:
    host = _host(site.rtcd_url)
    if not host:
        return "no rtcd API was named: give it with --rtcd-url"
    return "rtcd's API is an address and no name" if is_literal(host) else ""


CHECKS = (
    CheckSpec(
        id="dns.site",
        title="The site's name leads to it",
        probe=site_probe,
        vantages=CALLERS | {Role.MATTERMOST},
        phases=NETWORK_PHASES,
        nothing_to_do=_no_site_name,
        targets=lambda site: [_host(site.mattermost_url)],
        packets_max=30,
        timeout_s=12.0,
        fails_when="The name has no address here, or a resolver fails (SERVFAIL) or is silent; an address of several "
        "takes no connection (a record of a server that is gone); IPv6 is dead where IPv4 works.",
    ),
    CheckSpec(
        id="dns.media-names",
        title="Every name of media, STUN and TURN leads there",
        probe=media_names_probe,
        vantages=CALLERS | {Role.MEDIA, Role.MATTERMOST},
        phases=NETWORK_PHASES,
        nothing_to_do=_no_media_name,
        targets=lambda site: list(media_names(site)),
        packets_max=100,
        timeout_s=15.0,
        fails_when="A name has no address here, its resolver fails or is silent, or it leads to an address where the "
        "media host is not: a private one outside its network, another host's, or one that is gone. Inside, a private "
        "address at which the media host answers is well (split DNS).",
    ),
    CheckSpec(
        id="dns.rtcd",
        title="The name in the RTCD service URL gives the addresses of every rtcd",
        probe=rtcd_probe,
        vantages=frozenset({Role.MATTERMOST}),
        phases=NETWORK_PHASES,
        nothing_to_do=_no_rtcd_name,
        targets=lambda site: [_host(site.rtcd_url)],
        packets_max=30,
        timeout_s=12.0,
        fails_when="The name has no IPv4 address within 2 s (the plugin takes no other), or one of several takes no "
        "connection: a record of a host that is gone.",
    ),
)
