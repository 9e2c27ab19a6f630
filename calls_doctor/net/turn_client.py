"""Conversations with a TURN server over UDP, TCP or TLS: its challenge, and an allocation that is given back.

An allocation that is not released counts against the user's quota until it expires, so every way out releases it,
cancellation too.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import msgspec

from calls_doctor.errors import FarEndError, NetworkError, ProtocolError, Silence, TlsError
from calls_doctor.model.credentials import TurnCredentials
from calls_doctor.model.flow import Address, Path, Transport
from calls_doctor.model.site import ServerUri
from calls_doctor.net import pace
from calls_doctor.net.sockets import Channel, Receiver, open_udp
from calls_doctor.net.streams import CUT_IN_TLS, speaks_http, speaks_tls
from calls_doctor.net.turn_driver import Subject, TurnDriver
from calls_doctor.wire import stun
from calls_doctor.wire.stun import Method
from calls_doctor.wire.turn import ALLOCATION_MISMATCH, TurnClient
from calls_doctor.wire.turn_events import (
    Allocated,
    Challenged,
    ChannelBound,
    Event,
    PermissionCreated,
    Refused,
    Released,
)

RELEASE_S = 0.3
"""How long a release may take on the way out; one datagram has left by then in any case."""
ANSWER_S = stun.PROBE_DECIDED_S
OTHER_WAY_S = 0.6
"""Of the time that a server over TCP or TLS may take, for finding out whether it waits for the other of the two."""
_OTHER_WAY = {
    "tcp": "{}: the port speaks TLS, and the URI says that it does not; turns: belongs there",
    "tls": "{}: the port speaks TURN without TLS, and the URI says TLS; turn: belongs there",
}
ALLOCATE: Subject = (Method.ALLOCATE, ())
ALLOCATE_PACKETS = 3
"""Without credentials, with them, and the release."""
GO_ON_PACKETS = 2
"""Where the challenge has come already."""


@dataclass(frozen=True)
class Challenge:
    """How a server answers an Allocate without credentials."""

    code: int
    """401 where it asks for credentials; 0 where it gave a relay to nobody in particular."""
    realm: str
    has_nonce: bool
    software: str | None
    rtt_s: float


class Conversation:
    """One that a server has answered with a challenge; it can go on to an allocation. Who has it ends it either way."""

    def __init__(self, driver: TurnDriver, uri: ServerUri, server: Address, challenge: Challenge) -> None:
        self._driver, self._uri, self._server = driver, uri, server
        self.challenge = challenge

    async def allocate(self, credentials: TurnCredentials, *, timeout_s: float) -> Allocation:
        """A relay with these credentials, without asking to be challenged again. Raises as `allocate` does."""
        pace.count(self._server, _packets(self._uri, GO_ON_PACKETS))
        self._driver.client.log_in(credentials)
        until = asyncio.get_running_loop().time() + timeout_s
        return await _relayed(self._driver, self._server, until, self.challenge.rtt_s)

    async def close(self) -> None:
        """Leaves nothing behind, where the server gave a relay without credentials too."""
        await _release(self._driver)


async def challenge(uri: ServerUri, address: Address, *, timeout_s: float) -> Challenge:
    """How the server answers a `begin`, and that is all. Raises as that does."""
    conversation = await begin(uri, address, timeout_s=timeout_s)
    await conversation.close()
    return conversation.challenge


async def begin(uri: ServerUri, address: Address, *, timeout_s: float) -> Conversation:
    """Asks for a relay without credentials. Raises NetworkError, ProtocolError, or FarEndError for 300.

    A server that waits for TLS takes plain TURN for the head of a long record, and coturn without TLS takes a handshake
    for the head of a message: both are silent, or hang up where the handshake's random bytes make no such head. A
    web server is silent until it has a whole request. So the last part of the time is for asking the other way, and
    for HTTP.
    """
    await pace.room(address, _packets(uri, 1))
    other_way_s = min(OTHER_WAY_S, timeout_s / 2) if uri.transport != "udp" else 0.0
    try:
        return await _begin(uri, address, timeout_s - other_way_s)
    except (Silence, TlsError) as error:
        undecided = isinstance(error, Silence) or str(error).endswith(CUT_IN_TLS)
        if undecided and other_way_s and (known := await _what_else(uri, address, other_way_s)) is not None:
            raise known from None
        if isinstance(error, Silence):
            raise Silence(error.what, timeout_s, error.detail) from None
        raise


def _packets(uri: ServerUri, messages: int) -> int:
    """A stream acknowledges each answer."""
    return messages if uri.transport == "udp" else 2 * messages


async def _what_else(uri: ServerUri, address: Address, timeout_s: float) -> ProtocolError | None:
    """What waits there for something else than this URI speaks; None where nobody knows."""
    web, other_way = await asyncio.gather(
        speaks_http(address, timeout_s, tls=uri.transport == "tls"), _answers_the_other_way(uri, address, timeout_s)
    )
    if web:
        return ProtocolError(f"{uri}: a web server answers there, and no TURN server")
    return TlsError(_OTHER_WAY[uri.transport].format(uri)) if other_way else None


async def _answers_the_other_way(uri: ServerUri, address: Address, timeout_s: float) -> bool:
    """True where the port speaks TLS and the URI says that it does not, or the reverse."""
    if uri.transport == "tcp":
        return await speaks_tls(address, timeout_s)
    plain = msgspec.structs.replace(uri, scheme="turn", transport="tcp")
    try:
        conversation = await _begin(plain, address, timeout_s)
    except (NetworkError, ProtocolError):
        return False
    except FarEndError:
        return True  # it is a TURN server, whatever else it says
    await conversation.close()
    return True


async def _begin(uri: ServerUri, address: Address, timeout_s: float) -> Conversation:
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout_s
    driver = await _open(uri, address, None, timeout_s)
    began = loop.time()
    try:
        event = await driver.ask(
            driver.client.start_allocate, ALLOCATE, Challenged, Allocated, Refused, timeout_s=until - began
        )
    except BaseException as error:
        await _release(driver)
        if isinstance(error, Silence) and driver.client.stream:  # so the port is open, and what listens there hangs
            raise Silence(error.what, error.after_s, "the connection was accepted") from None
        raise
    return Conversation(driver, uri, address, _answer(event, loop.time() - began))


def _answer(event: Event, rtt_s: float) -> Challenge:
    if isinstance(event, Challenged):
        return Challenge(401, event.realm or "", event.nonce is not None, event.software, rtt_s)
    if isinstance(event, Refused):
        return Challenge(event.code, "", False, event.software, rtt_s)
    assert isinstance(event, Allocated), "one of those that were waited for"
    return Challenge(0, "", False, event.software, rtt_s)


async def allocate(uri: ServerUri, address: Address, credentials: TurnCredentials, *, timeout_s: float) -> Allocation:
    """A relay with these credentials, tried once more on a new socket where the server knows the old one (437).

    Both tries together take at most `timeout_s`. Raises NetworkError, ProtocolError, or FarEndError with the server's
    code.
    """
    await pace.room(address, _packets(uri, ALLOCATE_PACKETS))
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout_s
    try:
        return await _allocate(uri, address, credentials, until)
    except FarEndError as error:
        if error.code != ALLOCATION_MISMATCH:
            raise
    return await _allocate(uri, address, credentials, until)


async def _allocate(uri: ServerUri, address: Address, credentials: TurnCredentials, until: float) -> Allocation:
    loop = asyncio.get_running_loop()
    return await _relayed(await _open(uri, address, credentials, until - loop.time()), address, until)


async def _relayed(driver: TurnDriver, address: Address, until: float, before_s: float = 0.0) -> Allocation:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        event = await driver.ask(driver.client.start_allocate, ALLOCATE, Allocated, timeout_s=until - began)
    except BaseException:
        await _release(driver)
        raise
    assert isinstance(event, Allocated), "what was waited for"
    return Allocation(driver, address, event, before_s + loop.time() - began)


class Allocation:
    """`async with await allocate(...) as allocation`; released and closed at the end."""

    def __init__(self, driver: TurnDriver, server: Address, event: Allocated, rtt_s: float) -> None:
        self._driver = driver
        self.server = server
        self.relayed = event.relayed
        self.mapped = event.mapped
        self.lifetime_s = event.lifetime_s
        self.software = event.software
        self.rtt_s = rtt_s
        """From the first Allocate to the relay, the challenge included."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Gives it back, whatever happens meanwhile."""
        await _release(self._driver)

    @property
    def lost(self) -> bool:
        """True where the server is gone, or has forgotten it."""
        return self._driver.ended is not None

    async def permit(self, ips: Sequence[str]) -> None:
        """Lets data pass from and to these addresses. Raises FarEndError (403: denied), NetworkError."""
        await pace.room(self.server)
        client, about = self._driver.client, (Method.CREATE_PERMISSION, tuple((ip, 0) for ip in ips))
        await self._driver.ask(
            lambda now: client.create_permission(ips, now), about, PermissionCreated, timeout_s=ANSWER_S
        )

    async def channel(self, peer: Address, receiver: Receiver) -> Channel:
        """Binds a channel to the peer, which lets its data pass (RFC 8656 section 12) and lasts as long as the
        allocation; what it sends goes to the receiver. Raises as `permit` does."""
        client, about = self._driver.client, (Method.CHANNEL_BIND, (peer,))
        self._driver.receivers[peer] = receiver
        try:
            if not client.is_bound(peer) or self.lost:
                await pace.room(self.server)
                await self._driver.ask(
                    lambda now: client.bind_channel(peer, now), about, ChannelBound, timeout_s=ANSWER_S
                )
        except BaseException:
            self._driver.receivers.pop(peer, None)
            raise
        return RelayChannel(self._driver, Path(Transport.RELAY, self.relayed, peer))


