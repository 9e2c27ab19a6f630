"""The stand-in's STUN responder: Binding over UDP and TCP (RFC 8489), nothing else.

async with StunServer(["127.0.0.1"]) as server: ...  # server.port
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from calls_doctor import __version__
from calls_doctor.model.flow import Path
from calls_doctor.standin.listener import IDLE_S, PacketListener
from calls_doctor.wire.rate_limit import RateLimit
from calls_doctor.wire.stun_server import BindingResponder

SOFTWARE = f"calls-doctor {__version__}"


class StunServer:
    """Answers on `port` of every address, over UDP and TCP; port 0 takes a free one."""

    def __init__(
        self, addresses: Sequence[str], port: int = 0, *, limit: RateLimit | None = None, idle_s: float = IDLE_S
    ) -> None:
        self._addresses, self._port = addresses, port
        self._responder = BindingResponder(SOFTWARE, limit)
        self._listener = PacketListener(self, lambda: None, idle_s=idle_s)

    @property
    def port(self) -> int:
        """Where it listens; 0 before `start`."""
        return self._listener.port

    async def start(self) -> None:
        """Raises OSError where the port cannot be had."""
        await self._listener.start(self._addresses, self._port)

    async def close(self) -> None:
        await self._listener.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def receive(self, packet: bytes, path: Path, now: float) -> None:
        """Answers, where the packet deserves it."""
        answer = self._responder.answer(packet, path, now)
        if answer is not None:
            self._listener.send(path, answer)

    def connection_lost(self, path: Path, now: float) -> None:
        """There is nothing to forget."""

    def needs(self, _path: Path) -> bool:
        """Binding is one question and one answer."""
        return False
