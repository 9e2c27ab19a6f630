"""quality.*: is what the path carries good enough to talk?

The contract's thresholds judge; how a voice would be rated (wire/voice.py) stands beside them as information.

Read from the call over UDP, so that no second stream loads the path; only a value that is near its threshold is
measured again, in a call of its own that lasts longer and has the path to itself. Where UDP to the media port is shut,
from the call through the relay, which is then what callers hear each other by, and without one from the echo over TCP.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING

from calls_doctor.errors import FarEndError, NetworkError, ProtocolError
from calls_doctor.model.check import TCP_ECHO, UDP_ECHO, CheckResult, Evidence, Finding, Status
from calls_doctor.model.flow import CALLERS, Transport
from calls_doctor.model.site import Phase
from calls_doctor.net import relay
from calls_doctor.spec import WAYS, CheckSpec, Context, no_link
from calls_doctor.wire import voice

if TYPE_CHECKING:
    from calls_doctor.net.call import CallOutcome

UDP_CALL, RELAY_CALL = "media.call-udp", "media.call-relay"

LOSS_LIMIT_RATIO = 0.02
RTT_LIMIT_S = 0.250
JITTER_LIMIT_S = 0.025
REORDERED_LIMIT_RATIO = 0.02
WINDOW_PACKETS = 150
"""Per direction; jitter and reordering of fewer are not judged (contract section 6)."""
LONGER_S = 12.0
"""A value between half and twice its threshold is judged over so long a window: 600 packets of each voice."""
ALONE_WAIT_S = 12.0
"""For what is under way on the path; with the longer call it stays within the check's time."""
SESSIONS = 2
RTTS_MIN = 10
"""So many round trips of a call say more than the echo's."""
BUSY_S = 0.010
"""A machine that is so late with its own packets cannot tell the network's delays from its own."""
TIMED = ("latency", "jitter")
VOICE_ASSUMED: Evidence = {
    "model": "ITU-T G.107",
    "codec": "Opus, 20 ms, without FEC",
    "ie": voice.OPUS_IMPAIRMENT,
    "bpl": voice.OPUS_LOSS_ROBUSTNESS,
    "codec_delay_s": voice.CODEC_DELAY_S,
    "jitter_buffer_min_s": voice.JITTER_BUFFER_MIN_S,
    "jitter_buffer_per_jitter": voice.JITTER_BUFFER_PER_JITTER,
}
"""What the ratings stand on beside what was measured."""
MADE = (Status.PASS, Status.WARN)
Z_99 = 2.326
"""One-sided 99 % quantile of the normal distribution."""


def lower_bound_99(lost: int, sent: int) -> float:
    """The lower 99 % bound of a loss ratio (Wilson's score interval): 0 where so few packets prove nothing."""
    if not sent:
        return 0.0
    ratio, z2 = lost / sent, Z_99**2
    centre = ratio + z2 / (2 * sent)
    spread = Z_99 * sqrt((ratio * (1 - ratio) + z2 / (4 * sent)) / sent)
    return max(0.0, (centre - spread) / (1 + z2 / sent))


@dataclass(frozen=True)
class _Measured:
    """What there is to judge: each direction's counts that could be had, and the round trip."""

    directions: dict[str, Evidence] = field(default_factory=dict)
    rtt_p50_s: float = 0.0
    rtt_p95_s: float = 0.0
    late_p95_s: float = 0.0
    """How late this machine itself was with its packets."""
    told_by_call: bool = False
    """False: the round trips are an echo's."""

    def is_beyond_us(self, fault: str) -> bool:
        """True where a delay is over its threshold by more than this machine's own lateness could add."""
        if self.late_p95_s <= BUSY_S:
            return True
        if fault == "latency":
            return self.rtt_p95_s - 2 * self.late_p95_s > RTT_LIMIT_S
        jitter_s = max(float(row["jitter_s"]) for row in self.directions.values())
        return jitter_s - 2 * self.late_p95_s > JITTER_LIMIT_S

    @property
    def sent(self) -> int:
        return sum(row["sent"] for row in self.directions.values())

    @property
    def lost(self) -> int:
        return sum(max(0, row["sent"] - row["received"]) for row in self.directions.values())


async def path_probe(context: Context) -> Finding:
    """Loss, jitter, reordering per direction and round-trip time, held against the contract's thresholds."""
    for one in (UDP_ECHO, UDP_CALL):
        if context.results[one].status is Status.UNKNOWN:
            return Finding(status=Status.UNKNOWN, summary=f"{one} could not be decided: nothing was measured")
    echo, call = (context.results[one] for one in (UDP_ECHO, UDP_CALL))
    if call.status in MADE:
        return await _judged_by(context, call, echo.evidence)
    if call.evidence.get("stage") == "media":
        return _not_made(call)  # its stream was lost, which is more than a path that carries badly: the call tells
    relayed = context.results.get(RELAY_CALL)
    if relayed and relayed.evidence.get("stage") == "media" and relayed.evidence.get("relay_transport") == "udp":
        return await _judged_by(context, relayed, relayed.evidence)
    stream = context.results.get(TCP_ECHO)
    # Over TCP what is lost comes late: only the fastest of all tells of the path and of nothing else.
    if stream and stream.evidence.get("rtt_min_s", 0.0) > RTT_LIMIT_S:
        times = {name: stream.evidence[name] for name in ("rtt_min_s", "rtt_p50_s", "rtt_p95_s")}
        evidence: Evidence = {**times, "by": stream.id, "faults": [{"what": "latency", "direction": ""}]}
        said = f"round trip {times['rtt_min_s'] * 1000:.0f} ms over TCP at the least"
        return Finding(status=Status.WARN, summary=said, evidence=evidence)
    first = next(one for one in (echo, call) if one.status not in MADE)
    return _not_made(first)


