"""Requests and answers over a channel that keeps what is sent: what counts as an answer, and what ends the waiting."""

from __future__ import annotations

import asyncio
import os

import pytest

from calls_doctor.errors import Cut, Refused, Unreachable
from calls_doctor.model.flow import Path, Transport
from calls_doctor.net.exchange import Exchange
from calls_doctor.wire import ice, stun
from calls_doctor.wire.ice import IceCredentials
from calls_doctor.wire.stun import ErrorCode, Message, MessageClass, Method

CREDENTIALS = IceCredentials(
    local_fragment="near", local_password="n" * 24, remote_fragment="far", remote_password="f" * 24
)
KEY = CREDENTIALS.key_out
MAPPED = ("192.0.2.7", 4711)
PROBE = (stun.PROBE_NUMBER, 1)


class Line:
    """A channel whose packets go no further."""

    path = Path(Transport.UDP, ("127.0.0.1", 1), ("127.0.0.1", 2))

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
async def line() -> Line:
    return Line()


@pytest.fixture
async def exchange(line: Line) -> Exchange:
    made = Exchange(os.urandom)
    made.begin(line, CREDENTIALS)
    return made


def soon() -> float:
    return asyncio.get_running_loop().time() + 0.02


def answer(transaction_id: bytes, kind: MessageClass = MessageClass.SUCCESS, method: int = Method.BINDING) -> Message:
    if kind is MessageClass.ERROR:
        return Message(method, kind, transaction_id, [(stun.ERROR_CODE, ErrorCode(508, "Too Many Sessions"))])
    return Message(method, kind, transaction_id, [(stun.XOR_MAPPED_ADDRESS, MAPPED)])


@pytest.mark.parametrize("size_bytes", [200, 204, 1200])
async def test_a_request_is_authentic_and_has_the_size_that_was_asked_for(
    size_bytes: int, exchange: Exchange, line: Line
) -> None:
    exchange.ask(exchange.new_id(), PROBE, size_bytes)
    (packet,) = line.sent
    request = stun.parse(packet)
    assert len(packet) == size_bytes and request.integrity_is_valid(KEY)
    assert ice.fragments(request) == ("far", "near") and request.get(stun.PROBE_NUMBER) == 1


async def test_a_request_that_is_larger_than_asked_for_goes_out_as_it_is(exchange: Exchange, line: Line) -> None:
    exchange.ask(exchange.new_id(), PROBE, 20)
    assert 20 < len(line.sent[0]) < 200


async def test_an_authentic_answer_ends_the_waiting_and_the_first_one_counts(exchange: Exchange) -> None:
    one, other = exchange.new_id(), exchange.new_id()
    exchange.ask(one, PROBE, 200)
    exchange.ask(other, PROBE, 200)
    assert not await exchange.answered([one, other], soon())
    exchange.packet(answer(one).encode(KEY))
    first = exchange.answers[one]
    exchange.packet(answer(one).encode(KEY, fingerprint=True))
    assert exchange.answers[one] is first and first.rtt_s > 0 and first.message.get(stun.XOR_MAPPED_ADDRESS) == MAPPED
    assert await exchange.answered([one, other], soon(), enough=1)
    assert not await exchange.answered([one, other], soon())
    asyncio.get_running_loop().call_later(0.01, exchange.packet, answer(other).encode(KEY))
    assert await exchange.answered([one, other], soon() + 1)


async def test_what_is_not_authentic_or_was_not_asked_for_is_dropped(exchange: Exchange) -> None:
    asked = exchange.new_id()
    exchange.ask(asked, PROBE, 200)
    flipped = bytearray(answer(asked).encode(KEY))
    flipped[30] ^= 1
    for packet in (
        b"",
        b"\x80 RTP of somebody",
        answer(asked).encode(),
        answer(asked).encode(b"another key"),
        bytes(flipped),
        answer(exchange.new_id()).encode(KEY),
        answer(asked, method=Method.ALLOCATE).encode(KEY),
        answer(asked, MessageClass.INDICATION).encode(KEY),
        answer(asked, MessageClass.ERROR).encode(b"another key"),
    ):
        exchange.packet(packet)
    assert not exchange.answers and exchange.refusal is None and not exchange.dead


async def test_an_answer_before_there_is_a_session_is_dropped(line: Line) -> None:
    made = Exchange(os.urandom)
    made.packet(answer(os.urandom(12)).encode(KEY))
    await made.close()
    assert not made.answers and not line.closed


async def test_an_authentic_refusal_ends_the_waiting(exchange: Exchange) -> None:
    asked = exchange.new_id()
    exchange.ask(asked, PROBE, 200)
    asyncio.get_running_loop().call_soon(exchange.packet, answer(asked, MessageClass.ERROR).encode(KEY))
    assert not await exchange.answered([asked], soon() + 30)
    assert exchange.dead and exchange.refusal == ErrorCode(508, "Too Many Sessions")


@pytest.mark.parametrize(("error", "dead"), [(Refused("x"), True), (Cut("x"), True), (Unreachable("x"), False)])
async def test_trouble_that_leaves_no_hope_ends_the_waiting(
    error: Refused | Cut | Unreachable, dead: bool, exchange: Exchange
) -> None:
    exchange.ask(exchange.new_id(), PROBE, 200)
    exchange.trouble(error)
    exchange.trouble(Unreachable("something less"))
    assert exchange.dead is dead
    assert (exchange.heard is error) is dead


async def test_closing_closes_the_channel(exchange: Exchange, line: Line) -> None:
    await exchange.close()
    assert line.closed
