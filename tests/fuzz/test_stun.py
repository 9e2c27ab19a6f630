# Invariant: whatever the bytes, `parse` gives a Message or raises StunError; and what it gives says the same bytes.

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from calls_doctor.errors import StunError
from calls_doctor.wire import stun
from calls_doctor.wire.stun import ErrorCode, Message, MessageClass, Method

TID = bytes(range(12))
HEAD = bytes([0, 1, 0, 0]) + stun.MAGIC_COOKIE.to_bytes(4, "big") + TID
REAL = [
    Message(Method.BINDING, MessageClass.REQUEST, TID, [(stun.USERNAME, "abcd:efgh"), (stun.PRIORITY, 1)]).encode(
        b"key", fingerprint=True
    ),
    Message(Method.BINDING, MessageClass.SUCCESS, TID, [(stun.XOR_MAPPED_ADDRESS, ("2001:db8::1", 9))]).encode(b"key"),
    Message(Method.ALLOCATE, MessageClass.ERROR, TID, [(stun.ERROR_CODE, ErrorCode(401, "no")), (stun.REALM, "r")])
    .encode(fingerprint=True),
    Message(Method.SEND, MessageClass.INDICATION, TID, [(stun.XOR_PEER_ADDRESS, ("192.0.2.1", 9)), (stun.DATA, b"x")])
    .encode(),
]  # fmt: skip


def check(data: bytes) -> None:
    try:
        message = stun.parse(data)
    except StunError:
        return
    assert bytes(message) == data and stun.looks_like_stun(data)
    assert message.integrity_is_valid(b"another") is False
    message.unknown_required()
    again = stun.parse(message.encode())
    assert (again.attributes, again.unknown) == (message.attributes, message.unknown)


def with_length(body: bytes) -> bytes:
    return HEAD[:2] + len(body).to_bytes(2, "big") + HEAD[4:] + body


@given(st.binary(max_size=200))
@example(HEAD)
def test_any_bytes(data: bytes) -> None:
    check(data)
    check(with_length(data))


@given(st.lists(st.tuples(st.sampled_from(sorted(stun.ATTRIBUTES)) | st.integers(0, 0xFFFF), st.binary(max_size=40))))
def test_attributes_of_any_content(attributes: list[tuple[int, bytes]]) -> None:
    body = b"".join(
        number.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4)
        for number, value in attributes
    )
    check(with_length(body))


@given(st.sampled_from(REAL), st.integers(0, 200))
def test_every_truncation(packet: bytes, at: int) -> None:
    check(packet[:at])
    check(with_length(packet[stun.HEADER_BYTES : at]))


@given(st.sampled_from(REAL), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes(packet: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(packet)
    for at, value in changes:
        changed[at % len(changed)] = value
    check(bytes(changed))
