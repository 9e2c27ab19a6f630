"""nat.*: what address translation does to callers and to the media host, and whether what is announced can be reached.

The stand-in tells what rtcd would hand to callers with this site's settings; whether that works is tried from here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any  # evidence is JSON

from calls_doctor.errors import FarEndError
from calls_doctor.model.check import UDP_ECHO, Evidence, Finding, Status
from calls_doctor.model.flow import CALLERS, SERVERS, Address, Transport, address_class, shown
from calls_doctor.model.site import Site
from calls_doctor.spec import (
    NETWORK_PHASES,
    PAIRED_PHASES,
    RTCD_CALLS,
    UNTOLD,
    AtRtcd,
    CheckSpec,
    Context,
    no_rtcd_api,
    no_stun,
    no_stun_answer,
    over_loopback,
)
from calls_doctor.wire.filtering import Filtering, FilteringTest, Outcome, changes_offered, filtering_of
from checks import advertised
from checks.advertised import IN, STUN, caller_is_public

if TYPE_CHECKING:
    from calls_doctor.model.facts import Facts
    from calls_doctor.net.paired import PairedHost

MAPPING_WORDS = {
    "none": "no NAT: this machine is seen by its own address",
    "endpoint-independent": "one mapping for all destinations",
    "address-dependent": "a new mapping for each destination (symmetric NAT)",
}
TEST_TROUBLES = {
    Outcome.REFUSED: "the STUN server refuses to answer from its other address",
    Outcome.NOT_CHANGED: "the STUN server does not answer from its other address",
    Outcome.ELSEWHERE: "the STUN server answers from another address than the one it names",
    Outcome.UNANSWERED: "the STUN server did not answer every socket",
    Outcome.OTHER_SILENT: "the STUN server's other address is silent when it is asked itself too",
}
"""Why a test of filtering says nothing."""
ONE_ADDRESS = "the STUN server has one address: what comes from its other port is let in, from others is not known"


async def type_probe(context: Context) -> Finding:
    """One socket asks several STUN servers, or one of them at two ports: is it seen by one address or by several? And
    where one of them answers from another address on request: does that reach a socket that never sent there?"""
    from calls_doctor.net.mapping import mappings

    if nothing := no_stun_answer(context):
        return nothing
    servers = _answering(context)
    evidence = await _filtering(servers)  # before anything of ours has gone to the other addresses
    seen = await mappings(list(servers))
    evidence["mapped"] = [
        {"server": shown(one.server), "local": list(one.local), "mapped": list(one.mapped)} for one in seen
    ]
    of_family = [[one.mapped for one in seen if (":" in one.server[0]) is ipv6] for ipv6 in (False, True)]
    compared = [len(set(mapped)) for mapped in of_family if len(mapped) > 1]
    if not compared:
        summary = f"{len(seen)} STUN servers answered one socket; two are needed to compare"
        return Finding(status=Status.UNKNOWN, summary=summary, evidence=evidence)
    symmetric = max(compared) > 1
    own = all(one.mapped == one.local for one in seen)
    evidence["mapping"] = "address-dependent" if symmetric else "none" if own else "endpoint-independent"
    evidence["port_preserved"] = all(one.mapped[1] == one.local[1] for one in seen)
    words = MAPPING_WORDS[evidence["mapping"]]
    if evidence["filtering"] is not Filtering.UNKNOWN:
        words += f", {evidence['filtering']} filtering"
    # A caller behind a symmetric NAT calls a server with a public address as well as any other (RFC 5780 section 3).
    status = Status.WARN if symmetric and context.site.vantage in SERVERS else Status.PASS
    return Finding(status=status, summary=words, evidence=evidence)


def _answering(context: Context) -> dict[Address, Address | None]:
    """The addresses that answered stun.reach over UDP, with the other address that each of them names."""
    rows = context.results["stun.reach"].evidence["servers"]
    return {
        (row["address"], uri.port): tuple(row["other_address"]) if "other_address" in row else None
        for uri in context.site.stun if uri.transport == "udp"
        for row in rows if row["uri"] == str(uri) and row["answered"]
    }  # fmt: skip


async def _filtering(servers: Mapping[Address, Address | None]) -> Evidence:
    """What the first server finds that can be asked for answers from an address to which nothing was sent yet: some
    NATs open themselves to an address for every socket."""
    from calls_doctor.net.filtering import filtering_tests

    hosts = {host for host, _ in servers}
    offers = [(server, other) for server, other in servers.items() if other and changes_offered(server, other)]
    fresh = [(server, other) for server, other in offers if other[0] not in hosts - {server[0]}]
    if not fresh:
        why = "the STUN server's other address was asked before" if offers else "no STUN server has another address"
        return {"filtering": Filtering.UNKNOWN, "filtering_tests": [], "filtering_unknown": why}
    tests = await filtering_tests(*fresh[0])
    outcomes = {test.change: test.outcome for test in tests if test.outcome}
    evidence: Evidence = {"filtering": filtering_of(outcomes), "filtering_tests": [_tested(test) for test in tests]}
    if evidence["filtering"] is Filtering.UNKNOWN:
        troubles = [TEST_TROUBLES[outcome] for outcome in outcomes.values() if outcome in TEST_TROUBLES]
        evidence["filtering_unknown"] = troubles[0] if troubles else ONE_ADDRESS
    return evidence


def _tested(test: FilteringTest) -> Evidence:
    answered_from = shown(test.answered_from) if test.answered_from else None
    row = {"server": shown(test.server), "change": test.change.name.lower(), "expected_from": shown(test.expected)}
    return row | {"outcome": test.outcome, "answered_from": answered_from}


async def advertised_class_probe(context: Context) -> Finding:
    """Is there a candidate among those that callers would be handed which reaches as far as this caller is?"""
    facts = await context.told()
    if facts is None:
        return UNTOLD
    rows = _candidates(facts)
    evidence: Evidence = {"candidates": rows, "needs_stun": facts.needs_stun, "users": context.site.users}
    evidence |= {"caller_is_public": caller_is_public(context), "override_name": facts.override_name}
    evidence["override_trouble"] = facts.override_trouble
    if not rows:
        return Finding(status=Status.FAIL, summary="callers would be handed no address at all", evidence=evidence)
    public = [row for row in rows if not row["private"]]
    named = ", ".join(dict.fromkeys(f"{row['address']} ({row['class']}, {row['kind']})" for row in rows))
    if public or context.site.users == "private" or not evidence["caller_is_public"]:
        return Finding(status=Status.PASS, summary=f"callers would be handed {named}", evidence=evidence)
    summary = f"callers would be handed private addresses only: {named}"
    return Finding(status=Status.FAIL, summary=summary, evidence=evidence)


async def advertised_reachable_probe(context: Context) -> Finding:
    """An echo to each address and port that callers would be handed."""
    facts, paired = await context.told(), context.paired
    if facts is None or paired is None:
        return UNTOLD
    wanted = {(row["address"], row["port"]): row for row in _candidates(facts) if row["protocol"] == "udp"}
    rows = await asyncio.gather(*(_reached(context, paired, row) for row in wanted.values()))
    evidence: Evidence = {"candidates": list(rows), "caller_is_public": caller_is_public(context)}
    evidence |= {"override_name": facts.override_name, "media_port": facts.media_port}
    reached = [row for row in rows if row["returned"]]
    if reached:
        first = reached[0]
        summary = f"{_shown(first)} ({first['kind']}) is reached"
        return Finding(status=Status.PASS, summary=summary, evidence=evidence)
    named = ", ".join(_shown(row) for row in rows) or "nothing"
    summary = f"none of what callers would be handed is reached from here: {named}"
    evidence["elsewhere"] = await _elsewhere(context, paired, facts, list(wanted))
    if there := [row for row in evidence["elsewhere"] if row["returned"]]:
        summary += f"; it answers at {_shown(there[0])}"
    return Finding(status=Status.FAIL, summary=summary, evidence=evidence)


async def _elsewhere(
    context: Context, paired: PairedHost, facts: Facts, announced: Sequence[Address]
) -> list[dict[str, Any]]:
    """An echo to what is known of the media port and announced by nobody: as STUN servers see it, as the link has it,
    and the site's own port override. No port is guessed."""
    port = context.site.host_port_override
    known = {seen.mapped: "mapped" for seen in facts.stun if seen.mapped}
    known |= {(address, port): "site" for address, _ in announced if port}
    known[await paired.address(), paired.udp_port] = "link"
    rows = [
        {"kind": kind, "protocol": "udp", "address": address, "port": port}
        for (address, port), kind in known.items()
        if (address, port) not in announced
    ]
    return list(await asyncio.gather(*(_reached(context, paired, row) for row in rows)))


