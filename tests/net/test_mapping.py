"""One socket before several STUN servers on 127.0.0.1: who answers, who does not, and who answers in bad faith."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from calls_doctor.model.flow import Address
from calls_doctor.net import mapping
from calls_doctor.net.mapping import SERVERS_MAX, Mapping, mappings
from calls_doctor.standin.stun_server import StunServer
from calls_doctor.wire import stun
from calls_doctor.wire.stun import Message, MessageClass, Method
from tests.servers.plain_sockets import PlainUdp

HOST = "127.0.0.1"
MAPPED = ("203.0.113.1", 4000)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of every silence."""
    monkeypatch.setattr(mapping, "SCHEDULE_S", tuple(at / 10 for at in mapping.SCHEDULE_S))
    monkeypatch.setattr(mapping, "DECIDED_S", mapping.DECIDED_S / 10)


def servers(seen: list[Mapping]) -> list[Address]:
    return [one.server for one in seen]


@contextlib.asynccontextmanager
async def answering(make: Callable[[Message, Address], list[Message]], *, lose: int = 0) -> AsyncIterator[PlainUdp]:
    """A server that answers each request with these messages, but for the first `lose`."""
    async with PlainUdp() as sock:

        async def serve() -> None:
            left = lose
            while True:
                data, sender = await sock.receive()
                left -= 1
                for message in make(stun.parse(data), sender) if left < 0 else []:
                    await sock.send(message.encode(), sender)

        task = asyncio.create_task(serve())
        try:
            yield sock
        finally:
            task.cancel()
            await asyncio.wait([task])


def answer(request: Message, *attributes: tuple[stun.AttributeType[Address], Address]) -> Message:
    return Message(Method.BINDING, MessageClass.SUCCESS, request.transaction_id, attributes)


def truly(request: Message, sender: Address) -> list[Message]:
    return [answer(request, (stun.XOR_MAPPED_ADDRESS, sender))]


async def test_several_servers_see_one_socket() -> None:
    async with StunServer([HOST]) as one, StunServer([HOST]) as other:
        seen = await mappings([(HOST, one.port), (HOST, other.port)])
    assert servers(seen) == [(HOST, one.port), (HOST, other.port)]
    assert len({found.mapped for found in seen}) == 1
    assert all(found.local == found.mapped for found in seen), "there is no NAT here"


async def test_ipv4_and_ipv6_have_a_socket_each() -> None:
    async with StunServer([HOST, "::1"]) as server:
        seen = await mappings([("::1", server.port), (HOST, server.port)])
    assert servers(seen) == [(HOST, server.port), ("::1", server.port)]
    assert [found.mapped[0] for found in seen] == [HOST, "::1"]
    assert all(found.local == found.mapped for found in seen)


async def test_nobody_asked() -> None:
    assert await mappings([]) == []


@pytest.mark.usefixtures("quick")
async def test_one_that_is_silent_keeps_no_other_from_being_heard() -> None:
    async with StunServer([HOST]) as server, PlainUdp() as mute:
        seen = await mappings([mute.address, (HOST, server.port)])
    assert servers(seen) == [(HOST, server.port)]


async def test_a_request_that_is_lost_is_sent_again() -> None:
    async with answering(truly, lose=2) as server:
        assert servers(await mappings([server.address])) == [server.address]


async def test_the_other_address_that_a_server_names_is_asked_too() -> None:
    async with answering(truly) as other:

        def names_other(request: Message, sender: Address) -> list[Message]:
            return [answer(request, (stun.XOR_MAPPED_ADDRESS, sender), (stun.OTHER_ADDRESS, other.address))]

        async with answering(names_other) as first:
            seen = await mappings([first.address])
            assert servers(seen) == [first.address, other.address]
    assert seen[0].mapped == seen[1].mapped


async def test_a_mapping_that_differs_is_told() -> None:
    def lies(request: Message, _sender: Address) -> list[Message]:
        return [answer(request, (stun.XOR_MAPPED_ADDRESS, MAPPED))]

    async with answering(truly) as true, answering(lies) as false:
        seen = {one.server: one.mapped for one in await mappings([true.address, false.address])}
        assert seen[false.address] == MAPPED != seen[true.address]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("other", [("::1", 3478), (HOST, 0)])
async def test_another_address_that_cannot_be_asked_is_left(other: Address) -> None:
    def names(request: Message, sender: Address) -> list[Message]:
        return [answer(request, (stun.XOR_MAPPED_ADDRESS, sender), (stun.OTHER_ADDRESS, other))]

    async with answering(names) as server:
        assert servers(await mappings([server.address])) == [server.address]


@pytest.mark.usefixtures("quick")
async def test_what_is_no_answer_of_the_server_is_not_believed() -> None:
    forged = (stun.XOR_MAPPED_ADDRESS, MAPPED)

    async with PlainUdp() as stranger:

        def others(request: Message, sender: Address) -> list[Message]:
            spoofed = answer(request, forged).encode()
            stranger_sends.append(asyncio.ensure_future(stranger.send(spoofed, sender)))
            return [
                Message(Method.BINDING, MessageClass.SUCCESS, bytes(12), [forged]),
                Message(Method.BINDING, MessageClass.REQUEST, request.transaction_id, [forged]),
            ]

        stranger_sends: list[asyncio.Future[None]] = []
        async with answering(others) as server:
            assert await mappings([server.address]) == []
        await asyncio.gather(*stranger_sends)
        assert stranger_sends


async def test_an_error_is_an_answer_without_a_mapping() -> None:
    def refuses(request: Message, _sender: Address) -> list[Message]:
        error = (stun.ERROR_CODE, stun.ErrorCode(400, "Bad Request"))
        return [Message(Method.BINDING, MessageClass.ERROR, request.transaction_id, [error])]

    async with asyncio.timeout(0.5), answering(refuses) as server:
        assert await mappings([server.address]) == []


@pytest.mark.usefixtures("quick")
async def test_garbage_is_passed_over() -> None:
    async with PlainUdp() as server:
        asking = asyncio.create_task(mappings([server.address]))
        data, sender = await server.receive()
        await server.send(b"garbage", sender)
        await server.send(truly(stun.parse(data), sender)[0].encode(), sender)
        assert [(one.server, one.mapped) for one in await asking] == [(server.address, sender)]


async def test_at_most_so_many_servers_are_asked() -> None:
    addresses = [f"127.0.0.{number}" for number in range(1, 20)]
    async with StunServer(addresses) as server:
        seen = await mappings([(address, server.port) for address in addresses])
    assert servers(seen) == [(address, server.port) for address in addresses[:SERVERS_MAX]]
