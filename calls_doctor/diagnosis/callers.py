"""Who else tried: from which networks something works and from which it does not, and whose fault that makes it. Pure.

What fails from several networks and works from none outside is the servers' side. What fails from one network and works
from another is the caller's. One network alone decides nothing (contract section 6).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable

from calls_doctor.diagnosis.cause import Evidence
from calls_doctor.diagnosis.place import Place, own_machine, role_of, vantages_of
from calls_doctor.model.check import API, TCP_ECHO, UDP_ECHO, CheckResult, Status
from calls_doctor.model.flow import SERVERS, Party, address_class, is_literal
from calls_doctor.model.report import Confidence

HAIRPIN, EGRESS = "nat.hairpin", "client.udp-egress"
BEHIND_NAT = "behind a NAT"
"""The public address of a caller whom nobody has told it."""
OVER_TCP = (TCP_ECHO, "media.call-tcp", API, "tls.site", "signal.websocket")
Works = Callable[[str], bool]
"""Whether the thing in question works at a vantage."""


def is_inside(evidence: Evidence, vantage: str) -> bool:
    """In the servers' network: a server, or a caller whom the media host answers by its private address."""
    found = evidence.at(HAIRPIN, vantage)
    return role_of(evidence, vantage) in SERVERS or bool(found and found.evidence.get("inside"))


def outside(evidence: Evidence) -> list[str]:
    """Callers that are not known to be in the servers' network."""
    every = dict.fromkeys([*evidence.vantages, *(r.vantage for r in evidence.results)])
    return [one for one in every if not is_inside(evidence, one)]


def works_outside(evidence: Evidence, works: Works, but: Iterable[CheckResult] = ()) -> bool:
    """True where it works for some caller outside, other than those of these results."""
    failing = vantages_of(but)
    return any(works(vantage) for vantage in outside(evidence) if vantage not in failing)


def blamed(evidence: Evidence, shown: Iterable[CheckResult], works: Works) -> Place | None:
    """Whose firewall it is; None where these callers' networks alone are to blame, since it works for another.

    A block behind a hop on the servers' side is theirs, whoever else is well (contract section 6); on the word of one
    caller alone only likely so.
    Two networks that fail beside one that works are undecided: a rule for some sources, or two networks with the same.
    """
    if own := own_machine(evidence):
        return own
    results = list(shown)
    fails, well = _networks(evidence, results), works_outside(evidence, works, but=results)
    if any(_stopped_at_the_servers(r) for r in results if not is_inside(evidence, r.vantage)):
        return Place(None, Confidence.CERTAIN if len(fails) > 1 else Confidence.LIKELY)
    if len(fails) > 1:
        return Place(Party.UNDECIDED, Confidence.LIKELY) if well else Place(None, Confidence.CERTAIN)
    return None if well else Place(Party.UNDECIDED, Confidence.LIKELY)


def _stopped_at_the_servers(result: CheckResult) -> bool:
    """The last hop that answered lies on the servers' side, and nothing arrived behind it."""
    hop = result.evidence.get("last_hop") or {}
    return hop.get("side") == "servers" and result.evidence.get("arrived") == 0


def caller(evidence: Evidence) -> Place:
    """A caller's own network; in the self-test this machine."""
    return own_machine(evidence) or Place(Party.CALLER_NETWORK, Confidence.CERTAIN)


def blamed_somewhere(evidence: Evidence, shown: Iterable[CheckResult], works: Works) -> Place:
    """The same for a fault that has one name wherever it sits."""
    return blamed(evidence, shown, works) or caller(evidence)


def _networks(evidence: Evidence, shown: Iterable[CheckResult]) -> set[str]:
    """The networks of the callers outside that these results speak for. One that lets no UDP out at all has a fault of
    its own, and says nothing of what else may keep UDP from the far end."""
    counting = {r.vantage for r in shown if r.id in OVER_TCP or not _lets_no_udp_out(evidence, r.vantage)}
    known = [evidence.vantages[one] for one in sorted(counting) if one in evidence.vantages]
    callers = [one for one in known if not is_inside(evidence, one.id)]
    addresses = {network_of(one.public_address) for one in callers if one.public_address}
    # Whoever sits behind a NAT has its address, and that is another than a caller's who has a public one of his own.
    unknown = any(not one.public_address and _own_is_private(evidence, one.id) is True for one in callers)
    own = any(one.public_address and _own_is_private(evidence, one.id) is False for one in callers)
    return addresses | ({BEHIND_NAT} if unknown and own else set())


def network_of(address: str) -> str:
    """What all machines of one network have in common of their public addresses: over IPv4 the whole of it, which is
    their NAT's; over IPv6, where each has its own, the 64 bits of their link (RFC 4291 section 2.5.4).
    A report that was saved may name it otherwise: then what it says."""
    if not is_literal(address):
        return address
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))


def _own_is_private(evidence: Evidence, vantage: str) -> bool | None:
    """Of the address from which this machine sends; None where no echo was made there."""
    echo = evidence.at(UDP_ECHO, vantage)
    own = str(echo.evidence.get("own_address") or "") if echo else ""
    return address_class(own).is_private if own else None


def _lets_no_udp_out(evidence: Evidence, vantage: str) -> bool:
    egress = evidence.at(EGRESS, vantage)
    return egress is not None and egress.status is Status.FAIL
