"""How rtcd is reached: its API, and its media by one transport alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from calls_doctor.model.credentials import Secret
from calls_doctor.model.flow import Address, Transport
from calls_doctor.net.sockets import Channel, Receiver, open_tcp, open_udp
from calls_doctor.net.turn_client import Allocation
from calls_doctor.wire import stun

MediaOpener = Callable[[Address, Receiver], Awaitable[Channel]]
"""Opens a channel to this candidate. Raises NetworkError; a relay's FarEndError and ProtocolError too."""


@dataclass(frozen=True, kw_only=True)
class RtcdAccess:
    """rtcd's API, and as whom."""

    url: str
    """http(s)://HOST:PORT."""
    authorization: Secret
    """The header's whole value."""
    host: str = ""
    """This address of several; "": the first."""
    locks: bool = True
    """False for one before v1.1.0, which has no lock for offers."""


@dataclass(frozen=True)
class MediaWay:
    """By which way alone a session's media goes."""

    transport: Transport
    open: MediaOpener


def straight(transport: Transport) -> MediaWay:
    """To rtcd's candidates themselves, over UDP or TCP."""

    async def open_channel(remote: Address, receiver: Receiver) -> Channel:
        if transport is Transport.TCP:
            return await open_tcp(remote, receiver, stun.PROBE_DECIDED_S)
        return await open_udp(remote, receiver)

    return MediaWay(transport, open_channel)


def through(allocation: Allocation) -> MediaWay:
    """Through a relay."""
    return MediaWay(Transport.RELAY, allocation.channel)
