"""A STUN Binding request to a server and its answer (RFC 8489)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from calls_doctor.errors import Cut, FarEndError, NetworkError, ProtocolError, Refused, Silence, StunError
from calls_doctor.model.flow import Address
from calls_doctor.net.sockets import open_udp
from calls_doctor.wire import stun
from calls_doctor.wire.stun import Message, MessageClass, Method

STREAM_TIMEOUT_S = stun.PROBE_DECIDED_S


@dataclass(frozen=True)
class BindingAnswer:
    """What a STUN server said."""

    mapped: Address
    """Our own address as the server sees it."""
    rtt_s: float
    """From the first request to the answer."""
    software: str | None


class _Answers:
    """A receiver that keeps the answer to one transaction, and what the network said."""

    def __init__(self, transaction_id: bytes) -> None:
        self._transaction_id = transaction_id
        self.message: Message | None = None
        self.trouble_heard: NetworkError | None = None
        self.unreadable = ""
        self.news = asyncio.Event()

    def packet(self, data: bytes) -> None:
        try:
            message = stun.parse(data)
        except StunError as error:
            self.unreadable = str(error)
            return
        if message.transaction_id == self._transaction_id and message.method == Method.BINDING:
            self.message = message
            self.news.set()

    def trouble(self, error: NetworkError) -> None:
        self.trouble_heard = error
        if isinstance(error, Refused):
            self.news.set()


async def binding(
    server: Address,
    *,
    transport: str = "udp",
    tls_name: str = "",
    schedule_s: Sequence[float] = stun.PROBE_SCHEDULE_S,
    decided_s: float = stun.PROBE_DECIDED_S,
) -> BindingAnswer:
    """Asks once, again on the schedule over UDP. `transport` is "udp", "tcp" or "tls" (verified for `tls_name`).

    Raises Refused, Unreachable, Silence or Cut for the network, FarEndError for an error answer, ProtocolError for
    an answer that cannot be read.
    """
    request = Message(Method.BINDING, MessageClass.REQUEST, secrets.token_bytes(stun.TRANSACTION_ID_BYTES))
    loop = asyncio.get_running_loop()
    began = loop.time()
    if transport == "udp":
        message = await _over_udp(server, request, schedule_s, decided_s)
    else:
        message = await _over_stream(server, request, tls_name or (server[0] if transport == "tls" else ""))
    return _judged(message, loop.time() - began)


def _judged(message: Message, rtt_s: float) -> BindingAnswer:
    error = message.get(stun.ERROR_CODE)
    if message.message_class is MessageClass.ERROR and error is not None:
        raise FarEndError("the Binding request", error.code, error.reason)
    mapped = message.get(stun.XOR_MAPPED_ADDRESS) or message.get(stun.MAPPED_ADDRESS)
    if message.message_class is not MessageClass.SUCCESS or mapped is None:
        raise StunError("the answer to a Binding request names no mapped address")
    return BindingAnswer(mapped, rtt_s, message.get(stun.SOFTWARE))


async def _over_udp(server: Address, request: Message, schedule_s: Sequence[float], decided_s: float) -> Message:
    answers = _Answers(request.transaction_id)
    channel = await open_udp(server, answers)
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        for at_s in (*schedule_s[1:], decided_s):
            channel.send(bytes(request))
            try:
                async with asyncio.timeout_at(began + at_s):
                    await answers.news.wait()
                    break
            except TimeoutError:
                continue
    finally:
        await channel.close()
    if answers.message is not None:
        return answers.message
    if answers.trouble_heard is not None:
        raise answers.trouble_heard
    if answers.unreadable:
        raise ProtocolError(f"what answers at {server[0]}:{server[1]} is no STUN server: {answers.unreadable}")
    raise Silence(f"STUN to {server[0]}:{server[1]}", decided_s)


async def _over_stream(server: Address, request: Message, tls_name: str) -> Message:
    from calls_doctor.net.streams import open_stream

    stream = await open_stream(server, STREAM_TIMEOUT_S, tls_name=tls_name)
    try:
        async with asyncio.timeout(STREAM_TIMEOUT_S):
            stream.writer.write(bytes(request))
            head = await stream.reader.readexactly(stun.HEADER_BYTES)
            if not stun.looks_like_stun(head):
                raise ProtocolError(f"what answers at {server[0]}:{server[1]} is no STUN server")
            message = stun.parse(head + await stream.reader.readexactly(int.from_bytes(head[2:4], "big")))
    except TimeoutError:
        raise Silence(f"STUN to {server[0]}:{server[1]}", STREAM_TIMEOUT_S) from None
    except (asyncio.IncompleteReadError, OSError):
        raise Cut(f"the connection to {server[0]}:{server[1]}", detail="before the answer was whole") from None
    finally:
        await stream.close()
    if message.transaction_id != request.transaction_id:
        raise StunError("the answer belongs to another request")
    return message
