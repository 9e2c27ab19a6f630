"""quality.mtu and quality.relay-mtu: how large a datagram may be, each way; and through a relay, where UDP is shut.

Media and DTLS go up to 1200 bytes of UDP payload; where large packets vanish and nobody says so (a black hole), small
probes pass and calls, tunnels and TCP on the same path stall.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from calls_doctor.errors import FarEndError, NetworkError
from calls_doctor.model.check import UDP_ECHO, Evidence, Finding, Status
from calls_doctor.model.flow import CALLERS, Transport
from calls_doctor.net.room import where_there_is_room
from calls_doctor.spec import (
    NETWORK_PHASES,
    CheckSpec,
    Context,
    no_link,
    nothing_behind,
)
from calls_doctor.wire.carried_rate import USABLE_BITS_PER_S

if TYPE_CHECKING:
    from calls_doctor.net.paired import PairedHost

SIZES_BYTES = (200, 600, 1000, 1172, 1200, 1228, 1252, 1280, 1372, 1452, 1472)
"""UDP payloads; 1472 is what an Ethernet MTU of 1500 carries over IPv4, 1452 over IPv6."""
RELAY, RELAY_PORTS_MIN = "turn.relay-range", 4
"""From so many ports nothing large came back by no accident."""
NEARLY_ALL_RATIO = 0.8
"""Of the ports the largest size that passes comes back through so many; a thin link loses some of every size."""
NEEDED_BYTES = 1200
"""As large as WebRTC's packets get."""
ROOMY_BYTES = 1280
"""Below it, what vanishes without a word is a black hole (contract section 6)."""
HOPELESS_BYTES = 1000
AGAIN_AFTER_S = 0.7
"""Before the repetition, so that one bad moment does not count twice."""


async def mtu_probe(context: Context) -> Finding:
    """The largest payload that came back, and that arrived; a limit is measured once more, with the path to itself,
    before it counts."""
    from calls_doctor.net.sockets import CAN_KEEP_WHOLE

    paired = context.paired
    assert paired is not None, "selected only where a link was given"
    target = paired.target(Transport.UDP)
    if word := context.link_trouble:
        return nothing_behind(word, UDP_ECHO)
    if not CAN_KEEP_WHOLE:
        summary = "this system does not let a program forbid that its datagrams are cut; only Linux does"
        return Finding(status=Status.SKIP, summary=summary, target=target)
    echo = context.results.get(UDP_ECHO)
    rate_bits_per_s = echo.evidence.get("rate_bits_per_s") if echo else None
    if rate_bits_per_s is not None and rate_bits_per_s < USABLE_BITS_PER_S:
        summary = (
            f"a line of {rate_bits_per_s / 1000:.0f} kbit/s loses large datagrams in its queue, whatever it allows"
        )
        return Finding(status=Status.SKIP, summary=summary, target=target, blocked_by=UDP_ECHO)
    try:
        evidence = await _measured(paired)
        if _status(evidence) is not Status.PASS:
            await asyncio.sleep(AGAIN_AFTER_S)
            again = await _measured_alone(paired)
            if again is None:
                summary = f"{_summary(evidence)}; the path was never free to measure that again alone"
                return Finding(status=Status.UNKNOWN, summary=summary, target=target, evidence=evidence)
            evidence = _better(evidence, again)
    except (NetworkError, FarEndError) as error:
        return Finding(status=Status.UNKNOWN, summary=str(error), target=target)
    return Finding(status=_status(evidence), summary=_summary(evidence), target=target, evidence=evidence)


async def relay_mtu_probe(context: Context) -> Finding:
    """By which of the sizes came back through the relay's ports, where there is no straight way over UDP."""
    relayed, echo = context.results.get(RELAY), context.results.get(UDP_ECHO)
    if echo is not None and echo.status in (Status.PASS, Status.WARN):
        return Finding(status=Status.SKIP, summary="quality.mtu tells it of the straight way")
    rows = [row["returned_bytes"] for row in (relayed.evidence.get("ports", ()) if relayed else ()) if row["returned"]]
    if relayed is None or len(rows) < RELAY_PORTS_MIN:
        return Finding(status=Status.SKIP, summary="too little came back through a relay to tell", blocked_by=RELAY)
    tried = max(row["sent_bytes"][-1] for row in relayed.evidence["ports"] if row["returned"])
    largest = max(max(sizes) for sizes in rows)
    evidence: Evidence = {"payload_max_bytes": largest, "tried_max_bytes": tried, "icmp": False, "lost": None}
    if largest == tried:
        summary = f"UDP payloads of {largest} bytes pass through the relay both ways"
        return Finding(status=Status.PASS, summary=summary, target=relayed.target, evidence=evidence | {"stage": ""})
    if sum(largest in sizes for sizes in rows) < NEARLY_ALL_RATIO * len(rows):
        summary = f"too much of any size is lost through the relay to tell why none of {tried} bytes came back"
        return Finding(status=Status.SKIP, summary=summary, target=relayed.target, evidence=evidence)
    return Finding(
        status=Status.WARN, target=relayed.target, evidence=evidence | {"stage": "black-hole"},
        summary=f"UDP payloads of {tried} bytes vanish behind each of {len(rows)} relay ports, of {largest} they pass",
    )  # fmt: skip


