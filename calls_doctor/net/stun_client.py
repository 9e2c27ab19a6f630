"""A STUN Binding request to a server and its answer (RFC 8489)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from calls_doctor.errors import Cut, FarEndError, NetworkError, ProtocolError, Refused, Silence, StunError
from calls_doctor.model.flow import Address, shown
from calls_doctor.net.sockets import open_udp
from calls_doctor.net.streams import open_stream
from calls_doctor.wire import stun
from calls_doctor.wire.stun import Message, MessageClass, Method

_COOKIE = stun.MAGIC_COOKIE.to_bytes(4, "big")


@dataclass(frozen=True)
class BindingAnswer:
    """What a STUN server said."""

    mapped: Address
    """Our own address as the server sees it."""
    rtt_s: float
    """From the first request to the answer; a connection was there before."""
    software: str | None
    other: Address | None
    """OTHER-ADDRESS (RFC 5780 section 7.4): from where it answers too where it is asked to; None: it does not."""


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
    """Asks once, again on the schedule over UDP; silence is decided after `decided_s`, connecting included.

    `transport` is "udp", "tcp" or "tls", which is verified for `tls_name`, or for the address where there is none.
    Raises Refused, Unreachable, Silence or Cut for the network, FarEndError for an error answer, ProtocolError for
    an answer that cannot be read, TlsError for what TLS finds.
    """
    request = Message(Method.BINDING, MessageClass.REQUEST, secrets.token_bytes(stun.TRANSACTION_ID_BYTES))
    if transport == "udp":
        message, rtt_s = await _over_udp(server, request, schedule_s, decided_s)
    else:
        name = (tls_name or server[0]) if transport == "tls" else ""
        message, rtt_s = await _over_stream(server, request, name, decided_s)
    return _judged(message, rtt_s)


def _judged(message: Message, rtt_s: float) -> BindingAnswer:
    error = message.get(stun.ERROR_CODE)
    if message.message_class is MessageClass.ERROR and error is not None:
        raise FarEndError("the Binding request", error.code, error.reason)
    mapped = message.get(stun.XOR_MAPPED_ADDRESS) or message.get(stun.MAPPED_ADDRESS)
    if message.message_class is not MessageClass.SUCCESS or mapped is None:
        raise StunError("the answer to a Binding request names no mapped address")
    return BindingAnswer(mapped, rtt_s, message.get(stun.SOFTWARE), message.get(stun.OTHER_ADDRESS))


async def _over_udp(
    server: Address, request: Message, schedule_s: Sequence[float], decided_s: float
) -> tuple[Message, float]:
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
        return answers.message, loop.time() - began
    if answers.trouble_heard is not None:
        raise answers.trouble_heard
    if answers.unreadable:
        raise ProtocolError(f"what answers at {shown(server)} is no STUN server: {answers.unreadable}")
    raise Silence(f"STUN to {shown(server)}", decided_s)


async def _over_stream(server: Address, request: Message, tls_name: str, decided_s: float) -> tuple[Message, float]:
    loop = asyncio.get_running_loop()
    until = loop.time() + decided_s
    stream = await open_stream(server, decided_s, tls_name=tls_name)
    asked_at = loop.time()
    try:
        async with asyncio.timeout_at(until):
            stream.writer.write(bytes(request))
            message = await _read(stream.reader, server)
    except TimeoutError:
        raise Silence(f"STUN to {shown(server)}", decided_s) from None
    except (asyncio.IncompleteReadError, OSError):
        raise Cut(f"the connection to {shown(server)}", detail="before the answer was whole") from None
    finally:
        await stream.close()
    if message.transaction_id != request.transaction_id:
        raise StunError("the answer belongs to another request")
    return message, loop.time() - asked_at


async def _read(reader: asyncio.StreamReader, server: Address) -> Message:
    """One message; what cannot become one is told before all of it is there."""
    head = b""
    while len(head) < stun.HEADER_BYTES:
        piece = await reader.read(stun.HEADER_BYTES - len(head))
        head += piece
        if head[4:8] != _COOKIE[: len(head[4:8])] or head[:1] > b"\x03":
            raise ProtocolError(f"what answers at {shown(server)} is no STUN server")
        if not piece:
            raise asyncio.IncompleteReadError(head, stun.HEADER_BYTES)
    return stun.parse(head + await reader.readexactly(int.from_bytes(head[2:4], "big")))
