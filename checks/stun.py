"""stun.*: do the STUN servers answer, and do they agree on our public address?"""

from __future__ import annotations

import asyncio
from statistics import median
from typing import Any  # evidence is JSON

from calls_doctor.errors import FarEndError, NetworkError, ProtocolError, Refused, Silence
from calls_doctor.model.check import Evidence, Finding, Status
from calls_doctor.model.flow import Role, address_class
from calls_doctor.model.site import Phase, ServerUri, Site
from calls_doctor.modes import WITHOUT_RTCD
from calls_doctor.net import resolver
from calls_doctor.net.stun_client import binding
from calls_doctor.spec import CheckSpec, Context

TRIES = 3
"""rtcd asks once and never again (catalogue 0.9), so one answer alone proves little."""


async def reach_probe(context: Context) -> Finding:
    """Binding requests to every STUN server, each address of a name by itself."""
    rows = await asyncio.gather(*(_server(uri) for uri in context.site.stun))
    evidence: Evidence = {"servers": rows, "needed": _is_needed(context.site)}
    answering = [row for row in rows if row["answered"]]
    target = ", ".join(str(uri) for uri in context.site.stun)
    if not answering:
        return Finding(status=Status.FAIL, summary=rows[0]["trouble_detail"], target=target, evidence=evidence)
    summary = ", ".join(
        f"{row['uri']} answers in {row['rtt_p50_s'] * 1000:.1f} ms"
        if row["answered"]
        else f"{row['uri']} does not answer"
        for row in rows
    )
    complete = all(row["answered"] == row["tries"] for row in rows)
    return Finding(status=Status.PASS if complete else Status.WARN, summary=summary, target=target, evidence=evidence)


def _is_needed(site: Site) -> bool:
    """A server needs STUN to learn its public address where it serves media, no override tells it, and callers are
    outside. A caller is told by it how others see him; and the self-test wants every stage."""
    if site.vantage not in (Role.MEDIA, Role.MATTERMOST) or site.phase is Phase.SELF_TEST:
        return True
    serves_media = site.vantage is Role.MEDIA or site.mode in WITHOUT_RTCD
    return serves_media and not site.host_override and site.users != "private"


async def _server(uri: ServerUri) -> dict[str, Any]:
    row: dict[str, Any] = {"uri": str(uri), "tries": TRIES, "answered": 0, "mapped": [], "trouble": ""}
    rtts: list[float] = []
    try:
        address = (await resolver.resolve(uri.host))[0]
        for _ in range(TRIES):
            answer = await binding((address, uri.port), transport=uri.transport, tls_name=uri.host)
            rtts.append(answer.rtt_s)
            row["mapped"].append(list(answer.mapped))
    except (NetworkError, FarEndError, ProtocolError) as error:
        row["trouble"] = _word(error)
        row["trouble_detail"] = f"{uri}: {error}"
    row["answered"] = len(rtts)
    if rtts:
        row["rtt_p50_s"] = round(median(rtts), 6)
    return row


def _word(error: Exception) -> str:
    if isinstance(error, Silence):
        return "silent"
    if isinstance(error, Refused):
        return "refused"
    return "unreachable" if isinstance(error, NetworkError) else "not-stun"


async def public_ip_probe(context: Context) -> Finding:
    """The mapped addresses that stun.reach was given, compared."""
    rows = [row for row in context.results["stun.reach"].evidence["servers"] if row["mapped"]]
    by_server = {row["uri"]: sorted({address for address, _ in row["mapped"]}) for row in rows}
    addresses = sorted({address for found in by_server.values() for address in found})
    evidence: Evidence = {
        "mapped": by_server,
        "addresses": addresses,
        "address_class": address_class(addresses[0]),
        "servers_agree": len(addresses) == 1,
    }
    if len(addresses) > 1:
        said = "; ".join(f"{uri} says {' and '.join(found)}" for uri, found in by_server.items())
        return Finding(status=Status.WARN, summary=f"the servers disagree: {said}", evidence=evidence)
    kind = evidence["address_class"]
    by = f"{len(by_server)} servers agree" if len(by_server) > 1 else f"{rows[0]['uri']} says so"
    return Finding(status=Status.PASS, summary=f"seen from outside as {addresses[0]} ({kind}): {by}", evidence=evidence)


def _none_named(site: Site) -> str:
    return "" if site.stun else "no STUN server was named: give it with --stun"


CHECKS = (
    CheckSpec(
        id="stun.reach",
        title="The STUN servers answer",
        probe=reach_probe,
        needs=("env.platform",),
        nothing_to_do=_none_named,
        targets=lambda site: [str(uri) for uri in site.stun],
        packets_max=6 * TRIES,
        timeout_s=12.0,
        fails_when="No Binding request was answered: a firewall on the way out, a wrong name or port, or a server that "
        "is down. A media host without a configured public address needs STUN to learn it.",
    ),
    CheckSpec(
        id="stun.public-ip",
        title="The STUN servers agree on the address by which this machine is seen",
        probe=public_ip_probe,
        needs=("stun.reach",),
        nothing_to_do=_none_named,
        fails_when="Two servers, or two answers of one, name different public addresses: several ways out, or a server "
        "that sits inside the network and sees something else.",
    ),
)
