"""The TURN server on real sockets, used by two clients that know nothing of each other: aioice's and ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from aioice import stun as aioice_stun
from aioice import turn as aioice_turn

from calls_doctor.errors import Cut, FarEndError, NetworkError, Silence
from calls_doctor.model.credentials import Secret, TurnCredentials
from calls_doctor.model.flow import Address
from calls_doctor.model.site import ServerUri
from calls_doctor.net import stun_client, turn_client
from calls_doctor.standin.turn_server import TurnServer
from calls_doctor.wire.stun import Method
from calls_doctor.wire.turn import rest_credentials
from calls_doctor.wire.turn_requests import Limits
from calls_doctor.wire.turn_server import Faults
from tests.servers.plain_sockets import WAIT_S, PlainUdp, eventually, rest_of

HOST = "127.0.0.1"
LOGIN = TurnCredentials("user", Secret("password"))
SECRET = Secret("shared")
TRANSPORTS = ["udp", "tcp"]


def server(**how: object) -> TurnServer:
    """One user, one REST secret, and peers on 127.0.0.1 alone."""
    users = {LOGIN.username: LOGIN.password}
    return TurnServer([HOST], may_relay={HOST}.__contains__, users=users, secret=SECRET, **how)  # type: ignore[arg-type]  # as its constructor takes them


class Inbox(asyncio.DatagramProtocol):
    """What aioice hands on."""

    def __init__(self) -> None:
        self.packets: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        self.packets.put_nowait((data, cast(Address, addr[:2])))


class Heard:
    """A receiver of ours."""

    def __init__(self) -> None:
        self.packets: asyncio.Queue[bytes] = asyncio.Queue()
        self.troubles: asyncio.Queue[NetworkError] = asyncio.Queue()

    def packet(self, data: bytes) -> None:
        self.packets.put_nowait(data)

    def trouble(self, error: NetworkError) -> None:
        self.troubles.put_nowait(error)


@asynccontextmanager
async def aioice_client(
    turn: TurnServer, transport: str, password: str = "password", lifetime: int = 600
) -> AsyncIterator[tuple[aioice_turn.TurnTransport, Inbox]]:
    endpoint, inbox = await aioice_turn.create_turn_endpoint(
        Inbox,
        server_addr=(HOST, turn.port),
        username="user",
        password=password,
        lifetime=lifetime,
        transport=transport,
    )
    try:
        yield endpoint, inbox
    finally:
        inner = endpoint._TurnTransport__inner_protocol  # type: ignore[attr-defined]  # close() is not awaitable: this is
        await inner.delete()


async def ours(
    turn: TurnServer, transport: str = "udp", credentials: TurnCredentials = LOGIN
) -> turn_client.Allocation:
    uri = ServerUri(scheme="turn", host=HOST, port=turn.port, transport=transport)
    return await turn_client.allocate(uri, (HOST, turn.port), credentials, timeout_s=WAIT_S)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_aioice_sends_data_through_the_relay(transport: str) -> None:
    async with server() as turn, PlainUdp() as peer:
        echo = peer.echo()
        async with aioice_client(turn, transport) as (endpoint, inbox):
            assert turn.allocations == 1
            for size in (1, 2, 3, 4, 1200):
                endpoint.sendto(bytes([size % 256]) * size, echo)
                async with asyncio.timeout(WAIT_S):
                    assert await inbox.packets.get() == (bytes([size % 256]) * size, echo)
        assert turn.allocations == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_our_client_sends_data_through_the_relay(transport: str) -> None:
    async with server() as turn, PlainUdp() as peer, await ours(turn, transport) as allocation:
        heard = Heard()
        channel = await allocation.channel(peer.address, heard)
        for size in (1, 2, 3, 4, 1472):
            channel.send(b"x" * size)
            assert await peer.receive() == (b"x" * size, allocation.relayed)
            await peer.send(b"y" * size, allocation.relayed)
            async with asyncio.timeout(WAIT_S):
                assert await heard.packets.get() == b"y" * size
        assert heard.troubles.empty()
    assert turn.allocations == 0


async def test_two_allocations_reach_each_other() -> None:
    async with server() as turn, await ours(turn, "udp") as one, await ours(turn, "tcp") as other:
        heard_one, heard_other = Heard(), Heard()
        to_other = await one.channel(other.relayed, heard_one)
        to_one = await other.channel(one.relayed, heard_other)
        to_other.send(b"there")
        async with asyncio.timeout(WAIT_S):
            assert await heard_other.packets.get() == b"there"
            to_one.send(b"back")
            assert await heard_one.packets.get() == b"back"


async def test_the_challenge_and_binding_need_no_credentials() -> None:
    async with server() as turn:
        for transport in TRANSPORTS:
            uri = ServerUri(scheme="turn", host=HOST, port=turn.port, transport=transport)
            challenge = await turn_client.challenge(uri, (HOST, turn.port), timeout_s=WAIT_S)
            assert (challenge.code, challenge.realm, challenge.has_nonce) == (401, "calls-doctor", True)
            answer = await stun_client.binding((HOST, turn.port), transport=transport)
            assert answer.mapped[0] == HOST and answer.software == challenge.software
        assert turn.allocations == 0


@pytest.mark.parametrize("credentials", [
    TurnCredentials("user", Secret("wrong")),
    TurnCredentials("nobody", Secret("password")),
    rest_credentials(Secret("another"), int(time.time()) + 60, "calls"),
    rest_credentials(SECRET, int(time.time()) - 1, "calls"),
])  # fmt: skip
async def test_wrong_and_expired_credentials_are_refused(credentials: TurnCredentials) -> None:
    async with server() as turn:
        with pytest.raises(FarEndError) as caught:
            await ours(turn, credentials=credentials)
        assert caught.value.code == 401 and turn.allocations == 0


async def test_aioice_with_a_wrong_password_is_refused() -> None:
    async with server() as turn:
        with pytest.raises(aioice_stun.TransactionFailed) as caught:
            async with aioice_client(turn, "udp", "wrong"):
                pass
        assert caught.value.response.error_code == 401


async def test_a_rest_credential_is_as_good_until_it_expires() -> None:
    now = 1_000_000.0
    credentials = rest_credentials(SECRET, 1_000_060, "calls")
    async with server(unix_time=lambda: now) as turn:
        async with await ours(turn, credentials=credentials):
            assert turn.allocations == 1
        now += 60
        with pytest.raises(FarEndError):
            await ours(turn, credentials=credentials)


async def test_an_old_nonce_is_replaced_without_the_user_noticing() -> None:
    async with server(nonce_lifetime_s=0.05) as turn, await ours(turn) as allocation, PlainUdp() as peer:
        await asyncio.sleep(0.1)  # the nonce's life has no event to wait for
        await allocation.permit([HOST])
        channel = await allocation.channel(peer.address, Heard())
        channel.send(b"x")
        assert (await peer.receive())[0] == b"x"


async def test_peers_are_the_policys_to_allow() -> None:
    async with server() as turn, await ours(turn) as allocation:
        for peers in (["10.0.0.1"], [HOST, "169.254.169.254"]):
            with pytest.raises(FarEndError) as caught:
                await allocation.permit(peers)
            assert caught.value.code == 403
        await allocation.permit([HOST])


async def test_what_comes_from_without_a_permission_is_dropped() -> None:
    async with server() as turn, await ours(turn) as allocation, PlainUdp() as peer, PlainUdp("127.0.0.2") as stranger:
        heard = Heard()
        channel = await allocation.channel(peer.address, heard)
        await stranger.send(b"from a stranger", allocation.relayed)
        channel.send(b"x")
        await peer.receive()
        await peer.send(b"from the peer", allocation.relayed)
        async with asyncio.timeout(WAIT_S):
            assert await heard.packets.get() == b"from the peer"
        assert heard.packets.empty()


async def test_a_user_has_a_quota_and_gets_it_back() -> None:
    async with server(limits=Limits(allocations_per_user=1)) as turn:
        async with await ours(turn):
            with pytest.raises(FarEndError) as caught:
                await ours(turn)
            assert caught.value.code == 486
            async with await ours(turn, credentials=rest_credentials(SECRET, int(time.time()) + 60, "calls")):
                pass
        async with await ours(turn):
            pass


async def test_relays_come_from_the_range_and_end_with_it() -> None:
    async with PlainUdp() as taken:
        port = taken.address[1]
        async with server(relay_ports=range(port, port + 1)) as turn:
            with pytest.raises(FarEndError) as caught:
                await ours(turn)
            assert caught.value.code == 508
    async with server(relay_ports=range(port, port + 1)) as turn:
        async with await ours(turn) as allocation:
            assert allocation.relayed == (HOST, port)
        async with await ours(turn) as allocation:
            assert allocation.relayed == (HOST, port), "a port that was given back is free at once"


async def test_a_connection_that_ends_takes_its_allocation_along() -> None:
    async with server() as turn:
        reader, writer = await asyncio.open_connection(HOST, turn.port)
        client, _ = await asyncio.wait_for(_allocated_over(reader, writer), WAIT_S)
        assert client and turn.allocations == 1
        writer.transport.abort()
        await eventually(lambda: turn.allocations == 0)


async def _allocated_over(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[bool, bytes]:
    """Allocates as aioice would, over a connection that this test holds in its hand."""
    message = aioice_stun.Message(aioice_stun.Method.ALLOCATE, aioice_stun.Class.REQUEST)
    message.attributes["REQUESTED-TRANSPORT"] = aioice_turn.UDP_TRANSPORT
    challenge = await _exchange(reader, writer, message)
    key = aioice_turn.make_integrity_key("user", challenge.attributes["REALM"], "password")
    message.attributes |= {name: challenge.attributes[name] for name in ("REALM", "NONCE")} | {"USERNAME": "user"}
    message.add_message_integrity(key)
    answer = await _exchange(reader, writer, message)
    return answer.message_class is aioice_stun.Class.RESPONSE and answer.check_message_integrity(key), key


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: aioice_stun.Message
) -> aioice_stun.Message:
    writer.write(bytes(message))
    head = await reader.readexactly(20)
    return aioice_stun.parse_message(head + await reader.readexactly(int.from_bytes(head[2:4], "big")))


async def test_an_idle_connection_is_closed_unless_it_holds_an_allocation() -> None:
    async with server(idle_s=0.1) as turn:
        idle, idle_writer = await asyncio.open_connection(HOST, turn.port)
        busy, busy_writer = await asyncio.open_connection(HOST, turn.port)
        allocated, _ = await asyncio.wait_for(_allocated_over(busy, busy_writer), WAIT_S)
        assert allocated
        assert await rest_of(idle) == b""
        assert turn.allocations == 1 and not busy.at_eof()
        for writer in (idle_writer, busy_writer):
            writer.close()


async def test_an_allocation_ends_by_itself() -> None:
    async with server(limits=Limits(lifetime_max_s=1), idle_s=0.05) as turn:
        reader, writer = await asyncio.open_connection(HOST, turn.port)
        allocated, _ = await asyncio.wait_for(_allocated_over(reader, writer), WAIT_S)
        assert allocated and turn.allocations == 1
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await rest_of(reader) == b"", "a connection that has no allocation any more is idle"
        assert 0.9 < loop.time() - began < 2.0 and turn.allocations == 0
        writer.close()


async def test_the_server_wakes_for_the_allocation_that_ends_first() -> None:
    async with server() as turn, aioice_client(turn, "udp", lifetime=3600):
        loop = asyncio.get_running_loop()

        def wakes_in_s() -> float:
            assert turn._timer is not None  # ten minutes are too long to wait for
            return turn._timer.when() - loop.time()

        assert 3590 < wakes_in_s() <= 3600
        async with aioice_client(turn, "udp", lifetime=700):
            assert 690 < wakes_in_s() <= 700


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", bytes(64)])
async def test_a_connection_that_is_not_turn_is_cut_without_a_word(junk: bytes) -> None:
    async with server() as turn:
        reader, writer = await asyncio.open_connection(HOST, turn.port)
        writer.write(junk)
        assert await rest_of(reader) == b""
        writer.close()


async def test_a_killed_server_is_noticed_over_tcp() -> None:
    turn = server()
    await turn.start()
    heard = Heard()
    async with await ours(turn, "tcp") as allocation:
        await allocation.channel((HOST, 9), heard)
        await turn.close()
        async with asyncio.timeout(WAIT_S):
            assert isinstance(await heard.troubles.get(), Cut)


async def test_faults_are_what_a_client_then_sees() -> None:
    async with server() as turn, PlainUdp() as peer, await ours(turn) as allocation:
        heard = Heard()
        channel = await allocation.channel(peer.address, heard)
        turn.faults = Faults(lose_to_peers=True)
        channel.send(b"lost")
        await allocation.permit([HOST])  # answered after it, so it has been dropped by now
        turn.faults = Faults(refuse={Method.CREATE_PERMISSION: 403})
        with pytest.raises(FarEndError) as caught:
            await allocation.permit([HOST])
        assert caught.value.code == 403
        channel.send(b"not lost")
        assert (await peer.receive())[0] == b"not lost"
        turn.faults = Faults(mute=True)
        with pytest.raises(Silence):
            await stun_client.binding((HOST, turn.port), schedule_s=(0.0,), decided_s=0.1)
        turn.faults = Faults()


async def test_everything_is_closed_at_the_end() -> None:
    turn = server()
    await turn.start()
    allocation = await ours(turn)
    relayed = allocation.relayed
    await turn.close()
    async with TurnServer([HOST], turn.port, may_relay=lambda _ip: True):
        pass
    async with server(relay_ports=range(relayed[1], relayed[1] + 1)) as again, await ours(again) as other:
        assert other.relayed == relayed
    await allocation.__aexit__()


async def test_behind_nat_a_relay_has_the_public_address_and_what_is_for_that_stays_here() -> None:
    public = "203.0.113.20"

    def port_here(peer: Address) -> int:
        return here.address[1] if peer == (public, 8443) else 0

    async with PlainUdp() as here:
        how = {"outside": {HOST: public}.get, "port_here": port_here}
        turn = TurnServer([HOST], users={LOGIN.username: LOGIN.password}, may_relay={public}.__contains__, **how)  # type: ignore[arg-type]  # a mapping's get is no more than a callable here
        async with turn, await ours(turn) as allocation:
            assert allocation.relayed[0] == public
            heard = Heard()
            channel = await allocation.channel((public, 8443), heard)
            channel.send(b"there")
            relay = (HOST, allocation.relayed[1])
            assert await here.receive() == (b"there", relay)
            await here.send(b"back", relay)
            async with asyncio.timeout(WAIT_S):
                assert await heard.packets.get() == b"back"
        assert turn.allocations == 0
