# Invariant: whatever a far end sends, `packet` raises nothing and believes nothing that was not made with the key.

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.net.exchange import Exchange
from calls_doctor.wire import stun
from calls_doctor.wire.ice import IceCredentials
from calls_doctor.wire.stun import ErrorCode, Message, MessageClass, Method
from tests.net.test_exchange import Line

CREDENTIALS = IceCredentials(local_fragment="near", local_password="n", remote_fragment="far", remote_password="f")
TID = bytes(range(12))
ANSWERS = [
    Message(Method.BINDING, MessageClass.SUCCESS, TID, [(stun.XOR_MAPPED_ADDRESS, ("192.0.2.1", 9))]),
    Message(Method.BINDING, MessageClass.ERROR, TID, [(stun.ERROR_CODE, ErrorCode(508, "full"))]),
]


async def believed(packet: bytes) -> bool:
    exchange = Exchange(bytes)
    exchange.begin(Line(), CREDENTIALS)
    exchange.ask(TID, (stun.PROBE_NUMBER, 1), 200)
    exchange.packet(packet)
    return bool(exchange.answers) or exchange.dead


@given(st.binary(max_size=200))
def test_anything(data: bytes) -> None:
    assert not asyncio.run(believed(data))


@given(st.sampled_from(ANSWERS), st.binary(max_size=32), st.booleans())
def test_answers_with_another_key(answer: Message, key: bytes, fingerprint: bool) -> None:
    assert asyncio.run(believed(answer.encode(key, fingerprint))) is (key.rstrip(b"\0") == CREDENTIALS.key_out)


@given(st.sampled_from(ANSWERS), st.data())
def test_real_answers_cut_short_or_altered(answer: Message, data: st.DataObject) -> None:
    packet = answer.encode(CREDENTIALS.key_out)
    assert asyncio.run(believed(packet))
    cut = packet[: data.draw(st.integers(0, len(packet) - 1))]
    assert not asyncio.run(believed(cut))
    altered = bytearray(packet)
    altered[data.draw(st.integers(0, len(packet) - 1))] ^= data.draw(st.integers(1, 255))
    assert not asyncio.run(believed(bytes(altered)))
