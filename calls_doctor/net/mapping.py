"""How one UDP socket is seen by several STUN servers at once (RFC 5780 section 4.3): its NAT's mapping."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from calls_doctor.errors import StunError
from calls_doctor.model.flow import Address
from calls_doctor.net import pace
from calls_doctor.wire import stun
from calls_doctor.wire.stun import Message, MessageClass, Method

SERVERS_MAX = 4
SCHEDULE_S = (0.0, 0.1, 0.3, 0.7)
DECIDED_S = 1.2
ANSWERS = (MessageClass.SUCCESS, MessageClass.ERROR)


@dataclass(frozen=True)
class Mapping:
    """What one server sees of the socket."""

    server: Address
    local: Address
    """The socket's own address towards this server."""
    mapped: Address


async def mappings(servers: Sequence[Address]) -> list[Mapping]:
    """What each server sees that answers one and the same socket, of IPv4 and of IPv6; the other address that a server
    names (OTHER-ADDRESS) counts as servers of their own. More than SERVERS_MAX of one family are not asked."""
    families = (socket.AF_INET, socket.AF_INET6)
    of_family = [[one for one in dict.fromkeys(servers) if _family(one) is family] for family in families]
    found = await asyncio.gather(
        *(_mappings(family, asked) for family, asked in zip(families, of_family, strict=True) if asked)
    )
    return [one for of_one_socket in found for one in of_one_socket]


async def _mappings(family: socket.AddressFamily, servers: Sequence[Address]) -> list[Mapping]:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        answers = await _ask(sock, servers[:SERVERS_MAX])
        others = {other: None for message in answers.values() if (other := message.get(stun.OTHER_ADDRESS))}
        others |= {(other[0], server[1]): None for server, message in answers.items()
                   if (other := message.get(stun.OTHER_ADDRESS))}  # fmt: skip
        more = [one for one in others if one not in answers and one[1] and _family(one) is family]
        answers |= await _ask(sock, more[: SERVERS_MAX - len(answers)])
        found = [(server, message.get(stun.XOR_MAPPED_ADDRESS)) for server, message in answers.items()]
        port = sock.getsockname()[1]
    return [Mapping(server, (_local_host(server), port), mapped) for server, mapped in found if mapped is not None]


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def _local_host(server: Address) -> str:
    """This machine's address towards a server, by its routing table; nothing is sent."""
    with socket.socket(_family(server), socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(server)
        return cast(str, sock.getsockname()[0])


async def _ask(sock: socket.socket, servers: Sequence[Address]) -> dict[Address, Message]:
    loop = asyncio.get_running_loop()
    requests = {secrets.token_bytes(stun.TRANSACTION_ID_BYTES): server for server in servers}
    answers: dict[Address, Message] = {}
    began = loop.time()
    for until_s in (*SCHEDULE_S[1:], DECIDED_S) if servers else ():
        for transaction_id, server in requests.items():
            if server not in answers:
                pace.count(server)
                with contextlib.suppress(OSError):
                    sock.sendto(bytes(Message(Method.BINDING, MessageClass.REQUEST, transaction_id)), server)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(began + until_s):
                while len(answers) < len(requests):
                    with contextlib.suppress(OSError, StunError):
                        data, source = await loop.sock_recvfrom(sock, 2048)
                        message = stun.parse(data)
                        # Believed from the address that was asked only: anything else would be a mapping of its own.
                        asked = requests.get(message.transaction_id)
                        if asked and asked == source[:2] and message.message_class in ANSWERS:
                            answers[asked] = message
        if len(answers) == len(requests):
            break
    return answers
