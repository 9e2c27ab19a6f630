"""How each cause on the way to the media port is read from the evidence; `media` declares them. Pure.

A sign is read per vantage: what a fault here explains is never what failed elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from calls_doctor.diagnosis.cause import Evidence, Prediction, outcomes
from calls_doctor.diagnosis.place import (
    Place,
    at_the_far_end,
    flow_of,
    host_and_port,
    on_the_path,
    own_machine,
    role_of,
    vantages_of,
)
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Endpoint, Flow, Lost, Party, Role
from calls_doctor.model.report import Confidence
from calls_doctor.model.site import Phase
from calls_doctor.modes import MEDIA_PORT

UDP_ECHO, TCP_ECHO, API = "port.rtc-udp-echo", "port.rtc-tcp-echo", "port.api-tcp"
UDP_CALLS, TCP_CALL, RELAY_CALL = ("media.self", "media.call-udp"), "media.call-tcp", "media.call-relay"
THROUGH_RELAY = ("turn.relay-range", RELAY_CALL)
STREAM_LOST_RATIO = 0.3
"""More than this share of a media-rate stream lost, while single probes pass, is a limit and not a lossy path."""
ENOUGH_RATIO = 0.8
"""The share of probes that must come back over TCP, which loses nothing by itself."""
CLOSED, GONE = ("refused", "unreachable"), ("refused", "cut")
SERVE_RUNS = "On the media host, see whether `calls-doctor serve` still runs: nothing here was ever answered by it"


def _found(
    evidence: Evidence,
    shown: list[CheckResult],
    place: Place,
    protocol: str,
    lost: Lost | None,
    summary: str,
    also: Iterable[CheckResult] = (),
) -> Prediction:
    """`shown` are the results that show the fault, `also` what follows from it."""
    doubt = not _recognised(evidence)
    return Prediction(
        explains=outcomes([*shown, *also]),
        flow=flow_of(evidence, shown[0], Role.MEDIA, protocol, MEDIA_PORT, lost),
        summary=summary,
        subject=shown[0].target,
        party=place.party,
        confidence=Confidence.LIKELY if doubt and place.confidence is Confidence.CERTAIN else place.confidence,
        steps_first=(SERVE_RUNS,) if doubt else (),
    )


def _recognised(evidence: Evidence) -> bool:
    """False where a stand-in should answer and never did: it may have ended (contract section 1, "phase")."""
    if evidence.phase is not Phase.PRE:
        return True
    echoes = (*evidence.of(UDP_ECHO), *evidence.of(TCP_ECHO))
    return any(_listens(evidence, vantage) for vantage in vantages_of(echoes))


def _trouble(result: CheckResult | None) -> str:
    return str(result.evidence.get("trouble", "")) if result else ""


def _stage(result: CheckResult) -> str:
    return str(result.evidence.get("stage", ""))


def _answers(evidence: Evidence, check: str, vantage: str) -> bool:
    result = evidence.at(check, vantage)
    return bool(result and result.evidence.get("returned"))


def _listens(evidence: Evidence, vantage: str) -> bool:
    """The service is known to run: it answered, or its books were had by some path."""
    there = [r for check in (UDP_ECHO, TCP_ECHO) if (r := evidence.at(check, vantage))]
    return any(r.evidence.get("returned") or r.evidence.get("arrived") is not None for r in there)


def _silent(evidence: Evidence, holds: Callable[[CheckResult], bool]) -> list[CheckResult]:
    """Vantages whose UDP probes were never answered, and not refused either, of which `holds`."""
    echoes = evidence.bad(UDP_ECHO)
    return [r for r in echoes if _trouble(r) == "silent" and not r.evidence.get("returned") and holds(r)]


def _never_opened(result: CheckResult) -> bool:
    """A TCP connection that was never established: nothing could be sent on it."""
    return not result.evidence.get("sent")


def _shut(result: CheckResult | None) -> bool:
    """Nothing was ever heard of this port, and it is not known on which way packets are lost."""
    return (
        result is not None
        and _trouble(result) in ("silent", "unreachable")
        and not result.evidence.get("returned")
        and result.evidence.get("arrived") is None
        and (result.id != TCP_ECHO or _never_opened(result))
    )


def _after_udp(evidence: Evidence, shown: list[CheckResult]) -> list[CheckResult]:
    """What else fails where UDP to the media port does."""
    return evidence.bad_at(vantages_of(shown), *UDP_CALLS, *THROUGH_RELAY)


def _udp_lost(evidence: Evidence, shown: list[CheckResult], lost: Lost, summary: str) -> Prediction:
    return _found(evidence, shown, on_the_path(evidence), "udp", lost, summary, _after_udp(evidence, shown))


def udp_blocked_inbound(evidence: Evidence) -> Prediction | None:
    """Probes were sent and the far end, reached by another path, saw none of them."""
    shown = _silent(evidence, lambda r: r.evidence.get("arrived") == 0)
    if not shown:
        return _one_way_or_other(evidence)
    summary = f"none of {shown[0].evidence['sent']} UDP datagrams to {shown[0].target} arrived there"
    return _udp_lost(evidence, shown, Lost.REQUEST, summary)


def udp_blocked_return(evidence: Evidence) -> Prediction | None:
    """Probes arrived at the far end and none of its answers came back."""
    shown = _silent(evidence, lambda r: bool(r.evidence.get("arrived")))
    if not shown:
        return _one_way_or_other(evidence)
    sent, arrived = shown[0].evidence["sent"], shown[0].evidence["arrived"]
    summary = f"{arrived} of {sent} UDP datagrams arrived at {shown[0].target}, none of its answers came back"
    return _udp_lost(evidence, shown, Lost.REPLY, summary)


def _one_way_or_other(evidence: Evidence) -> Prediction | None:
    """UDP alone is silent and no path brought the far end's books: either way may be the one that is blocked."""
    shown = _silent(evidence, lambda r: _shut(r) and not _shut(evidence.at(TCP_ECHO, r.vantage)))
    if not shown:
        return None
    summary = f"UDP to {shown[0].target} is never answered, and the far end's books could not be had"
    return _udp_lost(evidence, shown, Lost.BOTH, summary)


