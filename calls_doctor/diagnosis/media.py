"""Causes on the way to the media port, 8443 over UDP and TCP. Pure."""

from __future__ import annotations

from collections.abc import Callable

from calls_doctor.diagnosis.cause import Cause, Evidence, Prediction, outcomes
from calls_doctor.diagnosis.place import Place, at_the_far_end, flow_of, on_the_path, port_of
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Lost, Party, Role
from calls_doctor.model.report import Impact, Remedy
from calls_doctor.modes import MEDIA_PORT

UDP_ECHO, TCP_ECHO = "port.rtc-udp-echo", "port.rtc-tcp-echo"
UDP_CALLS = ("media.self", "media.call-udp")
THROUGH_RELAY = ("turn.relay-range", "media.call-relay")
STREAM_LOST_RATIO = 0.3
"""More than this share of a media-rate stream lost, while single probes pass, is a limit and not a lossy path."""


def _first(evidence: Evidence, check: str, holds: Callable[[CheckResult], bool]) -> CheckResult | None:
    return next((r for r in evidence.bad(check) if holds(r)), None)


def _found(
    evidence: Evidence,
    result: CheckResult,
    place: Place,
    protocol: str,
    lost: Lost | None,
    summary: str,
    *explains: str,
) -> Prediction:
    return Prediction(
        explains=outcomes([result, *evidence.bad(*explains)]),
        flow=flow_of(result, Role.MEDIA, protocol, port_of(result, MEDIA_PORT), lost),
        summary=summary,
        subject=result.target,
        party=place.party,
        confidence=place.confidence,
    )


def _silent(result: CheckResult) -> bool:
    return result.evidence.get("trouble") == "silent" and not result.evidence.get("returned")


def udp_blocked_inbound(evidence: Evidence) -> Prediction | None:
    """Probes were sent and the far end, reached by another path, saw none of them."""
    result = _first(evidence, UDP_ECHO, lambda r: _silent(r) and r.evidence.get("arrived") == 0)
    if result is None:
        return None
    summary = f"none of {result.evidence['sent']} UDP datagrams to {result.target} arrived there"
    return _found(evidence, result, on_the_path(evidence), "udp", Lost.REQUEST, summary, *UDP_CALLS, *THROUGH_RELAY)


def udp_blocked_return(evidence: Evidence) -> Prediction | None:
    """Probes arrived at the far end and none of its answers came back."""
    result = _first(evidence, UDP_ECHO, lambda r: _silent(r) and bool(r.evidence.get("arrived")))
    if result is None:
        return None
    sent, arrived = result.evidence["sent"], result.evidence["arrived"]
    summary = f"{arrived} of {sent} UDP datagrams arrived at {result.target}, none of its answers came back"
    return _found(evidence, result, on_the_path(evidence), "udp", Lost.REPLY, summary, *UDP_CALLS, *THROUGH_RELAY)


def udp_rejected(evidence: Evidence) -> Prediction | None:
    """An ICMP error came back although the service listens: TCP on the same host answers."""
    result = _first(evidence, UDP_ECHO, lambda r: r.evidence.get("trouble") in ("refused", "unreachable"))
    if result is None or not evidence.passed(TCP_ECHO, result.vantage):
        return None
    summary = f"UDP to {result.target} is answered with an ICMP error, though TCP reaches the service"
    return _found(evidence, result, on_the_path(evidence), "udp", Lost.REQUEST, summary, *UDP_CALLS, *THROUGH_RELAY)


def udp_rate_limited(evidence: Evidence) -> Prediction | None:
    """Single probes passed, and then a media-rate stream did not."""
    result = next((r for r in evidence.bad(*UDP_CALLS) if r.evidence.get("stage") == "media" and _thin(r)), None)
    if result is None or not evidence.passed(UDP_ECHO, result.vantage):
        return None
    lost = Lost(_thin(result))
    way = {Lost.REQUEST: "to the media host", Lost.REPLY: "back from the media host", Lost.BOTH: "both ways"}[lost]
    summary = f"single datagrams pass, but a stream at voice rate is lost {way}"
    explained = [r.id for r in evidence.bad(*UDP_CALLS, "quality.path") if r.id == "quality.path" or _thin(r)]
    return _found(evidence, result, on_the_path(evidence), "udp", lost, summary, *explained)


def _thin(result: CheckResult) -> str:
    """Which way of a call lost most of its packets: "request", "reply", "both", or "" for neither."""
    lost = [
        (result.evidence.get(way) or {}).get("loss_ratio", 0.0) > STREAM_LOST_RATIO for way in ("to_far", "from_far")
    ]
    return {(True, True): "both", (True, False): "request", (False, True): "reply"}.get((lost[0], lost[1]), "")


def _not_connected(result: CheckResult) -> bool:
    return not result.evidence.get("sent")


