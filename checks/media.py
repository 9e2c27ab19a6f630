"""media.*: a real call. ICE, DTLS and SRTP, RTP at voice rate both ways, counted at both ends.

`media.call-*` holds two sessions of the doctor's own in one call, so what one sends the far end forwards to the
other. A stand-in's books tell in which direction something was lost. rtcd keeps none: a call through it is counted by
its two sessions alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from calls_doctor.errors import FarEndError, NetworkError, ProtocolError
from calls_doctor.model.check import NO_ROOM, TCP_ECHO, UDP_ECHO, Evidence, Finding, Status
from calls_doctor.model.flow import CALLERS, Lost, Role, Transport
from calls_doctor.model.site import Phase
from calls_doctor.net import relay
from calls_doctor.net.room import ROOM_TRIES, ROOM_WAIT_S
from calls_doctor.net.rtcd_access import MediaWay, RtcdAccess, straight, through
from calls_doctor.spec import (
    CALL_RTP,
    OTHER_CERTIFICATE,
    WAYS,
    AtRtcd,
    CheckSpec,
    Context,
    heard_nothing,
    no_far_end,
    no_link,
    no_rtcd_api,
    no_tcp,
    no_turn,
    nothing_behind,
    rtcd_versions,
    turn_targets,
)
from calls_doctor.wire.carried_rate import USABLE_BITS_PER_S
from checks import through_rtcd
from checks.advertised import IN

if TYPE_CHECKING:
    from calls_doctor.net.call import CallOutcome
    from calls_doctor.net.paired import ChannelOpener, PairedHost
    from calls_doctor.net.rtcd_call import RtcdOutcome
    from calls_doctor.net.turn_client import Allocation

SINGLE_PROBES = ("quality.mtu",)
"""They come before any stream over UDP, with the echo that they follow: on a thin link it would disturb large ones. A
call over TCP follows its own echo, and waits for no silence of UDP's; what is lost beside it is tried again alone."""
SESSIONS = 2
ENOUGH_RATIO = 0.95
"""A call passes where this share of the packets arrives in each direction (catalogue, media.call-udp)."""
UNDISTURBED_LOSS_RATIO = 0.02
"""A call that loses more is repeated alone (contract section 6)."""
UNUSABLE_LOSS_RATIO = 0.3
"""Of a stream that lost more nobody understands a word: the call has failed (contract section 6)."""
SECOND_STACK_S = 3.0
"""Long enough for the independent stack: what it proves does not grow with time."""
SLOW_S = 5.0
"""A call that is connected later than this works, with a warning (catalogue, media.call-udp)."""


async def self_probe(context: Context) -> Finding:
    """One session that the SFU echoes: does this program's client understand its own SFU?"""
    paired = _paired(context)
    return await _call(context, [paired.opener(Transport.UDP)], "u")


async def call_udp_probe(context: Context) -> Finding:
    """Two sessions in one call over UDP; with --thorough an independent stack makes the same call."""
    paired = _paired(context)
    finding = await _call(context, [paired.opener(Transport.UDP)] * SESSIONS, "U")
    if context.thorough and finding.status is not Status.FAIL:
        return await _second_stack(context, paired, finding)
    return finding


async def call_tcp_probe(context: Context) -> Finding:
    """The same over TCP 8443 alone (RFC 4571 framing, RFC 6544). Where the echo heard nothing at all, a call would only
    wait out the same silence again."""
    echo = context.results.get(TCP_ECHO)
    if echo is not None and heard_nothing(echo):
        target = _paired(context).target(Transport.TCP)
        return Finding(status=Status.SKIP, summary=f"{echo.id} heard nothing", target=target, blocked_by=echo.id)
    finding = await _call(context, [_paired(context).opener(Transport.TCP)] * SESSIONS, "T")
    return finding if context.site.phase is Phase.SELF_TEST else _as_fallback(finding)


async def call_relay_probe(context: Context) -> Finding:
    """The same with every packet going through the TURN relay."""
    paired = _paired(context)

    async def call(allocations: Sequence[Allocation]) -> Finding:
        return await _call(context, [paired.through(one) for one in allocations], "R")

    finding = await _relayed(context, call)
    return finding if context.site.phase is Phase.SELF_TEST else _as_fallback(finding)