def udp_rejected(evidence: Evidence) -> Prediction | None:
    """An ICMP error came back although the service listens."""
    rejected = [r for r in evidence.bad(UDP_ECHO) if _trouble(r) in CLOSED]
    shown = [r for r in rejected if _listens(evidence, r.vantage)]
    if shown:
        summary = f"UDP to {shown[0].target} is answered with an ICMP error, though the service listens"
        return _udp_lost(evidence, shown, Lost.REQUEST, summary)
    # A router said so, and nothing says whether anything listens behind it.
    shown = [r for r in rejected if _trouble(r) == "unreachable" and not _shut(evidence.at(TCP_ECHO, r.vantage))]
    if not shown:
        return None
    place = Place((own_machine(evidence) or on_the_path(evidence)).party, Confidence.POSSIBLE)
    summary = f"UDP to {shown[0].target} is answered with an ICMP error"
    return _found(evidence, shown, place, "udp", Lost.REQUEST, summary, _after_udp(evidence, shown))


def udp_rate_limited(evidence: Evidence) -> Prediction | None:
    """Single probes passed, and then a media-rate stream did not."""
    calls = [r for r in evidence.bad(*UDP_CALLS) if _answers(evidence, UDP_ECHO, r.vantage)]
    shown = [r for r in calls if _stage(r) == "media" and _trouble(r) not in GONE and _unusable(r)]
    if not shown:
        return _probes_only(evidence, [r for r in calls if _stage(r) == "ice" and _trouble(r) not in GONE])
    lost = _lost_way(shown[0])
    way = {Lost.REQUEST: " to the media host", Lost.REPLY: " back from the media host", Lost.BOTH: " both ways"}
    relayed = [r for r in evidence.bad_at(vantages_of(shown), RELAY_CALL) if _unusable(r)]
    summary = f"single datagrams pass, but a stream at voice rate is lost{way[lost] if lost else ''}"
    return _found(evidence, shown, on_the_path(evidence), "udp", lost, summary, relayed)


def _probes_only(evidence: Evidence, shown: list[CheckResult]) -> Prediction | None:
    """Probes were answered, and a call's connectivity checks, packets of the same kind, were not: at most possible."""
    if not shown:
        return None
    place = Place((own_machine(evidence) or on_the_path(evidence)).party, Confidence.POSSIBLE)
    summary = f"single datagrams to {shown[0].target} pass, the connectivity checks of a call right after them do not"
    relayed = [r for r in evidence.bad_at(vantages_of(shown), RELAY_CALL) if _stage(r) == "ice"]
    return _found(evidence, shown, place, "udp", Lost.BOTH, summary, relayed)