def tcp_blocked(evidence: Evidence) -> Prediction | None:
    """The TCP connection is never established."""
    result = _first(evidence, TCP_ECHO, lambda r: _silent(r) and _not_connected(r))
    if result is None:
        return None
    summary = f"a TCP connection to {result.target} is never answered"
    return _found(evidence, result, on_the_path(evidence), "tcp", Lost.BOTH, summary, "media.call-tcp")


def tcp_rejected(evidence: Evidence) -> Prediction | None:
    """The TCP connection is reset although the service answers over UDP."""
    result = _first(evidence, TCP_ECHO, lambda r: r.evidence.get("trouble") in ("refused", "unreachable"))
    if result is None or not evidence.passed(UDP_ECHO, result.vantage):
        return None
    summary = f"a TCP connection to {result.target} is refused, though UDP reaches the service"
    return _found(evidence, result, on_the_path(evidence), "tcp", Lost.REQUEST, summary, "media.call-tcp")


def tcp_stalled(evidence: Evidence) -> Prediction | None:
    """TCP connects, and what is sent on it is not answered, or media on it does not arrive."""
    result = _first(
        evidence, TCP_ECHO, lambda r: not _not_connected(r) and r.evidence.get("trouble") in ("silent", "cut")
    )
    if result is None:
        result = _first(evidence, "media.call-tcp", lambda r: r.evidence.get("stage") in ("ice", "media"))
    if result is None:
        return None
    summary = f"TCP to {result.target} connects and then carries nothing"
    return _found(evidence, result, on_the_path(evidence), "tcp", Lost.BOTH, summary, "media.call-tcp")


def blocked(evidence: Evidence) -> Prediction | None:
    """Both protocols are silent, so the far end's books could not be had, and the host is alive."""
    udp = _first(evidence, UDP_ECHO, lambda r: _silent(r) and r.evidence.get("arrived") is None)
    tcp = _first(evidence, TCP_ECHO, lambda r: _silent(r) and _not_connected(r))
    if udp is None or tcp is None or not _host_alive(evidence, udp.vantage):
        return None
    summary = f"neither UDP nor TCP to {udp.target.removesuffix('/udp')} is answered, though the host is alive"
    return _found(
        evidence,
        udp,
        on_the_path(evidence),
        "udp",
        Lost.BOTH,
        summary,
        TCP_ECHO,
        "media.call-tcp",
        *UDP_CALLS,
        *THROUGH_RELAY,
    )


def _host_alive(evidence: Evidence, vantage: str) -> bool:
    return any(evidence.passed(check, vantage) for check in ("port.api-tcp", "turn.relay-range", "stun.reach"))


def not_running(evidence: Evidence) -> Prediction | None:
    """UDP and TCP are both refused: nothing listens; or the far end died in the middle of a call."""
    udp = _first(evidence, UDP_ECHO, lambda r: r.evidence.get("trouble") == "refused")
    tcp = _first(evidence, TCP_ECHO, lambda r: r.evidence.get("trouble") == "refused")
    calls = [r for r in evidence.bad(*UDP_CALLS, "media.call-tcp") if r.evidence.get("trouble") in ("refused", "cut")]
    if not (udp and tcp) and not calls:
        return None
    result = udp or calls[0]
    gone = "neither rtcd nor a stand-in listens" if udp else "what listened went away during the run"
    explains = (UDP_ECHO, TCP_ECHO) if udp else ()
    return _found(
        evidence, result, at_the_far_end(evidence), "udp", Lost.REQUEST, f"{gone} at {result.target.removesuffix('/udp')}",
        *explains, *(r.id for r in calls), *THROUGH_RELAY,
    )  # fmt: skip


def port_taken(evidence: Evidence) -> Prediction | None:
    """Another program owns a port that Calls needs on this machine."""
    result = _first(evidence, "env.port-free", lambda r: r.status is Status.FAIL)
    if result is None:
        return None
    row = result.evidence["taken"][0]
    summary = f"port {row['port']}/{row['transport']} of this machine belongs to {row['owner']}"
    place = at_the_far_end(evidence)
    found = _found(evidence, result, place, row["transport"], None, summary)
    return Prediction(
        explains=found.explains, flow=found.flow, summary=summary, subject=row["owner"], party=place.party
    )


def dtls_blocked(evidence: Evidence) -> Prediction | None:
    """Connectivity checks pass and the DTLS handshake never completes."""
    calls = [
        r for r in evidence.bad(*UDP_CALLS, "media.call-tcp", "media.call-relay") if r.evidence.get("stage") == "dtls"
    ]
    if not calls:
        return None
    protocol = "tcp" if all(r.id == "media.call-tcp" for r in calls) else "udp"
    summary = (
        f"connectivity checks to {calls[0].target} pass, the DTLS handshake does not: {calls[0].evidence['detail']}"
    )
    return _found(evidence, calls[0], on_the_path(evidence), protocol, Lost.BOTH, summary, *(r.id for r in calls))


