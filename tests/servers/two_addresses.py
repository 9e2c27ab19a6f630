"""A STUN server with a second address and a second port (RFC 5780), and a knob for each way to answer."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial

from calls_doctor.errors import StunError
from calls_doctor.model.flow import Address
from calls_doctor.net.bound_sockets import DatagramSocket, bound_udp
from calls_doctor.wire import stun
from calls_doctor.wire.stun import Attributes, ErrorCode, Message, MessageClass

FIRST_HOST, OTHER_HOST = "127.0.0.1", "127.0.0.2"
ADDRESS, PORT = 0x4, 0x2
"""The bits of CHANGE-REQUEST."""


@dataclass
class TwoAddresses:
    """The server; `answer_from(asked, change)` says from which of its addresses it answers (None: from none), or with
    which error code."""

    server: Address
    other: Address
    answer_from: Callable[[Address, int], Address | int | None] | None = None
    seen_as: Address | None = None
    """What it calls the client's address; None: what it is."""
    asked: list[tuple[Address, int]] = field(default_factory=list)
    """Every request: which address it came to, and what it wanted changed."""
    clients: set[Address] = field(default_factory=set)
    sockets: dict[Address, DatagramSocket] = field(default_factory=dict)

    def changed(self, asked: Address, change: int) -> Address:
        """From where an answer to this comes, where all is well."""
        (first_host, first_port), (other_host, other_port) = self.server, self.other
        host = {first_host: other_host, other_host: first_host}[asked[0]] if change & ADDRESS else asked[0]
        port = {first_port: other_port, other_port: first_port}[asked[1]] if change & PORT else asked[1]
        return host, port

    def receive(self, at: Address, packet: bytes, client: Address) -> None:
        """Answers, as the knob says."""
        with contextlib.suppress(StunError):
            request = stun.parse(packet)
            change = request.get(stun.CHANGE_REQUEST) or 0
            self.asked.append((at, change))
            self.clients.add(client)
            source = (self.answer_from or self.changed)(at, change)
            kind, attributes = MessageClass.SUCCESS, self._says(client)
            if isinstance(source, int):
                kind, attributes, source = MessageClass.ERROR, [(stun.ERROR_CODE, ErrorCode(source))], at
            if source is not None:
                answer = Message(request.method, kind, request.transaction_id, attributes)
                self.sockets[source].send(answer.encode(), client)

    def _says(self, client: Address) -> Attributes:
        return [(stun.XOR_MAPPED_ADDRESS, self.seen_as or client), (stun.OTHER_ADDRESS, self.other)]


@contextlib.asynccontextmanager
async def two_addresses(
    free_port: Callable[[], int],
    answer_from: Callable[[Address, int], Address | int | None] | None = None,
    *,
    hosts: tuple[str, str] = (FIRST_HOST, OTHER_HOST),
) -> AsyncIterator[TwoAddresses]:
    """A server that runs; with the same host twice it has two ports alone."""
    ports = free_port(), free_port()
    it = TwoAddresses((hosts[0], ports[0]), (hosts[1], ports[1]), answer_from)
    for at in [(host, port) for host in dict.fromkeys(hosts) for port in ports]:
        it.sockets[at] = DatagramSocket(bound_udp(*at), partial(it.receive, at))
    try:
        yield it
    finally:
        for sock in it.sockets.values():
            sock.close()