def _too_lossy(result: CheckResult, way: str) -> bool:
    return float((result.evidence.get(way) or {}).get("loss_ratio", 0.0)) > STREAM_LOST_RATIO


def _unusable(result: CheckResult) -> bool:
    """Most of the call's media was lost on some way, as far as the books at hand tell."""
    return any(_too_lossy(result, way) for way in ("to_far", "from_far", "there_and_back"))


def _lost_way(result: CheckResult) -> Lost | None:
    """None where only this end counted: what did not come back may have been lost on either way."""
    there, back = _too_lossy(result, "to_far"), _too_lossy(result, "from_far")
    return {(True, True): Lost.BOTH, (True, False): Lost.REQUEST, (False, True): Lost.REPLY}.get((there, back))


def tcp_blocked(evidence: Evidence) -> Prediction | None:
    """The TCP connection is never established."""
    shown = [r for r in evidence.bad(TCP_ECHO) if _trouble(r) == "silent" and _never_opened(r)]
    return _tcp(evidence, shown, Lost.BOTH, "is never answered")


def tcp_rejected(evidence: Evidence) -> Prediction | None:
    """The TCP connection is reset although the service listens."""
    bad = [r for r in evidence.bad(TCP_ECHO) if _trouble(r) in CLOSED and _never_opened(r)]
    shown = [r for r in bad if _listens(evidence, r.vantage)]
    return _tcp(evidence, shown, Lost.REQUEST, "is refused, though the service listens")


def tcp_stalled(evidence: Evidence) -> Prediction | None:
    """TCP connects, and what is sent on it is not answered, or media on it does not arrive."""
    shown = [r for r in evidence.bad(TCP_ECHO) if not _never_opened(r) and _too_few(r)]
    stuck = [r for r in evidence.bad(TCP_CALL) if _stage(r) != "dtls" or _trouble(r) in GONE]
    calls = [r for r in stuck if not _some_media(r)]
    return _tcp(evidence, [*shown, *calls], Lost.BOTH, "is established and then carries nothing")


def _too_few(result: CheckResult) -> bool:
    return int(result.evidence.get("returned") or 0) < ENOUGH_RATIO * int(result.evidence["sent"])


def _some_media(result: CheckResult) -> bool:
    return _stage(result) == "media" and _trouble(result) not in GONE and not _unusable(result)


def _tcp(evidence: Evidence, shown: list[CheckResult], lost: Lost, what: str) -> Prediction | None:
    if not shown:
        return None
    summary = f"a TCP connection to {shown[0].target} {what}"
    calls = evidence.bad_at(vantages_of(shown), TCP_CALL)
    return _found(evidence, shown, on_the_path(evidence), "tcp", lost, summary, calls)


def blocked(evidence: Evidence) -> Prediction | None:
    """Both protocols are shut, so the far end's books could not be had."""
    shown = [r for r in evidence.bad(UDP_ECHO) if _shut(r) and _shut(evidence.at(TCP_ECHO, r.vantage))]
    if not shown:
        return None
    alive = all(_host_alive(evidence, r) for r in shown)
    place = on_the_path(evidence) if alive else Place(Party.UNDECIDED, Confidence.POSSIBLE)
    host = shown[0].target.removesuffix("/udp")
    summary = f"neither UDP nor TCP to {host} is answered{', though the host is alive' if alive else ''}"
    also = evidence.bad_at(vantages_of(shown), TCP_ECHO, TCP_CALL)
    return _found(evidence, shown, place, "udp", Lost.BOTH, summary, [*also, *_after_udp(evidence, shown)])


def _host_alive(evidence: Evidence, result: CheckResult) -> bool:
    """Something else on the media host answered there: its API, or the relay carried packets to it and back."""
    if own_machine(evidence) or evidence.passed(THROUGH_RELAY[0], result.vantage):
        return True
    api = evidence.at(API, result.vantage)
    return api is not None and _same_host(api, result) and (api.status is Status.PASS or _stage(api) != "connect")


def _same_host(one: CheckResult, other: CheckResult) -> bool:
    return host_and_port(one.target)[0] == host_and_port(other.target)[0]