def _open(protocol: str, row: str, steps: tuple[str, ...]) -> Remedy:
    return Remedy(
        summary=f"Let {protocol.upper()} {MEDIA_PORT} through",
        steps=[*steps, "On this machine look at: nft list ruleset, or iptables-save"],
        firewall_rows=[row],
        guide_steps=["1.6.1", "1.6.3"] if protocol == "udp" else ["1.6.2", "1.6.4"],
    )


CAUSES = (
    Cause(
        id="media.udp-blocked-inbound",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="No caller's datagrams reach the media host.",
        predicts=udp_blocked_inbound,
        remedy=_open("udp", "FW-12", (
            "Allow UDP 8443 inbound at every firewall between callers and the media host (security group, edge, host)",
            "From one vantage alone the place is open: run the check from a second network first",
        )),
    ),
    Cause(
        id="media.udp-blocked-return",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="Callers' datagrams reach the media host; its answers do not come back.",
        predicts=udp_blocked_return,
        remedy=_open("udp", "FW-14", (
            "Allow UDP from source port 8443 outbound at the media host, and its return through stateless filters",
            "Look for asymmetric routing: the answer must leave by the way the request came",
        )),
    ),
    Cause(
        id="media.udp-rejected",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="UDP to the media port is answered with an ICMP error although the service listens.",
        predicts=udp_rejected,
        remedy=_open("udp", "FW-12", ("Find the rule that rejects UDP 8443 (reject, not drop) and allow it instead",)),
    ),
    Cause(
        id="media.udp-rate-limited",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="Single datagrams pass, a stream at the rate of voice does not.",
        predicts=udp_rate_limited,
        remedy=Remedy(
            summary="Exempt UDP 8443 from rate limits and flood protection",
            steps=["Look for UDP flood protection, policers and session limits on the path",
                   "A call needs 50 packets/s each way for each voice that is heard"],
            firewall_rows=["FW-12"],
        ),
    ),
    Cause(
        id="media.tcp-blocked",
        party=Party.SERVER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="A TCP connection to the media port is never answered.",
        predicts=tcp_blocked,
        remedy=_open("tcp", "FW-13", ("Allow TCP 8443 inbound: it is the fallback for callers without UDP",)),
    ),
    Cause(
        id="media.tcp-rejected",
        party=Party.SERVER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="A TCP connection to the media port is reset although the service answers over UDP.",
        predicts=tcp_rejected,
        remedy=_open("tcp", "FW-13", ("Find the rule that rejects TCP 8443 and allow it instead",)),
    ),
    Cause(
        id="media.tcp-stalled",
        party=Party.SERVER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="TCP to the media port connects and then carries nothing.",
        predicts=tcp_stalled,
        remedy=_open("tcp", "FW-13", (
            "Something on the path answers for the media host: a SYN proxy, a transparent proxy or a load balancer "
            "without a backend; take TCP 8443 out of it",
        )),
    ),
    Cause(
        id="media.blocked",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="UDP and TCP to the media port are both silent, the host is alive.",
        predicts=blocked,
        remedy=_open("udp", "FW-12", ("Allow UDP and TCP 8443 inbound at every firewall before the media host",)),
    ),
    Cause(
        id="media.not-running",
        party=Party.MEDIA_HOST,
        impact=Impact.NO_CALLS,
        meaning="Nothing listens on the media port.",
        predicts=not_running,
        remedy=Remedy(
            summary="Start what should listen on 8443",
            steps=["Before the install: run `calls-doctor serve` on the media host",
                   "After it: systemctl status rtcd, and its log"],
            guide_steps=["1.6.1", "1.6.3"],
        ),
    ),
    Cause(
        id="media.port-taken",
        party=Party.MEDIA_HOST,
        impact=Impact.NO_CALLS,
        meaning="Another program owns a port that Calls needs.",
        predicts=port_taken,
        remedy=Remedy(
            summary="Free the port, or choose another and use it everywhere",
            steps=["Stop the program that is named, or move it to another port",
                   "Or set another RTC server port (80 to 49151), the same inside and outside"],
        ),
    ),
    Cause(
        id="media.dtls-blocked",
        party=Party.SERVER_NETWORK,
        impact=Impact.NO_CALLS,
        meaning="ICE succeeds, DTLS never completes.",
        predicts=dtls_blocked,
        remedy=Remedy(
            summary="Let DTLS through on 8443",
            steps=["Look for application inspection (App-ID, DPI) that drops DTLS or unknown UDP on 8443",
                   "Exempt 8443 from inspection, or allow the applications stun, dtls and webrtc"],
            firewall_rows=["FW-12"],
        ),
    ),
)  # fmt: skip
