"""Requests from the media port itself: what STUN says of that port, and whether a caller is reached from it.

An answer is believed from the address that was asked, for the transaction that was asked; nothing else is touched.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from calls_doctor.model.flow import Path
from calls_doctor.wire import stun
from calls_doctor.wire.stun import Message, MessageClass

Send = Callable[[Path, bytes], None]
ANSWERS = (MessageClass.SUCCESS, MessageClass.ERROR)


class Inquiries:
    """What is asked and not answered yet."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._asked: dict[bytes, tuple[Path, asyncio.Future[Message]]] = {}

    def answered(self, message: Message, path: Path) -> bool:
        """True where this is the answer to an inquiry; it is taken."""
        asked = self._asked.get(message.transaction_id)
        if asked is None or asked[0].remote != path.remote or message.message_class not in ANSWERS:
            return False
        if not asked[1].done():
            asked[1].set_result(message)
        return True

    async def ask(
        self,
        path: Path,
        request: Message,
        *,
        key: bytes | None = None,
        schedule_s: Sequence[float] = stun.PROBE_SCHEDULE_S,
        decided_s: float = stun.PROBE_DECIDED_S,
    ) -> Message | None:
        """The answer; None for silence on the whole schedule."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Message] = loop.create_future()
        self._asked[request.transaction_id] = (path, answer)
        began = loop.time()
        try:
            for until_s in (*schedule_s[1:], decided_s):
                self._send(path, request.encode(integrity_key=key, fingerprint=key is not None))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(began + until_s):
                        return await asyncio.shield(answer)
            return None
        finally:
            del self._asked[request.transaction_id]
