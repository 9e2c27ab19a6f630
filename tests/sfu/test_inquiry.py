"""Inquiries from the media port: believed from whom was asked, for what was asked; silence is None."""

from __future__ import annotations

import asyncio

import pytest

from calls_doctor.model.flow import Path, Transport
from calls_doctor.sfu.inquiry import Inquiries
from calls_doctor.wire import stun
from calls_doctor.wire.stun import Message, MessageClass, Method

SERVER = Path(Transport.UDP, ("10.0.0.2", 8443), ("192.0.2.1", 3478))
ELSEWHERE = Path(Transport.UDP, ("10.0.0.2", 8443), ("192.0.2.2", 3478))
TID = bytes(range(12))
REQUEST = Message(Method.BINDING, MessageClass.REQUEST, TID)
SHORT_S = (0.0, 0.02, 0.04)


def message(message_class: MessageClass = MessageClass.SUCCESS, tid: bytes = TID) -> Message:
    return Message(Method.BINDING, message_class, tid, [(stun.XOR_MAPPED_ADDRESS, ("203.0.113.1", 7))])


async def test_an_answer_ends_it() -> None:
    sent: list[tuple[Path, bytes]] = []

    def send(path: Path, packet: bytes) -> None:
        sent.append((path, packet))
        assert inquiries.answered(message(), path)

    inquiries = Inquiries(send)
    assert await inquiries.ask(SERVER, REQUEST) == message()
    assert sent == [(SERVER, REQUEST.encode())]
    assert not inquiries.answered(message(), SERVER), "it is asked no more"


async def test_silence_is_none_after_the_whole_schedule() -> None:
    sent: list[bytes] = []
    inquiries = Inquiries(lambda _path, packet: sent.append(packet))
    assert await inquiries.ask(SERVER, REQUEST, schedule_s=SHORT_S, decided_s=0.06) is None
    assert sent == [REQUEST.encode()] * 3


@pytest.mark.parametrize(("answer", "path"), [
    (message(), ELSEWHERE), (message(tid=bytes(12)), SERVER), (message(MessageClass.REQUEST), SERVER),
    (message(MessageClass.INDICATION), SERVER),
], ids=["from elsewhere", "another transaction", "a request", "an indication"])  # fmt: skip
async def test_what_is_no_answer_is_not_taken(answer: Message, path: Path) -> None:
    taken: list[bool] = []
    inquiries = Inquiries(lambda _path, _packet: taken.append(inquiries.answered(answer, path)))
    assert await inquiries.ask(SERVER, REQUEST, schedule_s=SHORT_S[:1], decided_s=0.02) is None
    assert taken == [False]


async def test_an_error_is_an_answer_and_one_that_comes_twice_no_harm() -> None:
    error = Message(Method.BINDING, MessageClass.ERROR, TID, [(stun.ERROR_CODE, stun.ErrorCode(400, "Bad"))])
    inquiries = Inquiries(lambda path, _packet: [inquiries.answered(error, path) for _ in range(2)].clear())
    assert await inquiries.ask(SERVER, REQUEST) == error


async def test_with_a_key_the_request_is_authentic() -> None:
    sent: list[bytes] = []
    inquiries = Inquiries(lambda _path, packet: sent.append(packet))
    await inquiries.ask(SERVER, REQUEST, key=b"key", schedule_s=SHORT_S[:1], decided_s=0.01)
    parsed = stun.parse(sent[0])
    assert parsed.integrity_is_valid(b"key") and parsed.has_fingerprint


async def test_one_that_is_cancelled_leaves_nothing() -> None:
    inquiries = Inquiries(lambda _path, _packet: None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await inquiries.ask(SERVER, REQUEST)
    assert inquiries._asked == {}