def _not_made(need: CheckResult) -> Finding:
    first = need.id if need.status is Status.FAIL else need.blocked_by or need.id
    return Finding(status=Status.SKIP, summary=f"{first} did not pass", blocked_by=first)


async def _judged_by(context: Context, call: CheckResult, echo: Evidence) -> Finding:
    """What a call that carried media tells, with the round trips of an echo where it has too few of its own."""
    rtts = _Measured(rtt_p50_s=echo.get("rtt_p50_s", 0.0), rtt_p95_s=echo.get("rtt_p95_s", 0.0))
    measured = _told(call.evidence, rtts)
    window_s = context.media_time_s
    if context.site.phase is not Phase.SELF_TEST and window_s < LONGER_S and _is_close(measured):
        again = await _measured_again(context, measured, relayed=call.id == RELAY_CALL)
        if again is not None:
            measured, window_s = again, LONGER_S
    return _finding(measured, {"window_s": window_s, "by": call.id})


def _finding(measured: _Measured, how: Evidence) -> Finding:
    faults = [fault for name, row in measured.directions.items() for fault in _direction_faults(name, row)]
    if measured.rtt_p95_s > RTT_LIMIT_S:
        faults.append(("latency", "", f"round trip {measured.rtt_p95_s * 1000:.0f} ms"))
    by_ourselves = [fault for fault in faults if fault[0] in TIMED and not measured.is_beyond_us(fault[0])]
    faults = [fault for fault in faults if fault not in by_ourselves]
    rated = _rated(measured)
    evidence: Evidence = {
        **rated,
        "rtt_p50_s": round(measured.rtt_p50_s, 6),
        "rtt_p95_s": round(measured.rtt_p95_s, 6),
        **how,
        "late_p95_s": measured.late_p95_s,
        "faults": [{"what": what, "direction": direction} for what, direction, _ in faults],
        "voice_assumed": VOICE_ASSUMED,
    }
    through = " through the relay" if how["by"] == RELAY_CALL else ""
    heard = _heard(rated)
    if faults:
        summary = "; ".join(said for _, _, said in faults) + through + heard
        return Finding(status=Status.WARN, summary=summary, evidence=evidence)
    if by_ourselves:
        said = "; ".join(said for _, _, said in by_ourselves)
        late_ms = measured.late_p95_s * 1000
        summary = f"this machine was too busy to tell ({late_ms:.0f} ms late itself): {said}"
        return Finding(status=Status.UNKNOWN, summary=summary, evidence=evidence)
    jitter_s = max((row["jitter_s"] for row in measured.directions.values()), default=0.0)
    summary = (
        f"{measured.lost} of {measured.sent} packets lost, round trip {measured.rtt_p50_s * 1000:.1f} ms, "
        f"jitter {jitter_s * 1000:.1f} ms{through}{heard}"
    )
    return Finding(status=Status.PASS, summary=summary, evidence=evidence)


def _counted(call: Evidence) -> dict[str, Evidence]:
    """The rows that both ends' books fill; where the far end's could not be had, the way there and back as one."""
    ways = ("to_far", "from_far") if call["far"] is not None else ("there_and_back",)
    return {way: call[way] for way in ways if "loss_ratio" in call[way]}


def _rated(measured: _Measured) -> dict[str, Evidence]:
    """The rows, each with how a voice would be rated that goes that way alone. The whole way through the far end takes
    the whole round trip."""
    rows = {}
    for way, row in measured.directions.items():
        network_delay_s = measured.rtt_p50_s * (1.0 if way == "there_and_back" else 0.5)
        rated = voice.voice(network_delay_s, row["jitter_s"], row["loss_ratio"])
        rows[way] = row | {
            "mouth_to_ear_s": round(rated.mouth_to_ear_s, 4),
            "r_factor": round(rated.r_factor, 1),
            "mos": round(rated.mos, 2),
        }
    return rows


def _heard(rated: dict[str, Evidence]) -> str:
    """The worse direction's rating, to be read after the figures; "" where there is none."""
    if not rated:
        return ""
    way = min(rated, key=lambda one: float(rated[one]["r_factor"]))
    return f"; a voice would rate MOS {rated[way]['mos']:.1f} of {voice.MOS_MAX:g} {WAYS[way]}"


