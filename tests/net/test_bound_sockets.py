"""Bound sockets: one port number for UDP and TCP on every address, and a drain loop that survives its own end."""

from __future__ import annotations

import asyncio
import socket

import pytest

from calls_doctor.model.flow import Address
from calls_doctor.net.bound_sockets import DATAGRAMS_PER_WAKE, DatagramSocket, bound_both, bound_tcp, bound_udp
from tests.servers.plain_sockets import PlainUdp, eventually

HOSTS = ["127.0.0.1", "127.0.0.2", "::1"]


def test_one_port_number_on_every_address_for_both() -> None:
    udp, tcp = bound_both(HOSTS, 0)
    try:
        assert [sock.type for sock in udp + tcp] == [socket.SOCK_DGRAM] * 3 + [socket.SOCK_STREAM] * 3
        assert [sock.getsockname()[0] for sock in udp] == [sock.getsockname()[0] for sock in tcp] == HOSTS
        assert len({sock.getsockname()[1] for sock in udp + tcp}) == 1
        assert not any(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) for sock in udp + tcp)
    finally:
        for sock in udp + tcp:
            sock.close()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_given_port_that_is_taken_is_an_os_error_and_leaves_nothing_bound(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.2", 0))
        port = taken.getsockname()[1]
        if kind is socket.SOCK_STREAM:
            taken.listen()
        with pytest.raises(OSError, match="in use"):
            bound_both(HOSTS, port)
    for sock in (*(bound_udp(host, port) for host in HOSTS), *(bound_tcp(host, port) for host in HOSTS)):
        sock.close()


def test_an_address_that_is_not_ours_is_an_os_error() -> None:
    with pytest.raises(OSError):
        bound_both(["192.0.2.1"], 0)


async def test_what_is_more_than_one_turn_comes_in_the_next() -> None:
    came: list[tuple[bytes, Address]] = []
    sock = DatagramSocket(bound_udp("127.0.0.1", 0), lambda data, sender: came.append((data, sender)))
    async with PlainUdp() as client:
        many = 2 * DATAGRAMS_PER_WAKE + 3
        for number in range(many):
            await client.send(str(number).encode(), sock.address)
        await eventually(lambda: len(came) == many)
        assert came == [(str(number).encode(), client.address) for number in range(many)]
        sock.send(b"back", client.address)
        assert await client.receive() == (b"back", sock.address)
    sock.close()


async def test_it_may_be_closed_by_what_came() -> None:
    came: list[bytes] = []

    def receive(data: bytes, _sender: Address) -> None:
        came.append(data)
        sock.close()

    sock = DatagramSocket(bound_udp("127.0.0.1", 0), receive)
    async with PlainUdp() as client:
        await client.send(b"first", sock.address)
        await client.send(b"second", sock.address)
        await eventually(lambda: bool(came))
        await asyncio.sleep(0)
    assert came == [b"first"]


async def test_what_cannot_be_sent_is_lost() -> None:
    sock = DatagramSocket(bound_udp("127.0.0.1", 0), lambda _data, _sender: None)
    for data, to in ((b"x", ("::1", 9)), (b"x", ("127.0.0.1", 0)), (bytes(70_000), ("127.0.0.1", 9))):
        sock.send(data, to)
    sock.close()
    sock.send(b"x", ("127.0.0.1", 9))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_what_is_accepted_waits_for_no_acknowledgement(host: str) -> None:
    """A packet of voice must not be held until the one before it is acknowledged (TCP_NODELAY)."""
    accepted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at_once = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        accepted.set_result(bool(at_once))
        writer.close()

    listening = bound_tcp(host, 0)
    async with await asyncio.start_server(take, sock=listening):
        _, writer = await asyncio.open_connection(*listening.getsockname()[:2])
        try:
            assert await accepted
        finally:
            writer.close()
            await writer.wait_closed()
