"""UDP and TCP on one port number, on every address given: sockets, and the way back to whoever sent.

What a packet means, and how packets follow each other on a TCP connection, is for whoever derives from it.
"""

from __future__ import annotations

import asyncio
import socket
from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from calls_doctor.model.flow import Address, Path, Transport
from calls_doctor.net.bound_sockets import DatagramSocket, bound_both


class BoundStream(asyncio.Protocol):
    """One TCP connection of a port."""

    @abstractmethod
    def send(self, packet: bytes) -> None:
        """Sends one packet, or loses it where too much waits already."""

    @abstractmethod
    def abort(self) -> None:
        """Ends the connection at once."""


S = TypeVar("S", bound=BoundStream)


class BoundPort(Generic[S]):
    """The port. `streams` holds the TCP connections that were let in, by their 5-tuple; they enter it themselves."""

    def __init__(self) -> None:
        self.port = 0
        """The number; 0 before `start`."""
        self.streams: dict[Path, S] = {}
        self._udp: dict[Address, DatagramSocket] = {}
        self._servers: list[asyncio.Server] = []

    @abstractmethod
    def received(self, packet: bytes, path: Path, now: float) -> object:
        """One datagram came. Never raises on what a client sends."""

    @abstractmethod
    def accepted(self) -> S:
        """What serves a new TCP connection."""

    async def start(self, addresses: Sequence[str], port: int) -> None:
        """Listens; port 0 finds a number that is free for both. Raises OSError where the port is taken."""
        udp, tcp = bound_both(addresses, port)
        self.port = udp[0].getsockname()[1]
        for sock in udp:
            self._listen_udp(sock)
        loop = asyncio.get_running_loop()
        try:
            for sock in tcp:
                self._servers.append(await loop.create_server(self.accepted, sock=sock))
        except OSError:  # another was bound to the port as well, and was the first to listen
            await self.close()
            for sock in tcp:
                sock.close()
            raise

    async def close(self) -> None:
        """Closes everything at once; what was not sent yet is lost."""
        for server in self._servers:
            server.close()
        for stream in list(self.streams.values()):
            stream.abort()
        for sock in self._udp.values():
            sock.close()
        self._udp.clear()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    def send(self, path: Path, packet: bytes) -> None:
        """Sends one packet by a path that another came by; loses it where the path is gone."""
        if path.transport is Transport.UDP:
            sock = self._udp.get(path.local)
            if sock is not None:
                sock.send(packet, path.remote)
        elif path in self.streams:
            self.streams[path].send(packet)

    def _listen_udp(self, sock: socket.socket) -> None:
        host, port = sock.getsockname()[:2]
        local: Address = (host, port)
        now = asyncio.get_running_loop().time

        def receive(packet: bytes, remote: Address) -> None:
            self.received(packet, Path(Transport.UDP, local, remote), now())

        self._udp[local] = DatagramSocket(sock, receive)
