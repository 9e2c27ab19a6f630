"""Binding, the server's side."""

from __future__ import annotations

import pytest
from aioice import stun as aioice_stun

from calls_doctor.model.flow import Path, Transport
from calls_doctor.wire import stun
from calls_doctor.wire.rate_limit import RateLimit
from calls_doctor.wire.stun import Message, MessageClass, Method
from calls_doctor.wire.stun_server import BindingResponder

TID = bytes(range(12))
REQUEST = Message(Method.BINDING, MessageClass.REQUEST, TID)


def path(host: str = "203.0.113.5") -> Path:
    return Path(Transport.UDP, ("192.0.2.1", 3478), (host, 40000))


def responder() -> BindingResponder:
    return BindingResponder("bench")


@pytest.mark.parametrize("host", ["203.0.113.5", "2001:db8::5"])
def test_the_answer_says_where_the_request_came_from(host: str) -> None:
    said = responder().answer(REQUEST.encode(), path(host), 0.0)
    assert said is not None
    answer = stun.parse(said)
    assert (answer.method, answer.message_class, answer.transaction_id) == (Method.BINDING, MessageClass.SUCCESS, TID)
    assert answer.attributes == ((stun.XOR_MAPPED_ADDRESS, (host, 40000)), (stun.SOFTWARE, "bench"))
    assert aioice_stun.parse_message(said).attributes["XOR-MAPPED-ADDRESS"] == (host, 40000)


def test_a_fingerprint_is_answered_with_one() -> None:
    for asked in (False, True):
        said = responder().answer(REQUEST.encode(fingerprint=asked), path(), 0.0)
        assert said is not None and stun.parse(said).has_fingerprint is asked


@pytest.mark.parametrize(("attributes", "unknown", "numbers"), [
    ([(stun.CHANGE_REQUEST, 6)], [], [0x0003]),
    ([(stun.PADDING, bytes(1000))], [], [0x0026]),
    ([(stun.SOFTWARE, "x")], [(0x7FFF, b""), (0x0100, bytes(4)), (0x8FFF, b"")], [0x0100, 0x7FFF]),
])  # fmt: skip
def test_what_must_be_understood_and_is_not_draws_420(
    attributes: stun.Attributes, unknown: list[tuple[int, bytes]], numbers: list[int]
) -> None:
    request = Message(Method.BINDING, MessageClass.REQUEST, TID, attributes, unknown)
    said = responder().answer(request.encode(), path(), 0.0)
    assert said is not None
    answer = stun.parse(said)
    error = answer.get(stun.ERROR_CODE)
    assert error is not None and error.code == 420 and answer.message_class is MessageClass.ERROR
    assert answer.get(stun.UNKNOWN_ATTRIBUTES) == numbers


def test_credentials_and_optional_attributes_change_nothing() -> None:
    attributes: stun.Attributes = [(stun.USERNAME, "a:b"), (stun.SOFTWARE, "x"), (stun.BOOKS, b"x")]
    said = responder().answer(
        Message(Method.BINDING, MessageClass.REQUEST, TID, attributes).encode(b"key"), path(), 0.0
    )
    assert said is not None
    answer = stun.parse(said)
    assert answer.message_class is MessageClass.SUCCESS and answer.integrity_at is None


@pytest.mark.parametrize("packet", [
    b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", REQUEST.encode()[:-1], REQUEST.encode() + b"\0\0\0\0",
    Message(Method.BINDING, MessageClass.INDICATION, TID).encode(),
    Message(Method.BINDING, MessageClass.SUCCESS, TID).encode(),
    Message(Method.ALLOCATE, MessageClass.REQUEST, TID).encode(),
    REQUEST.encode(fingerprint=True)[:-1] + b"\xff",
])  # fmt: skip
def test_all_else_is_silence(packet: bytes) -> None:
    assert responder().answer(packet, path(), 0.0) is None


def test_the_answer_stays_small_whatever_is_asked() -> None:
    request = Message(
        Method.BINDING, MessageClass.REQUEST, TID, (), [(number, b"") for number in range(0x0100, 0x0100 + 300)]
    )
    said = responder().answer(request.encode(), path(), 0.0)
    plain = responder().answer(REQUEST.encode(), path(), 0.0)
    assert said is not None and len(said) < len(request.encode())
    assert plain is not None and len(plain) <= 3 * len(REQUEST.encode())


def test_a_source_is_answered_so_often() -> None:
    limited = BindingResponder("bench", RateLimit(1.0, 2.0))
    answers = [limited.answer(REQUEST.encode(), path(), 0.0) for _ in range(5)]
    assert [answer is not None for answer in answers] == [True, True, False, False, False]
    assert limited.answer(REQUEST.encode(), path("203.0.113.6"), 0.0) is not None
