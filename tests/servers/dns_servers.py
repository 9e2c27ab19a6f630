"""A DNS server on 127.0.0.1 that a test writes: what it says to each question, how late, and what it was asked."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

HOST = "127.0.0.1"
SILENT = "silent"


@dataclass
class DnsServer:
    """`says` maps a name to its addresses and CNAMEs ("-> other.example.com"), or to what is wrong with it: "servfail",
    "refused", "nxdomain", "silent". A name that it does not know does not exist."""

    says: Mapping[str, Sequence[str] | str]
    late_s: float = 0.0
    does_not_fit: bool = False
    """Over UDP it says that the answer needs TCP."""
    junk: bytes = b""
    """What comes before the answer."""
    port: int = 0
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """(name, kind, "udp" or "tcp")."""

    def answer(self, data: bytes, way: str) -> bytes | None:
        """None for silence."""
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        self.asked.append((name, dns.rdatatype.to_text(question.rdtype), way))
        said = self.says.get(name.lower(), self.says.get("*", "nxdomain"))
        if said == SILENT:
            return None
        reply = dns.message.make_response(query)
        if isinstance(said, str):
            reply.set_rcode(dns.rcode.from_text(said.upper()))
        elif self.does_not_fit and way == "udp":
            reply.flags |= dns.flags.TC
        else:
            reply.answer += _records(name, said, question.rdtype)
        return reply.to_wire()


def _records(name: str, said: Sequence[str], kind: dns.rdatatype.RdataType) -> list[dns.rrset.RRset]:
    """Those of this kind, and the CNAMEs before them."""
    found, owner = [], name
    for one in said:
        target = one.removeprefix("-> ")
        if target != one:
            found.append(dns.rrset.from_text(f"{owner}.", 300, "IN", "CNAME", f"{target}."))
            owner = target
        elif kind == (dns.rdatatype.AAAA if ":" in one else dns.rdatatype.A):
            found.append(dns.rrset.from_text(f"{owner}.", 60, "IN", dns.rdatatype.to_text(kind), one))
    return found


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        asyncio.get_running_loop().call_later(self._server.late_s, self._reply, data, source)

    def _reply(self, data: bytes, source: tuple[str, int]) -> None:
        answer = self._server.answer(data, "udp")
        if answer is None or self._transport is None or self._transport.is_closing():
            return
        if self._server.junk:
            self._transport.sendto(self._server.junk, source)
        self._transport.sendto(answer, source)


def _free_at_both(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Sockets of TCP and UDP on one port. Raises OSError where the port that was given is taken."""
    while True:
        stream, datagram = (socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM))
        try:
            stream.bind((host, port))
            datagram.bind((host, stream.getsockname()[1]))
        except OSError:  # another's over one of the two
            stream.close()
            datagram.close()
            if port:
                raise
        else:
            return stream, datagram


@asynccontextmanager
async def dns_server(server: DnsServer, host: str = HOST, port: int = 0) -> AsyncIterator[DnsServer]:
    """Serves over UDP and TCP on one port, a free one where none is given; ended with the block."""
    stream, datagram = _free_at_both(host, port)
    server.port = stream.getsockname()[1]
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(server), sock=datagram)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2))
        answer = server.answer(await reader.readexactly(length), "tcp")
        if answer is not None:
            writer.write(len(answer).to_bytes(2) + answer)
        writer.close()

    listener = await asyncio.start_server(serve, sock=stream)
    try:
        yield server
    finally:
        listener.close()
        transport.close()
        await asyncio.sleep(0)


async def _serve_for_ever(says: Mapping[str, Sequence[str] | str]) -> None:
    async with dns_server(DnsServer(says), "0.0.0.0", 53):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":  # a machine of the lab's: what it says, as JSON
    asyncio.run(_serve_for_ever(json.loads(sys.argv[1])))
