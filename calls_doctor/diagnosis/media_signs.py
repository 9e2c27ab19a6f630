"""How each cause on the way to the media port is read from the evidence; `media` declares them. Pure."""

from __future__ import annotations

from dataclasses import replace

from calls_doctor.diagnosis.callers import blamed, blamed_somewhere
from calls_doctor.diagnosis.cause import Evidence, Prediction, outcomes
from calls_doctor.diagnosis.media_evidence import (
    CLOSED,
    ENOUGH_RATIO,
    GONE,
    RELAY,
    RELAY_CALL,
    TCP_CALL,
    THROUGH_RELAY,
    UDP_CALLS,
    after_udp,
    answers,
    answers_inside,
    bad,
    by_chance,
    comes_up,
    echo_lost_way,
    fewer_at_speed,
    found,
    gets_there,
    host,
    inside_too,
    is_shut,
    is_unusable,
    listens,
    lost_way,
    never_opened,
    nothing_runs,
    possibly,
    protocol_of,
    silent,
    stage,
    strayed,
    thin_links,
    trouble,
)
from calls_doctor.diagnosis.place import (
    Place,
    at_the_far_end,
    host_and_port,
    on_the_path,
    own_machine,
    role_of,
    vantages_of,
)
from calls_doctor.model.check import API, ECHOES, TCP_ECHO, UDP_ECHO, CheckResult, Status
from calls_doctor.model.flow import Endpoint, Flow, Lost, Party, Role
from calls_doctor.model.report import Confidence, Impact


def udp_blocked_inbound(evidence: Evidence) -> Prediction | None:
    """Probes were sent and the far end, reached by another path, saw none of them."""
    return _udp_lost(evidence, Lost.REQUEST)


def udp_blocked_return(evidence: Evidence) -> Prediction | None:
    """Probes arrived at the far end and none of its answers came back."""
    return _udp_lost(evidence, Lost.REPLY)


def _udp_lost(evidence: Evidence, lost: Lost) -> Prediction | None:
    """Silence, with the far end's books beside it. Where one vantage had them and another had not, they speak for both;
    where none had, either way may be the one that is blocked."""
    asked = [r for r in silent(evidence) if not _both_shut(evidence, r) and not strayed(r)]
    counted = [r for r in asked if r.evidence.get("arrived") is not None]
    proving = [r for r in counted if bool(r.evidence["arrived"]) is (lost is Lost.REPLY)]
    shown = [*proving, *(r for r in asked if r not in counted)] if proving or not counted else []
    well = gets_there(evidence) if lost is Lost.REQUEST and proving else answers(evidence, UDP_ECHO)
    place = blamed(evidence, shown, well) if shown else None
    if place is None:
        return None
    if not proving:
        lost = Lost.BOTH
        summary = f"UDP to {shown[0].target} is never answered, and the far end's books could not be had"
    elif lost is Lost.REQUEST:
        summary = f"none of {shown[0].evidence['sent']} UDP datagrams to {shown[0].target} arrived there"
        if hop := shown[0].evidence.get("last_hop"):
            summary += f"; the last hop that answered is {hop['address']} (TTL {hop['ttl']})"
    else:
        sent, arrived = shown[0].evidence["sent"], shown[0].evidence["arrived"]
        summary = f"{arrived} of {sent} UDP datagrams arrived at {shown[0].target}, none of its answers came back"
    prediction = found(evidence, shown, place, "udp", lost, summary, after_udp(evidence, shown))
    # rtcd reaches these callers itself (contract section 4).
    opened = lost is Lost.REQUEST and all(r.evidence.get("opens_from_inside") for r in shown)
    return replace(prediction, impact=Impact.SOME_CALLERS) if opened else prediction


def _both_shut(evidence: Evidence, result: CheckResult) -> bool:
    return is_shut(result) and is_shut(evidence.at(TCP_ECHO, result.vantage))


