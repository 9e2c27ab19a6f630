"""port.rtc-*: does the media port carry bytes both ways?

Towards the stand-in every probe is a numbered, authenticated Binding request of a chosen size, and the stand-in's
books say which of them arrived: so a failure names the direction.
"""

from __future__ import annotations

import ipaddress
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from calls_doctor.errors import FarEndError, NetworkError
from calls_doctor.model.check import TCP_ECHO, UDP_ECHO, Evidence, Finding, Status
from calls_doctor.model.flow import CALLERS, Transport, address_class, shown
from calls_doctor.model.site import Phase, Site
from calls_doctor.net.echo import HEADERS_BYTES
from calls_doctor.net.room import where_there_is_room
from calls_doctor.net.sockets import trouble_row, trouble_word
from calls_doctor.spec import LINK_TROUBLES, CheckSpec, Context, no_tcp

if TYPE_CHECKING:
    from calls_doctor.net.hops import HopWatch
    from calls_doctor.net.paired import EchoOutcome, PairedHost
    from calls_doctor.net.reach_back import ReachBackWatch
    from calls_doctor.net.strays import StrayWatch

ECHO_SIZES_BYTES = (200, 400, 600, 800, 1000, 1200) * 4
"""24 probes: the guide's echo, and datagrams as large as media's."""
UDP_PACKETS_MAX = 61
"""Where all is silent: six probes, six for answers from elsewhere (net/strays.py), 48 to the hops (net/hops.py), and
one that opens the way for what the far end sends (net/reach_back.py)."""
ENOUGH_RATIO = 0.8
"""A port passes where this share of the probes comes back (catalogue, port.rtc-udp-echo)."""
LOSSY_RATIO = 0.95
"""Below this share a pass is a warning."""
RATE_PROBES_MIN = 5


async def rtc_udp_echo_probe(context: Context) -> Finding:
    """Echo over UDP; the far end's books tell a lost request from a lost reply."""
    return await _echo(context, Transport.UDP)


async def rtc_tcp_echo_probe(context: Context) -> Finding:
    """Echo over one TCP connection, framed as RFC 4571 says."""
    return await _echo(context, Transport.TCP)


async def _echo(context: Context, transport: Transport) -> Finding:
    paired = context.paired
    if paired is None:
        return await _knock(context, transport)
    target = paired.target(transport)
    beside = Witnesses(paired.stray_watch(), paired.hop_watch(), paired.reach_back_watch())
    try:
        looking = beside if transport is Transport.UDP else ()
        opener = paired.opener(transport)
        first = await where_there_is_room(lambda: paired.echo(opener, ECHO_SIZES_BYTES, looking))
        again = await _repeated(paired, transport) if _in_part(first) else None
    except FarEndError as error:  # it is there, and has no room for one session more
        return Finding(status=Status.UNKNOWN, summary=str(error), target=target, evidence={"code": error.code})
    outcome = again or first
    evidence = echo_evidence(outcome)
    if again is not None:
        evidence |= _before(first)
    evidence |= await arrivals(paired, outcome)
    if not outcome.returned:
        evidence |= await _witnessed(context.site, paired, beside, outcome.own_address)
    evidence["protocol"] = str(transport)
    unheard = evidence.get("trouble") in ("silent", "cut") and not outcome.returned and "stray_from" not in evidence
    if unheard and (word := context.link_trouble):
        evidence["trouble"] = word
        return Finding(status=Status.UNKNOWN, summary=LINK_TROUBLES[word], target=target, evidence=evidence)
    # Without TCP calls still run over UDP: a lost fallback is a warning (contract section 1). The self-test is about
    # this program and this machine, where every stage counts.
    fallback = transport is Transport.TCP and context.site.phase is not Phase.SELF_TEST
    return Finding(
        status=_echo_status(outcome, fallback),
        summary=echo_summary(evidence),
        target=target,
        evidence=evidence,
    )


async def _repeated(paired: PairedHost, transport: Transport) -> EchoOutcome | None:
    """Once more, with the path to itself; None where that is not to be had: the first echo stands."""
    opener = paired.opener(transport)
    try:
        return await where_there_is_room(lambda: paired.echo_alone(opener, ECHO_SIZES_BYTES))
    except FarEndError:
        return None


def _in_part(outcome: EchoOutcome) -> bool:
    """Some probes were lost, and nothing says why: what else was on the path may have filled a thin link."""
    return outcome.trouble is None and 0 < len(outcome.returned) < LOSSY_RATIO * outcome.sent


