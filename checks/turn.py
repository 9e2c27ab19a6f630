"""turn.*: does the server ask for credentials, take ours, and allow the media host as a peer? (Data: checks/relay.py.)

Each check looks at every TURN URI by itself: one that works is enough for calls, one that does not is still named.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any  # evidence is JSON

import msgspec

from calls_doctor.errors import FarEndError, NetworkError, ProtocolError, TlsError
from calls_doctor.model.check import CheckResult, Evidence, Finding, Status
from calls_doctor.model.flow import address_class
from calls_doctor.model.site import Phase, ServerUri
from calls_doctor.net import relay, resolver
from calls_doctor.net.sockets import trouble_row
from calls_doctor.net.turn_client import Allocation
from calls_doctor.spec import (
    CheckSpec,
    Context,
    TurnServers,
    no_turn,
    nothing_to_do,
    turn_by_stand_in,
    turn_targets,
)
from calls_doctor.wire.turn_stream import CARRIES_TLS

RELAY_PORTS = "turn.relay_ports"
"""Of the site file, where it says them."""


def _row(uri: ServerUri, servers: TurnServers) -> dict[str, Any]:
    row = {"uri": str(uri), "transport": uri.transport, "ok": False, "trouble": "", "code": None}
    return row | ({"stands_in": True} if servers.stands_in else {})


def _blame(row: dict[str, Any], error: Exception) -> None:
    """Writes into the row what went wrong, in a word that causes decide by and a sentence for people."""
    row["detail"] = str(error)
    if isinstance(error, FarEndError):
        row["trouble"], row["code"] = "refused-request", error.code
    elif isinstance(error, NetworkError):
        row |= trouble_row(error)
    else:
        row["trouble"] = "tls" if isinstance(error, TlsError) or str(error) == CARRIES_TLS else "not-turn"


async def challenge_probe(context: Context) -> Finding:
    """An Allocate without credentials must be refused with 401, a realm and a nonce."""
    servers = await context.turn()
    if not servers.uris:
        return nothing_to_do(servers.why_none)

    async def one(uri: ServerUri) -> dict[str, Any]:
        row = _row(uri, servers)
        try:
            answer = await context.relays.challenge(uri)
        except (NetworkError, ProtocolError, FarEndError) as error:
            _blame(row, error)
            return row
        row |= {"code": answer.code, "realm": answer.realm, "has_nonce": answer.has_nonce}
        row |= {"software": answer.software, "rtt_s": round(answer.rtt_s, 6)}
        row["ok"] = answer.code == 401 and answer.has_nonce and bool(answer.realm)
        if not row["ok"]:
            row["trouble"] = "open" if answer.code == 0 else "odd-answer"
            row["detail"] = f"{uri} {'gave a relay to nobody in particular' if answer.code == 0 else 'answered oddly'}"
        return row

    rows = await asyncio.gather(*(one(uri) for uri in servers.uris))
    opened = [row for row in rows if row["trouble"] == "open"]
    return _judge(rows, "asks for credentials", strict=bool(opened) or _every_stage_counts(context))


async def allocate_probe(context: Context) -> Finding:
    """An allocation with the credentials at hand, over every URI that asked for them, all at once; the first at each
    host is kept for the checks that come next."""
    servers, given = await context.turn(), await context.turn_credentials()
    credentials = relay.credentials_of(given, time.time())
    if credentials is None:
        return Finding(status=Status.SKIP, summary="no TURN credentials were given (CALLS_DOCTOR_TURN_SECRET, or "
                       "CALLS_DOCTOR_TURN_USERNAME and _CREDENTIAL)")  # fmt: skip

    uris = _answering(context, servers)
    kept = set({uri.host: uri for uri in reversed(uris)}.values())

    async def one(uri: ServerUri, *, alone: bool = False) -> dict[str, Any]:
        row = _row(uri, servers)
        try:
            async with context.relays.lent(uri, given, keep=uri in kept and not alone, patient=alone) as allocation:
                row |= _allocated(allocation)
        except (NetworkError, ProtocolError, FarEndError) as error:
            _blame(row, error)
            row |= relay.life_of(credentials, time.time())
            row["issued_by"] = relay.issuer(context.credentials, given)
        return row

    rows = {uri: row for uri, row in zip(uris, await asyncio.gather(*map(one, uris)), strict=True)}

    async def again(host: str) -> None:
        """One after the other: a quota that allows one relay must not be used up by ourselves."""
        refused = [uri for uri in uris if uri.host == host and rows[uri]["code"] == relay.ALLOCATION_QUOTA_REACHED]
        if refused:
            await context.relays.end_all(host)
        for uri in refused:
            rows[uri] = await one(uri, alone=True)

    await asyncio.gather(*map(again, {uri.host for uri in uris}))
    return _judge_allocations(context, list(rows.values()))


def _judge_allocations(context: Context, rows: list[dict[str, Any]]) -> Finding:
    relay_private = [row for row in rows if row["ok"] and row["relayed_private"]]
    found = _judge(rows, "allocates a relay", strict=bool(relay_private) or _every_stage_counts(context))
    first, last = context.site.relay_ports
    # The stand-in's range is that of the site file at its own side, which this side need not have.
    outside = [row for row in rows if row["ok"] and not row.get("stands_in") and not first <= row["relayed"][1] <= last]
    if found.status is not Status.PASS or not outside or RELAY_PORTS not in context.site.settings:
        return found
    said = (
        f"{outside[0]['uri']} relays from port {outside[0]['relayed'][1]}: firewalls are asked to open {first}-{last}"
    )
    return msgspec.structs.replace(found, status=Status.WARN, summary=said)


def _allocated(allocation: Allocation) -> dict[str, Any]:
    relayed_class, server_class = address_class(allocation.relayed[0]), address_class(allocation.server[0])
    return {
        "ok": True,
        "relayed": list(allocation.relayed),
        "relayed_class": str(relayed_class),
        "server_class": str(server_class),
        # A private relay address is of no use to those who reach the server by a public one.
        "relayed_private": relayed_class.is_private and not server_class.is_private,
        "lifetime_s": allocation.lifetime_s,
        "software": allocation.software,
        "rtt_s": round(allocation.rtt_s, 6),
    }


def _answering(context: Context, servers: TurnServers) -> list[ServerUri]:
    """The URIs that asked for credentials; the others were judged by turn.challenge."""
    rows = context.results["turn.challenge"].evidence["servers"]
    answering = {row["uri"] for row in rows if row["ok"] or row["trouble"] == "open"}
    return [uri for uri in servers.uris if str(uri) in answering]


def _rows(result: CheckResult) -> list[dict[str, Any]]:
    return list(result.evidence.get("servers", ()))


async def permission_probe(context: Context) -> Finding:
    """CreatePermission at each server for each address of the media host; without one, for the relay's own address."""
    servers = await context.turn()
    good = [uri for uri in servers.uris for row in _rows(context.results["turn.allocate"])
            if row["ok"] and row["uri"] == str(uri)]  # fmt: skip
    at_hosts = list({uri.host: uri for uri in reversed(good)}.values())[::-1]
    target = ", ".join(str(uri) for uri in at_hosts)
    # The stand-in relays to itself alone, where there are other media hosts too.
    hosts = context.site.media[:1] if servers.stands_in else context.site.media
    try:
        peers = [ip for media in hosts for ip in await resolver.resolve(media.host)]
    except NetworkError as error:
        return Finding(status=Status.UNKNOWN, summary=str(error), target=target)
    found = await asyncio.gather(*(_permissions(context, servers, uri, peers) for uri in at_hosts))
    rows = [row for of_server in found for row in of_server]
    evidence: Evidence = {"servers": rows, "peer_is_media_host": bool(peers)}
    denied = [row for row in rows if not row["ok"]]
    if not denied:
        allowed = ", ".join(dict.fromkeys(row["peer"] for row in rows))
        return Finding(status=Status.PASS, summary=f"{allowed} allowed as a peer", target=target, evidence=evidence)
    status = Status.UNKNOWN  # a server that denies its own range has done nothing wrong
    if peers:
        some = any(all(row["ok"] for row in of_server) for of_server in found) and not _every_stage_counts(context)
        status = Status.WARN if some else Status.FAIL
    summary = ": ".join(str(denied[0][key]) for key in ("peer", "detail") if denied[0][key])
    return Finding(status=status, summary=summary, target=target, evidence=evidence)


