"""Causes on a path that carries packets, badly. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from calls_doctor.diagnosis.cause import BAD, Cause, Evidence, Outcome, Prediction, bad_rows, outcome_of, outcomes
from calls_doctor.diagnosis.mattermost import kept_from
from calls_doctor.diagnosis.media_evidence import (
    ADVERTISED,
    CHANCE,
    LOSSY_RATIO,
    PROVEN,
    RELAY,
    RELAY_CALL,
    RELAY_MTU,
    TCP_CALL,
    THROUGH_RELAY,
    UDP_CALLS,
    WAYS,
    bad,
    by_chance,
    echo_lost_way,
    fewer_at_speed,
    full_fallbacks,
    is_full,
    is_lossy,
    loss_ratio,
    lossy_relays,
    may_be_full,
    slowest_way_bits_per_s,
    stage,
    thin_links,
)
from calls_doctor.diagnosis.place import at_the_far_end, flow_of, on_the_path, vantages_of
from calls_doctor.diagnosis.turn_signs import ALLOCATE, LISTENERS, PERMISSION
from calls_doctor.model.check import TCP_ECHO, UDP_ECHO, CheckResult, Status
from calls_doctor.model.flow import Lost, Party, Role
from calls_doctor.model.report import Confidence, Impact, Remedy
from calls_doctor.modes import MEDIA_PORT
from calls_doctor.wire.carried_rate import USABLE_BITS_PER_S

LATE = (TCP_ECHO, TCP_CALL, *THROUGH_RELAY)
SUFFERING = (*UDP_CALLS, *LATE, ADVERTISED)
"""What a path that loses packets may break beside the probes themselves: TCP stalls, a handshake takes too long."""
MUCH_RATIO = 0.1
"""Where more is lost than this, a connection may not come up, and a server may seem silent."""
QUALITY, SCREEN = "quality.path", "quality.bandwidth"
MTU, VIDEO = "quality.mtu", "media.video"
NEEDED_BYTES = 1200
"""As large as WebRTC's packets get: a limit from there on hits no call so far."""


def _fault(what: str) -> Callable[[Evidence], Prediction | None]:
    """One fault that quality.path found, each by itself: a path may lose and delay packets at once."""

    def predicts(evidence: Evidence) -> Prediction | None:
        shown = [r for r in evidence.bad(QUALITY) if _directions(r, what)]
        if not shown:
            return None
        rows = [outcome_of(r, row) for r in shown for row in r.evidence["faults"] if row["what"] == what]
        echo = next(iter(evidence.bad_at(vantages_of(shown), UDP_ECHO)), evidence.at(UDP_ECHO, shown[0].vantage))
        return Prediction(
            explains=frozenset(rows),
            flow=flow_of(evidence, echo or shown[0], Role.MEDIA, "udp", MEDIA_PORT, _lost(_directions(shown[0], what))),
            summary=shown[0].summary,
            subject=(echo or shown[0]).target,
            party=at_the_far_end(evidence).party,
        )

    return predicts


def _directions(result: CheckResult, what: str) -> set[str]:
    return {row["direction"] for row in result.evidence["faults"] if row["what"] == what}


def loss(evidence: Evidence) -> Prediction | None:
    """Packets are lost at voice rate, or so many probes are that no call was tried."""
    full, thin = vantages_of(full_fallbacks(evidence)), thin_links(evidence)
    measured = [r for r in evidence.bad(QUALITY) if _directions(r, "loss") and r.vantage not in full]
    echoes = [r for r in evidence.bad(UDP_ECHO) if _proves_loss(evidence, r)]
    calls = [r for r in bad(evidence, *UDP_CALLS, RELAY_CALL) if r.vantage not in thin and is_lossy(r)]
    calls = [r for r in calls if r.id != RELAY_CALL or not _straight_is_well(evidence, r.vantage)]
    relays = lossy_relays(evidence)
    shown = [*measured, *echoes, *calls, *relays]
    if not shown:
        return None
    rows = [outcome_of(r, row) for r in measured for row in r.evidence["faults"] if row["what"] == "loss"]
    much = [*echoes, *(r for r in (*measured, *calls) if _worst_ratio(r) > MUCH_RATIO)]
    suffering = [
        *evidence.bad_at(vantages_of(measured), UDP_ECHO, *UDP_CALLS),
        *evidence.bad_at(vantages_of(much), UDP_ECHO, *SUFFERING),
    ]
    shut = vantages_of(r for r in suffering if r.id == UDP_ECHO and not _may_be_swallowed(r, shown))
    of_udp = (UDP_ECHO, *UDP_CALLS, ADVERTISED)
    later = [
        *kept_from(evidence, vantages_of(much)),
        *evidence.bad_at(vantages_of(relays), RELAY_CALL),
        *(r for r in suffering if r.vantage not in shut or r.id not in of_udp),
        *(r for r in evidence.bad_at(vantages_of(shown), VIDEO) if "loss_ratio" in r.evidence),
    ]
    first = shown[0]
    echo = evidence.at(UDP_ECHO, first.vantage) or first
    return Prediction(
        explains=outcomes([*echoes, *calls, *(r for r in later if _may_be_loss(evidence, r))])
        | frozenset(rows)
        | _unheard(evidence, much),
        flow=flow_of(evidence, echo, Role.MEDIA, "udp", MEDIA_PORT, _way(first)),
        summary=f"{first.summary}, the others were lost" if first in (*echoes, *relays) else first.summary,
        subject=echo.target,
        party=at_the_far_end(evidence).party,
        confidence=Confidence.LIKELY if first in (*echoes, *relays) else Confidence.CERTAIN,
    )


