"""What the checks of the media port have found, in the words that its causes are read by. Pure.

A sign is read per vantage: what a fault here explains is never what failed elsewhere. Whose fault it is, all vantages
tell together (`callers`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import sqrt

from calls_doctor.diagnosis.callers import HAIRPIN, is_inside, works_outside
from calls_doctor.diagnosis.cause import BAD, Evidence, Prediction, Row, outcomes
from calls_doctor.diagnosis.place import Place, flow_of, host_and_port, own_machine, role_of, vantages_of
from calls_doctor.model.check import API, ECHOES, NO_ROOM, NOT_SENT, TCP_ECHO, UDP_ECHO, CheckResult, Status
from calls_doctor.model.flow import Lost, Party, Role
from calls_doctor.model.report import Confidence
from calls_doctor.model.site import Phase
from calls_doctor.modes import MEDIA_PORT
from calls_doctor.wire.carried_rate import USABLE_BITS_PER_S

PORT_FREE = "env.port-free"
UDP_CALLS, TCP_CALL, RELAY_CALL = ("media.self", "media.call-udp"), "media.call-tcp", "media.call-relay"
RELAY, RELAY_MTU = "turn.relay-range", "quality.relay-mtu"
THROUGH_RELAY = (RELAY, RELAY_CALL)
CLASS, ADVERTISED = "nat.advertised-class", "nat.advertised-reachable"
STREAM_LOST_RATIO = 0.3
"""More than this share of a media-rate stream lost, while single probes pass, is a limit and not a lossy path."""
WAYS = ("to_far", "from_far", "there_and_back")
LOSSY_RATIO = 0.05
"""Of a call's media: a call that lost less passes."""
NEARLY_ALL_RATIO = 0.9
CONVINCING = 4
"""So many datagrams of a handshake that bring no answer are no accident where single probes pass."""
CHANCE = 0.01
Z_95 = 1.645
"""One-sided 95 % quantile of the normal distribution."""
PROVEN = 3
"""Of 24 probes; two may go astray at a loss of 2 %."""
QUEUE_S = 0.1
"""A round trip that grew by more was waited out in a queue."""
ENOUGH_RATIO = 0.8
"""The share of probes that must come back over TCP, which loses nothing by itself."""
CLOSED, GONE = ("refused", "unreachable"), ("refused", "cut")
SERVE_RUNS = (
    "On the media host: see whether `calls-doctor serve` still runs, and whether this link is the one it has printed: "
    "nothing here was ever answered by it"
)


def found(
    evidence: Evidence,
    shown: list[CheckResult],
    place: Place,
    protocol: str,
    lost: Lost | None,
    summary: str,
    also: Iterable[CheckResult] = (),
) -> Prediction:
    """`shown` are the results that show the fault, `also` what follows from it."""
    doubt = not _recognised(evidence)
    return Prediction(
        explains=outcomes([*shown, *also]),
        flow=flow_of(evidence, shown[0], Role.MEDIA, protocol, MEDIA_PORT, lost),
        summary=summary,
        subject=shown[0].target,
        party=place.party,
        confidence=Confidence.LIKELY if doubt and place.confidence is Confidence.CERTAIN else place.confidence,
        steps_first=(SERVE_RUNS,) if doubt else (),
    )


def possibly(place: Place | None) -> Place:
    """The same party, and no more than possible."""
    return Place(place.party if place else Party.UNDECIDED, Confidence.POSSIBLE)


def _recognised(evidence: Evidence) -> bool:
    """False where a stand-in should answer and never did: it may have ended (contract section 1, "phase")."""
    if evidence.phase is not Phase.PRE:
        return True
    echoes = (*evidence.of(UDP_ECHO), *evidence.of(TCP_ECHO))
    return any(listens(evidence, r.vantage) or answers_inside(evidence, r) for r in echoes)


def bad(evidence: Evidence, *checks: str) -> list[CheckResult]:
    """Failures and warnings, but for those of a far end that had no room for one session more, of a machine that sent
    nothing, and of rtcd itself, whose calls have more stages (rtcd_calls.py)."""
    shown = (r for r in evidence.bad(*checks) if not is_of_rtcd(r))
    return [r for r in shown if r.evidence.get("code") != NO_ROOM and trouble(r) not in NOT_SENT]


def is_of_rtcd(call: CheckResult) -> bool:
    """A call through rtcd itself that came to no end: one that lost media says the same of its path as any other."""
    return "signalling" in call.evidence and "detail" in call.evidence


def trouble(result: CheckResult | None) -> str:
    """The word that the check gave; "" for none."""
    return str(result.evidence.get("trouble", "")) if result else ""


