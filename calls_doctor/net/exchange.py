"""Authenticated Binding requests of one session on one channel, and their answers. It sends when it is told to.

What they ask for, when they are sent again and what silence means is for its callers: net/echo.py and
net/documents_client.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any  # attributes of a message have values of every type

from calls_doctor.errors import Cut, NetworkError, Refused, StunError
from calls_doctor.net.sockets import Channel
from calls_doctor.wire import ice, stun
from calls_doctor.wire.ice import IceCredentials, Random
from calls_doctor.wire.stun import AttributeType, ErrorCode, Message, MessageClass, Method

TRAILER_BYTES = stun.INTEGRITY_BYTES + stun.FINGERPRINT_BYTES


@dataclass(frozen=True)
class Answer:
    """An authentic answer."""

    message: Message
    rtt_s: float
    """Since the request was sent last."""
    size_bytes: int
    at_s: float = 0.0
    """On the loop's clock."""


class Exchange:
    """The receiver that its channel is opened for. `random(n)` gives n random bytes."""

    def __init__(self, random: Random) -> None:
        self._loop = asyncio.get_running_loop()
        self._random = random
        self._tie_breaker = int.from_bytes(random(8), "big")
        self._asked_at: dict[bytes, float] = {}
        self._news = asyncio.Event()
        self._credentials: IceCredentials | None = None
        self.channel: Channel | None = None
        """None before `begin`."""
        self.answers: dict[bytes, Answer] = {}
        """Transaction id -> the first authentic answer."""
        self.heard: NetworkError | None = None
        """The last that the network said."""
        self.refusal: ErrorCode | None = None
        """What the far end refuses requests with: it has no room for a session more."""

    def begin(self, channel: Channel, credentials: IceCredentials) -> None:
        """The channel that was opened for this receiver, and the session to have on it."""
        self.channel, self._credentials = channel, credentials

    @property
    def dead(self) -> bool:
        """True where waiting for answers has no use: the port is closed, the connection cut, or all is refused."""
        return isinstance(self.heard, Refused | Cut) or self.refusal is not None

    def packet(self, data: bytes) -> None:
        """One packet from the channel; whatever is no authentic answer to what was asked is dropped."""
        try:
            message = stun.parse(data)
        except StunError:
            return
        asked_at = self._asked_at.get(message.transaction_id)
        if asked_at is None or message.method != Method.BINDING or not self._is_authentic(message):
            return
        if message.message_class is MessageClass.SUCCESS:
            now = self._loop.time()
            answer = Answer(message, now - asked_at, len(data), now)
            self.answers.setdefault(message.transaction_id, answer)
        elif message.message_class is MessageClass.ERROR:
            self.refusal = message.get(stun.ERROR_CODE)
        self._news.set()

    def _is_authentic(self, message: Message) -> bool:
        return self._credentials is not None and message.integrity_is_valid(self._credentials.key_out)

    def trouble(self, error: NetworkError) -> None:
        """Keeps the worst: what ends the exchange is not covered by what does not."""
        if not isinstance(self.heard, Refused | Cut):
            self.heard = error
        self._news.set()

    def new_id(self) -> bytes:
        """A transaction id, for a request that is to be sent more than once."""
        return self._random(stun.TRANSACTION_ID_BYTES)

    def ask(
        self,
        transaction_id: bytes,
        attribute: tuple[AttributeType[Any], Any],
        size_bytes: int,
        *more: tuple[AttributeType[Any], Any],
    ) -> None:
        """Sends one request with these attributes, padded to the size (a multiple of 4; RFC 5780 section 7.6)."""
        assert self.channel is not None and self._credentials is not None, "`begin` comes first"
        attributes: list[tuple[AttributeType[Any], Any]] = [
            (stun.USERNAME, self._credentials.username_out),
            (stun.PRIORITY, ice.priority(self.channel.path)),
            (stun.ICE_CONTROLLING, self._tie_breaker),
            attribute,
            *more,
        ]
        request = Message(Method.BINDING, MessageClass.REQUEST, transaction_id, attributes)
        padding = stun.padding_to(len(request.encode()) + TRAILER_BYTES, size_bytes)
        if padding is not None:
            request = Message(Method.BINDING, MessageClass.REQUEST, transaction_id, [*attributes, padding])
        self._asked_at[transaction_id] = self._loop.time()
        self.channel.send(request.encode(integrity_key=self._credentials.key_out, fingerprint=True))

    async def answered(self, wanted: Collection[bytes], until: float, *, enough: int | None = None) -> bool:
        """Waits until `enough` (None: all) of these transactions are answered; False where the loop's time `until`
        came first, or the exchange is dead."""
        goal = len(wanted) if enough is None else enough
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while sum(one in self.answers for one in wanted) < goal and not self.dead:
                    self._news.clear()
                    await self._news.wait()
        return sum(one in self.answers for one in wanted) >= goal

    async def close(self) -> None:
        """Closes the channel, where it was opened."""
        if self.channel is not None:
            await self.channel.close()
