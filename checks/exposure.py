"""client.* and port.* that ask what a place lets through at all: UDP out, an API that should be shut, a TURN listener;
and env.control, whether the path tells the truth."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Sequence
from typing import Any  # evidence is JSON

from calls_doctor.errors import FarEndError, HttpError, NetworkError, NotSent, ProtocolError, TlsError
from calls_doctor.model.check import ECHOES, NOT_SENT, TCP_ECHO, UDP_ECHO, CheckResult, Evidence, Finding, Status
from calls_doctor.model.flow import CALLERS, Role, address_class, shown
from calls_doctor.model.site import ServerUri, Site
from calls_doctor.modes import API_PORT
from calls_doctor.net.sockets import trouble_row, trouble_word
from calls_doctor.spec import (
    NETWORK_PHASES,
    PAIRED_PHASES,
    UNTOLD,
    CheckSpec,
    Context,
    heard_nothing,
    no_turn,
    nothing_to_do,
    over_loopback,
    turn_by_stand_in,
    turn_targets,
)

CONNECT_S = 2.55
UNHEARD_S = 0.5
"""The same where nothing of the media host was heard: silence would decide nothing, however long it lasts."""
_HOST = re.compile(r"(?:(?:stun|turn)s?:)?\[?(?P<host>(?<=\[)[^\]]+|[^:/?]+)")
"""Of `turn:host:3478?transport=udp`, or `[::1]:8443/udp`."""
UDP_SIGNS = ("stun.reach", UDP_ECHO, "turn.challenge", "port.turn-listener")


async def control_probe(context: Context) -> Finding:
    """A TCP connection to a port on which the media host says that nothing listens: it must not be opened."""
    from calls_doctor.net.streams import open_stream

    facts, paired = await context.told(), context.paired
    if facts is None or paired is None:
        return UNTOLD
    address = await paired.address()
    target = f"{address}:{facts.control_port}/tcp"
    if not facts.control_port:
        return Finding(status=Status.SKIP, summary="the stand-in found no closed port to name", target=target)
    evidence: Evidence = {"control_port": facts.control_port}
    try:
        stream = await open_stream((address, facts.control_port), CONNECT_S)
    except NetworkError as error:
        evidence["result"] = trouble_word(error)
        if isinstance(error, NotSent):
            summary = f"nothing was asked of the closed port: {error}"
            return Finding(status=Status.UNKNOWN, summary=summary, target=target, evidence=evidence)
        summary = f"a closed port stays closed ({error})"
        return Finding(status=Status.PASS, summary=summary, target=target, evidence=evidence)
    await stream.close()
    summary = "a port on which nothing listens was opened: something on the path answers for the media host"
    return Finding(status=Status.FAIL, summary=summary, target=target, evidence=evidence | {"result": "opened"})


async def udp_egress_probe(context: Context) -> Finding:
    """Whether any UDP datagram from here was ever answered, by whoever was asked."""
    made = [result for name in UDP_SIGNS if (result := context.results.get(name)) and result.status is not Status.SKIP]
    rejecting = _rejecting(made)
    rows = {result.id: _udp_rows(result.evidence, rejecting) for result in made}
    asked = [name for name, answers in rows.items() if answers]
    answered = [name for name in asked if any(rows[name])]
    evidence: Evidence = {"asked": asked, "answered": answered, "rejected_by": rejecting}
    if answered:
        return Finding(status=Status.PASS, summary=f"UDP is answered ({', '.join(answered)})", evidence=evidence)
    if len(asked) < 2:
        summary = "too few places were asked over UDP to tell"
        return Finding(status=Status.UNKNOWN, summary=summary, evidence=evidence)
    echo = context.results.get(UDP_ECHO)
    if echo and (hop := _stopped_at(echo.evidence)):
        summary = f"UDP leaves this network, as far as {hop}, and nobody's answer came back"
        return Finding(status=Status.UNKNOWN, summary=summary, evidence=evidence)
    tcp = context.results.get(TCP_ECHO)
    evidence["tcp_works"] = bool(tcp and tcp.status is Status.PASS)
    by = f" ({' and '.join(rejecting)} rejects them)" if rejecting else ""
    summary = f"no UDP datagram from here was answered by anybody: {', '.join(asked)}{by}"
    return Finding(status=Status.FAIL, summary=summary, evidence=evidence)


def _stopped_at(echo: Evidence) -> str:
    """The hop on the servers' side as far as datagrams came that never arrived; "" where none answered. The first hop
    is this network's own way out."""
    hop = echo.get("last_hop") or {}
    left = hop.get("side") == "servers" and hop.get("ttl", 2) > 1
    return str(hop["address"]) if left and not echo.get("arrived") else ""


