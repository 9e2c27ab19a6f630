"""Driving a TURN conversation over a real socket, with a server whose answers the test writes: who hears what."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence

import pytest

from calls_doctor.errors import Cut, FarEndError, FramingError, NetworkError, ProtocolError, Silence, Unreachable
from calls_doctor.model.flow import Address
from calls_doctor.net.sockets import open_udp
from calls_doctor.net.turn_driver import Subject, TurnDriver
from calls_doctor.wire import stun, turn, turn_events, turn_peers
from calls_doctor.wire.stun import ErrorCode, Message, MessageClass, Method
from calls_doctor.wire.turn import TurnClient
from tests.servers.plain_sockets import PlainUdp, eventually
from tests.servers.turn_script import ALLOCATED, RELAYED

PEER: Address = ("203.0.113.9", 8443)
OTHER: Address = ("203.0.113.10", 8443)
ALLOCATE: Subject = (Method.ALLOCATE, ())
ENOUGH_S = 5.0


class Heard:
    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.troubles: list[NetworkError] = []

    def packet(self, data: bytes) -> None:
        self.packets.append(data)

    def trouble(self, error: NetworkError) -> None:
        self.troubles.append(error)


class Bench:
    """A driver, and the server's socket, whose lines the test writes."""

    def __init__(self, server: PlainUdp) -> None:
        self.server = server
        client = TurnClient(None, secrets.token_bytes, schedule_s=(0.0, 0.05), decided_s=0.1)
        self.driver = TurnDriver(client, "turn:bench")
        self.client_address: Address = ("", 0)

    async def asked(self) -> Message:
        """The next request that the driver sends."""
        packet, self.client_address = await self.server.receive()
        return stun.parse(packet)

    async def answer(self, request: Message, attributes: stun.Attributes = ()) -> None:
        """A success."""
        said = Message(request.method, MessageClass.SUCCESS, request.transaction_id, attributes)
        await self.server.send(said.encode(), self.client_address)

    async def refuse(self, request: Message, code: int) -> None:
        """An error."""
        error: stun.Attributes = [(stun.ERROR_CODE, ErrorCode(code, "because"))]
        said = Message(request.method, MessageClass.ERROR, request.transaction_id, error)
        await self.server.send(said.encode(), self.client_address)

    async def allocate(self, lifetime_s: int = 600) -> None:
        """The driver has a relay from now on."""
        asking = asyncio.create_task(self.ask_to_allocate())
        await self.answer(await self.asked(), [*ALLOCATED[:2], (stun.LIFETIME, lifetime_s)])
        assert isinstance(await asking, turn_events.Allocated)

    async def ask_to_allocate(self) -> turn_events.Event:
        client = self.driver.client
        return await self.driver.ask(client.start_allocate, ALLOCATE, turn_events.Allocated, timeout_s=ENOUGH_S)

    async def permit(self, ips: Sequence[str]) -> turn_events.Event:
        client, about = self.driver.client, (Method.CREATE_PERMISSION, tuple((ip, 0) for ip in ips))
        return await self.driver.ask(
            lambda now: client.create_permission(ips, now), about, turn_events.PermissionCreated, timeout_s=ENOUGH_S
        )

    async def bind(self, peer: Address) -> turn_events.Event:
        client, about = self.driver.client, (Method.CHANNEL_BIND, (peer,))
        return await self.driver.ask(
            lambda now: client.bind_channel(peer, now), about, turn_events.ChannelBound, timeout_s=ENOUGH_S
        )

    def listen(self, *peers: Address) -> list[Heard]:
        """Those who talk through the relay, one for each peer."""
        heard = [Heard() for _ in peers]
        self.driver.receivers.update(zip(peers, heard, strict=True))
        return heard


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with PlainUdp() as server:
        made = Bench(server)
        made.driver.attach(await open_udp(server.address, made.driver))
        yield made
        await made.driver.close()


async def test_each_of_several_who_ask_at_once_gets_the_answer_to_his_question(bench: Bench) -> None:
    heard = bench.listen(PEER, OTHER)
    await bench.allocate()
    asking = [
        asyncio.create_task(question)
        for question in (bench.permit([PEER[0]]), bench.permit([OTHER[0]]), bench.bind(PEER))
    ]
    first, second, third = [await bench.asked() for _ in asking]
    await bench.answer(third)  # in another order than they were asked
    await bench.refuse(second, 403)
    await bench.answer(first)
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert answers[0] == turn_events.PermissionCreated(((PEER[0], 0),))
    assert isinstance(answers[1], FarEndError) and answers[1].code == 403
    assert answers[2] == turn_events.ChannelBound(PEER, 0x4000)
    assert [one.troubles for one in heard] == [[], []], "whoever asked was told"


