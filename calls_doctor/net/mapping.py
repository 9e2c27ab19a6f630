"""How one UDP socket is seen by several STUN servers at once (RFC 5780 section 4.3): its NAT's mapping."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Sequence

from calls_doctor.errors import NetworkError, StunError
from calls_doctor.model.flow import Address
from calls_doctor.model.site import ServerUri
from calls_doctor.net import resolver
from calls_doctor.wire import stun
from calls_doctor.wire.stun import Message, MessageClass, Method

SERVERS_MAX = 4
SCHEDULE_S = (0.0, 0.1, 0.3, 0.7)
DECIDED_S = 1.2
ANSWERS = (MessageClass.SUCCESS, MessageClass.ERROR)


async def mappings(servers: Sequence[ServerUri]) -> list[tuple[Address, Address]]:
    """(server, mapped address) for each server that answers one and the same socket; every address of a name, and
    the other address that a server names (OTHER-ADDRESS), count as servers of their own."""
    asked: dict[Address, None] = {}
    for uri in servers:
        if uri.transport == "udp":
            with contextlib.suppress(NetworkError):
                asked |= {(address, uri.port): None for address in await resolver.resolve(uri.host) if "." in address}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        answers = await _ask(sock, list(asked)[:SERVERS_MAX])
        others = {other: None for message in answers.values() if (other := message.get(stun.OTHER_ADDRESS))}
        others |= {(other[0], server[1]): None for server, message in answers.items()
                   if (other := message.get(stun.OTHER_ADDRESS))}  # fmt: skip
        more = [one for one in others if one not in answers and one[1] and "." in one[0]][: SERVERS_MAX - len(answers)]
        answers |= await _ask(sock, more) if more else {}
    found = [(server, message.get(stun.XOR_MAPPED_ADDRESS)) for server, message in answers.items()]
    return [(server, mapped) for server, mapped in found if mapped is not None]


async def _ask(sock: socket.socket, servers: Sequence[Address]) -> dict[Address, Message]:
    loop = asyncio.get_running_loop()
    requests = {secrets.token_bytes(stun.TRANSACTION_ID_BYTES): server for server in servers}
    answers: dict[Address, Message] = {}
    began = loop.time()
    for until_s in (*SCHEDULE_S[1:], DECIDED_S):
        for transaction_id, server in requests.items():
            if server not in answers:
                with contextlib.suppress(OSError):
                    sock.sendto(bytes(Message(Method.BINDING, MessageClass.REQUEST, transaction_id)), server)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(began + until_s):
                while len(answers) < len(requests):
                    with contextlib.suppress(OSError, StunError):
                        data, source = await loop.sock_recvfrom(sock, 2048)
                        message = stun.parse(data)
                        # Believed from the address that was asked only: anything else would be a mapping of its own.
                        if requests.get(message.transaction_id) == source and message.message_class in ANSWERS:
                            answers[source] = message
        if len(answers) == len(requests):
            break
    return answers