def _before(first: EchoOutcome) -> Evidence:
    """What stays true of an echo that was repeated alone: the faster one tells best what a full link carries, but for
    one so thin that hardly any of it came back."""
    evidence: Evidence = {"repeated_alone": True, "returned_before": len(first.returned)}
    rate_bits_per_s = _rate_bits_per_s(first)
    return evidence if rate_bits_per_s is None else evidence | {"rate_bits_per_s": rate_bits_per_s}


class Witnesses(NamedTuple):
    """Who looks on beside an echo that is silent."""

    strays: StrayWatch
    hops: HopWatch
    reach_back: ReachBackWatch


async def _witnessed(site: Site, paired: PairedHost, beside: Witnesses, own_address: str) -> Evidence:
    """What was seen beside a silence: who answered in the place of the one that was asked, how far packets came, and
    whether the far end's own come here (False: not as far as the port is mapped to its own number)."""
    strays, hops, reach_back = beside
    evidence: Evidence = {}
    if reach_back.opens is not None:
        evidence["opens_from_inside"] = reach_back.opens
    if strays.sender:
        evidence["stray_from"] = list(strays.sender)
    if hops.last:
        side = "servers" if _is_the_servers(hops.last.address, site, await paired.address(), own_address) else ""
        evidence["last_hop"] = {"address": hops.last.address, "ttl": hops.last.ttl, "side": side}
    return evidence


def _is_the_servers(hop: str, site: Site, media: str, own_address: str) -> bool:
    """Whether a hop surely lies on the servers' side. A private address between public ones may be anybody's, and one
    in the caller's own network is the caller's."""
    if hop in (media, *(public for public, _ in site.nat)) and not address_class(hop).is_private:
        return True
    if address_class(hop).is_private and not address_class(media).is_private:
        return False
    own, there = ipaddress.ip_address(own_address), ipaddress.ip_address(hop)
    networks = [ipaddress.ip_network(one) for one in site.mattermost_networks]
    return any(there in one and own not in one for one in networks)


async def _knock(context: Context, transport: Transport) -> Finding:
    """Without a stand-in: a closed port says that nothing listens. Silence decides nothing (contract section 1, phase
    "undetermined"), and no more does an open port: who listens there is for others to tell."""
    from calls_doctor.net import resolver
    from calls_doctor.net.knock import knock, said_nothing

    media = context.site.media[0]
    port = media.tcp_port if transport is Transport.TCP else media.udp_port
    target = media.target(transport)
    evidence: Evidence = {"sent": 0, "returned": 0, "arrived": None, "protocol": str(transport), "paired": False}
    try:
        trouble = await knock(((await resolver.resolve(media.host))[0], port), transport)
    except NetworkError as error:
        return Finding(status=Status.UNKNOWN, summary=str(error), target=target, evidence=evidence)
    if trouble is None:
        summary = "something listens here; what it is, only a stand-in could tell"
        return Finding(status=Status.UNKNOWN, summary=summary, target=target, evidence=evidence)
    evidence |= {"trouble": trouble_word(trouble), "trouble_detail": str(trouble)}
    if said_nothing(trouble):
        summary = f"{trouble}: blocked, or nobody who would answer; run `calls-doctor serve` there to find out"
        return Finding(status=Status.UNKNOWN, summary=summary, target=target, evidence=evidence)
    status = Status.WARN if transport is Transport.TCP else Status.FAIL
    return Finding(status=status, summary=str(trouble), target=target, evidence=evidence)


def echo_evidence(outcome: EchoOutcome) -> Evidence:
    """What the near end knows of its probes."""
    rtts = sorted(echo.rtt_s for echo in outcome.returned)
    evidence: Evidence = {"sent": outcome.sent, "returned": len(outcome.returned), "session": outcome.session}
    evidence["own_address"] = outcome.own_address
    if rtts:
        evidence["rtt_min_s"] = round(rtts[0], 6)
        evidence["rate_bits_per_s"] = _rate_bits_per_s(outcome)
        evidence["rtt_p50_s"] = round(median(rtts), 6)
        evidence["rtt_p95_s"] = round(rtts[min(len(rtts) - 1, int(len(rtts) * 0.95))], 6)
        evidence["mapped"] = list(outcome.mapped) if outcome.mapped else None
    if outcome.trouble is not None:
        evidence |= trouble_row(outcome.trouble)
        evidence["trouble_detail"] = str(outcome.trouble)
        if icmp := outcome.trouble.icmp:
            evidence["icmp"] = {"type": icmp.type, "code": icmp.code, "sender": icmp.sender}
    return evidence