async def _permissions(
    context: Context, servers: TurnServers, uri: ServerUri, peers: list[str]
) -> list[dict[str, Any]]:
    """A row for each peer that the relay's address can reach, or one for what came before."""
    rows: list[dict[str, Any]] = []
    try:
        given = await context.turn_credentials()
        async with context.relays.lent(uri, given, keep=True) as allocation:
            context.relays.open_ahead(uri, given)  # data between two, and a call, need one more
            ours = allocation.relayed[0]
            for peer in [ip for ip in peers if (":" in ip) == (":" in ours)] or peers or [ours]:
                rows.append(_row(uri, servers) | {"peer": peer})
                try:
                    await allocation.permit([peer])
                    rows[-1]["ok"] = True
                except (FarEndError, NetworkError, ProtocolError) as error:
                    _blame(rows[-1], error)
    except (NetworkError, ProtocolError, FarEndError) as error:
        rows.append(_row(uri, servers) | {"peer": ""})
        _blame(rows[-1], error)
    return rows


def _every_stage_counts(context: Context) -> bool:
    """The self-test is about this program and this machine: there is no fallback to be content with."""
    return context.site.phase is Phase.SELF_TEST


def _judge(rows: list[dict[str, Any]], does: str, strict: bool) -> Finding:
    """One that works is enough for calls, unless `strict`; all must work for a pass."""
    good = [row for row in rows if row["ok"]]
    target = ", ".join(row["uri"] for row in rows)
    evidence: Evidence = {"servers": rows}
    bad = [row for row in rows if not row["ok"] or row.get("relayed_private")]
    if bad and (strict or not good):
        first = bad[0]
        said = first.get("detail") or f"{first['uri']} hands out the private address {first['relayed'][0]}"
        return Finding(status=Status.FAIL, summary=said, target=target, evidence=evidence)
    if len(good) < len(rows):
        said = "; ".join(row["detail"] for row in bad)
        return Finding(status=Status.WARN, summary=said, target=target, evidence=evidence)
    how = " and ".join(dict.fromkeys(row["transport"].upper() for row in rows))
    return Finding(status=Status.PASS, summary=f"{does} over {how}", target=target, evidence=evidence)


