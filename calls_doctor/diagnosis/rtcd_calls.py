"""What a failed call through rtcd itself shows: by its stage, and by whether rtcd's API answers after it. Pure.

A stand-in's echoes say of a port whether it is shut. rtcd has none, so these say no more than the call does.
"""

from __future__ import annotations

from collections.abc import Callable

from calls_doctor.diagnosis.cause import Evidence, Prediction, outcomes
from calls_doctor.diagnosis.media_evidence import (
    ADVERTISED,
    CLASS,
    GONE,
    RELAY_CALL,
    TCP_CALL,
    UDP_CALLS,
    is_of_rtcd,
    stage,
    trouble,
)
from calls_doctor.diagnosis.place import Place, at_the_far_end, flow_of, host_and_port, on_the_path, vantages_of
from calls_doctor.model.check import API, CheckResult
from calls_doctor.model.flow import Lost, Party, Role, address_class
from calls_doctor.model.report import Confidence
from calls_doctor.modes import API_PORT, MEDIA_PORT

Predicts = Callable[[Evidence], Prediction | None]
OVER_UDP = (*UDP_CALLS, "media.multi-instance", "media.video")
"""The one but last held a call at each address of rtcd's; its evidence is of the first that failed."""
CALLS = (*OVER_UDP, TCP_CALL, RELAY_CALL)
ANSWERS, REFUSED, SILENT = "answers", "refused", "silent"
NO_SUCH_SESSION = "404"
LIKELY = Place(None, Confidence.LIKELY)


def or_else(*ways: Predicts) -> Predicts:
    """The first of several ways in which one cause shows."""
    return lambda evidence: next((found for way in ways if (found := way(evidence)) is not None), None)


def _calls(evidence: Evidence, holds: Callable[[CheckResult], bool]) -> list[CheckResult]:
    return [r for r in evidence.bad(*CALLS) if is_of_rtcd(r) and holds(r)]


def _told(call: CheckResult, what: str) -> str:
    """A word of its signalling; "" where there is none."""
    return str(call.evidence["signalling"].get(what, ""))


def _lives(call: CheckResult) -> bool:
    """rtcd's API answers after it."""
    return _told(call, "api") == ANSWERS


def _found(
    evidence: Evidence,
    shown: list[CheckResult],
    place: Place,
    summary: str,
    lost: Lost | None = None,
    *,
    api: bool = False,
) -> Prediction:
    """`api`: it is rtcd's API that shows the fault, and not its media port."""
    protocol = "tcp" if api or shown[0].id == TCP_CALL else "udp"
    return Prediction(
        explains=outcomes([*shown, *evidence.bad_at(vantages_of(shown), ADVERTISED)]),
        flow=flow_of(evidence, shown[0], Role.MEDIA, protocol, API_PORT if api else MEDIA_PORT, lost),
        summary=summary,
        subject=shown[0].target,
        party=place.party,
        confidence=place.confidence,
    )


def spares_the_relay(evidence: Evidence, call: CheckResult) -> bool:
    """A relayed call through rtcd that says nothing of the relay: it fails later than the relay could make it, or no
    direct one shows that rtcd's media is there to be reached."""
    alone = stage(call) == "ice" and any(evidence.passed(check, call.vantage) for check in UDP_CALLS)
    return is_of_rtcd(call) and not alone


def gone(evidence: Evidence) -> Prediction | None:
    """rtcd's API refuses connections after the call: it ended in the middle."""
    shown = _calls(evidence, lambda r: _told(r, "api") == REFUSED)
    said = "rtcd ended in the middle of a call: its API refuses connections since"
    return _found(evidence, shown, at_the_far_end(evidence), said, Lost.REQUEST, api=True) if shown else None


def hangs(evidence: Evidence) -> Prediction | None:
    """It takes connections and answers nothing, also to what is no call."""
    shown = _calls(evidence, lambda r: _told(r, "api") == SILENT)
    said = "rtcd fell silent in the middle of a call, and its API answers no more"
    return _found(evidence, shown, at_the_far_end(evidence), said, Lost.REPLY, api=True) if shown else None


def websocket_cut(evidence: Evidence) -> Prediction | None:
    """rtcd lives on, and its WebSocket was ended in the middle of a call."""
    shown = _calls(evidence, lambda r: _lives(r) and bool(_told(r, "websocket")))
    said = "the WebSocket to rtcd is cut in the middle of a call, and its API answers on"
    return _found(evidence, shown, on_the_path(evidence), said, Lost.BOTH, api=True) if shown else None


