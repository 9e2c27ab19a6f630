"""Whether an address that a name gave is where it should be: by an echo of the stand-in's, a STUN Binding request, or a
TCP connection. What came of it is a value; nothing here raises NetworkError."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from calls_doctor.errors import FarEndError, NetworkError, NotSent, ProtocolError, Silence
from calls_doctor.model.flow import Transport
from calls_doctor.model.site import ServerUri
from calls_doctor.net import resolver, stun_client
from calls_doctor.net.sockets import trouble_word
from calls_doctor.net.streams import open_stream

if TYPE_CHECKING:
    from calls_doctor.net.paired import PairedHost

CONNECT_S = 2.55


class Tried(NamedTuple):
    """What came of an address."""

    answers: bool | None
    """None: it was not tried, or this machine itself could not send."""
    trouble: str = ""
    """A word of `trouble_word`."""


Try = Callable[[str], Awaitable[Tried]]


async def tried(address: str, attempt: Try | None) -> Tried:
    """What the attempt came to; none is made without a route."""
    if attempt is None:
        return Tried(None)
    return await attempt(address) if resolver.has_route(address) else Tried(None, "no-route")


def by_echo(hosts: Sequence[PairedHost], *, linked_too: bool = False) -> Try:
    """Whether a stand-in with a key that we have is there. What a link itself names has checks of its own, and is tried
    where `linked_too` says so."""

    async def attempt(address: str) -> Tried:
        if not linked_too and any([await address_of(host) == address for host in hosts]):
            return Tried(None)
        ways = [(host, way) for host in hosts for way in (Transport.UDP, Transport.TCP)[: 2 if host.tcp_port else 1]]
        found = await asyncio.gather(*(_echoed(host.at(address, host.udp_port), way) for host, way in ways))
        return next((one for one in found if one.answers), found[0])

    return attempt


async def address_of(host: PairedHost) -> str:
    """ "" where it is known by a name alone that gives none."""
    try:
        return await host.address()
    except NetworkError:
        return ""


def by_binding(uri: ServerUri) -> Try:
    """Whether a server of STUN or TURN says anything."""

    async def attempt(address: str) -> Tried:
        try:
            tls_name = uri.host if uri.transport == "tls" else ""
            await stun_client.binding((address, uri.port), transport=uri.transport, tls_name=tls_name)
        except (FarEndError, ProtocolError):  # whatever it says, it is there
            return Tried(True)
        except NetworkError as error:
            return _failed(error)
        return Tried(True)

    return attempt


def by_connection(url: str) -> Try:
    """Whether a TCP connection is taken at the URL's port."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)

    async def attempt(address: str) -> Tried:
        try:
            stream = await open_stream((address, port), CONNECT_S)
        except NetworkError as error:
            return _failed(error)
        await stream.close()
        return Tried(True)

    return attempt


async def _echoed(host: PairedHost, way: Transport) -> Tried:
    try:
        outcome = await host.echo_once(way)
    except FarEndError:  # it knows the key, and is full
        return Tried(True)
    return Tried(True) if outcome.returned else _failed(outcome.trouble or Silence("an echo"))


def _failed(error: NetworkError) -> Tried:
    return Tried(None if isinstance(error, NotSent) else False, trouble_word(error))
