"""By which addresses callers may reach this machine, and what the stand-in tells of it to those who are paired.

Addresses are given; names are looked up by whoever calls. It prints nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from calls_doctor.model.facts import Announced, StunSeen
from calls_doctor.model.flow import address_class, is_literal
from calls_doctor.model.site import Mode, Site


@dataclass(frozen=True)
class Reach:
    """One way by which callers may come: the address that a link names, and the name beside it."""

    address: str
    name: str = ""


def reaches(site: Site, local: Sequence[str], resolved: Mapping[str, Sequence[str]]) -> list[Reach]:
    """The ways, the best first (contract section 2, `serve`).

    `local` are this machine's addresses, `resolved` name -> addresses for the site's names that could be looked up.
    Names and the public address of `nat` go first; where these give none, the override; else each local address.
    """
    public = [outside for outside, inside in site.nat if inside in local]
    names = [media.host for media in site.media if not is_literal(media.host)]
    name = names[0] if names else ""
    found = [Reach(address, name) for address in public]
    for media in site.media:
        if is_literal(media.host):
            found.append(Reach(media.host, name))
        elif not public:
            found += [Reach(address, media.host) for address in resolved.get(media.host, ())]
    if not found and site.host_override:
        override = site.host_override
        addresses = [override] if is_literal(override) else resolved.get(override, ())
        found = [Reach(address, "" if is_literal(override) else override) for address in addresses]
    if not found:
        found = [Reach(address) for address in local if not address_class(address).is_loopback]
    return list(dict.fromkeys(found or [Reach(address) for address in local]))


@dataclass(frozen=True)
class Addresses:
    """This machine's own addresses, and those by which callers reach it."""

    local: tuple[str, ...]
    nat: tuple[tuple[str, str], ...]
    """(public, private) that belong together."""
    reached_by: tuple[str, ...]
    """The best first."""
    port_override: int = 0
    """By which callers reach the media port, where that is not its own number; 0: it is."""

    def outside(self, local: str) -> str:
        """By which callers reach this local address; itself where they do, or nothing is known."""
        mapped = next((public for public, private in self.nat if private == local), "")
        if mapped or local in self.reached_by:
            return mapped or local
        others = (one for one in self.reached_by if one not in self.local and (":" in one) == (":" in local))
        return next(others, local)

    def is_here(self, address: str) -> bool:
        """True for an address that is not this machine's own, and leads here all the same."""
        return address not in self.local and address in self.reached_by


def override_name(site: Site) -> str:
    """The ICE host override where it is a name, and "" where it is an address or not set."""
    return "" if not site.host_override or is_literal(site.host_override) else site.host_override


def _own_override(site: Site, local: Sequence[str]) -> str:
    """The override's address; where `nat` says that it is another media host's, and what this one's is, this one's: a
    site file has one override for all, and each rtcd has its own (in Kubernetes they do share the chart's)."""
    if site.mode is Mode.KUBERNETES:
        return site.host_override
    own = [public for public, private in site.nat if private in local]
    others = [public for public, private in site.nat if private not in local]
    return own[0] if own and site.host_override in others and site.host_override not in own else site.host_override


def announced(
    site: Site, local: Sequence[str], media_port: int, stun: Sequence[StunSeen], resolved: Mapping[str, Sequence[str]]
) -> list[Announced]:
    """What rtcd would hand to callers (catalogue 0.9, 0.11): the override instead of the local addresses, where there
    is one; else what STUN says of the media port, and the local addresses. An override that cannot be looked up leaves
    nothing: every join fails."""
    port = site.host_port_override or media_port
    candidates: list[tuple[str, str, int]] = []
    if site.host_override:
        name = site.host_override
        addresses = [_own_override(site, local)] if is_literal(name) else resolved.get(name, ())
        candidates = [("override", address, port) for address in addresses[:1]]
    else:
        candidates = [
            ("mapped", seen.mapped[0], site.host_port_override or seen.mapped[1]) for seen in stun if seen.mapped
        ]
        candidates += [("host", address, port) for address in local if not address_class(address).is_loopback]
    protocols = ("udp", "tcp") if any(media.tcp_port for media in site.media) or not site.media else ("udp",)
    return [
        Announced(kind=kind, protocol=protocol, address=address, port=number)
        for kind, address, number in dict.fromkeys(candidates)
        for protocol in protocols
    ]