def nothing_advertised(evidence: Evidence) -> Prediction | None:
    """rtcd names no address for media; or it takes nobody in, which is what an override whose name has no address
    makes of every join (rtcd-protocol section 2.3)."""
    empty = _calls(evidence, lambda r: stage(r) == "candidates" and not r.evidence["signalling"]["advertised"])
    if empty:
        empty += evidence.bad_at(vantages_of(empty), CLASS)
        return _found(evidence, empty, at_the_far_end(evidence), "rtcd hands callers no address at all")
    refused = _calls(evidence, lambda r: stage(r) == "join" and _told(r, "asked") == NO_SUCH_SESSION)
    said = "rtcd takes nobody into a call: so it does where its ICE host override is a name without an address"
    return _found(evidence, refused, LIKELY, said) if refused else None


def _is_closed(call: CheckResult) -> bool:
    return stage(call) == "ice" and trouble(call) == REFUSED and _lives(call)


def _is_elsewhere(evidence: Evidence, call: CheckResult) -> bool:
    """What rtcd hands out is not where its API was found."""
    api = evidence.at(API, call.vantage)
    address = str(call.evidence.get("address") or (api.evidence.get("address", "") if api else ""))
    return bool(address) and host_and_port(call.target)[0] != address


def wrong_address(evidence: Evidence) -> Prediction | None:
    """What is handed out refuses media, rtcd runs, and its API is at another address."""
    shown = _calls(evidence, lambda r: r.id != RELAY_CALL and _is_closed(r) and _is_elsewhere(evidence, r))
    if not shown:
        return None
    said = f"callers are handed {shown[0].target.rsplit('/', 1)[0]}, where nothing takes media, and rtcd runs"
    return _found(evidence, shown, LIKELY, said, Lost.REQUEST)


def private_address(evidence: Evidence) -> Prediction | None:
    """All that rtcd hands out is loopback, and nobody but itself reaches that; or it is private, and nothing of it
    answers a caller who is not."""

    def only_loopback(call: CheckResult) -> bool:
        told = [host_and_port(one)[0] for one in call.evidence["signalling"]["advertised"]]
        return stage(call) == "candidates" and bool(told) and all(address_class(one).is_loopback for one in told)

    shown = _calls(evidence, only_loopback)
    said = "callers are handed loopback addresses alone, which lead nobody to rtcd"
    if not shown:
        strangers = vantages_of(r for r in evidence.bad(CLASS) if not r.evidence["override_name"])
        shown = _calls(evidence, lambda r: stage(r) == "ice" and r.vantage in strangers)
        said = "callers are handed private addresses alone, and they are not in that network"
    shown += evidence.bad_at(vantages_of(shown), CLASS)
    return _found(evidence, shown, at_the_far_end(evidence), said) if shown else None


def udp_rejected(evidence: Evidence) -> Prediction | None:
    """At the very address of its API, UDP to the media port is refused while rtcd runs."""
    return _rejected(evidence, OVER_UDP)


def tcp_rejected(evidence: Evidence) -> Prediction | None:
    """The same over TCP."""
    return _rejected(evidence, (TCP_CALL,))


def _rejected(evidence: Evidence, checks: tuple[str, ...]) -> Prediction | None:
    shown = _calls(evidence, lambda r: r.id in checks and _is_closed(r) and not _is_elsewhere(evidence, r))
    if not shown:
        return None
    said = f"{shown[0].target.rsplit('/', 1)[0]} refuses media, and rtcd runs there"
    return _found(evidence, shown, LIKELY, said, Lost.REQUEST)


def udp_blocked_inbound(evidence: Evidence) -> Prediction | None:
    """rtcd's own checks arrive, and ours are not answered, or only once those have opened the way."""
    shown = _calls(evidence, lambda r: r.id in OVER_UDP and r.evidence.get("lost") == Lost.REQUEST and _lives(r))
    shown += [r for r in evidence.bad(*UDP_CALLS) if r.evidence.get("signalling", {}).get("called_first")]
    if not shown:
        return None
    where = shown[0].target.rsplit("/", 1)[0]
    said = f"what is sent to {where} over UDP unasked does not arrive; what rtcd sends comes here"
    return _found(evidence, shown, Place(Party.UNDECIDED, Confidence.LIKELY), said, Lost.REQUEST)


def dtls_blocked(evidence: Evidence) -> Prediction | None:
    """Checks are answered, the handshake is not, and rtcd lives."""
    shown = _calls(evidence, lambda r: stage(r) == "dtls" and trouble(r) not in GONE and _lives(r))
    if not shown:
        return None
    said = f"DTLS with {shown[0].target.rsplit('/', 1)[0]} never completes, though connectivity checks are answered"
    return _found(evidence, shown, on_the_path(evidence), said, Lost.BOTH)