def _rate_bits_per_s(outcome: EchoOutcome) -> float | None:
    """At which what came back came back, headers of IP and UDP included: where a link is full, what it carries.

    None where too little came back to tell.
    """
    in_order = sorted(outcome.returned, key=lambda echo: echo.at_s)
    if len(in_order) < RATE_PROBES_MIN or in_order[-1].at_s <= in_order[0].at_s:
        return None
    carried_bytes = sum(echo.size_bytes + HEADERS_BYTES for echo in in_order[1:])
    return round(8 * carried_bytes / (in_order[-1].at_s - in_order[0].at_s))


async def arrivals(paired: PairedHost, outcome: EchoOutcome) -> Evidence:
    """What the far end's books say of the same probes; `arrived` None where the books could not be had, or nothing was
    sent."""
    if not outcome.sent:
        return {"arrived": None}
    if len(outcome.returned) == outcome.sent:
        return {"arrived": outcome.sent}  # each came back, so each arrived: the books could add nothing
    books = await paired.books()
    if books is None:
        return {"arrived": None}
    session = next((s for s in books.sessions if s.session == outcome.session), None)
    seen = sorted({tuple(path.remote) for path in session.paths}) if session else []
    return {"arrived": len(session.probes) if session else 0, "far_end_saw": [list(address) for address in seen]}


def _echo_status(outcome: EchoOutcome, fallback: bool) -> Status:
    ratio = len(outcome.returned) / outcome.sent if outcome.sent else 0.0
    if ratio < ENOUGH_RATIO:
        return Status.WARN if fallback else Status.FAIL
    return Status.PASS if ratio >= LOSSY_RATIO else Status.WARN


def echo_summary(evidence: Evidence) -> str:
    """What came of the probes, and of which way they were lost as far as `arrived` tells."""
    returned = f"{evidence['returned']} of {evidence['sent']} probes came back"
    if evidence["returned"]:
        return f"{returned}, round trip {evidence['rtt_p50_s'] * 1000:.1f} ms"
    if evidence.get("trouble") not in (None, "silent"):
        return evidence["trouble_detail"] if not evidence["arrived"] else f"{returned}: {evidence['trouble_detail']}"
    if not evidence["sent"]:
        return str(evidence["trouble_detail"])
    if astray := evidence.get("stray_from"):
        return f"{returned}: answers come from {shown((astray[0], astray[1]))}, which was not asked"
    if evidence["arrived"] is None:
        return f"{returned}, and no path brought the far end's books"
    lost = "the replies are lost" if evidence["arrived"] else "the requests are lost"
    return f"{evidence['sent']} sent, {evidence['arrived']} arrived, none came back: {lost}"


def _no_link(site: Site) -> str:
    return "" if site.media else "no media host was named: give a stand-in's link with --peer"


CHECKS = (
    CheckSpec(
        id=UDP_ECHO,
        title="UDP datagrams reach the media port and answers come back",
        probe=rtc_udp_echo_probe,
        about_host=True,
        needs=("env.platform",),
        vantages=CALLERS,
        nothing_to_do=_no_link,
        targets=lambda site: [m.target(Transport.UDP) for m in site.media],
        required=True,
        guide_steps=("1.6.1", "1.6.3"),
        packets_max=UDP_PACKETS_MAX,
        reworded=echo_summary,
        timeout_s=15.0,
        fails_when="Of 24 authenticated probes of 200 to 1200 bytes fewer than 80 % came back. The stand-in's books "
        "tell whether the requests were lost (blocked on the way in) or the replies (blocked on the way back). "
        "An echo that loses some is repeated alone at 100 kbit/s, and the second counts. "
        "The official guide tests this step with nmap, whose answer here is open|filtered whatever is true.",
    ),
    CheckSpec(
        id=TCP_ECHO,
        title="TCP to the media port carries bytes both ways",
        probe=rtc_tcp_echo_probe,
        about_host=True,
        needs=("env.platform",),
        vantages=CALLERS,
        nothing_to_do=lambda site: _no_link(site) or no_tcp(site),
        targets=lambda site: [m.target(Transport.TCP) for m in site.media if m.tcp_port],
        guide_steps=("1.6.2", "1.6.4"),
        packets_max=2 * len(ECHO_SIZES_BYTES),  # where it loses some it is repeated
        reworded=echo_summary,
        timeout_s=15.0,
        fails_when="The connection was refused, never established, or established and then carried nothing: a "
        "firewall, a proxy, or nothing that listens. Calls still run over UDP, so alone it is a warning.",
    ),
)