def reply_address_changed(evidence: Evidence) -> Prediction | None:
    """Answers came from elsewhere than was asked. Whoever is behind a NAT or a firewall sees none of them: silence
    there is the same fault, unless nothing of it arrived."""
    shown = [r for r in silent(evidence) if strayed(r)]
    if not shown:
        return None
    hosts = {host(r) for r in shown}
    alike = [r for r in silent(evidence) if r not in shown and host(r) in hosts and r.evidence.get("arrived") != 0]
    address, port = shown[0].evidence["stray_from"]
    summary = f"what was asked of {shown[0].target.removesuffix('/udp')} is answered from {address}, port {port}"
    also = [*alike, *after_udp(evidence, [*shown, *alike])]
    return found(evidence, shown, at_the_far_end(evidence), "udp", Lost.REPLY, summary, also)


def udp_rejected(evidence: Evidence) -> Prediction | None:
    """An ICMP error came back although the service listens."""
    rejected = [r for r in bad(evidence, UDP_ECHO) if trouble(r) in CLOSED]
    shown = [r for r in rejected if listens(evidence, r.vantage)]
    if shown:
        place = blamed(evidence, shown, answers(evidence, UDP_ECHO))
        summary = f"UDP to {shown[0].target} is answered with an ICMP error, though the service listens"
        return (
            found(evidence, shown, place, "udp", Lost.REQUEST, summary, after_udp(evidence, shown)) if place else None
        )
    # A router said so, and nothing says whether anything listens behind it.
    shown = [r for r in rejected if trouble(r) == "unreachable" and not is_shut(evidence.at(TCP_ECHO, r.vantage))]
    if not shown:
        return None
    place = possibly(blamed(evidence, shown, answers(evidence, UDP_ECHO)))
    summary = f"UDP to {shown[0].target} is answered with an ICMP error"
    return found(evidence, shown, place, "udp", Lost.REQUEST, summary, after_udp(evidence, shown))


def udp_rate_limited(evidence: Evidence) -> Prediction | None:
    """Single probes passed, and then a media-rate stream did not."""
    works = answers(evidence, UDP_ECHO)
    thin = thin_links(evidence)
    calls = [r for r in bad(evidence, *UDP_CALLS) if works(r.vantage) and r.vantage not in thin]
    shown = [r for r in calls if stage(r) == "media" and trouble(r) not in GONE and is_unusable(r)]
    if not shown:
        unheard = [r for r in calls if stage(r) == "ice" and trouble(r) not in GONE]
        return _probes_only(evidence, unheard) if unheard else _too_fast(evidence, thin)
    lost = lost_way(shown[0])
    way = {Lost.REQUEST: " to the media host", Lost.REPLY: " back from the media host", Lost.BOTH: " both ways"}
    relayed = [r for r in evidence.bad_at(vantages_of(shown), RELAY_CALL) if is_unusable(r)]
    # Several callers share a limit at the servers': then an echo is too fast for it as well, and a handshake starves.
    starved = [r for r in calls if stage(r) == "dtls" and trouble(r) not in GONE]
    some = [r for r in bad(evidence, UDP_ECHO) if r.evidence.get("returned") and r.vantage not in thin]
    echoes = [r for r in some if trouble(r) in ("", "silent") and echo_lost_way(r) in (lost, None)]
    summary = f"single datagrams pass, but a stream at voice rate is lost{way[lost] if lost else ''}"
    place = blamed_somewhere(evidence, [*shown, *starved, *echoes], comes_up(evidence, *UDP_CALLS))
    return found(evidence, shown, place, "udp", lost, summary, [*relayed, *echoes, *starved])


def _probes_only(evidence: Evidence, shown: list[CheckResult]) -> Prediction | None:
    """Probes were answered, and a call's connectivity checks, packets of the same kind, were not: at most possible."""
    summary = f"single datagrams to {shown[0].target} pass, the connectivity checks of a call right after them do not"
    relayed = [r for r in evidence.bad_at(vantages_of(shown), RELAY_CALL) if stage(r) == "ice"]
    place = possibly(blamed(evidence, shown, comes_up(evidence, *UDP_CALLS)))
    return found(evidence, shown, place, "udp", Lost.BOTH, summary, relayed)