def _shown(row: Evidence) -> str:
    return shown((row["address"], row["port"]))


async def _reached(context: Context, paired: PairedHost, row: dict[str, Any]) -> dict[str, Any]:
    echo = context.results.get(UDP_ECHO)
    known = echo.evidence if echo else {}
    if "returned" in known and (row["address"], row["port"]) == (await paired.address(), paired.udp_port):
        return row | {"sent": known["sent"], "returned": known["returned"], "answered_by": UDP_ECHO}
    outcome = await paired.at(row["address"], row["port"]).echo_once(Transport.UDP)
    return row | {"sent": outcome.sent, "returned": len(outcome.returned)}


async def hairpin_probe(context: Context) -> Finding:
    """From inside the servers' network, or the host itself: the public address that callers use.

    A caller is inside where the media host answers it by a private address, and only there is it asked.
    """
    paired, facts = context.paired, await context.told()
    if paired is None:
        return UNTOLD
    public, private = await _addresses(context, paired, facts)
    evidence: Evidence = {"public_addresses": public, "users": context.site.users}
    direct = [row for row in await _echoes(paired, private) if row["udp"] or row["tcp"]]
    evidence["inside"] = bool(direct) or context.site.vantage in SERVERS
    evidence["direct"] = [row["address"] for row in direct]
    # What the private address does not carry either is shut, whatever is reflected.
    counting = [one for one in ("udp", "tcp") if not direct or any(row[one] for row in direct)]
    evidence["counting"] = counting
    if not evidence["inside"]:
        return Finding(status=Status.SKIP, summary="this caller is not in the servers' network", evidence=evidence)
    if not public:
        return Finding(status=Status.SKIP, summary="the media host has no public address", evidence=evidence)
    here_are_callers = context.site.vantage in CALLERS or context.site.users == "hybrid"
    evidence["needed"] = here_are_callers or _has_turn(context.site, facts)
    rows = evidence["rows"] = await _echoes(paired, public)
    target = ", ".join(paired.at(row["address"], paired.udp_port).target(Transport.UDP) for row in rows)
    if all(row[one] != 0 for row in rows for one in counting):
        summary = "the public address works from inside too"
        return Finding(status=Status.PASS, summary=summary, target=target, evidence=evidence)
    silent = (
        ", ".join(f"{row['address']} ({'UDP and TCP' if row['tcp'] == 0 else 'UDP'})" for row in rows if not row["udp"])
        if "udp" in counting
        else ""
    )
    summary = f"the public address does not work from inside: {silent or 'TCP'}"
    if facts is None and not direct:  # nothing of the media host was heard at all
        return Finding(status=Status.UNKNOWN, summary=summary, target=target, evidence=evidence)
    status = Status.FAIL if evidence["needed"] else Status.WARN
    return Finding(status=status, summary=summary, target=target, evidence=evidence)


