"""media.*: a real call. ICE, DTLS and SRTP, RTP at voice rate both ways, counted at both ends.

`media.call-*` holds two sessions of the doctor's own in one call, so what one sends the far end forwards to the
other; the far end's books tell in which direction something was lost.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any  # evidence is JSON

from calls_doctor.errors import FarEndError, NetworkError, ProtocolError
from calls_doctor.model.books import RunBooks, SessionBooks
from calls_doctor.model.check import Evidence, Finding, Status
from calls_doctor.model.flow import Transport
from calls_doctor.model.site import Phase, Site
from calls_doctor.spec import CheckSpec, Context

if TYPE_CHECKING:
    from calls_doctor.net.paired import ChannelOpener, PairedHost
    from calls_doctor.net.peer import Peer

CONNECT_S = 3.0
"""A call that is not connected by then has failed; the stage that it hangs in is named."""
PACKETS_PER_S = 50
SESSIONS = 2
DRAIN_S = 0.03
"""After the last packet was sent, so that it can still arrive; plus a round trip."""
ENOUGH_RATIO = 0.95
"""A call passes where this share of the packets arrives in each direction (catalogue, media.call-udp)."""


async def self_probe(context: Context) -> Finding:
    """One session that the SFU echoes: does this program's client understand its own SFU?"""
    paired = context.paired
    assert paired is not None, "selected only where a link was given"
    return await _call(context, paired, [paired.opener(Transport.UDP)], "u")


async def call_udp_probe(context: Context) -> Finding:
    """Two sessions in one call over UDP; with --thorough an independent stack makes the same call."""
    paired = context.paired
    assert paired is not None, "selected only where a link was given"
    finding = await _call(context, paired, [paired.opener(Transport.UDP)] * SESSIONS, "U")
    if context.thorough and finding.status is not Status.FAIL:
        return await _second_stack(context, paired, finding)
    return finding


async def call_tcp_probe(context: Context) -> Finding:
    """The same over TCP 8443 alone (RFC 4571 framing, RFC 6544)."""
    paired = context.paired
    assert paired is not None, "selected only where a link was given"
    finding = await _call(context, paired, [paired.opener(Transport.TCP)] * SESSIONS, "T")
    return finding if context.site.phase is Phase.SELF_TEST else _as_fallback(finding)


async def call_relay_probe(context: Context) -> Finding:
    """The same with every packet going through the TURN relay."""
    from calls_doctor.net import relay

    paired = context.paired
    assert paired is not None, "selected only where a link was given"
    uri = relay.first_good(context.site, context.results["turn.allocate"].evidence["servers"])
    try:
        async with AsyncExitStack() as stack:
            # Two sessions through one allocation would reach the far end from one address: one each.
            allocations = [
                await stack.enter_async_context(await relay.opened(uri, context.credentials)) for _ in range(SESSIONS)
            ]
            finding = await _call(context, paired, [paired.through(one) for one in allocations], "R")
    except (NetworkError, FarEndError, ProtocolError) as error:
        evidence: Evidence = {"stage": "allocate", "detail": str(error)}
        finding = Finding(status=Status.FAIL, summary=f"fails at allocate: {error}", target=str(uri), evidence=evidence)
    return finding if context.site.phase is Phase.SELF_TEST else _as_fallback(finding)


def _as_fallback(finding: Finding) -> Finding:
    """Calls still run over UDP: a lost fallback is a warning (contract section 1)."""
    if finding.status is not Status.FAIL:
        return finding
    return Finding(status=Status.WARN, summary=finding.summary, target=finding.target, evidence=finding.evidence)


async def _call(context: Context, paired: PairedHost, openers: Sequence[ChannelOpener], leg: str) -> Finding:
    """A call of as many sessions as there are openers; what both ends counted of it."""
    from calls_doctor.net.peer import CallFailed, Peer

    call = paired.new_call()
    peers = [Peer(paired.session_settings(leg, call), secrets.token_bytes) for _ in openers]
    failure: CallFailed | None = None
    try:
        async with asyncio.TaskGroup() as group:
            for peer, opener in zip(peers, openers, strict=True):
                group.create_task(_connect(peer, opener))
        await asyncio.gather(*(peer.talk(context.media_time_s, packets_per_s=PACKETS_PER_S) for peer in peers))
        await asyncio.sleep(DRAIN_S)
    except* CallFailed as group_error:
        failure = next(error for error in group_error.exceptions if isinstance(error, CallFailed))
    finally:
        context.near_books.extend(peer.books for peer in peers)
        far = await paired.books()
        for peer in peers:
            await peer.close()
    evidence = call_evidence([peer.books for peer in peers], far)
    target = paired.target(Transport.TCP if leg.upper() == "T" else Transport.UDP)
    if failure is not None:
        evidence |= {"stage": failure.stage, "detail": str(failure.reason)}
        return Finding(
            status=Status.FAIL, summary=f"fails at {failure.stage}: {failure.reason}", target=target, evidence=evidence
        )
    return _judged(evidence, target)


async def _connect(peer: Peer, opener: ChannelOpener) -> None:
    await peer.connect(await opener(peer), CONNECT_S)


def call_evidence(near: Sequence[SessionBooks], far: RunBooks | None) -> Evidence:
    """Both ends' counts, by direction. `received` of `to_far` is None where the far end's books could not be had."""
    names = {books.session for books in near}
    far_sessions = [s for s in far.sessions if s.session in names] if far else None
    sent_far = sum(path.rtp_out for s in far_sessions for path in s.paths) if far_sessions is not None else None
    evidence: Evidence = {
        "sessions": len(near),
        "packets_per_s": PACKETS_PER_S,
        "timeline": _slowest([books.timeline for books in near]),
        "to_far": _direction(sum(books.sent_rtp for books in near), far_sessions),
        "from_far": _direction(sent_far, near),
    }
    return evidence