async def test_who_stops_waiting_leaves_the_others_theirs(bench: Bench) -> None:
    await bench.allocate()
    gone, stays = asyncio.create_task(bench.permit([PEER[0]])), asyncio.create_task(bench.permit([OTHER[0]]))
    first, second = await bench.asked(), await bench.asked()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await bench.answer(first)
    await bench.answer(second)
    assert await stays == turn_events.PermissionCreated(((OTHER[0], 0),))


async def test_a_relay_that_is_lost_is_told_to_those_who_talk_through_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "MIN_REFRESH_S", 0.01)
    heard = bench.listen(PEER, OTHER)
    await bench.allocate(lifetime_s=0)
    refresh = await bench.asked()
    assert refresh.method == Method.REFRESH
    await bench.refuse(refresh, 437)
    await eventually(lambda: all(one.troubles for one in heard))
    (error,) = heard[0].troubles
    assert isinstance(error, Cut) and "437" in str(error) and heard[1].troubles == [error]
    with pytest.raises(Cut):  # nothing more is asked of it
        await bench.permit([PEER[0]])


async def test_a_permission_that_is_taken_back_is_told_to_whom_it_concerns(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_peers, "PERMISSION_REFRESH_S", 0.01)
    concerned, other = bench.listen(PEER, OTHER)
    await bench.allocate()
    asking = asyncio.create_task(bench.permit([PEER[0]]))
    await bench.answer(await bench.asked())
    await asking
    again = await bench.asked()
    assert again.method == Method.CREATE_PERMISSION
    await bench.refuse(again, 403)
    await eventually(lambda: bool(concerned.troubles))
    assert isinstance(concerned.troubles[0], Cut) and "403" in str(concerned.troubles[0]) and other.troubles == []
    asking = asyncio.create_task(bench.permit([OTHER[0]]))
    await bench.answer(await bench.asked())
    await asking


async def test_a_refresh_that_nobody_answers_is_told_as_silence(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "MIN_REFRESH_S", 0.01)
    (heard,) = bench.listen(PEER)
    await bench.allocate(lifetime_s=0)
    await eventually(lambda: bool(heard.troubles))
    assert isinstance(heard.troubles[0], Silence)
    assert bench.driver.client.relayed == RELAYED, "it may yet be answered"


async def test_silence_names_what_came_instead_and_what_the_network_said(bench: Bench) -> None:
    asking = asyncio.create_task(bench.ask_to_allocate())
    await bench.asked()
    await bench.server.send(b"HTTP/1.1 400 Bad Request", bench.client_address)
    with pytest.raises(ProtocolError, match="no TURN server"):
        await asking
    bench.driver.trouble(Unreachable("UDP to 192.0.2.1:3478", detail="No route to host, ICMP 3/1"))
    with pytest.raises(Unreachable, match="3/1"):
        await bench.ask_to_allocate()


async def test_what_the_network_said_before_an_answer_is_outdated(bench: Bench) -> None:
    bench.driver.trouble(Unreachable("UDP to 192.0.2.1:3478", detail="No route to host, ICMP 3/1"))
    await bench.allocate()
    with pytest.raises(Silence):
        await bench.permit([PEER[0]])


async def test_after_the_end_what_is_sent_is_thrown_away(bench: Bench) -> None:
    await bench.allocate()
    await bench.driver.close()
    for _ in range(3):
        bench.driver.client.send(PEER, b"late")
        bench.driver.go_on()
    assert bench.driver.client.packets_to_send() == []


async def test_a_stream_that_is_not_turn_ends_everything_with_its_reason(bench: Bench) -> None:
    (heard,) = bench.listen(PEER)
    asking = asyncio.create_task(bench.ask_to_allocate())
    await bench.asked()
    bench.driver.broken(FramingError("the stream is not TURN"))
    bench.driver.broken(FramingError("the second word of it is not heard"))
    with pytest.raises(FramingError, match="not TURN"):
        await asking
    assert [str(error) for error in heard.troubles] == ["turn:bench was cut (the stream is not TURN)"]
    with pytest.raises(FramingError):
        await bench.ask_to_allocate()


async def test_the_networks_own_word_is_passed_on_as_it_is(bench: Bench) -> None:
    (heard,) = bench.listen(PEER)
    end = Cut("the connection to the TURN server", detail="Connection reset by peer")
    bench.driver.trouble(end)
    assert heard.troubles == [end]


async def test_a_deadline_of_the_one_who_asks(bench: Bench) -> None:
    client = bench.driver.client
    with pytest.raises(Silence) as silence:
        await bench.driver.ask(client.start_allocate, ALLOCATE, turn_events.Allocated, timeout_s=0.02)
    assert silence.value.after_s == 0.02