def _has_turn(site: Site, facts: Facts | None) -> bool:
    return bool(site.turn or (facts is not None and (facts.turn_port or facts.turn_servers)))


async def _addresses(context: Context, paired: PairedHost, facts: Facts | None) -> tuple[list[str], list[str]]:
    """The media host's public and private addresses: as it says itself, else the link's and what the site puts behind
    it (another media host's stand-in has another key, and would be silent)."""
    if facts is not None:
        every = [*facts.public_addresses, *facts.local_addresses]
    else:
        here = await paired.address()
        every = [here, *(private for public, private in context.site.nat if public == here)]
    usable = [one for one in dict.fromkeys(every) if not address_class(one).is_loopback]
    private = [one for one in usable if address_class(one).is_private]
    return [one for one in usable if one not in private], private


async def _echoes(paired: PairedHost, addresses: Sequence[str]) -> list[dict[str, Any]]:
    """What comes back of a few probes to each, over UDP and TCP (None: TCP is not wanted)."""

    async def one(address: str) -> dict[str, Any]:
        host = paired.at(address, paired.udp_port)
        udp, tcp = await asyncio.gather(_came_back(host, Transport.UDP), _came_back(host, Transport.TCP))
        return {"address": address, "udp": udp, "tcp": tcp}

    return list(await asyncio.gather(*(one(address) for address in addresses)))