def _too_fast(evidence: Evidence, thin: set[str]) -> Prediction | None:
    """So many probes are lost that no call was tried, and fewer when they came slowly: at most possible, as other
    probes were on the path when they came fast."""
    echoes = [r for r in evidence.of(UDP_ECHO, Status.FAIL) if r.vantage not in thin and trouble(r) in ("", "silent")]
    shown = [r for r in echoes if fewer_at_speed(r)]
    if not shown:
        return None
    first = shown[0]
    before, returned, sent = (first.evidence[name] for name in ("returned_before", "returned", "sent"))
    summary = f"{before} of {sent} probes to {first.target} came back at full speed, and {returned} when sent slowly"
    place = possibly(blamed(evidence, shown, comes_up(evidence, *UDP_CALLS)))
    return found(
        evidence, shown, place, "udp", echo_lost_way(first), summary, evidence.bad_at(vantages_of(shown), RELAY)
    )


def tcp_blocked(evidence: Evidence) -> Prediction | None:
    """The TCP connection is never established."""
    shown = [r for r in bad(evidence, TCP_ECHO) if trouble(r) == "silent" and never_opened(r)]
    place = blamed(evidence, shown, answers(evidence, TCP_ECHO))
    return _tcp(evidence, shown, place, Lost.BOTH, "is never answered")


def tcp_rejected(evidence: Evidence) -> Prediction | None:
    """The TCP connection is reset although the service listens."""
    closed = [r for r in bad(evidence, TCP_ECHO) if trouble(r) in CLOSED and never_opened(r)]
    shown = [r for r in closed if listens(evidence, r.vantage)]
    place = blamed(evidence, shown, answers(evidence, TCP_ECHO))
    return _tcp(evidence, shown, place, Lost.REQUEST, "is refused, though the service listens")


def tcp_stalled(evidence: Evidence) -> Prediction | None:
    """TCP connects, and what is sent on it is not answered, or media on it does not arrive."""
    wide = [r for r in bad(evidence, TCP_ECHO, TCP_CALL) if r.vantage not in thin_links(evidence)]
    shown = [r for r in wide if r.id == TCP_ECHO and not never_opened(r) and _too_few(r)]
    stuck = [r for r in wide if r.id == TCP_CALL and (stage(r) != "dtls" or trouble(r) in GONE)]
    calls = [r for r in stuck if not _some_media(r)]
    place = blamed_somewhere(evidence, [*shown, *calls], comes_up(evidence, TCP_ECHO))
    return _tcp(evidence, [*shown, *calls], place, Lost.BOTH, "is established and then carries nothing")


def _too_few(result: CheckResult) -> bool:
    return int(result.evidence.get("returned") or 0) < ENOUGH_RATIO * int(result.evidence["sent"])


def _some_media(result: CheckResult) -> bool:
    return stage(result) == "media" and trouble(result) not in GONE and not is_unusable(result)


def _tcp(evidence: Evidence, shown: list[CheckResult], place: Place | None, lost: Lost, what: str) -> Prediction | None:
    if not shown or place is None:
        return None
    summary = f"a TCP connection to {shown[0].target} {what}"
    calls = evidence.bad_at(vantages_of(shown), TCP_CALL)
    return found(evidence, shown, place, "tcp", lost, summary, [*calls, *inside_too(evidence, TCP_ECHO)])


def blocked(evidence: Evidence) -> Prediction | None:
    """Both protocols are shut: silent, or refused in the name of a service that is known to listen."""

    def shut(result: CheckResult | None) -> bool:
        running = result is not None and listens(evidence, result.vantage)
        return is_shut(result, ("silent", *CLOSED) if running else ("silent", "unreachable"))

    shown = [r for r in bad(evidence, UDP_ECHO) if shut(r) and shut(evidence.at(TCP_ECHO, r.vantage))]
    place = blamed(evidence, shown, lambda vantage: _reached(evidence, vantage)) if shown else None
    if place is None:
        return None
    alive = all(_host_alive(evidence, r) for r in shown)
    place = place if alive else Place(Party.UNDECIDED, Confidence.POSSIBLE)
    summary = f"neither UDP nor TCP to {shown[0].target.removesuffix('/udp')} is answered"
    summary += ", though the host is alive" if alive else ""
    also = [*evidence.bad_at(vantages_of(shown), TCP_ECHO, TCP_CALL), *inside_too(evidence, UDP_ECHO, TCP_ECHO)]
    return found(evidence, shown, place, "udp", Lost.BOTH, summary, [*also, *after_udp(evidence, shown)])


