"""ICE's messages: what is believed, and that no answer is ever larger than its request."""

from __future__ import annotations

from typing import Any  # attributes of a message have values of every type

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from calls_doctor.model.flow import Address, Path, Transport
from calls_doctor.wire import ice, stun
from calls_doctor.wire.ice import IceCredentials
from calls_doctor.wire.stun import AttributeType, ErrorCode, Message, MessageClass, Method

OURS = IceCredentials(local_fragment="near", local_password="n" * 22, remote_fragment="far0", remote_password="f" * 22)
THEIRS = IceCredentials(
    local_fragment="far0", local_password="f" * 22, remote_fragment="near", remote_password="n" * 22
)
TRANSACTION = bytes(range(12))
PATH = Path(Transport.UDP, ("10.0.0.1", 5000), ("10.0.0.2", 8443))
ADDRESSES: tuple[Address, ...] = (("192.0.2.1", 1), ("2001:db8::1", 65535))


def request(
    *attributes: tuple[AttributeType[Any], Any], username: str = "far0:near", password: str = "f" * 22
) -> Message:
    """A Binding request to the far end, as it is received."""
    message = Message(Method.BINDING, MessageClass.REQUEST, TRANSACTION, [(stun.USERNAME, username), *attributes])
    return stun.parse(message.encode(integrity_key=password.encode(), fingerprint=True))


def test_a_check_is_what_rfc_8445_says() -> None:
    message = stun.parse(ice.check(TRANSACTION, OURS, PATH, (stun.ICE_CONTROLLING, 7), nominates=True))
    assert (message.method, message.message_class) == (Method.BINDING, MessageClass.REQUEST)
    assert message.get(stun.USERNAME) == "far0:near"
    assert message.get(stun.PRIORITY) == (110 << 24) + (65535 << 8) + 255
    assert message.get(stun.ICE_CONTROLLING) == 7
    assert message.get(stun.USE_CANDIDATE)
    assert message.integrity_is_valid(b"f" * 22)


def test_a_check_over_tcp_has_a_lower_priority() -> None:
    assert ice.priority(PATH._replace(transport=Transport.TCP)) < ice.priority(PATH)


def test_a_check_nominates_only_where_it_is_told_to() -> None:
    message = stun.parse(ice.check(TRANSACTION, OURS, PATH, (stun.ICE_CONTROLLED, 7)))
    assert message.get(stun.USE_CANDIDATE) is None


@pytest.mark.parametrize(
    ("username", "password", "authentic"),
    [
        ("far0:near", "f" * 22, True),
        ("far0:near", "n" * 22, False),
        ("near:far0", "f" * 22, False),
        ("far0", "f" * 22, False),
        ("far0:other", "f" * 22, False),
    ],
)
def test_only_a_request_of_this_session_is_authentic(username: str, password: str, authentic: bool) -> None:
    assert ice.is_authentic(request(username=username, password=password), THEIRS) is authentic


def test_a_request_without_integrity_is_not_authentic() -> None:
    bare = Message(Method.BINDING, MessageClass.REQUEST, TRANSACTION, [(stun.USERNAME, "far0:near")])
    assert not ice.is_authentic(stun.parse(bytes(bare)), THEIRS)


def test_fragments_are_those_of_a_binding_request_alone() -> None:
    assert ice.fragments(request()) == ("far0", "near")
    indication = Message(Method.BINDING, MessageClass.INDICATION, TRANSACTION, [(stun.USERNAME, "far0:near")])
    allocate = Message(Method.ALLOCATE, MessageClass.REQUEST, TRANSACTION, [(stun.USERNAME, "far0:near")])
    assert ice.fragments(indication) is None
    assert ice.fragments(allocate) is None
    assert ice.fragments(Message(Method.BINDING, MessageClass.REQUEST, TRANSACTION)) is None


def test_the_credentials_show_no_password() -> None:
    assert "n" * 22 not in repr(OURS)
    assert "f" * 22 not in repr(OURS)


def test_an_answer_holds_the_mapped_address_and_books() -> None:
    asked = request((stun.PADDING, bytes(100)))
    packet = ice.success(asked, len(asked.raw), ("192.0.2.1", 4), THEIRS.key_in, b"books")
    assert packet is not None
    answer = stun.parse(packet)
    assert answer.transaction_id == TRANSACTION
    assert answer.get(stun.XOR_MAPPED_ADDRESS) == ("192.0.2.1", 4)
    assert answer.get(stun.BOOKS) == b"books"
    assert answer.integrity_is_valid(b"f" * 22)


def test_books_are_left_out_where_they_do_not_fit() -> None:
    asked = request()
    packet = ice.success(asked, len(asked.raw), ("192.0.2.1", 4), THEIRS.key_in, bytes(200))
    assert packet is not None
    assert stun.parse(packet).get(stun.BOOKS) is None


@given(
    st.sampled_from(ADDRESSES),
    st.integers(0, 120),
    st.binary(max_size=80),
    st.booleans(),
    st.sampled_from(["far0:near", "f" * 60 + ":" + "n" * 8, "f:n"]),
)
@example(("2001:db8::1", 65535), 0, b"", True, "far0:near")  # room for PADDING, and none for FINGERPRINT
def test_no_answer_is_larger_than_its_request(
    mapped: Address, padding: int, books: bytes, exact: bool, username: str
) -> None:
    asked = request((stun.PADDING, bytes(padding)), username=username)
    size = len(asked.raw)
    success = ice.success(asked, size, mapped, THEIRS.key_in, books, exact=exact)
    refusals = (
        ice.refusal(asked, size, ErrorCode(508, "Too Many Paths" * 3), THEIRS.key_in),
        ice.unknown_attributes_refusal(asked, size, THEIRS.key_in),
        ice.role_conflict_refusal(asked, size, THEIRS.key_in),
    )
    for packet in (success, *refusals):
        assert packet is None or len(packet) <= size
        assert packet is None or stun.parse(packet).integrity_is_valid(THEIRS.key_in)
    if exact and success is not None:
        assert len(success) == size
    assert success is not None or padding < 24  # nothing of use in it: the least answer has 56 bytes or 68


def test_420_lists_what_had_to_be_understood() -> None:
    strange = Message(
        Method.BINDING, MessageClass.REQUEST, TRANSACTION, [(stun.USERNAME, "far0:near")], [(0x7C0C, b"four")]
    )
    asked = stun.parse(strange.encode(integrity_key=b"f" * 22, fingerprint=True))
    packet = ice.unknown_attributes_refusal(asked, len(asked.raw), THEIRS.key_in)
    assert packet is not None
    answer = stun.parse(packet)
    error = answer.get(stun.ERROR_CODE)
    assert error is not None
    assert error.code == 420
    assert len(packet) <= len(asked.raw)
