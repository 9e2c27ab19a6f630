"""One question to one DNS server: what it answers, and how soon. Silence, NXDOMAIN, SERVFAIL and a name without such an
address are told apart (RFC 1035 section 4.1.1, RFC 2308 section 2)."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass
from enum import StrEnum

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode

from calls_doctor.errors import NetworkError, Silence
from calls_doctor.model.flow import Address
from calls_doctor.net.sockets import open_tcp, open_udp

ASKED_AGAIN_S = (1.0, 3.0)
"""A datagram may be lost; after so many seconds the question is sent again."""
UDP_PAYLOAD_BYTES = 1232
"""What passes everywhere in one piece (dnsflagday.net/2020)."""


class Outcome(StrEnum):
    """What a server made of a question."""

    FOUND = "found"
    NXDOMAIN = "nxdomain"
    NO_DATA = "no-data"
    """The name exists, and has no address of this kind."""
    SERVFAIL = "servfail"
    REFUSED = "refused"
    """The server does not answer such questions from here; any other error that it names too."""
    SILENT = "silent"
    UNREACHABLE = "unreachable"
    """An ICMP error came back, or this machine has no way there."""


@dataclass(frozen=True)
class DnsAnswer:
    """What one server said to one question."""

    outcome: Outcome
    took_s: float
    addresses: tuple[str, ...] = ()
    ttl_s: int = 0
    """For how long the addresses may be kept: the least of the chain."""
    canonical: str = ""
    """Where a chain of CNAMEs ends; "" where there is none."""


async def ask(server: Address, name: str, kind: str, limit_s: float) -> DnsAnswer:
    """Asks a server for records of a kind ("A", "AAAA", "SOA") of this very name, over UDP, and over TCP where the
    answer does not fit. Raises ValueError where the name is none that DNS could hold."""
    try:
        query = dns.message.make_query(
            dns.name.from_text(name), kind, payload=UDP_PAYLOAD_BYTES, id=secrets.randbelow(65536)
        )
    except dns.exception.DNSException as error:
        raise ValueError(f"{name!r} is no DNS name: {error}") from None
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    try:
        async with asyncio.timeout(limit_s):
            reply = await _over_udp(server, query)
            if reply.flags & dns.flags.TC:
                reply = await _over_tcp(server, query, limit_s)
    except (TimeoutError, Silence):
        return DnsAnswer(Outcome.SILENT, loop.time() - began_s)
    except NetworkError:
        return DnsAnswer(Outcome.UNREACHABLE, loop.time() - began_s)
    return _read(reply, loop.time() - began_s)


def _read(reply: dns.message.Message, took_s: float) -> DnsAnswer:
    rcode = reply.rcode()
    if rcode == dns.rcode.NXDOMAIN:
        return DnsAnswer(Outcome.NXDOMAIN, took_s)
    if rcode != dns.rcode.NOERROR or not isinstance(reply, dns.message.QueryMessage):
        return DnsAnswer(Outcome.SERVFAIL if rcode == dns.rcode.SERVFAIL else Outcome.REFUSED, took_s)
    try:
        chain = reply.resolve_chaining()
    except dns.exception.DNSException:  # a loop of CNAMEs
        return DnsAnswer(Outcome.SERVFAIL, took_s)
    canonical = chain.canonical_name.to_text(omit_final_dot=True) if chain.cnames else ""
    if chain.answer is None:
        return DnsAnswer(Outcome.NO_DATA, took_s, canonical=canonical)
    records = tuple(record.to_text() for record in chain.answer)
    return DnsAnswer(Outcome.FOUND, took_s, records, chain.minimum_ttl, canonical)


async def _over_udp(server: Address, query: dns.message.Message) -> dns.message.Message:
    """The answer, however late. Raises NetworkError."""
    reply = _Reply(query)
    channel = await open_udp(server, reply)
    try:
        channel.send(query.to_wire())
        waited_s = 0.0
        for at_s in ASKED_AGAIN_S:
            await asyncio.wait({reply.came}, timeout=at_s - waited_s)
            waited_s = at_s
            if reply.came.done():
                break
            channel.send(query.to_wire())
        return await reply.heard()
    finally:
        await channel.close()


async def _over_tcp(server: Address, query: dns.message.Message, limit_s: float) -> dns.message.Message:
    """The same over a connection, where the length stands before a message as RFC 4571 has it too (RFC 7766)."""
    reply = _Reply(query)
    channel = await open_tcp(server, reply, limit_s)
    try:
        channel.send(query.to_wire())
        return await reply.heard()
    finally:
        await channel.close()


class _Reply:
    """Takes the packet that answers the question, and passes over all others."""

    def __init__(self, query: dns.message.Message) -> None:
        self._query = query
        self.came: asyncio.Future[dns.message.Message | NetworkError] = asyncio.get_running_loop().create_future()

    async def heard(self) -> dns.message.Message:
        """Raises the NetworkError that came in its place."""
        came = await self.came
        if isinstance(came, NetworkError):
            raise came
        return came

    def packet(self, data: bytes) -> None:
        """A packet of the server's, or of whoever says to be it."""
        with contextlib.suppress(dns.exception.DNSException):  # not DNS, or cut short
            reply = dns.message.from_wire(data, ignore_trailing=True)
            if self._query.is_response(reply) and not self.came.done():
                self.came.set_result(reply)

    def trouble(self, error: NetworkError) -> None:
        """What the network said."""
        if not self.came.done():
            self.came.set_result(error)
