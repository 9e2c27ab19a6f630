"""media.video: does a shared screen come through rtcd?

It is another track than the voice: offered later, for it alone, in large packets, and seen by nobody who cannot ask
for a whole picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from calls_doctor.model.check import API, Evidence, Finding, Status
from calls_doctor.model.flow import CALLERS, Transport
from calls_doctor.spec import (
    NETWORK_PHASES,
    RTCD_CALLS,
    CheckSpec,
    Context,
    no_rtcd_api,
    nothing_to_do,
    rtcd_versions,
)
from checks import through_rtcd

if TYPE_CHECKING:
    from calls_doctor.net.rtcd_access import RtcdAccess
    from calls_doctor.net.rtcd_call import RtcdOutcome

VIDEO = "media.video"
TIME_S = 3.0
"""How long it is shown at most."""
LOSSY_RATIO, UNUSABLE_LOSS_RATIO = 0.02, 0.3
"""A picture that lacks a packet cannot be shown, so less may be lost than of a voice (catalogue)."""


async def video_probe(context: Context) -> Finding:
    """One session of our own shares, another sees, at the address of the other calls."""
    client, url = context.registration.let_in, context.site.rtcd_url
    if client is None:
        return nothing_to_do("what stands behind this name has several keys: each is tested with its own link")

    async def hold(access: RtcdAccess) -> RtcdOutcome:
        from calls_doctor.net import rtcd_video

        rate = rtcd_video.FULL_PACKETS_PER_S if VIDEO in context.asked_for else rtcd_video.PACKETS_PER_S
        return await rtcd_video.hold(access, rate, min(context.media_time_s, TIME_S))

    made = await through_rtcd.held(context, next(iter(rtcd_versions(context.results))), client, hold)
    return judged(made, made.media_target(Transport.UDP) or url, is_caller=context.site.vantage in CALLERS)


def judged(made: RtcdOutcome, target: str, *, is_caller: bool) -> Finding:
    """What came of it: a screen that does not come is black, one that loses packets freezes."""
    failure, told = made.call.failure, made.signalling
    screen = told.get("screen", {})
    evidence: Evidence = {"stage": "media", "signalling": told, **screen}
    if failure is not None:
        evidence |= failure.evidence()
        summary = f"fails at {failure.stage}: {failure.reason}"
        if failure.stage == "ice" and failure.trouble is None and not is_caller:
            return Finding(status=Status.UNKNOWN, summary=summary, target=target, evidence=evidence)
        return Finding(status=Status.FAIL, summary=summary, target=target, evidence=evidence)
    sent, received = screen["sent"], screen["received"]
    loss_ratio = evidence["loss_ratio"] = round(max(0.0, 1 - received / sent), 4) if sent else 1.0
    asked = 8 * screen["packets_per_s"] * screen["packet_bytes"] / 1e6
    carried_bits_per_s = screen["carried_bits_per_s"]
    carried = "" if carried_bits_per_s is None else f", {carried_bits_per_s / 1e6:.2f} carried"
    summary = f"{received} of {sent} RTP packets of a screen came through rtcd: {asked:.1f} Mbit/s sent{carried}"
    if loss_ratio > UNUSABLE_LOSS_RATIO:
        return Finding(status=Status.FAIL, summary=summary, target=target, evidence=evidence)
    if loss_ratio >= LOSSY_RATIO:
        return Finding(status=Status.WARN, summary=f"{summary}: it will freeze", target=target, evidence=evidence)
    if not screen["key_frames_wanted"]:
        summary += "; whoever begins to see it asks for a whole picture, and that did not come to who shares"
        return Finding(status=Status.WARN, summary=summary, target=target, evidence=evidence)
    return Finding(status=Status.PASS, summary=summary + _more(screen), target=target, evidence=evidence)


def _more(screen: Evidence) -> str:
    from calls_doctor.net import rtcd_video

    is_full = screen["packets_per_s"] >= rtcd_video.FULL_PACKETS_PER_S
    return "" if is_full else f"; one that moves takes 1.6 (not sent unasked: --only {VIDEO})"


CHECKS = (
    CheckSpec(
        id=VIDEO,
        title="A shared screen comes through rtcd",
        probe=video_probe,
        needs=(API, "api.rtcd-auth", "media.call-udp"),
        uses=(*RTCD_CALLS, "media.multi-instance"),
        phases=NETWORK_PHASES,
        nothing_to_do=no_rtcd_api,
        targets=lambda site: [site.rtcd_url],
        packets_max=240,
        rtp="of 1.2 kB one way for 3 s at most (167 a second where --only media.video asks for it)",
        rtp_packets_per_s=40,
        timeout_s=120.0,
        fails_when="Two sessions of the doctor's own are in a call over UDP, and one shares a screen: it says so, "
        "offers a track of VP8 beside its voice, and sends packets of 1200 bytes; rtcd offers it to the other, which "
        "counts them. It fails where rtcd takes or makes no offer of it, or nothing of it comes: users see black. It "
        "warns where 2 % are lost (the picture freezes), or where a request for a whole picture does not come through "
        "(who joins later sees black for long). Unasked 0.4 Mbit/s are sent, within what a run promises; --only "
        "media.video sends 1.6, as much as a screen that moves.",
    ),
)
