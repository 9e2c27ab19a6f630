"""turn.relay-ports: where a TURN server gives no relay, does anything show that its relay ports are shut?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import SystemRandom
from typing import Any  # evidence is JSON

from calls_doctor.errors import NetworkError, Refused
from calls_doctor.model.check import CheckResult, Evidence, Finding, Status
from calls_doctor.model.flow import CALLERS, Role, Transport
from calls_doctor.net import resolver
from calls_doctor.net.knock import knock
from calls_doctor.spec import NETWORK_PHASES, CheckSpec, Context, TurnServers, no_turn, turn_targets

CHALLENGE, ALLOCATE = "turn.challenge", "turn.allocate"
SAMPLED = 3
"""Of the range, and as many beside it: a kernel answers so many at once (icmp(7), icmp_ratelimit)."""
BESIDE = range(10_000, 65_536)
"""Where other ports are chosen, outside the range: those of services lie below."""
sample = SystemRandom().sample


async def relay_ports_probe(context: Context) -> Finding:
    """A closed port says so. Where those of the relay range alone do not, something before them is shut."""
    servers = await context.turn()
    answering, relaying = (_well(servers, context.results.get(check)) for check in (CHALLENGE, ALLOCATE))
    hosts = [one for one in answering if one not in relaying]
    if servers.stands_in or not hosts:
        said = "what it relays tells more (turn.relay-range)" if relaying else "nothing is heard of a TURN server here"
        return Finding(status=Status.SKIP, summary=servers.why_none or said)
    target = ", ".join(hosts)
    try:
        rows = await asyncio.gather(*(_asked(one, context.site.relay_ports) for one in hosts))
    except NetworkError as error:
        return Finding(status=Status.SKIP, summary=str(error), target=target)
    evidence: Evidence = {"hosts": rows}
    if shut := [row for row in rows if not row["range_says_so"] and row["beside_say_so"] == SAMPLED]:
        first, last = context.site.relay_ports
        summary = f"closed UDP ports of {shut[0]['host']} say so, but for those of its relay range, {first}-{last}"
        return Finding(status=Status.WARN, summary=summary, target=target, evidence=evidence)
    if all(row["range_says_so"] for row in rows):
        summary = "closed relay ports say that they are closed: nothing shuts them"
        return Finding(status=Status.PASS, summary=summary, target=target, evidence=evidence)
    summary = "closed ports say nothing there, so that only an allocation would tell of the relay's"
    return Finding(status=Status.SKIP, summary=summary, target=target, evidence=evidence)


def _well(servers: TurnServers, result: CheckResult | None) -> list[str]:
    """Hosts of the URIs that a check found well."""
    rows = result.evidence.get("servers", ()) if result else ()
    well = {row["uri"] for row in rows if row["ok"]}
    return list(dict.fromkeys(uri.host for uri in servers.uris if str(uri) in well))


async def _asked(host: str, relay_ports: tuple[int, int]) -> dict[str, Any]:
    """How many closed ports of the range, and of others, are said to be closed. Raises NetworkError for a name."""
    address = resolver.routed(await resolver.resolve(host))[0]
    of_range = range(relay_ports[0], relay_ports[1] + 1)
    within = sample(of_range, min(SAMPLED, len(of_range)))
    beside = sample([one for one in BESIDE if one not in of_range], SAMPLED)
    said = await asyncio.gather(_refusing(address, within), _refusing(address, beside))
    return {
        "host": host, "range_ports": within, "range_says_so": said[0],
        "beside_ports": beside, "beside_say_so": said[1],
    }  # fmt: skip


async def _refusing(address: str, ports: Sequence[int]) -> int:
    troubles = await asyncio.gather(*(knock((address, port), Transport.UDP) for port in ports))
    return sum(isinstance(one, Refused) for one in troubles)


CHECKS = (
    CheckSpec(
        id="turn.relay-ports",
        title="Nothing shuts the relay ports of a TURN server that gives no relay",
        probe=relay_ports_probe,
        uses=(CHALLENGE, ALLOCATE),
        vantages=CALLERS | {Role.MEDIA, Role.MATTERMOST},
        phases=NETWORK_PHASES,
        nothing_to_do=no_turn,
        targets=turn_targets,
        packets_max=6 * SAMPLED,
        timeout_s=8.0,
        fails_when="No relay was given (wrong credentials, or none), so that no data tells. Closed UDP ports of the "
        "TURN server say with ICMP that they are closed, and none of its relay range does: something before the range "
        "is shut. Where closed ports say nothing, as behind most firewalls, neither does this.",
    ),
)
