"""Answers that come from elsewhere than was asked: a connected socket never sees them, so this one is not connected.

Probes of a session of their own, on the schedule of silence; only an authentic answer to one of them counts, so that
nobody else can say that an answer went astray.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from calls_doctor.model.flow import Address, Path, Transport
from calls_doctor.net.bound_sockets import DatagramSocket, bound_udp
from calls_doctor.net.exchange import Exchange
from calls_doctor.wire import stun
from calls_doctor.wire.ice import IceCredentials

SIZE_BYTES = 200
WILDCARDS = {4: "0.0.0.0", 6: "::"}


class StrayWatch:
    """Looks for answers from elsewhere while an echo is silent (`net.echo.Witness`)."""

    def __init__(self, remote: Callable[[], Awaitable[Address]], credentials: IceCredentials) -> None:
        self._remote, self._credentials = remote, credentials
        self.sender: Address | None = None
        """Who answered in the place of the one that was asked; None: nobody did."""

    async def watch(self) -> None:
        """Asks until anybody answers, or the schedule is over. Raises NetworkError where the name has no address, and
        OSError where there is no socket."""
        remote = await self._remote()
        exchange = Exchange(secrets.token_bytes)
        channel = _Unconnected(remote, lambda data, sender: self._came(exchange, remote, data, sender))
        exchange.begin(channel, self._credentials)
        began_at = asyncio.get_running_loop().time()
        asked: set[bytes] = set()
        try:
            for number, until_s in enumerate((*stun.PROBE_SCHEDULE_S[1:], stun.PROBE_DECIDED_S), 1):
                asked.add(transaction_id := exchange.new_id())
                exchange.ask(transaction_id, (stun.PROBE_NUMBER, number), SIZE_BYTES)
                if await exchange.answered(asked, began_at + until_s, enough=1) or exchange.dead:
                    return
        finally:
            await channel.close()

    def _came(self, exchange: Exchange, remote: Address, data: bytes, sender: Address) -> None:
        known = len(exchange.answers)
        exchange.packet(data)
        if len(exchange.answers) > known and sender != remote:
            self.sender = sender


class _Unconnected:
    """A channel (`net.sockets.Channel`) that sends to one address, and hears all."""

    def __init__(self, remote: Address, receive: Callable[[bytes, Address], None]) -> None:
        sock = bound_udp(WILDCARDS[6 if ":" in remote[0] else 4], 0)
        self._socket = DatagramSocket(sock, receive)
        self.path = Path(Transport.UDP, self._socket.address, remote)

    def send(self, data: bytes) -> None:
        self._socket.send(data, self.path.remote)

    async def close(self) -> None:
        self._socket.close()
