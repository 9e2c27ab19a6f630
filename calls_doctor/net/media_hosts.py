"""Which media hosts a run tests, where links and site give several addresses: each key is tried at each of them.

Links with one key are one media host at several addresses, another key is another host (contract section 2). A link's
own address is tested whatever it says, but where another host's key is known there. Silence of an address that only the
site names, or of a private one of a host that answers elsewhere, is no finding: there it is another host's, or another
network's. Nor is one of a family that this machine does not speak, where the host answers over the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from calls_doctor.errors import FarEndError, NetworkError
from calls_doctor.model.flow import Transport, address_class
from calls_doctor.model.site import MediaAddress, Site
from calls_doctor.net import resolver
from calls_doctor.net.paired import PairedHost
from calls_doctor.wire.direct import Link


@dataclass(frozen=True)
class Target:
    """One address of a media host. Its name is HOST:PORT."""

    media: MediaAddress
    link: Link | None = None
    """None: no link was given; whoever listens there is knocked at."""

    @property
    def name(self) -> str:
        """HOST:PORT, as the reader knows the host."""
        return f"{self.media.shown_host}:{self.media.udp_port}"


@dataclass(frozen=True)
class Found:
    """What to test, those that answer first; and the others, HOST:PORT -> why not."""

    targets: tuple[Target, ...]
    left_out: dict[str, str]


async def find(links: Sequence[Link], site: Site) -> Found:
    """The targets of a run. Nothing is sent where there is no choice."""
    if not links:
        return Found(tuple(Target(media) for media in site.media), {})
    linked = _each_once(Target(media, link) for link, media in zip(links, site.media, strict=True))
    keys = list({link.keys.run: link for link in links}.values())
    extra = [Target(media, key) for media in site.media_beside_links for key in keys]
    if len(linked) + len(extra) == 1:
        return Found(tuple(linked), {})
    answered, addresses = await asyncio.gather(
        asyncio.gather(*(_answers(one) for one in (*linked, *extra))),
        asyncio.gather(*(resolver.resolve_or_none(one.media.host) for one in (*linked, *extra))),
    )
    heard = {one for one, is_there in zip((*linked, *extra), answered, strict=True) if is_there}
    at = dict(zip((*linked, *extra), map(frozenset, addresses), strict=True))
    lost = {one for one in linked if at[one] and not any(map(resolver.has_route, at[one]))}
    return _chosen(linked, extra, heard, at, lost)


def _chosen(
    linked: Sequence[Target],
    extra: Sequence[Target],
    heard: set[Target],
    at: dict[Target, frozenset[str]],
    lost: set[Target],
) -> Found:
    """Pure: `heard` answered, `at` is where each one's name leads, to `lost` this machine has no route."""
    taken = list(linked)
    for one in extra:
        if one in heard and not any(_is_the_same(one, other, at) for other in taken):
            taken.append(one)
    left_out = {}
    for one in extra:
        if not any(other in heard and other.media == one.media for other in extra):
            left_out[one.name] = "no key that was given is known here: another media host's address, or nothing serves"
    for one in linked:
        elsewhere = next((other for other in taken if other in heard and _key(other) == _key(one)), None)
        if one in heard or elsewhere is None:
            continue
        if any(other in heard and other.media == one.media for other in taken):
            taken.remove(one)  # another host's address, which its own key tests
        elif one in lost or address_class(one.media.host).is_private:
            why = "no route to it from here" if one in lost else "a private address, silent from here"
            left_out[one.name] = f"{why}; the same host answers at {elsewhere.name}"
            taken.remove(one)
    return Found(tuple(sorted(taken, key=lambda one: one not in heard)), left_out)


def _each_once(targets: Iterable[Target]) -> list[Target]:
    return list({(_key(one), one.media): one for one in targets}.values())


def _key(target: Target) -> str:
    assert target.link is not None, "all of these came with a link"
    return target.link.keys.run


def _is_the_same(one: Target, other: Target, at: dict[Target, frozenset[str]]) -> bool:
    same_port = one.media.udp_port == other.media.udp_port
    return _key(one) == _key(other) and same_port and bool(at[one] & at[other])


async def _answers(target: Target) -> bool:
    """Whether the stand-in with this link's key is there, by UDP or by TCP."""
    assert target.link is not None, "all of these came with a link"
    paired = PairedHost(target.link, target.media)
    ways = (Transport.UDP, Transport.TCP) if target.media.tcp_port else (Transport.UDP,)
    return any(await asyncio.gather(*(_by(paired, way) for way in ways)))


async def _by(paired: PairedHost, way: Transport) -> bool:
    try:
        return bool((await paired.echo_once(way)).returned)
    except FarEndError:  # it knows the key, and is full
        return True
    except NetworkError:
        return False
