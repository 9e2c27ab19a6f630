"""Whether the media host opens the way itself: it is asked over TCP to send to a UDP port of ours.

A firewall that lets nothing in from outside may let the host out, and the answers of whoever it has asked back in;
rtcd, a full ICE agent, then reaches the caller. What comes must open the way for what we send, too. Nothing that comes
proves nothing: a NAT may map the port to another.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from calls_doctor.errors import NetworkError, StunError
from calls_doctor.model.flow import Address
from calls_doctor.net.exchange import Exchange
from calls_doctor.net.sockets import ChannelOpener, open_udp
from calls_doctor.wire import stun
from calls_doctor.wire.ice import IceCredentials
from calls_doctor.wire.stun import MessageClass

SIZE_BYTES = 200
ANSWER_S = 1.0
"""For the far end to say that it was asked."""


class ReachBackWatch:
    """Has the media host send while an echo over UDP is silent (`net.echo.Witness`)."""

    def __init__(
        self, remote: Callable[[], Awaitable[Address]], over_tcp: ChannelOpener, credentials: IceCredentials
    ) -> None:
        self._remote, self._over_tcp, self._credentials = remote, over_tcp, credentials
        self.opens: bool | None = None
        """Whether its packets came and made it hear ours; None: it could not be asked."""

    async def watch(self) -> None:
        """Raises NetworkError where there is no way to either port."""
        loop = asyncio.get_running_loop()
        here, there = Exchange(secrets.token_bytes), Exchange(secrets.token_bytes)
        listener = _Listener(self._credentials.key_out, here)
        try:
            here.begin(await open_udp(await self._remote(), listener), self._credentials)
            assert here.channel is not None, "it has begun"
            there.begin(await self._over_tcp(there), self._credentials)
            # What goes out opens the way through our own NAT, whether it arrives or not.
            here.ask(here.new_id(), (stun.PROBE_NUMBER, 1), SIZE_BYTES)
            there.ask(asked := there.new_id(), (stun.REACH_BACK, here.channel.path.local[1]), SIZE_BYTES)
            if await there.answered([asked], loop.time() + ANSWER_S):
                self.opens = False
                await listener.came.wait()
                here.ask(again := here.new_id(), (stun.PROBE_NUMBER, 2), SIZE_BYTES)
                self.opens = await here.answered([again], loop.time() + ANSWER_S)
        finally:
            await here.close()
            await there.close()


class _Listener:
    """The receiver of the UDP channel (`net.sockets.Receiver`): waits for a request of the far end's; the rest is the
    exchange's."""

    def __init__(self, key: bytes, exchange: Exchange) -> None:
        self._key, self._exchange = key, exchange
        self.came = asyncio.Event()

    def packet(self, data: bytes) -> None:
        try:
            message = stun.parse(data)
        except StunError:
            return
        if message.message_class is MessageClass.REQUEST and message.integrity_is_valid(self._key):
            self.came.set()
        else:
            self._exchange.packet(data)

    def trouble(self, error: NetworkError) -> None:
        """That the port is shut on the way there says nothing of the way back."""
