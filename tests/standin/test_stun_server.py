"""The STUN responder on real sockets, asked by aioice's codec and by our own client."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aioice import stun as aioice_stun

from calls_doctor import __version__
from calls_doctor.net import stun_client
from calls_doctor.standin.stun_server import StunServer
from calls_doctor.wire.rate_limit import RateLimit
from tests.servers.plain_sockets import WAIT_S, PlainUdp, rest_of

HOST = "127.0.0.1"


def request() -> bytes:
    """As aioice asks (its transaction ids are random)."""
    return bytes(aioice_stun.Message(aioice_stun.Method.BINDING, aioice_stun.Class.REQUEST))


@pytest.mark.parametrize("host", [HOST, "::1"])
async def test_aioice_learns_its_address_over_udp(host: str) -> None:
    async with StunServer([host]) as server, PlainUdp(host) as client:
        answer = aioice_stun.parse_message(await client.ask(request(), (host, server.port)))
        assert answer.message_class is aioice_stun.Class.RESPONSE
        assert answer.attributes == {
            "XOR-MAPPED-ADDRESS": client.address,
            "SOFTWARE": f"calls-doctor {__version__}",
        }


async def test_aioice_learns_its_address_over_tcp() -> None:
    async with StunServer([HOST]) as server:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        asked = request()
        for part in (asked[:7], asked[7:], request() + request()):
            writer.write(part)
        async with asyncio.timeout(WAIT_S):
            for _ in range(3):
                head = await reader.readexactly(20)
                answer = aioice_stun.parse_message(head + await reader.readexactly(int.from_bytes(head[2:4], "big")))
                assert answer.attributes["XOR-MAPPED-ADDRESS"] == writer.get_extra_info("sockname")
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_our_own_client_learns_its_address(transport: str) -> None:
    async with StunServer([HOST]) as server:
        answer = await stun_client.binding((HOST, server.port), transport=transport)
        assert answer.mapped[0] == HOST and answer.software == f"calls-doctor {__version__}"


async def test_what_is_not_stun_is_ignored_over_udp() -> None:
    async with StunServer([HOST]) as server, PlainUdp() as client:
        to = (HOST, server.port)
        for junk in (b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", bytes(1400), request()[:-1], request()[:2] + b"\0\x04"):
            await client.send(junk, to)
        asked = request()
        said = await client.ask(asked, to)
        assert said[8:20] == asked[8:20], "the only answer is the one to the only request"


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", bytes(20)])
async def test_what_is_not_stun_ends_a_connection(junk: bytes) -> None:
    async with StunServer([HOST]) as server:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(junk + request())
        assert await rest_of(reader) == b""
        writer.close()


async def test_what_is_of_turn_is_ignored_on_a_connection() -> None:
    async with StunServer([HOST]) as server:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        allocate = bytes(aioice_stun.Message(aioice_stun.Method.ALLOCATE, aioice_stun.Class.REQUEST))
        asked = request()
        writer.write(b"\x40\x00\x00\x03abc\0" + allocate + asked)
        async with asyncio.timeout(WAIT_S):
            assert (await reader.readexactly(20))[8:] == asked[8:20]
        writer.close()


async def test_an_idle_connection_is_closed_and_half_a_message_is_idle_too() -> None:
    async with StunServer([HOST], idle_s=0.1) as server:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(request()[:10])
        assert await rest_of(reader) == b""
        writer.close()


async def test_a_source_is_answered_so_often() -> None:
    async with StunServer([HOST], limit=RateLimit(0.001, 3.0)) as server, PlainUdp() as client, PlainUdp() as other:
        to = (HOST, server.port)
        for _ in range(3):
            assert await client.ask(request(), to)
        await client.send(request(), to)
        await other.send(request(), to)  # another port is not another source
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await other.receive()


async def test_one_port_number_on_every_address_and_answers_from_there() -> None:
    async with StunServer([HOST, "127.0.0.2", "::1"]) as server:
        for host in (HOST, "127.0.0.2", "::1"):
            async with PlainUdp(host) as client:
                await client.send(request(), (host, server.port))
                assert (await client.receive())[1] == (host, server.port)
            await stun_client.binding((host, server.port), transport="tcp")


async def test_a_port_that_is_taken_is_an_os_error_and_nothing_stays_open() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.2", 0))
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            await StunServer([HOST, "127.0.0.2"], port).start()
        async with StunServer([HOST], port) as server:
            assert server.port == port


async def test_after_close_nobody_answers() -> None:
    server = StunServer([HOST])
    await server.start()
    reader, writer = await asyncio.open_connection(HOST, server.port)
    writer.write(request())
    async with asyncio.timeout(WAIT_S):
        await reader.readexactly(20)
    await server.close()
    await rest_of(reader)
    writer.close()
    with pytest.raises(OSError):
        await asyncio.open_connection(HOST, server.port)
    async with StunServer([HOST], server.port):
        pass