async def _relayed(context: Context, call: Callable[[Sequence[Allocation]], Awaitable[Finding]]) -> Finding:
    """What the call comes to through as many allocations as it has sessions, or why there are none."""
    servers, given = await context.turn(), await context.turn_credentials()
    uri = relay.usable(servers.uris, context.results)
    try:
        async with context.relays.several(uri, given, SESSIONS) as allocations:
            finding = await call(allocations)
    except (NetworkError, FarEndError, ProtocolError) as error:
        evidence: Evidence = {"stage": "allocate", "detail": str(error)}
        if isinstance(error, FarEndError):
            evidence["code"] = error.code
        finding = Finding(status=Status.FAIL, summary=f"fails at allocate: {error}", target=str(uri), evidence=evidence)
    how: Evidence = {"relay_transport": uri.transport} | ({"stands_in": True} if servers.stands_in else {})
    return msgspec.structs.replace(finding, evidence=finding.evidence | how)


async def rtcd_udp_probe(context: Context) -> Finding:
    """Two sessions in one call of rtcd itself, over UDP."""
    return await _through_rtcd(context, [straight(Transport.UDP)] * SESSIONS)


async def rtcd_tcp_probe(context: Context) -> Finding:
    """The same over its TCP candidates alone."""
    return _as_fallback(await _through_rtcd(context, [straight(Transport.TCP)] * SESSIONS))


async def rtcd_relay_probe(context: Context) -> Finding:
    """The same with every packet going through the TURN relay."""

    async def call(allocations: Sequence[Allocation]) -> Finding:
        return await _through_rtcd(context, [through(one) for one in allocations])

    return _as_fallback(await _relayed(context, call))


async def _through_rtcd(context: Context, ways: Sequence[MediaWay]) -> Finding:
    """As the client that api.rtcd-auth was let in as, at the first address, with no more than two sessions of ours."""
    from calls_doctor.net import call

    async def hold(access: RtcdAccess) -> RtcdOutcome:
        from calls_doctor.net import rtcd_call

        return await rtcd_call.hold(access, ways, context.media_time_s)

    client = context.registration.let_in
    assert client is not None, "api.rtcd-auth has passed"
    made = await through_rtcd.held(context, next(iter(rtcd_versions(context.results))), client, hold)
    outcome, url = made.call, context.site.rtcd_url
    evidence = call.evidence(outcome) | {"signalling": made.signalling}
    target = made.media_target(ways[0].transport) or url
    if outcome.failure is None:
        return _open_to_all(_judged(outcome, evidence | {"stage": "media"}, target))
    return _of_rtcd(context.site.vantage, outcome, evidence | outcome.failure.evidence(), target)


def _open_to_all(finding: Finding) -> Finding:
    """A call that came up because rtcd reached this machine of itself has not shown that callers reach rtcd."""
    if not finding.evidence["signalling"].get("called_first"):
        return finding
    summary = (
        f"{finding.summary}; but checks were answered only once rtcd sent its own: what comes to it unasked is lost, "
        "and callers behind NAT, whom it cannot reach, have no call"
    )
    status = Status.WARN if finding.status is Status.PASS else finding.status
    return msgspec.structs.replace(finding, status=status, summary=summary)


def _of_rtcd(vantage: Role, outcome: CallOutcome, evidence: Evidence, target: str) -> Finding:
    """A call through rtcd that failed. What a machine that is no caller does not reach of the media port, callers may;
    but where rtcd's own checks come and ours are not answered, it is requests that are lost."""
    failure = outcome.failure
    assert failure is not None
    summary = f"fails at {failure.stage}: {failure.reason}"
    checks_in = evidence["near"]["stun_in"]
    if failure.stage == "ice" and failure.trouble is None:
        evidence["lost"] = str(Lost.REQUEST) if checks_in else None
        if not checks_in and vantage not in CALLERS:
            summary += f"; callers do not come from here ({vantage}): from one of their networks it is decided"
            return Finding(status=Status.UNKNOWN, summary=summary, target=target, evidence=evidence)
        if checks_in:
            summary += "; rtcd's own checks arrive here, so it is what is sent to it that is lost"
    return Finding(status=Status.FAIL, summary=summary, target=target, evidence=evidence)


def _paired(context: Context) -> PairedHost:
    assert context.paired is not None, "selected only where a link was given"
    return context.paired


def _as_fallback(finding: Finding) -> Finding:
    """Calls still run over UDP: a lost fallback is a warning (contract section 1)."""
    if finding.status is not Status.FAIL:
        return finding
    return Finding(status=Status.WARN, summary=finding.summary, target=finding.target, evidence=finding.evidence)


