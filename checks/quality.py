"""quality.*: is what the path carries good enough to talk?

Read from the call over UDP, so that no second stream loads the path.
"""

from __future__ import annotations

from calls_doctor.model.check import Evidence, Finding, Status
from calls_doctor.model.site import Site
from calls_doctor.spec import CheckSpec, Context

LOSS_LIMIT_RATIO = 0.02
RTT_LIMIT_S = 0.250
JITTER_LIMIT_S = 0.025
REORDERED_LIMIT_RATIO = 0.02
Z_99 = 2.326
"""One-sided 99 % quantile of the normal distribution."""


def lower_bound_99(lost: int, sent: int) -> float:
    """The lower 99 % bound of a loss ratio (Wilson's score interval): 0 where so few packets prove nothing."""
    if not sent:
        return 0.0
    ratio, z2 = lost / sent, Z_99**2
    centre = ratio + z2 / (2 * sent)
    spread = Z_99 * ((ratio * (1 - ratio) + z2 / (4 * sent)) / sent) ** 0.5
    return max(0.0, (centre - spread) / (1 + z2 / sent))


async def path_probe(context: Context) -> Finding:
    """Loss, jitter, reordering per direction and round-trip time, held against the contract's thresholds."""
    call = context.results["media.call-udp"].evidence
    echo = context.results["port.rtc-udp-echo"].evidence
    directions = {name: call[name] for name in ("to_far", "from_far")}
    evidence: Evidence = {**directions, "rtt_p50_s": echo["rtt_p50_s"], "rtt_p95_s": echo["rtt_p95_s"]}
    faults = [fault for name, row in directions.items() for fault in _direction_faults(name, row)]
    if echo["rtt_p95_s"] > RTT_LIMIT_S:
        faults.append(("latency", "", f"round trip {echo['rtt_p95_s'] * 1000:.0f} ms"))
    evidence["faults"] = [{"what": what, "direction": direction} for what, direction, _ in faults]
    if faults:
        summary = "; ".join(said for _, _, said in faults)
        return Finding(status=Status.WARN, summary=summary, evidence=evidence)
    jitter_s = max(row.get("jitter_s", 0.0) for row in directions.values())
    lost = sum(row["sent"] - row["received"] for row in directions.values() if row["received"] is not None)
    total = sum(row["sent"] or 0 for row in directions.values())
    summary = (
        f"{lost} of {total} packets lost, round trip {echo['rtt_p50_s'] * 1000:.1f} ms, jitter {jitter_s * 1000:.1f} ms"
    )
    return Finding(status=Status.PASS, summary=summary, evidence=evidence)


def _direction_faults(name: str, row: Evidence) -> list[tuple[str, str, str]]:
    """What is over a threshold: (cause word, direction, sentence)."""
    if not row["sent"] or row["received"] is None:
        return []
    where = "to the far end" if name == "to_far" else "from the far end"
    lost = row["sent"] - row["received"]
    found = []
    if lower_bound_99(max(0, lost), row["sent"]) > LOSS_LIMIT_RATIO:
        found.append(("loss", name, f"{row['loss_ratio']:.1%} of the packets lost {where}"))
    if row["jitter_s"] > JITTER_LIMIT_S:
        found.append(("jitter", name, f"jitter {row['jitter_s'] * 1000:.0f} ms {where}"))
    if row["reordered_ratio"] > REORDERED_LIMIT_RATIO:
        found.append(("reordering", name, f"{row['reordered_ratio']:.1%} of the packets out of order {where}"))
    return found


def _no_link(site: Site) -> str:
    return "" if site.media else "no stand-in to test against: give its link with --peer"


CHECKS = (
    CheckSpec(
        id="quality.path",
        title="The path is good enough for voice",
        probe=path_probe,
        needs=("port.rtc-udp-echo", "media.call-udp"),
        nothing_to_do=_no_link,
        targets=lambda site: [f"{m.host}:{m.udp_port}/udp" for m in site.media],
        guide_steps=("2A.3.2", "2B.5.2"),
        timeout_s=2.0,
        fails_when="Loss whose lower 99 % bound is over 2 %, a round trip over 250 ms, jitter over 25 ms or more than 2 % out "
        "of order, in a named direction.",
    ),
)