class RelayChannel:
    """A way to a peer through the relay; it ends with its allocation."""

    def __init__(self, driver: TurnDriver, path: Path) -> None:
        self._driver, self.path = driver, path

    def send(self, data: bytes) -> None:
        """Sends one packet to the peer."""
        self._driver.client.send(self.path.remote, data)
        self._driver.go_on()

    async def close(self) -> None:
        """Takes no more from the peer."""
        self._driver.receivers.pop(self.path.remote, None)


async def _open(uri: ServerUri, address: Address, credentials: TurnCredentials | None, timeout_s: float) -> TurnDriver:
    stream = uri.transport != "udp"
    client = TurnClient(
        credentials,
        secrets.token_bytes,
        stream=stream,
        schedule_s=stun.PROBE_SCHEDULE_S,
        decided_s=stun.PROBE_DECIDED_S,
    )
    driver = TurnDriver(client, str(uri))
    if stream:
        from calls_doctor.net.turn_stream import open_turn_stream

        tls_name = uri.host if uri.transport == "tls" else ""
        driver.attach(await open_turn_stream(address, driver, timeout_s, tls_name))
    else:
        driver.attach(await open_udp(address, driver))
    return driver


async def _release(driver: TurnDriver) -> None:
    """Gives the allocation back and closes, whatever happens meanwhile."""
    release = asyncio.ensure_future(_released(driver))
    try:
        await asyncio.shield(release)
    except asyncio.CancelledError:
        await asyncio.wait([release])
        raise


async def _released(driver: TurnDriver) -> None:
    # A stream that never had an allocation takes along with it whatever it asked for.
    if driver.client.relayed is not None or not driver.client.stream:
        with contextlib.suppress(NetworkError, ProtocolError, FarEndError):
            await driver.ask(driver.client.release, (Method.REFRESH, ()), Released, timeout_s=RELEASE_S)
    await driver.close()