def _direction(sent: int | None, receivers: Sequence[SessionBooks] | None) -> Evidence:
    """One direction: what one end sent, and what the other received of it."""
    streams = [stream for books in receivers or () for stream in books.streams]
    received = sum(stream.received for stream in streams) if receivers is not None else None
    direction: Evidence = {"sent": sent, "received": received}
    if sent and received is not None:
        direction["loss_ratio"] = round(max(0.0, 1 - received / sent), 4)
        direction["reordered_ratio"] = round(sum(s.reordered for s in streams) / sent, 4)
        direction["duplicated_ratio"] = round(sum(s.duplicated for s in streams) / sent, 4)
        direction["jitter_s"] = round(max((s.jitter_s for s in streams), default=0.0), 6)
    return direction


def _slowest(timelines: Sequence[dict[str, float]]) -> dict[str, float]:
    stages = dict.fromkeys(stage for timeline in timelines for stage in timeline)
    return {f"{stage}_s": round(max(t[stage] for t in timelines if stage in t), 4) for stage in stages}


def _judged(evidence: Evidence, target: str) -> Finding:
    short = [
        f"{words} {row['received']} of {row['sent']} packets arrived"
        for words, row in (("to the far end", evidence["to_far"]), ("from the far end", evidence["from_far"]))
        if row["sent"] is not None and row["received"] is not None and row["received"] < ENOUGH_RATIO * row["sent"]
    ]
    nothing = [row for row in (evidence["to_far"], evidence["from_far"]) if row["received"] == 0]
    evidence["stage"] = "media"
    if short:
        status = Status.FAIL if nothing else Status.WARN
        return Finding(status=status, summary="; ".join(short), target=target, evidence=evidence)
    to_far, from_far = evidence["to_far"], evidence["from_far"]
    timeline = evidence["timeline"]
    arrived = f"{to_far['received']} of {to_far['sent']}" if to_far["received"] is not None else "uncounted"
    summary = (
        f"connected in {timeline.get('dtls_s', 0.0) * 1000:.0f} ms; "
        f"RTP to the far end {arrived}, back {from_far['received']} of {from_far['sent']}"
    )
    return Finding(status=Status.PASS, summary=summary, target=target, evidence=evidence)


async def _second_stack(context: Context, paired: PairedHost, first: Finding) -> Finding:
    """The same call by aiortc's RTCPeerConnection, which shares no code with ours."""
    from calls_doctor.net import aiortc_peer

    counts = await aiortc_peer.call(paired, context.media_time_s)
    evidence = first.evidence | {"second_stack": counts}
    said = f"{first.summary}; aiortc: {counts['received']} of {counts['sent']} came back"
    status = first.status if counts["connected"] and counts["received"] else Status.WARN
    return Finding(status=status, summary=said, target=first.target, evidence=evidence)


def _no_link(site: Site) -> str:
    return "" if site.media else "no stand-in to test against: give its link with --peer"


def _no_tcp(site: Site) -> str:
    return _no_link(site) or ("" if any(m.tcp_port for m in site.media) else "TCP is not wanted: tcp_port is 0")


def _no_relay(site: Site) -> str:
    return _no_link(site) or ("" if site.turn else "no TURN server was named: give it with --turn")


CHECKS = (
    CheckSpec(
        id="media.self",
        title="The doctor's own client and SFU understand each other on this machine",
        probe=self_probe,
        needs=("port.rtc-udp-echo",),
        phases=frozenset({Phase.SELF_TEST}),
        nothing_to_do=_no_link,
        targets=lambda site: [f"{m.host}:{m.udp_port}/udp" for m in site.media],
        packets_max=40,
        timeout_s=45.0,
        fails_when="The bundled client cannot call the bundled SFU on loopback: distrust the rest, and report it.",
    ),
    CheckSpec(
        id="media.call-udp",
        title="A call over UDP carries RTP both ways",
        probe=call_udp_probe,
        needs=("port.rtc-udp-echo",),
        nothing_to_do=_no_link,
        targets=lambda site: [f"{m.host}:{m.udp_port}/udp" for m in site.media],
        required=True,
        guide_steps=("2A.3.1", "2A.3.2", "2B.5.1", "2B.5.2"),
        packets_max=80,
        timeout_s=45.0,
        fails_when="The stage is named: ice (no connectivity check is answered), dtls (checks pass, the handshake does not: "
        "inspection, or a path that drops large packets), rtp (connected, and packets are lost in a named direction).",
    ),
    CheckSpec(
        id="media.call-tcp",
        title="A call over TCP carries RTP both ways",
        probe=call_tcp_probe,
        needs=("port.rtc-tcp-echo",),
        nothing_to_do=_no_tcp,
        targets=lambda site: [f"{m.host}:{m.tcp_port}/tcp" for m in site.media if m.tcp_port],
        packets_max=80,
        timeout_s=45.0,
        fails_when="The fallback for callers whose network blocks UDP does not work; the stage is named as for UDP.",
    ),
    CheckSpec(
        id="media.call-relay",
        title="A call through the TURN relay carries RTP both ways",
        probe=call_relay_probe,
        needs=("turn.allocate", "turn.relay-range"),
        nothing_to_do=_no_relay,
        targets=lambda site: [str(uri) for uri in site.turn[:1]],
        packets_max=120,
        timeout_s=45.0,
        fails_when="The way for callers who reach neither UDP nor TCP 8443 does not work; the stage is named as for UDP.",
    ),
)
