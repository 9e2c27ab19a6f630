"""The stand-in's TURN server: UDP and TCP to the client, UDP to peers (RFC 8656), for the self-test and paired callers.

A shell over wire/turn_server.py: it opens and closes relay sockets, keeps time and carries bytes. It decides nothing.

    async with TurnServer(["127.0.0.1"], secret=Secret(...), may_relay={"127.0.0.1"}.__contains__) as server: ...
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from calls_doctor import __version__
from calls_doctor.model.credentials import Secret
from calls_doctor.model.flow import Address, Path
from calls_doctor.net.bound_sockets import DatagramSocket, bound_udp
from calls_doctor.standin.listener import IDLE_S, PacketListener
from calls_doctor.wire import turn_auth, turn_server
from calls_doctor.wire.turn_auth import Authenticator
from calls_doctor.wire.turn_requests import Limits
from calls_doctor.wire.turn_server import Faults

SOFTWARE = f"calls-doctor {__version__}"
REALM = "calls-doctor"
RELAY_PORTS = range(49152, 65536)
"""RFC 8656 section 7.2, and coturn's default."""
PORT_TRIES = 32


@dataclass(frozen=True)
class _Relay:
    """A relay's socket."""

    socket: DatagramSocket
    known_as: dict[Address, Address] = field(default_factory=dict)
    """A peer on this machine -> what its client calls it."""


class TurnServer:
    """Listens on `port` of every address over UDP and TCP; port 0 takes a free one.

    Users are those of `users` (name -> password) and whoever has a REST credential made from `secret`. `may_relay`
    says of a peer's IP address literal whether anybody may talk to it, `may_reach` of its port too. Behind NAT
    `outside` gives for an address of this machine the one by which clients reach it, and `port_here` the port to which
    such an address and port lead, else 0: what is for such a peer stays here, so that no firewall need reflect it.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        port: int = 0,
        *,
        may_relay: Callable[[str], bool],
        may_reach: Callable[[Address], bool] = lambda _peer: True,
        outside: Callable[[str], str] = lambda local: local,
        port_here: Callable[[Address], int] = lambda _peer: 0,
        users: Mapping[str, Secret] | None = None,
        secret: Secret | None = None,
        realm: str = REALM,
        relay_ports: range = RELAY_PORTS,
        limits: Limits | None = None,
        nonce_lifetime_s: float = turn_auth.NONCE_LIFETIME_S,
        idle_s: float = IDLE_S,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        self._addresses, self._port = addresses, port
        self._users, self._secret, self._unix_time = users or {}, secret, unix_time
        self._relay_ports, self._outside, self._port_here = relay_ports, outside, port_here
        nonce_key = secrets.token_bytes(turn_auth.NONCE_KEY_BYTES)
        authenticator = Authenticator(realm, self._password, nonce_key, nonce_lifetime_s=nonce_lifetime_s)
        self._core = turn_server.TurnServer(
            authenticator, self._allot, may_relay, may_reach=may_reach, software=SOFTWARE, limits=limits
        )
        self._listener = PacketListener(self, self._carry, idle_s=idle_s)
        self._relays: dict[Address, _Relay] = {}
        """By the address that clients are told."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """Where it listens; 0 before `start`."""
        return self._listener.port

    @property
    def allocations(self) -> int:
        """How many there are now."""
        return self._core.allocations

    @property
    def faults(self) -> Faults:
        """How it fails on purpose; may be set at any time."""
        return self._core.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._core.faults = faults

    async def start(self) -> None:
        """Raises OSError where the port cannot be had."""
        await self._listener.start(self._addresses, self._port)

    async def close(self) -> None:
        """Closes every connection and relay."""
        await self._listener.close()
        if self._timer is not None:
            self._timer.cancel()
        for relay in self._relays.values():
            relay.socket.close()
        self._relays.clear()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def receive(self, packet: bytes, path: Path, now: float) -> None:
        """What a client sent."""
        self._core.receive(packet, path, now)

    def connection_lost(self, path: Path, _now: float) -> None:
        """A TCP client is gone, and its allocation with it."""
        self._core.client_gone(path)

    def needs(self, path: Path) -> bool:
        """A connection is needed as long as its allocation lives."""
        return self._core.has_allocation(path)

    def _password(self, username: str) -> Secret | None:
        known = self._users.get(username)
        if known is not None or self._secret is None:
            return known
        return turn_auth.rest_password(self._secret, username, self._unix_time())

    def _allot(self, client: Path, even: bool) -> Address | None:
        """A relay on the address that the client came to."""
        host, ports = client.local[0], self._relay_ports
        if even:
            ports = range(ports.start + ports.start % 2, ports.stop, 2)
        tries = secrets.SystemRandom().sample(ports, min(PORT_TRIES, len(ports)))
        for port in tries:
            if (self._outside(host), port) in self._relays:
                continue  # of another address of this machine that clients know by the same
            try:
                sock = bound_udp(host, port)
            except OSError:
                continue
            return self._open_relay(sock)
        return None

    def _open_relay(self, sock: socket.socket) -> Address:
        def receive(data: bytes, peer: Address) -> None:
            known = relay.known_as.get(peer, peer)
            self._core.receive_from_peer(told, known, data, asyncio.get_running_loop().time())
            self._carry()

        relay = _Relay(DatagramSocket(sock, receive))
        host, port = relay.socket.address
        told = self._outside(host), port
        self._relays[told] = relay
        return told

    def _relay(self, relay: _Relay, data: bytes, peer: Address) -> None:
        """To the peer, which may be this machine by the address that others know it by."""
        if port := self._port_here(peer):
            here = relay.socket.address[0], port
            relay.known_as[here] = peer
            peer = here
        relay.socket.send(data, peer)

    def _carry(self) -> None:
        """Sends what is to be sent, closes what is no longer needed, and sees to the next timer."""
        for path, packet in self._core.packets_to_send():
            self._listener.send(path, packet)
        for relayed, peer, data in self._core.datagrams_to_relay():
            if relayed in self._relays:
                self._relay(self._relays[relayed], data, peer)
        for relayed in self._core.freed():
            self._relays.pop(relayed).socket.close()
        due = self._core.next_timer()
        if due is not None and (self._timer is None or self._timer.cancelled() or due < self._timer.when()):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._core.handle_timer(asyncio.get_running_loop().time())
        self._carry()