async def _measured_alone(paired: PairedHost) -> Evidence | None:
    """With the path to itself; None where what is under way there does not end soon."""
    try:
        return await _measured(paired, alone=True)
    except TimeoutError:
        return None


async def _measured(paired: PairedHost, *, alone: bool = False) -> Evidence:
    seen = await where_there_is_room(lambda: paired.sizes(SIZES_BYTES, alone=alone))
    largest = max(seen.returned_bytes, default=0)
    evidence: Evidence = {
        "payload_max_bytes": largest,
        "payload_max_to_far_bytes": largest,
        "tried_max_bytes": max(seen.sent_bytes),
        "icmp": seen.mtu_bytes is not None,
        "session": seen.session,
    }
    if seen.mtu_bytes is not None:
        evidence["mtu_bytes"] = seen.mtu_bytes
    if largest < max(seen.sent_bytes):
        books = await paired.books()
        session = next((s for s in books.sessions if s.session == seen.session), None) if books else None
        arrived = [probe.size_bytes for probe in session.probes] if session else []
        evidence["payload_max_to_far_bytes"] = max(arrived, default=0) if books else None
    return evidence | _judged(evidence)


def _judged(evidence: Evidence) -> Evidence:
    """`stage`: "black-hole" where larger ones vanish and nobody says so, "small" where somebody does; `lost` names the
    direction where the books could be had."""
    largest, there = evidence["payload_max_bytes"], evidence["payload_max_to_far_bytes"]
    way = None if there is None else "reply" if there > largest else "request"
    # An ICMP message is about the way there: it says nothing of answers that were lost.
    told = evidence["icmp"] and way != "reply"
    if not largest or largest >= (NEEDED_BYTES if told else ROOMY_BYTES):
        return {"stage": "", "lost": None}
    return {"stage": "small" if told else "black-hole", "lost": way}


def _better(first: Evidence, second: Evidence) -> Evidence:
    """What both found: a limit that was found once only is none."""
    return max(first, second, key=lambda evidence: int(evidence["payload_max_bytes"]))


def _status(evidence: Evidence) -> Status:
    if not evidence["payload_max_bytes"]:
        return Status.UNKNOWN
    if not evidence["stage"]:
        return Status.PASS
    return Status.FAIL if evidence["payload_max_bytes"] < HOPELESS_BYTES else Status.WARN


def _summary(evidence: Evidence) -> str:
    largest = evidence["payload_max_bytes"]
    if not largest:
        return "none of the padded probes came back"
    if largest == evidence["tried_max_bytes"]:
        return f"UDP payloads of {largest} bytes pass both ways"
    mtu = f", as ICMP says (MTU {evidence['mtu_bytes']})" if evidence["icmp"] else ""
    if evidence["stage"] != "black-hole":
        return f"UDP payloads pass up to {largest} bytes{mtu}"
    where = {"request": " to the far end", "reply": " from the far end"}.get(evidence["lost"], "")
    return f"UDP payloads over {largest} bytes vanish{where}, and nothing says so"


CHECKS = (
    CheckSpec(
        id="quality.mtu",
        title="Datagrams as large as media's pass whole",
        probe=mtu_probe,
        about_host=True,
        needs=(UDP_ECHO,),
        vantages=CALLERS,
        phases=NETWORK_PHASES,
        nothing_to_do=no_link,
        targets=lambda site: [m.target(Transport.UDP) for m in site.media],
        packets_max=80,
        timeout_s=20.0,
        fails_when="UDP payloads over a size below 1280 bytes vanish in a named direction and no ICMP message says so"
        " (a black hole), or none of 1200 bytes passes: DTLS, video and TCP stall where small packets pass. A limit is"
        " measured twice.",
    ),
    CheckSpec(
        id="quality.relay-mtu",
        title="Datagrams as large as media's pass the relay whole",
        probe=relay_mtu_probe,
        about_host=True,
        uses=(UDP_ECHO, RELAY),
        vantages=CALLERS,
        phases=NETWORK_PHASES,
        nothing_to_do=no_link,
        fails_when="UDP 8443 is shut from here, and through a TURN relay small datagrams come back while none as large "
        "as media's, or a little larger, does. It is drawn from what turn.relay-range has sent.",
    ),
)