def _reached(evidence: Evidence, vantage: str) -> bool:
    return any(answers(evidence, check)(vantage) for check in ECHOES)


def _host_alive(evidence: Evidence, result: CheckResult) -> bool:
    """Something of the media host answered: the service itself elsewhere or in the servers' network, its API, or the
    relay carried packets to it and back."""
    if own_machine(evidence) or evidence.passed(RELAY, result.vantage) or listens(evidence, result.vantage):
        return True
    if answers_inside(evidence, result):
        return True
    api = evidence.at(API, result.vantage)
    if api is None or host(api) != host(result):
        return False
    return api.status is Status.PASS or stage(api) not in ("", "connect")  # "": it was not asked


def not_running(evidence: Evidence) -> Prediction | None:
    """UDP and TCP are both refused: nothing listens; or the far end died in the middle of a call."""
    echoes = [r for r in bad(evidence, UDP_ECHO, TCP_ECHO) if trouble(r) == "refused" or is_shut(r)]
    shown = [r for r in echoes if _dead(evidence, r.vantage)]
    if not shown:
        return _died(evidence) or _unanswered(evidence)
    where = vantages_of(shown)
    refused = {(r.id, r.vantage) for r in shown if trouble(r) == "refused"}
    both = all({(UDP_ECHO, v), (TCP_ECHO, v)} <= refused for v in where)
    gone = _api_gone(evidence, shown)
    place = blamed(evidence, shown, lambda vantage: _reached(evidence, vantage)) if both else on_the_path(evidence)
    if place is None or (both and any(_is_server(evidence, r) for r in gone)):
        place = at_the_far_end(evidence)  # refused from within the servers' network too
    also = [*evidence.bad_at(where, *UDP_CALLS, TCP_CALL, *THROUGH_RELAY), *gone]
    summary = f"neither rtcd nor a stand-in listens at {shown[0].target.rsplit('/', 1)[0]}"
    return found(evidence, shown, place, protocol_of(shown), Lost.REQUEST, summary, also)


def _unanswered(evidence: Evidence) -> Prediction | None:
    """No caller knows where to ask (a name leads elsewhere, or nowhere), and the media host itself says it."""
    shown = nothing_runs(evidence)
    if not shown:
        return None
    summary = f"neither rtcd nor a stand-in listens at {host(shown[0])}: nothing holds the ports of Calls there"
    return found(evidence, shown, at_the_far_end(evidence), "udp", Lost.REQUEST, summary)


def _dead(evidence: Evidence, vantage: str) -> bool:
    """One protocol is refused there, and neither was ever answered there or elsewhere."""
    refused = any(trouble(evidence.at(check, vantage)) == "refused" for check in ECHOES)
    return refused and not listens(evidence, vantage)


def _died(evidence: Evidence) -> Prediction | None:
    """Probes were answered, and then a call over UDP was refused, or nothing came any more."""
    shown = [r for r in bad(evidence, *UDP_CALLS) if trouble(r) in GONE]
    summary, place = "went away during the run", at_the_far_end(evidence)
    if not shown:
        shown = [r for r in bad(evidence, *UDP_CALLS, TCP_CALL) if _fell_silent(evidence, r)]
        summary = "fell silent in the middle of a DTLS handshake: it went away, or something on the way cut it off"
        place = own_machine(evidence) or Place(Party.UNDECIDED, Confidence.POSSIBLE)
    if not shown:
        return None
    where = vantages_of(shown)
    calls = [r for r in evidence.bad_at(where, *UDP_CALLS, TCP_CALL, RELAY_CALL) if trouble(r) in (*GONE, "silent")]
    also = [*calls, *evidence.bad_at(where, TCP_CALL, *THROUGH_RELAY), *_api_gone(evidence, shown)]
    summary = f"what listened at {shown[0].target.rsplit('/', 1)[0]} {summary}"
    return found(evidence, shown, place, protocol_of(shown), Lost.REQUEST, summary, also)


