"""Where callers of rtcd's protocol are told to reach a stand-in: the candidates of its answers.

A file of its own, since it knows the calls, which a self-test has no use for and would wait for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from calls_doctor.model.facts import StunSeen
from calls_doctor.model.site import Site
from calls_doctor.sfu.rtcd_calls import Offered
from calls_doctor.standin.hosting import announced
from calls_doctor.wire.rtcd_sdp import host_candidate
from calls_doctor.wire.sdp import Candidate


def offered(
    site: Site, local: Sequence[str], media_port: int, stun: Sequence[StunSeen], resolved: Mapping[str, Sequence[str]]
) -> Offered:
    """Where a call of rtcd's protocol is told to be reached: at what is announced, and on loopback only where there is
    nothing else. An override that cannot be looked up leaves nothing: every join fails."""
    told = dict.fromkeys(one.address for one in announced(site, local, media_port, stun, resolved))
    return offered_at(list(told) if told or site.host_override else local, media_port, site.host_port_override)


def offered_at(addresses: Sequence[str], port: int, told_port: int) -> Offered:
    """UDP and then TCP of each address. As with rtcd an overriding port is told in trickled candidates alone."""

    def candidates(number: int) -> tuple[Candidate, ...]:
        return tuple(
            host_candidate(transport, address, number) for transport in ("udp", "tcp") for address in addresses
        )

    return Offered(candidates(port), candidates(told_port or port))