async def _call(context: Context, openers: Sequence[ChannelOpener], leg: str) -> Finding:
    """A call of as many sessions as there are openers; what both ends counted of it."""
    from calls_doctor.net import call
    from calls_doctor.wire.dtls import MISMATCH

    paired = _paired(context)
    if word := context.link_trouble:
        return nothing_behind(word, TCP_ECHO if leg == "T" else UDP_ECHO)
    outcome, repeated = await _held(context, openers, leg)
    target = paired.target(Transport.TCP if leg == "T" else Transport.UDP)
    evidence = call.evidence(outcome)
    if repeated:
        evidence["repeated_alone"] = True
    if outcome.failure is None:
        evidence["stage"] = "media"
        return _judged(outcome, evidence, target)
    failure = outcome.failure
    evidence |= failure.evidence()
    summary = f"fails at {failure.stage}: {failure.reason}"
    if failure.reason.startswith(MISMATCH) and context.site.phase is not Phase.SELF_TEST:
        evidence["trouble"] = OTHER_CERTIFICATE
        summary = (
            "the key is right and the certificate is not the one that the link names: the link was altered, or "
            "something in between answers DTLS in the stand-in's place"
        )
        return Finding(status=Status.UNKNOWN, summary=summary, target=target, evidence=evidence)
    # A stand-in that has no room for one more has said nothing about the network.
    status = Status.UNKNOWN if failure.code == NO_ROOM else Status.FAIL
    return Finding(status=status, summary=summary, target=target, evidence=evidence)


async def _held(context: Context, openers: Sequence[ChannelOpener], leg: str) -> tuple[CallOutcome, bool]:
    """What came of it, and whether that is of a second call that had the path to itself: what a first one beside other
    probes loses may be of their making."""
    from calls_doctor.net import call

    paired = _paired(context)
    outcome = await call.hold(paired, openers, leg, context.media_time_s)
    for _ in range(ROOM_TRIES):
        if outcome.failure is None or outcome.failure.code != NO_ROOM:
            break
        await asyncio.sleep(ROOM_WAIT_S)
        outcome = await call.hold(paired, openers, leg, context.media_time_s)
    context.near_books.extend(outcome.near)
    lost = [way(outcome).loss_ratio or 0.0 for way in (call.to_far, call.from_far, call.there_and_back)]
    in_part = outcome.failure is None and UNDISTURBED_LOSS_RATIO < max(lost) < 1.0
    if not in_part or context.site.phase is Phase.SELF_TEST:
        return outcome, False
    again = await call.hold_alone(paired, openers, leg, context.media_time_s)
    if again is None:
        return outcome, False
    context.near_books.extend(again.near)
    return (again, True) if again.failure is None else (outcome, False)


def _judged(outcome: CallOutcome, evidence: Evidence, target: str) -> Finding:
    """A call that came up and lasted: by what arrived of its media."""
    ways = ("there_and_back",) if outcome.far is None else ("to_far", "from_far")
    lossy = {way: evidence[way] for way in ways if evidence[way].get("loss_ratio", 0.0) > 1 - ENOUGH_RATIO}
    connected_s = evidence["timeline"].get("dtls_s", 0.0)
    if lossy:
        said = [f"{row['received']} of {row['sent']} RTP packets arrived {WAYS[way]}" for way, row in lossy.items()]
        unusable = any(row["loss_ratio"] > UNUSABLE_LOSS_RATIO for row in lossy.values())
        status = Status.FAIL if unusable else Status.WARN
        return Finding(status=status, summary="; ".join(said), target=target, evidence=evidence)
    counted = ", ".join(f"{evidence[way]['received']} of {evidence[way]['sent']} {WAYS[way]}" for way in ways)
    summary = f"connected in {connected_s * 1000:.0f} ms; RTP {counted}{_carried([evidence[way] for way in ways])}"
    status = Status.WARN if connected_s > SLOW_S else Status.PASS
    return Finding(status=status, summary=summary, target=target, evidence=evidence)


def _carried(rows: Sequence[Evidence]) -> str:
    """That the line is thick enough for a call, where what came through proves it; else nothing: two voices may be all
    that was asked of it, or one."""
    slowest = min(row.get("carried_bits_per_s") or 0 for row in rows)
    return f"; {slowest / 1000:.0f} kbit/s carried each way" if slowest >= USABLE_BITS_PER_S else ""