def _way(shown: CheckResult) -> Lost | None:
    """On which way packets are lost, as far as this result tells."""
    if shown.id == QUALITY:
        return _lost(_directions(shown, "loss"))
    if shown.id in (UDP_ECHO, RELAY):
        return echo_lost_way(shown)
    return _lost({way for way in ("to_far", "from_far") if loss_ratio(shown, way) > LOSSY_RATIO} or {""})


def _proves_loss(evidence: Evidence, echo: CheckResult) -> bool:
    """So many probes are lost that no call was tried, or enough of them (whose lower 99 % bound is over 2 %, contract
    section 6) beside a call that failed too. A link that is full loses as well, which is another cause, and so does a
    limit on packets, which lets the more through the slower they come."""
    sent, returned = int(echo.evidence.get("sent") or 0), int(echo.evidence.get("returned") or 0)
    if not returned or echo.evidence.get("trouble", "silent") != "silent" or may_be_full(echo) or fewer_at_speed(echo):
        return False
    calls = [r for r in evidence.bad_at({echo.vantage}, *UDP_CALLS, RELAY_CALL) if _may_be_loss(evidence, r)]
    return echo.status is Status.FAIL or (sent - returned >= PROVEN and bool(calls))


def _straight_is_well(evidence: Evidence, vantage: str) -> bool:
    """What is lost through a relay is then lost on the way by the relay, which no call takes."""
    return any(r.vantage == vantage for call in UDP_CALLS for r in evidence.of(call, Status.PASS))


def _may_be_loss(evidence: Evidence, result: CheckResult) -> bool:
    """False for a handshake that so little loss does not keep from coming up."""
    return stage(result) != "dtls" or result.id not in UDP_CALLS or by_chance(evidence, result)


def _may_be_swallowed(echo: CheckResult, shown: Sequence[CheckResult]) -> bool:
    """False where nothing at all came back of so many probes that this path would have let some through."""
    if echo.evidence.get("returned"):
        return True
    if echo.evidence.get("trouble", "silent") != "silent":
        return False
    ratios = [_worst_there_and_back(r) for r in shown if r.vantage == echo.vantage and r.id != UDP_ECHO]
    return not ratios or max(ratios) ** int(echo.evidence["sent"]) > CHANCE


def _worst_there_and_back(result: CheckResult) -> float:
    """What is lost of what must come back, by the loss on each way."""
    there, back = (loss_ratio(result, way) for way in ("to_far", "from_far"))
    return max(1 - (1 - there) * (1 - back), loss_ratio(result, "there_and_back"))


def _worst_ratio(result: CheckResult) -> float:
    return max(loss_ratio(result, way) for way in WAYS)


def _unheard(evidence: Evidence, shown: list[CheckResult]) -> frozenset[Outcome]:
    """Servers that these vantages had no answer from once: so lossy a path may swallow all of a few tries."""
    asked = evidence.bad_at(vantages_of(shown), *LISTENERS, ALLOCATE, PERMISSION)
    return frozenset(
        outcome_of(r, row) for r in asked for row in bad_rows(r) if row.get("trouble") in ("silent", "cut")
    )


def bandwidth(evidence: Evidence) -> Prediction | None:
    """What came back came slowly, and ever later: a queue before a thin link fills while it is asked to carry more."""
    relayed = full_fallbacks(evidence)
    shown = [*(r for r in evidence.of(UDP_ECHO) if is_full(r)), *relayed]
    where = vantages_of(shown)
    slow = [r for r in shown if r.status in BAD]
    rows = [outcome_of(r, row) for r in evidence.bad_at(where, QUALITY) for row in bad_rows(r)]
    straight = vantages_of(r for r in shown if r.id == UDP_ECHO)
    suffering = [*evidence.bad_at(straight, ADVERTISED, *UDP_CALLS), *evidence.bad_at(where, *LATE, RELAY_MTU, SCREEN)]
    if not (slow or rows or relayed or evidence.bad_at(where, *UDP_CALLS)):
        return None
    rate = shown[0].evidence["rate_bits_per_s"] if shown[0].id == UDP_ECHO else slowest_way_bits_per_s(shown[0])
    return Prediction(
        explains=outcomes([*slow, *suffering, *kept_from(evidence, where)])
        | frozenset(rows)
        | _unheard(evidence, shown),
        flow=flow_of(evidence, shown[0], Role.MEDIA, "udp", MEDIA_PORT),
        summary=f"about {(rate or 0.0) / 1000:.0f} kbit/s come through to {shown[0].target} and back; a call needs "
        f"{USABLE_BITS_PER_S / 1000:.0f} at least",
        subject=shown[0].target,
        party=at_the_far_end(evidence).party,
        confidence=on_the_path(evidence).confidence,
    )


