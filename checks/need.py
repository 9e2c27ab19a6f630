"""turn.expiry and turn.necessity: how long callers have a relay, and whether they need one here at all."""

from __future__ import annotations

import time
from typing import Any  # evidence is JSON

from calls_doctor.model.check import TCP_ECHO, UDP_ECHO, CheckResult, Evidence, Finding, Status
from calls_doctor.model.flow import CALLERS
from calls_doctor.model.site import Site
from calls_doctor.net import relay
from calls_doctor.spec import NETWORK_PHASES, CheckSpec, Context, no_turn, nothing_to_do

SHORTEST_S, LONGEST_S = 3600.0, 7 * 86_400.0
"""How long a credential should last: as long as a call, and not for good."""
MINUTE_S = 60.0
ALLOCATE, RELAY, RELAY_CALL = "turn.allocate", "turn.relay-range", "media.call-relay"
WORKS = (Status.PASS, Status.WARN)
NOT_MADE = (Status.SKIP, Status.UNKNOWN, Status.ERROR)


async def expiry_probe(context: Context) -> Finding:
    """The time in the user name at hand; where the secret makes them, the time that the site file says they get."""
    servers, given = await context.turn(), await context.turn_credentials()
    target = ", ".join(str(uri) for uri in servers.uris)
    if given.turn is None and given.turn_secret is None:
        return nothing_to_do("no TURN credentials were given")
    if given.turn is None:
        minutes = context.site.credential_minutes
        return _judged(minutes * MINUTE_S, {"issued_by": "here", "credential_minutes": minutes}, target)
    left_s = relay.life_of(given.turn, time.time())["expires_in_s"]
    if left_s is None:
        return nothing_to_do("the TURN user name carries no time: it lasts")
    evidence: Evidence = {"expires_in_s": left_s, "issued_by": relay.issuer(context.credentials, given)}
    if left_s >= 0:
        return _judged(left_s, evidence, target)
    allocated = context.results.get(ALLOCATE)
    evidence["taken_all_the_same"] = bool(allocated and allocated.status in WORKS)
    said = f"by this machine's clock the TURN user name expired {-left_s:.0f} s ago"
    if evidence["taken_all_the_same"]:
        return Finding(status=Status.WARN, summary=f"{said}, and the server takes it", target=target, evidence=evidence)
    return Finding(status=Status.FAIL, summary=said, target=target, evidence=evidence)


def _judged(life_s: float, evidence: Evidence, target: str) -> Finding:
    evidence = evidence | {"life_s": life_s}
    lasts = f"TURN credentials last {life_s / MINUTE_S:.0f} min"
    if life_s < SHORTEST_S:
        summary = f"{lasts}: a call that is longer loses its relay"
        return Finding(status=Status.WARN, summary=summary, target=target, evidence=evidence)
    if life_s > LONGEST_S:
        summary = f"{lasts}: whoever has one relays for free that long"
        return Finding(status=Status.WARN, summary=summary, target=target, evidence=evidence)
    return Finding(status=Status.PASS, summary=lasts, target=target, evidence=evidence)


async def necessity_probe(context: Context) -> Finding:
    """What the other checks come to: is there a way to the media host without a relay, and with one?"""
    ways = {way: _works(context.results.get(check)) for way, check in (("udp", UDP_ECHO), ("tcp", TCP_ECHO))}
    relayed = [_works(context.results.get(check)) for check in (RELAY_CALL, RELAY, ALLOCATE)]
    ways["relay"] = next((one for one in relayed if one is not None), None)
    evidence: Evidence = {"ways": ways}
    open_ways = [way for way in ("udp", "tcp") if ways[way]]
    if open_ways:
        words = " and ".join(way.upper() for way in open_ways)
        summary = f"no relay is needed here: {words} {'work' if len(open_ways) > 1 else 'works'}"
        return Finding(status=Status.PASS, summary=summary, evidence=evidence)
    if ways["udp"] is None or (ways["tcp"] is None and context.site.media and context.site.media[0].tcp_port):
        return Finding(status=Status.UNKNOWN, summary="nobody knows whether calls work without one", evidence=evidence)
    if ways["relay"]:
        return Finding(status=Status.PASS, summary="a relay is needed here, and works", evidence=evidence)
    if ways["relay"] is None:
        summary = "a relay is needed here, and there is none"
        return Finding(status=Status.WARN, summary=summary, evidence=evidence)
    return Finding(
        status=Status.FAIL, summary="a relay is needed here, and the one there is does not work", evidence=evidence
    )


def _works(result: CheckResult | None) -> bool | None:
    """Whether something came through; None where it was not tried. A fallback that is lost is a warning, so a warning
    counts as what its probes say."""
    if result is None:
        return None
    if result.status in NOT_MADE:  # what the relay itself has left nothing to try with does not work
        failed = (result.blocked_by or "").startswith("turn.") and not result.evidence.get("nothing_to_do")
        return False if failed else None
    if result.status is Status.WARN and (rows := _probed(result)) is not None:
        return rows
    return result.status in WORKS


def _probed(result: CheckResult) -> bool | None:
    evidence: dict[str, Any] = result.evidence
    return bool(evidence["returned"]) if "returned" in evidence else None


def _no_media(site: Site) -> str:
    return "" if site.paired else "no stand-in to ask without a relay: give its link with --peer"


CHECKS = (
    CheckSpec(
        id="turn.expiry",
        title="TURN credentials last as long as a call",
        probe=expiry_probe,
        uses=(ALLOCATE,),
        vantages=CALLERS,
        phases=NETWORK_PHASES,
        nothing_to_do=no_turn,
        fails_when="The user name's time has passed. Below an hour, or beyond a week, it warns. With the secret at "
        "hand it judges `credential_minutes` of the site file.",
    ),
    CheckSpec(
        id="turn.necessity",
        title="Callers here need no relay, or have one that works",
        probe=necessity_probe,
        about_host=True,
        uses=(UDP_ECHO, TCP_ECHO, ALLOCATE, RELAY, RELAY_CALL),
        vantages=CALLERS,
        phases=NETWORK_PHASES,
        nothing_to_do=_no_media,
        fails_when="The media port is shut from here over UDP and TCP: calls need a TURN server then. It warns where "
        "there is none, and fails where there is one that does not work. It is drawn from the other checks, whose "
        "causes say why.",
    ),
)
