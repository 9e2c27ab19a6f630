"""stun.*: do the STUN servers answer, and do they agree on our public address?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from statistics import median
from typing import Any  # evidence is JSON

import msgspec

from calls_doctor.errors import FarEndError, NetworkError, ProtocolError
from calls_doctor.model.check import UDP_ECHO, CheckResult, Evidence, Finding, Status
from calls_doctor.model.flow import CALLERS, Role, address_class
from calls_doctor.model.site import Phase, ServerUri, Site
from calls_doctor.modes import WITHOUT_RTCD
from calls_doctor.net import resolver
from calls_doctor.net.sockets import trouble_row
from calls_doctor.net.stun_client import binding
from calls_doctor.spec import CheckSpec, Context, no_stun, no_stun_answer

TRIES = 3
"""rtcd asks once and never again (catalogue 0.9), so one answer alone proves little."""


async def reach_probe(context: Context) -> Finding:
    """Binding requests to every STUN server, each address of a name by itself."""
    found = await asyncio.gather(*(_server(uri) for uri in context.site.stun))
    rows = [row for of_server in found for row in of_server]
    evidence: Evidence = {"servers": rows, "needed": _is_needed(context.site)}
    target = ", ".join(str(uri) for uri in context.site.stun)
    if not any(row["answered"] for row in rows):
        return Finding(status=Status.FAIL, summary=rows[0]["trouble_detail"], target=target, evidence=evidence)
    summary = ", ".join(_said(of_server) for of_server in found)
    complete = all(row["answered"] == row["tries"] for row in rows)
    return Finding(status=Status.PASS if complete else Status.WARN, summary=summary, target=target, evidence=evidence)


def _weighed(site: Site, finding: Finding, results: Mapping[str, CheckResult]) -> Finding:
    """A caller whom the media port answers can call without STUN. The self-test wants every stage."""
    echo = results.get(UDP_ECHO)
    spared = site.vantage in CALLERS and site.phase is not Phase.SELF_TEST
    if spared and echo is not None and echo.status is Status.PASS:
        return msgspec.structs.replace(finding, status=Status.WARN)
    return finding


def _is_needed(site: Site) -> bool:
    """A server needs STUN to learn its public address where it serves media, no override tells it, and callers are
    outside. A caller is told by it how others see him; and the self-test wants every stage."""
    if site.vantage not in (Role.MEDIA, Role.MATTERMOST) or site.phase is Phase.SELF_TEST:
        return True
    serves_media = site.vantage is Role.MEDIA or site.mode in WITHOUT_RTCD
    return serves_media and not site.host_override and site.users != "private"


async def _server(uri: ServerUri) -> list[dict[str, Any]]:
    """A row for each address of the name that this machine has a route to: rtcd takes whichever comes first."""
    try:
        addresses = resolver.routed(await resolver.resolve(uri.host))
    except NetworkError as error:
        return [_row(uri, "") | _trouble(uri, error)]
    return list(await asyncio.gather(*(_address(uri, address) for address in addresses)))


def _row(uri: ServerUri, address: str) -> dict[str, Any]:
    row = {"uri": str(uri), "address": address, "tries": TRIES, "answered": 0, "mapped": []}
    return row | {"trouble": "", "software": None}


def _trouble(uri: ServerUri, error: Exception) -> dict[str, Any]:
    row = trouble_row(error) if isinstance(error, NetworkError) else {"trouble": "not-stun"}
    return row | {"trouble_detail": f"{uri}: {error}"}


async def _address(uri: ServerUri, address: str) -> dict[str, Any]:
    row = _row(uri, address)
    rtts: list[float] = []
    try:
        for _ in range(TRIES):
            answer = await binding((address, uri.port), transport=uri.transport, tls_name=uri.host)
            rtts.append(answer.rtt_s)
            row["mapped"].append(list(answer.mapped))
            row["software"] = answer.software
            if answer.other is not None:
                row["other_address"] = list(answer.other)
    except (NetworkError, FarEndError, ProtocolError) as error:
        row |= _trouble(uri, error)
    row["answered"] = len(rtts)
    if rtts:
        row["rtt_p50_s"] = round(median(rtts), 6)
    return row


def _said(rows: list[dict[str, Any]]) -> str:
    """What one server did, over all addresses of its name."""
    uri, answering = rows[0]["uri"], [row for row in rows if row["answered"]]
    if not answering:
        return f"{uri} does not answer"
    words = [f"{uri} answers in {median(row['rtt_p50_s'] for row in answering) * 1000:.1f} ms"]
    if some := [row["address"] for row in answering if row["answered"] < row["tries"]]:
        words.append(f"not every time at {' and '.join(some)}")
    if none := [row["address"] for row in rows if not row["answered"]]:
        words.append(f"not at {' and '.join(none)}")
    return ", but ".join((words[0], " and ".join(words[1:]))) if words[1:] else words[0]


async def public_ip_probe(context: Context) -> Finding:
    """The mapped addresses that stun.reach was given, compared; IPv4 with IPv4 and IPv6 with IPv6."""
    if nothing := no_stun_answer(context):
        return nothing
    rows = [row for row in context.results["stun.reach"].evidence["servers"] if row["mapped"]]
    by_server = {
        uri: sorted({ip for row in rows if row["uri"] == uri for ip, _ in row["mapped"]}, key=_by_family)
        for uri in dict.fromkeys(row["uri"] for row in rows)
    }
    addresses = sorted({ip for found in by_server.values() for ip in found}, key=_by_family)
    families = [is_ipv6 for is_ipv6, _ in map(_by_family, addresses)]
    evidence: Evidence = {
        "mapped": by_server,
        "addresses": addresses,
        "address_class": address_class(addresses[0]),
        "servers_agree": len(set(families)) == len(families),
    }
    if not evidence["servers_agree"]:
        said = "; ".join(f"{uri} says {' and '.join(found)}" for uri, found in by_server.items())
        return Finding(status=Status.WARN, summary=f"the servers disagree: {said}", evidence=evidence)
    seen = " and ".join(f"{ip} ({address_class(ip)})" for ip in addresses)
    by = f"{len(by_server)} servers agree" if len(by_server) > 1 else f"{rows[0]['uri']} says so"
    return Finding(status=Status.PASS, summary=f"seen from outside as {seen}: {by}", evidence=evidence)


def _by_family(ip: str) -> tuple[bool, str]:
    """IPv4 first: that is what callers are given most."""
    return ":" in ip, ip


CHECKS = (
    CheckSpec(
        id="stun.reach",
        title="The STUN servers answer",
        probe=reach_probe,
        needs=("env.platform",),
        weighed=_weighed,
        weighed_by=(UDP_ECHO,),
        nothing_to_do=no_stun,
        targets=lambda site: [str(uri) for uri in site.stun],
        packets_max=6 * TRIES,
        timeout_s=12.0,
        fails_when="No Binding request was answered: a firewall on the way out, a wrong name or port, or a server that "
        "is down. A media host without a configured public address needs STUN to learn it. For a caller whom the media "
        "port answers it is a warning: calls work without.",
    ),
    CheckSpec(
        id="stun.public-ip",
        title="The STUN servers agree on the address by which this machine is seen",
        probe=public_ip_probe,
        needs=("stun.reach",),
        nothing_to_do=no_stun,
        fails_when="Two servers, or two answers of one, name different public addresses: several ways out, or a server "
        "that sits inside the network and sees something else.",
    ),
)