CHECKS = (
    CheckSpec(
        id="turn.challenge",
        title="The TURN server asks for credentials",
        probe=challenge_probe,
        needs=("env.platform",),
        nothing_to_do=no_turn,
        about_host_where=turn_by_stand_in,
        targets=turn_targets,
        guide_steps=("1.6.10", "1.6.11"),
        packets_max=8,
        timeout_s=10.0,
        fails_when="Nothing answers (blocked or not running), something that is no TURN server answers, or the server "
        "gives a relay to anyone who asks.",
    ),
    CheckSpec(
        id="turn.allocate",
        title="The TURN server takes the credentials and gives a relay address",
        probe=allocate_probe,
        needs=("turn.challenge",),
        nothing_to_do=no_turn,
        about_host_where=turn_by_stand_in,
        targets=turn_targets,
        packets_max=12,
        timeout_s=15.0,
        fails_when="401 after authentication means a wrong secret or password, or a user name that has expired; 486 a "
        "quota; a private relay address means that the server behind NAT was not told its public one (external-ip). A "
        "relay port outside the `relay_ports` that a site file names is a warning.",
    ),
    CheckSpec(
        id="turn.permission",
        title="The TURN server allows the media host as a peer",
        probe=permission_probe,
        needs=("turn.allocate",),
        nothing_to_do=no_turn,
        about_host_where=turn_by_stand_in,
        targets=turn_targets,
        packets_max=12,
        timeout_s=10.0,
        fails_when="403: the server's denied-peer-ip covers the address that calls announce.",
    ),
)
