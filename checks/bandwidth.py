"""quality.bandwidth: does the path carry what a shared screen takes?

A call of voices shows by itself that 100 kbit/s come through (media.call-*). This check sends more than anybody wants
unasked, so it runs only for who names it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from calls_doctor.model.check import UDP_ECHO, Evidence, Finding, Status
from calls_doctor.model.flow import CALLERS, Transport
from calls_doctor.spec import PAIRED_PHASES, WAYS, CheckSpec, Context, no_link, nothing_behind

if TYPE_CHECKING:
    from calls_doctor.net.bandwidth import Bandwidth, Way

SCREEN_BITS_PER_S = 2_500_000
"""As much as a shared screen takes."""
WAIT_S = 12.0
"""For what is under way on the path."""


async def bandwidth_probe(context: Context) -> Finding:
    """More than a shared screen takes, for two seconds each way: how much of it comes through?"""
    from calls_doctor.net import bandwidth

    paired = context.paired
    assert paired is not None, "selected only where a link was given"
    target = paired.target(Transport.UDP)
    if word := context.link_trouble:
        return nothing_behind(word, UDP_ECHO)
    found = await bandwidth.measure(paired, WAIT_S)
    if found is None:
        summary = "other checks kept the path busy, and nothing was measured"
        return Finding(status=Status.UNKNOWN, summary=summary, target=target)
    context.near_books.extend(found.near)
    evidence: Evidence = {
        "to_far": _row(found.to_far),
        "from_far": _row(found.from_far),
        "needed_bits_per_s": SCREEN_BITS_PER_S,
        "packet_bytes": bandwidth.PACKET_BYTES,
        "window_s": bandwidth.WINDOW_S,
        "held_back": found.held_back,
    }
    if found.failure is not None:
        evidence |= {"stage": found.failure.stage, "detail": found.failure.reason}
    status, summary = judged(found)
    return Finding(status=status, summary=summary, target=target, evidence=evidence)


def judged(found: Bandwidth) -> tuple[Status, str]:
    """What both ways come to: too thin is what was asked for enough and did not carry it."""
    ways = {"to_far": found.to_far, "from_far": found.from_far}
    said = ", ".join(_said(name, way) for name, way in ways.items())
    if found.failure is not None:
        said += f"; the measuring call fails at {found.failure.stage}: {found.failure.reason}"
    if found.held_back:
        said += f"; {found.held_back} packets were over the stand-in's limit for a session, and it held them back"
    if all(_is_enough(way) for way in ways.values()):
        return Status.PASS, said
    if any(_is_too_thin(way) for way in ways.values()):
        return Status.WARN, f"{said}; a shared screen takes {SCREEN_BITS_PER_S / 1e6:g} Mbit/s"
    return Status.UNKNOWN, said


def _is_enough(way: Way) -> bool:
    return (way.carried_bits_per_s or 0) >= SCREEN_BITS_PER_S


def _is_too_thin(way: Way) -> bool:
    asked = (way.offered_bits_per_s or 0) >= SCREEN_BITS_PER_S
    return asked and way.received is not None and not _is_enough(way)


def _said(name: str, way: Way) -> str:
    if way.received is None:
        return f"what was carried {WAYS[name]} is not known"
    if way.carried_bits_per_s is None:
        return f"{way.received} of {way.sent} packets arrived {WAYS[name]}"
    said = f"{_rate(way.carried_bits_per_s)} carried {WAYS[name]}"
    offered = way.offered_bits_per_s
    if _is_enough(way) or _is_too_thin(way):
        return said
    return f"{said} (of no more than {_rate(offered)} that could be sent)" if offered else said


def _rate(bits_per_s: int) -> str:
    return f"{bits_per_s / 1e6:.2f} Mbit/s" if bits_per_s >= 1e6 else f"{bits_per_s / 1e3:.0f} kbit/s"


def _row(way: Way) -> Evidence:
    return {
        "sent": way.sent,
        "received": way.received,
        "offered_bits_per_s": way.offered_bits_per_s,
        "carried_bits_per_s": way.carried_bits_per_s,
    }


CHECKS = (
    CheckSpec(
        id="quality.bandwidth",
        title="The path carries a shared screen each way",
        probe=bandwidth_probe,
        about_host=True,
        needs=(UDP_ECHO,),
        vantages=CALLERS,
        phases=PAIRED_PHASES,
        on_request=True,
        nothing_to_do=no_link,
        targets=lambda site: [m.target(Transport.UDP) for m in site.media],
        packets_max=400,
        rtp="of 1 kB for 2 s, one way after the other",
        rtp_packets_per_s=312,
        timeout_s=60.0,
        fails_when="Of 2.6 Mbit/s of RTP over UDP, sent for 2 s each way, less than 2.5 Mbit/s came through in a named "
        "direction, by the receiver's own clock and with headers of IP and UDP: a shared screen will be blurred or "
        "stall there, and voices may still be well. The stand-in passes on 2 Mbit/s of one session; to it one session "
        "sends and nobody hears it, from it eight hear one that sends 0.3 Mbit/s. What it may hold back all the same, "
        "and what this machine cannot send, leaves a direction undecided. It loads the line, so no other run makes it.",
    ),
)