def _rejecting(results: Sequence[CheckResult]) -> list[str]:
    """Routers that refuse in the name of two hosts at least: what they say is no answer of theirs. One that refuses for
    a single host may stand before it, far from here."""
    refused: dict[str, set[str]] = {}
    for result in results:
        for row in result.evidence.get("servers", [{"uri": result.target, **result.evidence}]):
            if sender := row.get("refused_by"):
                refused.setdefault(sender, set()).add(row.get("address") or _host(row["uri"]))
    return [sender for sender, hosts in refused.items() if len(hosts) > 1]


def _host(target: str) -> str:
    found = _HOST.match(target)
    return found["host"] if found else target


def _udp_rows(evidence: Evidence, rejecting: Sequence[str]) -> list[bool]:
    """For each place that was asked over UDP, whether it answered; a refusal is an answer, but that of a router which
    rejects. Where this machine itself sent nothing, nobody was asked."""
    if "returned" in evidence:
        if evidence.get("trouble") in NOT_SENT and not evidence["returned"]:
            return []
        return [bool(evidence["returned"]) or _refuses(evidence, rejecting)]
    rows: Sequence[dict[str, Any]] = evidence.get("servers", ())
    udp = [
        row
        for row in rows
        if row.get("transport", "udp") == "udp" and row.get("trouble") not in (*NOT_SENT, "unresolved")
    ]
    return [
        bool(row.get("answered") or row.get("ok") or row.get("trouble") == "open" or _refuses(row, rejecting))
        for row in udp
    ]


def _refuses(row: Evidence, rejecting: Sequence[str]) -> bool:
    return row.get("trouble") == "refused" and row.get("refused_by") not in rejecting


async def api_exposure_probe(context: Context) -> Finding:
    """GET /version on the media host's public address, as any caller could."""
    from calls_doctor.net import http

    paired = context.paired
    assert paired is not None, "selected only where a link was given"
    address = await paired.address()
    facts = await context.told()
    if facts is not None and not facts.api_port:
        return Finding(status=Status.SKIP, summary="the stand-in serves no API: serve --as media --as api")
    port = facts.api_port if facts is not None else API_PORT
    url = f"http://{shown((address, port))}"
    evidence: Evidence = {"caller_may_not": _is_an_outsider(context)}
    try:
        timeout_s = UNHEARD_S if facts is None and _all_silent(context) else CONNECT_S
        answer = await http.get(f"{url}/version", timeout_s=timeout_s)
    except HttpError:
        evidence["answers"] = "something that is not HTTP"
    except (NetworkError, ProtocolError) as error:
        # Where nothing was heard of the stand-in, nobody knows whether anything listens there at all.
        status = Status.PASS if facts is not None else Status.UNKNOWN
        return Finding(status=status, summary=f"not reached from here ({error})", target=url, evidence=evidence)
    else:
        evidence["answers"] = f"HTTP {answer.status}"
    summary = f"rtcd's API answers a caller here ({evidence['answers']}); it is for the Mattermost nodes only"
    status = Status.FAIL if evidence["caller_may_not"] else Status.WARN
    return Finding(status=status, summary=summary, target=url, evidence=evidence)


def _all_silent(context: Context) -> bool:
    """True where the media port was asked and never answered."""
    echoes = [one for name in ECHOES if (one := context.results.get(name)) is not None]
    asked = [one for one in echoes if one.status is not Status.SKIP]
    return bool(asked) and all(heard_nothing(one) for one in asked)


def _is_an_outsider(context: Context) -> bool:
    """True where this caller, as the far end sees it, is public, or in a clients' network and no Mattermost one."""
    echoes = [context.results.get(name) for name in ECHOES]
    mapped = next((echo.evidence["mapped"] for echo in echoes if echo and echo.evidence.get("mapped")), None)
    if mapped is None:
        return False
    address = ipaddress.ip_address(mapped[0])
    site = context.site
    if any(address in ipaddress.ip_network(one) for one in site.mattermost_networks):
        return False
    named = [one for one in site.client_networks if ipaddress.ip_network(one).prefixlen]
    return not address_class(mapped[0]).is_private or any(address in ipaddress.ip_network(one) for one in named)


