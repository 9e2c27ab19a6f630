"""Causes on a path that carries packets, badly. Pure."""

from __future__ import annotations

from collections.abc import Callable

from calls_doctor.diagnosis.cause import Cause, Evidence, Prediction, outcomes
from calls_doctor.diagnosis.place import flow_of, own_machine, port_of
from calls_doctor.model.flow import Lost, Party, Role
from calls_doctor.model.report import Impact, Remedy
from calls_doctor.modes import MEDIA_PORT

ECHO, QUALITY, CALLS = "port.rtc-udp-echo", "quality.path", ("media.self", "media.call-udp")


def _fault(what: str) -> Callable[[Evidence], Prediction | None]:
    def predicts(evidence: Evidence) -> Prediction | None:
        for result in evidence.bad(QUALITY):
            directions = {row["direction"] for row in result.evidence["faults"] if row["what"] == what}
            if directions:
                place = own_machine(evidence)
                echo = next(iter(evidence.of(ECHO)), result)
                return Prediction(
                    explains=outcomes([result, *(evidence.bad(ECHO, *CALLS) if what == "loss" else [])]),
                    flow=flow_of(echo, Role.MEDIA, "udp", port_of(echo, MEDIA_PORT), _lost(directions)),
                    summary=result.summary,
                    subject=echo.target,
                    party=place.party if place else None,
                )
        return None

    return predicts


def loss(evidence: Evidence) -> Prediction | None:
    """Packets are lost at voice rate, or so many probes are that no call was tried."""
    if found := _fault("loss")(evidence):
        return found
    for result in evidence.bad(ECHO):
        if result.evidence.get("returned"):
            place = own_machine(evidence)
            return Prediction(
                explains=outcomes([result, *evidence.bad(*CALLS)]),
                flow=flow_of(result, Role.MEDIA, "udp", port_of(result, MEDIA_PORT)),
                summary=f"{result.summary}, the others were lost",
                subject=result.target,
                party=place.party if place else None,
            )
    return None


def _lost(directions: set[str]) -> Lost | None:
    if directions == {"to_far", "from_far"}:
        return Lost.BOTH
    return {"to_far": Lost.REQUEST, "from_far": Lost.REPLY}.get(next(iter(directions)))


def _cause(word: str, meaning: str, predicts: Callable[[Evidence], Prediction | None], *steps: str) -> Cause:
    return Cause(
        id=f"path.{word}",
        party=Party.PATH,
        impact=Impact.DEGRADED,
        meaning=meaning,
        predicts=predicts,
        remedy=Remedy(summary="Mend the path, or bring the media host nearer", steps=list(steps)),
    )


CAUSES = (
    _cause(
        "loss",
        "More packets are lost than voice can bear.",
        loss,
        "Look for a full link, Wi-Fi, a VPN or a policer on the path; measure again from another network",
        "On the media host: nstat -az UdpRcvbufErrors (socket buffers too small)",
    ),
    _cause(
        "latency",
        "The round trip is too long for a conversation.",
        _fault("latency"),
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
)
