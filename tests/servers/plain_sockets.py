"""Sockets of a test, with nothing of ours in them: send, and wait for what comes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Self, cast

from calls_doctor.model.flow import Address

WAIT_S = 5.0
"""What does not come within this on one machine does not come."""


class PlainUdp:
    """`async with PlainUdp() as sock`; bound on the host, port 0."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._sock = socket.socket(family, socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        self._sock.bind((host, 0))
        self._echo: asyncio.Task[None] | None = None

    @property
    def address(self) -> Address:
        """Where it is bound."""
        return cast(Address, self._sock.getsockname()[:2])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._echo is not None:
            self._echo.cancel()
            await asyncio.wait([self._echo])
        self._sock.close()

    async def send(self, data: bytes, to: Address) -> None:
        """Sends one datagram."""
        await asyncio.get_running_loop().sock_sendto(self._sock, data, to)

    async def receive(self) -> tuple[bytes, Address]:
        """The next datagram, and from where. TimeoutError where none comes."""
        async with asyncio.timeout(WAIT_S):
            data, sender = await asyncio.get_running_loop().sock_recvfrom(self._sock, 65535)
        return data, cast(Address, sender[:2])

    async def ask(self, data: bytes, to: Address) -> bytes:
        """Sends one datagram and gives the next that comes."""
        await self.send(data, to)
        return (await self.receive())[0]

    def echo(self) -> Address:
        """From now on sends back what comes; gives the address."""
        self._echo = asyncio.get_running_loop().create_task(self._send_back())
        return self.address

    async def _send_back(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            data, sender = await loop.sock_recvfrom(self._sock, 65535)
            await loop.sock_sendto(self._sock, data, sender)


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """What still comes on a connection until the other end closes it, in the polite way or not."""
    try:
        async with asyncio.timeout(WAIT_S):
            return await reader.read()
    except ConnectionResetError:
        return b""


async def eventually(condition: Callable[[], bool]) -> None:
    """Waits for what nothing tells of, such as the other end of a connection having seen its end."""
    async with asyncio.timeout(WAIT_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)