async def _second_stack(context: Context, paired: PairedHost, first: Finding) -> Finding:
    """The same call by aiortc's RTCPeerConnection, which shares no code with ours."""
    # In a thread: the other calls that go on meanwhile would stand still for a third of a second.
    call_by_aiortc = await asyncio.to_thread(_aiortc_call)
    counts = await call_by_aiortc(paired, min(context.media_time_s, SECOND_STACK_S))
    evidence = first.evidence | {"second_stack": counts}
    said = f"{first.summary}; aiortc: {counts['received']} of {counts['sent']} came back"
    status = first.status if counts["connected"] and counts["received"] else Status.WARN
    return Finding(status=status, summary=said, target=first.target, evidence=evidence)


def _aiortc_call() -> Callable[[PairedHost, float], Awaitable[Evidence]]:
    from calls_doctor.net import aiortc_peer

    return aiortc_peer.call


CHECKS = (
    CheckSpec(
        id="media.self",
        title="The doctor's own client and SFU understand each other on this machine",
        probe=self_probe,
        needs=(UDP_ECHO,),
        phases=frozenset({Phase.SELF_TEST}),
        vantages=CALLERS,
        nothing_to_do=no_link,
        targets=lambda site: [m.target(Transport.UDP) for m in site.media],
        packets_max=40,
        rtp=CALL_RTP,
        timeout_s=45.0,
        fails_when="The bundled client cannot call the bundled SFU on loopback: distrust the rest, and report it.",
    ),
    CheckSpec(
        id="media.call-udp",
        title="A call over UDP carries RTP both ways",
        probe=call_udp_probe,
        about_host=True,
        needs=(UDP_ECHO,),
        uses=SINGLE_PROBES,
        vantages=CALLERS,
        nothing_to_do=no_far_end,
        targets=lambda site: [m.target(Transport.UDP) for m in site.media],
        required=True,
        guide_steps=("2A.3.1", "2A.3.2", "2B.5.1", "2B.5.2"),
        packets_max=80,
        rtp=CALL_RTP,
        timeout_s=45.0,
        at_rtcd=AtRtcd(probe=rtcd_udp_probe, nothing_to_do=no_rtcd_api, needs=IN),
        fails_when="The stage is named: ice (no connectivity check is answered), dtls (checks pass, the handshake does "
        "not: inspection, or a path that drops large packets), media (connected, and packets are lost in a named "
        "direction, or the far end is gone). Through rtcd itself hello and join (its API) come before, and candidates "
        "(it names no address for media that can be tried); channel, lock and offer after dtls. From a machine that is "
        "no caller silence at ice decides nothing, unless rtcd's own checks arrive there.",
    ),
    CheckSpec(
        id="media.call-tcp",
        title="A call over TCP carries RTP both ways",
        probe=call_tcp_probe,
        about_host=True,
        needs=(TCP_ECHO,),
        vantages=CALLERS,
        nothing_to_do=lambda site: no_far_end(site) or no_tcp(site),
        targets=lambda site: [m.target(Transport.TCP) for m in site.media if m.tcp_port],
        packets_max=80,
        rtp=CALL_RTP,
        timeout_s=45.0,
        at_rtcd=AtRtcd(probe=rtcd_tcp_probe, nothing_to_do=no_rtcd_api, needs=IN),
        fails_when="The fallback for callers whose network blocks UDP does not work; the stage is named as for UDP.",
    ),
    CheckSpec(
        id="media.call-relay",
        title="A call through the TURN relay carries RTP both ways",
        probe=call_relay_probe,
        about_host=True,
        needs=("turn.allocate", "turn.relay-range"),
        vantages=CALLERS,
        uses=("turn.permission", *SINGLE_PROBES),
        nothing_to_do=no_far_end,
        targets=lambda site: turn_targets(site)[:1],
        packets_max=120,
        rtp=CALL_RTP,
        timeout_s=45.0,
        at_rtcd=AtRtcd(
            probe=rtcd_relay_probe,
            needs=(*IN, "turn.allocate"),
            packets_max=280,
            uses=("turn.permission",),
            nothing_to_do=lambda site: no_rtcd_api(site) or no_turn(site),
        ),
        fails_when="The way for callers who reach neither UDP nor TCP 8443 does not work; the stage is named as for "
        "UDP, and before it allocate and permit, which are the relay's.",
    ),
)