def _fell_silent(evidence: Evidence, result: CheckResult) -> bool:
    """In the middle of the handshake even connectivity checks were answered no more, no books could be had after it,
    and no other call shows that the far end lives on."""
    alive = any(evidence.passed(check, result.vantage) for check in (*UDP_CALLS, TCP_CALL))
    silent = stage(result) == "dtls" and trouble(result) == "silent"
    return silent and not alive and result.evidence.get("far") is None


def _api_gone(evidence: Evidence, shown: list[CheckResult]) -> list[CheckResult]:
    """rtcd's API is refused as well: one program serves both. At a Mattermost node it has a name of its own, and a
    caller cannot tell whether that is the same host's."""
    refused = [r for r in evidence.bad(API) if stage(r) == "connect" and trouble(r) == "refused"]
    where = vantages_of(shown)
    return [r for r in refused if (host(r) == host(shown[0]) if r.vantage in where else _is_server(evidence, r))]


def _is_server(evidence: Evidence, result: CheckResult) -> bool:
    return role_of(evidence, result.vantage) in (Role.MATTERMOST, Role.MEDIA)


def port_taken(evidence: Evidence) -> Prediction | None:
    """Another program owns a port that Calls needs on this machine."""
    shown = evidence.of("env.port-free", Status.FAIL)
    if not shown:
        return None
    row, role = shown[0].evidence["taken"][0], role_of(evidence, shown[0].vantage)
    here = Endpoint(role=role)
    summary = f"port {row['port']}/{row['transport']} of this machine belongs to {row['owner']}"
    party = {Role.TURN: Party.TURN_HOST, Role.MATTERMOST: Party.MATTERMOST_HOST}.get(role)
    return Prediction(
        explains=outcomes([*shown, *_answered_by_the_owner(evidence, shown)]),
        flow=Flow(from_=here, to=here, protocol=row["transport"], port=row["port"]),
        summary=summary,
        subject=row["owner"],
        party=party,
    )


def _answered_by_the_owner(evidence: Evidence, shown: list[CheckResult]) -> list[CheckResult]:
    """Callers who find a media port refused that is taken over the other protocol: Calls cannot run there."""
    ports = {row["port"] for r in shown for row in r.evidence["taken"] if row["use"].startswith("media")}
    echoes = [r for r in bad(evidence, *ECHOES) if trouble(r) == "refused" and not r.evidence.get("returned")]
    return [r for r in echoes if host_and_port(r.target)[1] in ports]


def dtls_blocked(evidence: Evidence) -> Prediction | None:
    """Connectivity checks pass and the DTLS handshake never completes, by no accident."""
    hung = [r for r in bad(evidence, *UDP_CALLS, TCP_CALL) if stage(r) == "dtls" and trouble(r) not in GONE]
    calls = [r for r in hung if not by_chance(evidence, r) and not _fell_silent(evidence, r)]
    if not calls:
        return None
    # A relayed call alone that hangs here says something of the relay's path, not of the media port's.
    direct = [r for r in calls if r.id in UDP_CALLS]
    relayed = [r for r in evidence.bad_at(vantages_of(direct), RELAY_CALL) if stage(r) == "dtls"]
    detail = str(calls[0].evidence.get("detail", "no answer"))
    summary = f"connectivity checks to {calls[0].target} pass, the DTLS handshake does not: {detail}"
    checks = UDP_CALLS if direct else (TCP_CALL,)
    place = blamed_somewhere(evidence, calls, comes_up(evidence, *checks))
    return found(evidence, calls, place, protocol_of(calls), Lost.BOTH, summary, relayed)