def not_running(evidence: Evidence) -> Prediction | None:
    """UDP and TCP are both refused: nothing listens; or the far end died in the middle of a call."""
    echoes = [r for r in evidence.bad(UDP_ECHO, TCP_ECHO) if _trouble(r) == "refused" or _shut(r)]
    shown = [r for r in echoes if _dead(evidence, r.vantage)]
    if not shown:
        return _died(evidence)
    where = vantages_of(shown)
    refused = {(r.id, r.vantage) for r in shown if _trouble(r) == "refused"}
    both = all({(UDP_ECHO, v), (TCP_ECHO, v)} <= refused for v in where)
    place = at_the_far_end(evidence) if both else on_the_path(evidence)
    host = shown[0].target.rsplit("/", 1)[0]
    also = [*evidence.bad_at(where, *UDP_CALLS, TCP_CALL, *THROUGH_RELAY), *_api_gone(evidence, shown)]
    summary = f"neither rtcd nor a stand-in listens at {host}"
    return _found(evidence, shown, place, _protocol(shown), Lost.REQUEST, summary, also)


def _dead(evidence: Evidence, vantage: str) -> bool:
    """One protocol is refused there and neither was ever answered."""
    refused = any(_trouble(evidence.at(check, vantage)) == "refused" for check in (UDP_ECHO, TCP_ECHO))
    return refused and not _listens(evidence, vantage)


def _died(evidence: Evidence) -> Prediction | None:
    """Probes were answered, and then a call over UDP was refused."""
    shown = [r for r in evidence.bad(*UDP_CALLS) if _trouble(r) in GONE]
    if not shown:
        return None
    where = vantages_of(shown)
    calls = [r for r in evidence.bad_at(where, *UDP_CALLS, TCP_CALL, RELAY_CALL) if _trouble(r) in GONE]
    also = [*calls, *evidence.bad_at(where, TCP_CALL, *THROUGH_RELAY), *_api_gone(evidence, shown)]
    summary = f"what listened at {shown[0].target.removesuffix('/udp')} went away during the run"
    return _found(evidence, shown, at_the_far_end(evidence), "udp", Lost.REQUEST, summary, also)


def _api_gone(evidence: Evidence, shown: list[CheckResult]) -> list[CheckResult]:
    """rtcd's API on the same host is refused as well: one program serves both."""
    return [
        r
        for r in evidence.bad_at(vantages_of(shown), API)
        if _stage(r) == "connect" and _trouble(r) == "refused" and _same_host(r, shown[0])
    ]


def _protocol(shown: list[CheckResult]) -> str:
    return "tcp" if all(r.id in (TCP_ECHO, TCP_CALL) for r in shown) else "udp"


def port_taken(evidence: Evidence) -> Prediction | None:
    """Another program owns a port that Calls needs on this machine."""
    shown = evidence.of("env.port-free", Status.FAIL)
    if not shown:
        return None
    row, role = shown[0].evidence["taken"][0], role_of(evidence, shown[0])
    here = Endpoint(role=role)
    summary = f"port {row['port']}/{row['transport']} of this machine belongs to {row['owner']}"
    party = {Role.TURN: Party.TURN_HOST, Role.MATTERMOST: Party.MATTERMOST_HOST}.get(role)
    return Prediction(
        explains=outcomes(shown),
        flow=Flow(from_=here, to=here, protocol=row["transport"], port=row["port"]),
        summary=summary,
        subject=row["owner"],
        party=party,
    )


def dtls_blocked(evidence: Evidence) -> Prediction | None:
    """Connectivity checks pass and the DTLS handshake never completes."""
    calls = [r for r in evidence.bad(*UDP_CALLS, TCP_CALL) if _stage(r) == "dtls" and _trouble(r) not in GONE]
    if not calls:
        return None
    # A relayed call alone that hangs here says something of the relay's path, not of the media port's.
    direct = [r for r in calls if r.id in UDP_CALLS]
    relayed = [r for r in evidence.bad_at(vantages_of(direct), RELAY_CALL) if _stage(r) == "dtls"]
    detail = str(calls[0].evidence.get("detail", "no answer"))
    summary = f"connectivity checks to {calls[0].target} pass, the DTLS handshake does not: {detail}"
    return _found(evidence, calls, on_the_path(evidence), _protocol(calls), Lost.BOTH, summary, relayed)