async def _came_back(host: PairedHost, transport: Transport) -> int | None:
    if transport is Transport.TCP and not host.tcp_port:
        return None
    try:
        return len((await host.echo_once(transport)).returned)
    except FarEndError:  # it is full, and has said so
        return 1


def _candidates(facts: Facts) -> list[dict[str, Any]]:
    rows = []
    for one in facts.announced:
        kind = address_class(one.address)
        rows.append({
            "kind": one.kind, "protocol": one.protocol, "address": one.address, "port": one.port,
            "class": str(kind), "private": kind.is_private,
        })  # fmt: skip
    return rows


def _no_caller(site: Site) -> str:
    return over_loopback(site) if site.paired else "no stand-in tells what it would announce: give its link with --peer"


CHECKS = (
    CheckSpec(
        id="nat.type",
        title="It is known how this machine's NAT maps",
        probe=type_probe,
        needs=("stun.reach",),
        nothing_to_do=no_stun,
        targets=lambda site: [*map(str, site.stun), "the other address that one of them names"],
        phases=NETWORK_PHASES,
        packets_max=28,
        timeout_s=8.0,
        fails_when="A symmetric NAT before the media host maps its port anew for each caller: callers then send to a"
        " port that nothing leads to. At a caller it does no harm. What a NAT or firewall filters (from whom it lets"
        " packets in unasked) never fails this; it is told where a STUN server answers from a second address on"
        " request (RFC 5780; coturn with two `listening-ip`).",
    ),
    CheckSpec(
        id="nat.advertised-class",
        title="Callers are handed an address that reaches as far as they are",
        probe=advertised_class_probe,
        about_host=True,
        uses=(UDP_ECHO, "stun.public-ip"),
        vantages=CALLERS,
        phases=PAIRED_PHASES,
        nothing_to_do=_no_caller,
        at_rtcd=AtRtcd(
            probe=advertised.class_probe,
            nothing_to_do=no_rtcd_api,
            needs=IN,
            uses=(*RTCD_CALLS, STUN),
            packets_max=0,
            timeout_s=5.0,
        ),
        fails_when="Only private addresses, or none: the media host sits behind NAT, no ICE host override is set and"
        " STUN does not answer it. Of rtcd itself the candidates count that it trickles, loopback aside; where these "
        "are private, a caller's own network decides whether it is in theirs.",
    ),
    CheckSpec(
        id="nat.advertised-reachable",
        title="What callers are handed is reached from here",
        probe=advertised_reachable_probe,
        about_host=True,
        needs=("nat.advertised-class",),
        uses=(UDP_ECHO,),
        vantages=CALLERS,
        phases=PAIRED_PHASES,
        nothing_to_do=_no_caller,
        targets=lambda _site: ["each address and port that callers would be handed (the stand-in tells), UDP"],
        packets_max=6,
        timeout_s=8.0,
        at_rtcd=AtRtcd(
            probe=advertised.reachable_probe,
            nothing_to_do=no_rtcd_api,
            needs=(*IN, "nat.advertised-class"),
            uses=RTCD_CALLS,
            packets_max=0,
            timeout_s=5.0,
        ),
        fails_when="The address or port that is announced is not the one that leads to the media host. Of rtcd itself "
        "each candidate counts to which a call's checks went: whether they were answered, unasked by rtcd's own.",
    ),
    CheckSpec(
        id="nat.hairpin",
        title="The public address of the media host works from inside its own network",
        probe=hairpin_probe,
        about_host=True,
        phases=PAIRED_PHASES,
        nothing_to_do=_no_caller,
        targets=lambda _site: ["each of the media host's addresses (the stand-in tells), UDP and TCP"],
        packets_max=12,
        timeout_s=8.0,
        fails_when="The firewall does not reflect: callers in the servers' network, and a TURN server there, cannot "
        "use the public address (needed where `users` is hybrid, or TURN stands in the same network).",
    ),
)