def mtu_blackhole(evidence: Evidence) -> Prediction | None:
    """Large packets vanish where small ones pass: with them what sends packets of full size, as TCP and DTLS do."""
    relayed = [r for r in evidence.bad(RELAY_MTU) if r.vantage not in thin_links(evidence)]
    shown = [r for r in (*evidence.bad(MTU), *relayed) if r.evidence.get("stage")]
    if not shown:
        return None
    at = vantages_of(shown)
    # A connection that came up, and then went silent; one that never did has another reason.
    stalled = [r for r in evidence.bad_at(at, TCP_ECHO, TCP_CALL) if _stalled(r)]
    stalled += [r for r in evidence.bad_at(at, RELAY_CALL) if stage(r) == "dtls"]
    short = vantages_of(r for r in shown if r.evidence["payload_max_bytes"] < NEEDED_BYTES)
    lossy = [r for r in evidence.bad_at(short, UDP_ECHO, *UDP_CALLS) if r.evidence.get("trouble", "silent") == "silent"]
    lossy = [r for r in lossy if r.id != UDP_ECHO or r.evidence.get("returned")]
    lost = {"request": Lost.REQUEST, "reply": Lost.REPLY}.get(shown[0].evidence.get("lost") or "")
    return Prediction(
        explains=outcomes([*shown, *stalled, *lossy, *kept_from(evidence, at)]),
        flow=flow_of(evidence, shown[0], Role.MEDIA, "udp", MEDIA_PORT, lost),
        summary=shown[0].summary,
        subject=shown[0].target,
        party=at_the_far_end(evidence).party,
        impact=None if short or stalled else Impact.NONE_NOW,
    )


def _stalled(result: CheckResult) -> bool:
    evidence = result.evidence
    return evidence.get("trouble") in ("silent", None) and bool(evidence.get("sent") or evidence.get("stage"))


def _lost(directions: set[str]) -> Lost | None:
    if directions == {"to_far", "from_far"}:
        return Lost.BOTH
    return {"to_far": Lost.REQUEST, "from_far": Lost.REPLY}.get(next(iter(directions)))


def _cause(
    word: str, meaning: str, predicts: Callable[[Evidence], Prediction | None], *steps: str, rows: Sequence[str] = ()
) -> Cause:
    return Cause(
        id=f"path.{word}",
        party=Party.PATH,
        impact=Impact.DEGRADED,
        meaning=meaning,
        predicts=predicts,
        remedy=Remedy(
            summary="Mend the path, or bring the media host nearer",
            steps=list(steps),
            firewall_rows=list(rows),
            guide_steps=["2A.3.2", "2B.5.2"],
        ),
    )


CAUSES = (
    _cause(
        "loss",
        "More packets are lost than voice can bear.",
        loss,
        "Look for a full link, Wi-Fi, a VPN or a policer on the path; measure again from another network",
        "On the media host: `nstat -az UdpRcvbufErrors` counts what was lost there for want of a buffer",
    ),
    _cause(
        "bandwidth",
        "The link carries less than a call needs.",
        bandwidth,
        "Look for the thinnest link on the way (a mobile link, a VPN, a shaped class) and what else fills it",
        "A voice takes some 60 kbit/s each way for each participant who speaks; video and screens many times that",
    ),
    _cause(
        "latency",
        "The round trip is too long for a conversation.",
        _fault("latency"),
        "On a caller's machine: `traceroute MEDIA` shows the hop behind which it grows",
        "Look for detours (a VPN, a proxy region), and place rtcd nearer to the callers",
    ),
    _cause(
        "jitter",
        "Packets arrive unevenly.",
        _fault("jitter"),
        "Look for a full link, Wi-Fi or a busy virtual machine; give media priority (DSCP EF)",
    ),
    _cause(
        "reordering",
        "Packets arrive out of order.",
        _fault("reordering"),
        "Look for load balancing per packet over several links",
    ),
    _cause(
        "mtu-blackhole",
        "Large packets vanish on the path, and small ones pass.",
        mtu_blackhole,
        "Allow ICMP 3/4 (fragmentation needed) and ICMPv6 2 (packet too big) at every firewall on the path",
        "Set the MTU of the VPN or tunnel right, or clamp TCP's MSS to it",
        "On a caller's machine: `tracepath MEDIA` names the hop, where it answers",
        rows=["FW-90"],
    ),
)