def stage(result: CheckResult) -> str:
    """How far a call came, or an exchange with the API."""
    return str(result.evidence.get("stage", ""))


def answers(evidence: Evidence, check: str) -> Callable[[str], bool]:
    """Whether a vantage had any answer from this check's port."""

    def works(vantage: str) -> bool:
        result = evidence.at(check, vantage)
        return bool(result and result.evidence.get("returned"))

    return works


def gets_there(evidence: Evidence) -> Callable[[str], bool]:
    """Whether a vantage's datagrams come as far as the media host, or as who refuses them before it."""

    def works(vantage: str) -> bool:
        echo = evidence.at(UDP_ECHO, vantage)
        if echo is None:
            return False
        heard = echo.evidence.get("returned") or echo.evidence.get("arrived") or strayed(echo)
        return bool(heard) or trouble(echo) == "refused"

    return works


def announced_in_vain(evidence: Evidence) -> list[CheckResult]:
    """Callers who reach nothing of what they are handed, though the media port answers them. Where it does not, what
    is handed out is not to blame."""
    return [r for r in evidence.bad(ADVERTISED) if answers(evidence, UDP_ECHO)(r.vantage)]


def comes_up(evidence: Evidence, *checks: str) -> Callable[[str], bool]:
    """Whether a call came up for a vantage and carried media."""
    return lambda vantage: any(evidence.passed(check, vantage) for check in checks)


def listens(evidence: Evidence, vantage: str) -> bool:
    """The service that this vantage asked for is known to run: it answered somebody, or its books were had."""
    echoes = [r for check in ECHOES for r in evidence.of(check)]
    asked = {host(r) for r in echoes if r.vantage == vantage}
    same = [r for r in echoes if host(r) in asked]
    return any(r.evidence.get("returned") or r.evidence.get("arrived") is not None or strayed(r) for r in same)


def answers_inside(evidence: Evidence, result: CheckResult) -> bool:
    """The host that this result asked has answered somebody in the servers' network, where no check asks for callers'
    ports. It says that the host lives, and nothing of what callers find there."""
    inside = [r for r in evidence.of(HAIRPIN) if is_inside(evidence, r.vantage)]
    return any(_answered(r) for r in inside if host(result) in _asked_inside(r))


def _asked_inside(result: CheckResult) -> set[str]:
    rows = result.evidence.get("rows", ())
    known = (result.evidence.get(name, ()) for name in ("public_addresses", "direct"))
    return {row["address"] for row in rows}.union(*known)


def _answered(result: CheckResult) -> bool:
    rows = result.evidence.get("rows", ())
    return bool(result.evidence.get("direct")) or any(row["udp"] or row["tcp"] for row in rows)


def nothing_runs(evidence: Evidence) -> list[CheckResult]:
    """Mattermost nodes whom the media host refuses its API, where nobody answers on the media port either and the media
    host itself says that nothing holds its ports: neither a stand-in nor what is to stand there runs."""
    said = [r for r in evidence.of(PORT_FREE, Status.PASS) if role_of(evidence, r.vantage) is Role.MEDIA]
    free = [r for r in said if not r.evidence.get("taken")]
    if evidence.phase is not Phase.UNDETERMINED or not free:
        return []
    refused = [r for r in evidence.bad(API) if stage(r) == "connect" and trouble(r) == "refused"]
    return [r for r in refused if role_of(evidence, r.vantage) is Role.MATTERMOST]


def host(result: CheckResult) -> str:
    """Whom it asked."""
    return host_and_port(result.target)[0]


def never_opened(result: CheckResult) -> bool:
    """A TCP connection that was never established: nothing could be sent on it."""
    return not result.evidence.get("sent")


def is_shut(result: CheckResult | None, words: Iterable[str] = ("silent", "unreachable")) -> bool:
    """Nothing was ever heard of this port, and nothing that was sent is known to have arrived."""
    return (
        result is not None
        and result.status in BAD
        and trouble(result) in words
        and not result.evidence.get("returned")
        and not result.evidence.get("arrived")
        and not strayed(result)
        and (result.id != TCP_ECHO or never_opened(result))
    )


def silent(evidence: Evidence) -> list[CheckResult]:
    """Vantages whose UDP probes were never answered, and not refused either; without those where the media host is
    found behind another port."""
    asked = [r for r in bad(evidence, UDP_ECHO) if trouble(r) == "silent" and not r.evidence.get("returned")]
    return [r for r in asked if other_port(evidence.at(ADVERTISED, r.vantage)) is None]