async def turn_listener_probe(context: Context) -> Finding:
    """A STUN Binding request to each TURN URI: does the listener answer at all?"""
    from calls_doctor.net import relay
    from calls_doctor.net.stun_client import binding

    servers = await context.turn()
    if not servers.uris:
        return nothing_to_do(servers.why_none)

    async def one(uri: ServerUri) -> dict[str, Any]:
        row: dict[str, Any] = {"uri": str(uri), "transport": uri.transport, "ok": False, "trouble": "", "detail": ""}
        row |= {"stands_in": True} if servers.stands_in else {}
        try:
            tls_name = uri.host if uri.transport == "tls" else ""
            answer = await binding(await relay.address_of(uri), transport=uri.transport, tls_name=tls_name)
            row |= {"ok": True, "mapped": list(answer.mapped), "rtt_s": round(answer.rtt_s, 6)}
        except FarEndError as error:
            row |= {"ok": True, "detail": str(error)}  # it refuses, so it is there
        except NetworkError as error:
            row |= trouble_row(error) | {"detail": str(error)}
        except ProtocolError as error:
            row |= {"trouble": "tls" if isinstance(error, TlsError) else "not-turn", "detail": str(error)}
        return row

    rows = await asyncio.gather(*(one(uri) for uri in servers.uris))
    evidence: Evidence = {"servers": rows}
    target = ", ".join(row["uri"] for row in rows)
    bad = [row for row in rows if not row["ok"]]
    if not bad:
        return Finding(status=Status.PASS, summary="every TURN listener answers", target=target, evidence=evidence)
    said = "; ".join(row["detail"] for row in bad)
    status = Status.FAIL if len(bad) == len(rows) else Status.WARN
    return Finding(status=status, summary=said, target=target, evidence=evidence)


def _unpaired(site: Site) -> str:
    return "" if site.paired else "no stand-in to ask: give its link with --peer"


def _no_api_here(site: Site) -> str:
    if site.mode is not None and not site.rtcd_url:
        return f"mode {site.mode} has no rtcd"
    return _unpaired(site) or over_loopback(site)


CHECKS = (
    CheckSpec(
        id="env.control",
        title="A port that is closed stays closed",
        probe=control_probe,
        about_host=True,
        vantages=CALLERS,
        phases=PAIRED_PHASES,
        nothing_to_do=_unpaired,
        targets=lambda site: [f"{one.shown_host}:(a closed port)/tcp" for one in site.media],
        packets_max=4,
        timeout_s=6.0,
        fails_when="A transparent proxy or a SYN proxy on the path opens connections to ports on which nothing "
        "listens: no TCP connect from here proves anything.",
    ),
    CheckSpec(
        id="port.api-exposure",
        title="rtcd's API is not reached by callers",
        probe=api_exposure_probe,
        about_host=True,
        uses=ECHOES,
        vantages=CALLERS,
        phases=NETWORK_PHASES,
        nothing_to_do=_no_api_here,
        targets=lambda site: [
            f"http://{one.shown_host}:{API_PORT} (or the port that the stand-in tells)" for one in site.media
        ],
        packets_max=4,
        timeout_s=8.0,
        fails_when="8045 answers on the media host's public address: it has no rate limit and serves profiles "
        "without credentials; only Mattermost nodes need it.",
    ),
    CheckSpec(
        id="port.turn-listener",
        title="Every TURN listener answers",
        probe=turn_listener_probe,
        vantages=CALLERS | {Role.MEDIA},
        phases=NETWORK_PHASES,
        nothing_to_do=no_turn,
        about_host_where=turn_by_stand_in,
        targets=turn_targets,
        guide_steps=("1.6.10", "1.6.11"),
        packets_max=6,
        timeout_s=8.0,
        fails_when="No STUN Binding is answered at the TURN server's address over a transport: blocked, not running,"
        " or something else that listens.",
    ),
    CheckSpec(
        id="client.udp-egress",
        title="This network lets UDP out and back",
        probe=udp_egress_probe,
        uses=(*UDP_SIGNS, TCP_ECHO),
        vantages=CALLERS,
        phases=NETWORK_PHASES,
        nothing_to_do=lambda site: "" if site.media or site.stun or site.turn else "nothing was named that speaks UDP",
        fails_when="No UDP datagram was answered, whoever was asked: this network blocks UDP. Calls from here need "
        "TCP 8443, or TURN over TCP or TLS.",
    ),
)