async def _measured_again(context: Context, before: _Measured, *, relayed: bool) -> _Measured | None:
    """The same over a longer call that nothing else disturbs; None where it cannot be had, or fails."""
    from calls_doctor.net import call

    outcome = await (_longer_relayed(context) if relayed else _longer(context))
    if outcome is None:
        return None
    context.near_books.extend(outcome.near)
    if outcome.failure is not None:
        return None
    return _told(call.evidence(outcome), before)


async def _longer(context: Context) -> CallOutcome | None:
    from calls_doctor.net import call

    paired = context.paired
    assert paired is not None, "selected only where a link was given"
    openers = [paired.opener(Transport.UDP)] * SESSIONS
    return await call.hold_alone(paired, openers, "U", LONGER_S, ALONE_WAIT_S)


async def _longer_relayed(context: Context) -> CallOutcome | None:
    from calls_doctor.net import call

    paired = context.paired
    assert paired is not None, "selected only where a link was given"
    servers, given = await context.turn(), await context.turn_credentials()
    uri = relay.usable(servers.uris, context.results)
    try:
        async with context.relays.several(uri, given, SESSIONS) as allocations:
            openers = [paired.through(one) for one in allocations]
            return await call.hold_alone(paired, openers, "R", LONGER_S, ALONE_WAIT_S)
    except (NetworkError, FarEndError, ProtocolError):
        return None


def _told(call: Evidence, before: _Measured) -> _Measured:
    """What a call tells. Its own round trips where there are enough of them: RTCP leaves out how long the far end took
    to answer, which an echo counts as the path's."""
    told = call.get("rtts", 0) >= RTTS_MIN
    return _Measured(
        directions=_counted(call),
        rtt_p50_s=call["rtt_p50_s"] if told else before.rtt_p50_s,
        rtt_p95_s=call["rtt_p95_s"] if told else before.rtt_p95_s,
        late_p95_s=call.get("late_p95_s", 0.0),
        told_by_call=told,
    )


def _is_close(measured: _Measured) -> bool:
    """True where a value lies between half and twice its threshold, or the echo alone says that it is beyond."""
    if measured.rtt_p95_s > RTT_LIMIT_S and not measured.told_by_call:
        return True
    values = [(measured.rtt_p95_s, RTT_LIMIT_S)]
    for row in measured.directions.values():
        values += [
            (row["loss_ratio"], LOSS_LIMIT_RATIO),
            (row["jitter_s"], JITTER_LIMIT_S),
            (row["reordered_ratio"], REORDERED_LIMIT_RATIO),
        ]
    return any(limit / 2 <= value <= 2 * limit for value, limit in values)


def _direction_faults(name: str, row: Evidence) -> list[tuple[str, str, str]]:
    """What is over a threshold: (cause word, direction, sentence)."""
    where = WAYS[name]
    found = []
    if lower_bound_99(max(0, row["sent"] - row["received"]), row["sent"]) > LOSS_LIMIT_RATIO:
        found.append(("loss", name, f"{row['loss_ratio']:.1%} of the packets lost {where}"))
    if row["sent"] < WINDOW_PACKETS:
        return found
    if row["jitter_s"] > JITTER_LIMIT_S:
        found.append(("jitter", name, f"jitter {row['jitter_s'] * 1000:.0f} ms {where}"))
    if row["reordered_ratio"] > REORDERED_LIMIT_RATIO:
        found.append(("reordering", name, f"{row['reordered_ratio']:.1%} of the packets out of order {where}"))
    return found


CHECKS = (
    CheckSpec(
        id="quality.path",
        title="The path is good enough for voice",
        probe=path_probe,
        about_host=True,
        needs=(UDP_ECHO, UDP_CALL),
        anyway=True,
        # A longer call that has the path to itself comes after all others.
        uses=(TCP_ECHO, "media.call-tcp", RELAY_CALL, "turn.allocate", "turn.permission"),
        vantages=CALLERS,
        nothing_to_do=no_link,
        targets=lambda site: [m.target(Transport.UDP) for m in site.media],
        guide_steps=("2A.3.2", "2B.5.2"),
        packets_max=80,
        rtp=f"for {LONGER_S:g} s in each of {SESSIONS} sessions, where a value is near its threshold",
        timeout_s=30.0,
        fails_when="Loss whose lower 99 % bound is over 2 %, a round trip over 250 ms, jitter over 25 ms or more than "
        "2 % out of order, in a named direction. What is near its threshold is measured for 12 s before it is judged. "
        "Where UDP 8443 is shut, the call through the relay tells, or over TCP the fastest round trip. "
        "R (0 to 93.2) and MOS (1 to 4.5) of each direction, by the E-model of ITU-T G.107, are information beside "
        "these thresholds and decide nothing. G.113 has no values for Opus, so they are assumed: Ie 0 (undisturbed it "
        "sounds no worse than G.711) and Bpl 10 (as measured at 40 kbit/s without FEC), losses at random, and as delay "
        "half the median round trip, 26.5 ms of codec and a jitter buffer of four times the jitter, 40 ms at least.",
    ),
)