def other_port(handed: CheckResult | None) -> Row | None:
    """Where the stand-in answers at an address that callers are handed, though at another port: a row of
    nat.advertised-reachable. A port that a NAT has made up for one destination is what it is: no port of the media
    host's is announced there."""
    if handed is None or handed.status not in BAD:
        return None
    announced = {row["address"] for row in handed.evidence["candidates"] if not is_made_up(handed, row)}
    rows = handed.evidence.get("elsewhere", ())
    return next((row for row in rows if row["returned"] and row["address"] in announced), None)


def is_made_up(handed: CheckResult, row: Row) -> bool:
    """Learnt by STUN, and another number than the media port's."""
    return bool(row["kind"] == "mapped" and row["port"] != handed.evidence.get("media_port"))


def strayed(result: CheckResult) -> bool:
    """The far end answered, and from elsewhere than was asked."""
    return bool(result.evidence.get("stray_from"))


def is_full(echo: CheckResult) -> bool:
    """Fewer bits a second came back than a call needs, behind a queue that grew meanwhile: the link is full."""
    rate = echo.evidence.get("rate_bits_per_s")
    return rate is not None and rate < USABLE_BITS_PER_S and _queued(echo)


def may_be_full(echo: CheckResult) -> bool:
    """It is, or the few that came back had waited in a queue and are too few to tell at what rate they came."""
    return is_full(echo) or (echo.evidence.get("rate_bits_per_s") is None and _queued(echo))


def full_fallbacks(evidence: Evidence) -> list[CheckResult]:
    """Calls through a relay or over TCP that say the same of a link on which nothing comes back over UDP: their media
    came at less than a call needs, and ever later than the first that a TURN server said."""
    answered = answers(evidence, UDP_ECHO)
    calls = [r for r in bad(evidence, RELAY_CALL, TCP_CALL) if stage(r) == "media" and not answered(r.vantage)]
    return [r for r in calls if _carries_too_little(r) and _came_later(evidence, r)]


def slowest_way_bits_per_s(call: CheckResult) -> float | None:
    """At what rate its media came on the slower way, as far as that was counted."""
    ways = (call.evidence.get(way) or {} for way in WAYS)
    return min((float(rate) for way in ways if (rate := way.get("carried_bits_per_s")) is not None), default=None)


def _carries_too_little(call: CheckResult) -> bool:
    rate_bits_per_s = slowest_way_bits_per_s(call)
    return rate_bits_per_s is not None and rate_bits_per_s < USABLE_BITS_PER_S


def _came_later(evidence: Evidence, call: CheckResult) -> bool:
    asked = evidence.at("turn.challenge", call.vantage)
    first_s = [row["rtt_s"] for row in (asked.evidence.get("servers", ()) if asked else ()) if row.get("rtt_s")]
    return bool(first_s) and call.evidence.get("rtt_p95_s", 0.0) - min(first_s) > QUEUE_S


def thin_links(evidence: Evidence) -> set[str]:
    """Vantages whose link is full, or may be: what is lost there is lost for want of room."""
    return vantages_of([*(r for r in evidence.of(UDP_ECHO) if may_be_full(r)), *full_fallbacks(evidence)])


def _queued(echo: CheckResult) -> bool:
    slowest_s, fastest_s = echo.evidence.get("rtt_p95_s", 0.0), echo.evidence.get("rtt_min_s")
    return fastest_s is not None and slowest_s - fastest_s > QUEUE_S


def fewer_at_speed(echo: CheckResult) -> bool:
    """More came back of an echo that was repeated slowly than of the first, and chance hardly makes so much of it: what
    loses probes there counts them."""
    sent, returned, before = (echo.evidence.get(name) for name in ("sent", "returned", "returned_before"))
    if not sent or returned is None or before is None:
        return False
    ratio = (returned + before) / (2 * sent)
    return bool((returned - before) / sent > Z_95 * sqrt(2 * ratio * (1 - ratio) / sent))


def echo_lost_way(result: CheckResult) -> Lost | None:
    """On which way most of an echo was lost, by the far end's books; None where they could not be had."""
    sent, arrived, returned = (result.evidence.get(name) for name in ("sent", "arrived", "returned"))
    if arrived is None or not sent or sent == returned:
        return None
    there = (sent - arrived) / (sent - returned)
    return Lost.REQUEST if there >= NEARLY_ALL_RATIO else Lost.REPLY if there <= 1 - NEARLY_ALL_RATIO else Lost.BOTH


def after_udp(evidence: Evidence, shown: list[CheckResult]) -> list[CheckResult]:
    """What else fails where UDP to the media port does. What came through a relay, and badly, came there over UDP."""
    where = vantages_of(shown)
    well = vantages_of(lossy_relays(evidence))
    relayed = [r for r in evidence.bad_at(where, *THROUGH_RELAY) if not came_through(r) and r.vantage not in well]
    return [*evidence.bad_at(where, *UDP_CALLS, ADVERTISED), *relayed, *inside_too(evidence, UDP_ECHO)]


def lossy_relays(evidence: Evidence) -> list[CheckResult]:
    """What tells of loss where UDP to the media port is shut: every port of a relay carried, not all that was sent, and
    a call through it failed. A thin link, and a limit of sizes, are other faults."""
    answered = answers(evidence, UDP_ECHO)
    others = thin_links(evidence) | vantages_of(evidence.bad(RELAY_MTU))
    ranges = [r for r in evidence.of(RELAY) if not answered(r.vantage) and r.vantage not in others]
    return [r for r in ranges if _loses_some(r) and evidence.bad_at({r.vantage}, RELAY_CALL)]


def _loses_some(relayed: CheckResult) -> bool:
    sent, returned, carried, sampled = (
        relayed.evidence.get(n) or 0 for n in ("sent", "returned", "carried", "sampled")
    )
    return 0 < carried == sampled and sent - returned >= PROVEN


def came_through(relayed: CheckResult) -> bool:
    """Something went through the relay to the media host and back."""
    return bool(relayed.evidence.get("carried")) or (relayed.id == RELAY_CALL and stage(relayed) == "media")


def inside_too(evidence: Evidence, *echoes: str) -> list[CheckResult]:
    """Servers that fail at the public address as well, over what is shut for everybody outside: no missing hairpin."""
    shut = {check for check in echoes if not works_outside(evidence, answers(evidence, check))}
    return [r for r in evidence.bad(HAIRPIN) if not own_machine(evidence) and failing_inside(r) <= shut]


def failing_inside(result: CheckResult) -> set[str]:
    """The echoes that correspond to what failed from inside the servers' network."""
    rows = result.evidence.get("rows", ())
    names = {"udp": UDP_ECHO, "tcp": TCP_ECHO}
    return {check for name, check in names.items() if all(row[name] == 0 for row in rows)}


def loss_ratio(result: CheckResult, way: str) -> float:
    """What was lost of the media on this way; 0 where nobody counted."""
    return float((result.evidence.get(way) or {}).get("loss_ratio", 0.0))


def is_unusable(result: CheckResult) -> bool:
    """Most of the call's media was lost on some way, as far as the books at hand tell."""
    return any(loss_ratio(result, way) > STREAM_LOST_RATIO for way in WAYS)


def is_lossy(result: CheckResult) -> bool:
    """A call that came up and lasted, and lost more than it should and less than a limit leaves."""
    lasted = stage(result) == "media" and trouble(result) not in GONE
    return lasted and any(loss_ratio(result, way) > LOSSY_RATIO for way in WAYS) and not is_unusable(result)


def lost_way(result: CheckResult) -> Lost | None:
    """None where only this end counted: what did not come back may have been lost on either way."""
    there, back = (loss_ratio(result, way) > STREAM_LOST_RATIO for way in ("to_far", "from_far"))
    return {(True, True): Lost.BOTH, (True, False): Lost.REQUEST, (False, True): Lost.REPLY}.get((there, back))


def protocol_of(shown: list[CheckResult]) -> str:
    """What a firewall team must look at."""
    return "tcp" if all(r.id in (TCP_ECHO, TCP_CALL) for r in shown) else "udp"


def by_chance(evidence: Evidence, result: CheckResult) -> bool:
    """The path loses so much that a handshake may fail on it, or hardly any of it was sent; or nobody knows how much it
    loses, since there was no room for an echo."""
    near = result.evidence.get("near") or {}
    sent, came = near.get("dtls_out", CONVINCING), near.get("dtls_in", 0)
    echo = evidence.at(UDP_ECHO if result.id in UDP_CALLS else TCP_ECHO, result.vantage)
    if echo is not None and echo.evidence.get("code") == NO_ROOM:
        return True
    probes = int(echo.evidence.get("sent") or 0) if echo else 0
    lost = (probes - _fewest_returned(echo)) / probes if echo and probes else 0.0
    return bool(sent < CONVINCING or lost ** (1 if came else sent) > CHANCE)


def _fewest_returned(echo: CheckResult) -> int:
    """Of its probes, or of those before it was repeated alone: a handshake has the path to itself no more than they."""
    returned = int(echo.evidence.get("returned") or 0)
    return min(returned, int(echo.evidence.get("returned_before", returned)))
