"""The STUN codec against RFC 5769, a captured rtcd, and aioice's codec as a second opinion."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any  # attributes have values of every type

import pytest
from aioice import stun as aioice_stun
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import StunError
from calls_doctor.wire import stun
from calls_doctor.wire.stun import ErrorCode, Message, MessageClass, Method

TID = bytes(range(12))
DATA = Path(__file__).parents[1] / "data" / "rtcd"

# RFC 5769. The padding of text attributes there is spaces, not zeros: MESSAGE-INTEGRITY covers it all the same.
REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
)
RESPONSE_V4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
RESPONSE_V6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"
)
REQUEST_LONG_TERM = bytes.fromhex(
    "000100602112a44278ad3433c6ad72c029da412e"
    "00060012e3839ee38388e383aae38383e382afe382b90000"
    "0015001c662f2f3439396b39353464364f4c33346f4c39465354767936347341"
    "0014000b6578616d706c652e6f726700"
    "00080014f67024656dd64a3e02b8e0712e85c9a28ca89666"
)
ICE_PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
USERNAME_LONG_TERM, REALM = "\u30de\u30c8\u30ea\u30c3\u30af\u30b9", "example.org"
PASSWORD_PREPARED = "TheMatrIX"
"""RFC 5769 section 2.4 gives "The<U+00AD>M<U+00AA>tr<U+2168>"; SASLprep makes this of it, and preparing it is not the
codec's work (coturn does not either)."""


def test_rfc5769_request() -> None:
    message = stun.parse(REQUEST)
    assert (message.method, message.message_class) == (Method.BINDING, MessageClass.REQUEST)
    assert message.transaction_id.hex() == "b7e7a701bc34d686fa87dfae"
    assert message.get(stun.SOFTWARE) == "STUN test client"
    assert message.get(stun.PRIORITY) == 0x6E0001FF
    assert message.get(stun.ICE_CONTROLLED) == 0x932FF9B151263B36
    assert message.get(stun.USERNAME) == "evtj:h6vY"
    assert message.integrity_is_valid(ICE_PASSWORD)
    assert not message.integrity_is_valid(ICE_PASSWORD[:-1])
    assert message.has_fingerprint


@pytest.mark.parametrize(("packet", "address"), [
    (RESPONSE_V4, ("192.0.2.1", 32853)),
    (RESPONSE_V6, ("2001:db8:1234:5678:11:2233:4455:6677", 32853)),
])  # fmt: skip
def test_rfc5769_responses(packet: bytes, address: tuple[str, int]) -> None:
    message = stun.parse(packet)
    assert (message.method, message.message_class) == (Method.BINDING, MessageClass.SUCCESS)
    assert message.get(stun.SOFTWARE) == "test vector"
    assert message.get(stun.XOR_MAPPED_ADDRESS) == address
    assert message.integrity_is_valid(ICE_PASSWORD)


def test_rfc5769_long_term_credentials() -> None:
    message = stun.parse(REQUEST_LONG_TERM)
    assert message.get(stun.USERNAME) == USERNAME_LONG_TERM
    assert message.get(stun.NONCE) == b"f//499k954d6OL34oL9FSTvy64sA"
    assert message.get(stun.REALM) == REALM
    assert message.integrity_is_valid(stun.long_term_key(USERNAME_LONG_TERM, REALM, PASSWORD_PREPARED))
    assert not message.has_fingerprint
    assert message.encode(stun.long_term_key(USERNAME_LONG_TERM, REALM, PASSWORD_PREPARED)) == REQUEST_LONG_TERM


@pytest.mark.parametrize("packet", [REQUEST, RESPONSE_V4, RESPONSE_V6])
def test_written_again_a_vector_differs_in_its_padding_only(packet: bytes) -> None:
    message = stun.parse(packet)
    assert bytes(message) == packet
    again = message.encode(ICE_PASSWORD, fingerprint=True)
    assert stun.parse(again) == message
    covered = len(packet) - stun.INTEGRITY_BYTES - stun.FINGERPRINT_BYTES
    differ = {(was, now) for was, now in zip(packet[:covered], again[:covered], strict=True) if was != now}
    assert differ == {(ord(" "), 0)}


def captured() -> Iterator[tuple[str, bytes, list[dict[str, str]]]]:
    for line in (DATA / "probe8443.jsonl").read_text().splitlines():
        record = json.loads(line)
        for answer in record.get("received") or []:
            yield record["name"], bytes.fromhex(answer["hex"]), answer["decoded"]["attrs"]
        if record.get("received_hex"):
            yield record["name"], bytes.fromhex(record["received_hex"])[2:], record["decoded"]["attrs"]  # RFC 4571


def test_what_rtcd_sent_reads_as_it_was_read_then() -> None:
    answers = list(captured())
    assert len(answers) == 13
    for name, packet, attributes in answers:
        message = stun.parse(packet)
        assert bytes(message) == packet
        assert message.has_fingerprint and message.integrity_at is not None, name
        for attribute in attributes:
            word, _, value = attribute["value"].partition(" ")
            if word == "XOR-MAPPED-ADDRESS":
                mapped = message.get(stun.XOR_MAPPED_ADDRESS)
                assert mapped is not None and value == f"{mapped[0]}:{mapped[1]}"
            elif word == "USERNAME":
                assert message.get(stun.USERNAME) == value
            elif attribute["type"] == "0x24":
                assert message.get(stun.PRIORITY) == int(word, 16)


def test_what_was_sent_to_rtcd_parses_where_it_was_stun() -> None:
    for line in (DATA / "probe8443.jsonl").read_text().splitlines():
        record = json.loads(line)
        packet = bytes.fromhex(record["sent_hex"])
        is_stun = any(word in record["name"] for word in ("binding request", "ufrag", "TURN", "STUN"))
        assert stun.looks_like_stun(packet) == is_stun, record["name"]
        if is_stun:
            assert bytes(stun.parse(packet)) == packet


# aioice's codec, both ways

ADDRESSES = st.tuples(st.ip_addresses().map(str), st.integers(0, 65535))
AIOICE_ROWS: dict[stun.AttributeType[Any], st.SearchStrategy[Any]] = {
    **dict.fromkeys(
        (stun.MAPPED_ADDRESS, stun.XOR_MAPPED_ADDRESS, stun.XOR_PEER_ADDRESS, stun.XOR_RELAYED_ADDRESS), ADDRESSES
    ),
    **dict.fromkeys((stun.RESPONSE_ORIGIN, stun.OTHER_ADDRESS), ADDRESSES),
    **dict.fromkeys((stun.USERNAME, stun.REALM, stun.SOFTWARE), st.text(max_size=40)),
    **dict.fromkeys((stun.NONCE, stun.DATA), st.binary(max_size=40)),
    **dict.fromkeys((stun.LIFETIME, stun.PRIORITY, stun.CHANGE_REQUEST), st.integers(0, 2**32 - 1)),
    **dict.fromkeys((stun.ICE_CONTROLLED, stun.ICE_CONTROLLING), st.integers(0, 2**64 - 1)),
    stun.CHANNEL_NUMBER: st.integers(0, 0xFFFF),
    stun.REQUESTED_TRANSPORT: st.integers(0, 0xFF),
    stun.USE_CANDIDATE: st.just(True),
    stun.ERROR_CODE: st.builds(ErrorCode, st.integers(300, 699), st.text(max_size=20)),
}
CLASSES = {
    MessageClass.REQUEST: aioice_stun.Class.REQUEST,
    MessageClass.INDICATION: aioice_stun.Class.INDICATION,
    MessageClass.SUCCESS: aioice_stun.Class.RESPONSE,
    MessageClass.ERROR: aioice_stun.Class.ERROR,
}


@st.composite
def messages(draw: st.DrawFn) -> Message:
    rows = draw(st.lists(st.sampled_from(sorted(AIOICE_ROWS, key=repr)), unique_by=id, max_size=8))
    attributes = tuple((row, draw(AIOICE_ROWS[row])) for row in rows)
    return Message(
        draw(st.sampled_from(Method)), draw(st.sampled_from(MessageClass)), draw(st.binary(min_size=12, max_size=12)),
        attributes,
    )  # fmt: skip


def as_aioice(message: Message) -> aioice_stun.Message:
    def value(row: stun.AttributeType[Any], ours: Any) -> Any:
        if row is stun.ERROR_CODE:
            return ours.code, ours.reason
        if row is stun.REQUESTED_TRANSPORT:
            return ours << 24  # aioice reads the reserved bytes along
        return None if row is stun.USE_CANDIDATE else ours

    return aioice_stun.Message(
        aioice_stun.Method(message.method),
        CLASSES[message.message_class],
        message.transaction_id,
        {row.name: value(row, ours) for row, ours in message.attributes},
    )


@given(messages())
def test_aioice_reads_what_we_write(message: Message) -> None:
    theirs = aioice_stun.parse_message(message.encode())
    expected = as_aioice(message)
    assert theirs.attributes == expected.attributes
    assert (theirs.message_method, theirs.message_class) == (expected.message_method, expected.message_class)
    assert theirs.transaction_id == message.transaction_id


@given(messages())
def test_we_read_what_aioice_writes(message: Message) -> None:
    packet = bytes(as_aioice(message))
    assert stun.parse(packet) == message
    assert message.encode() == packet


@given(messages(), st.binary(min_size=1, max_size=64))
def test_integrity_and_fingerprint_are_aioices(message: Message, key: bytes) -> None:
    theirs = as_aioice(message)
    theirs.add_message_integrity(key)
    packet = bytes(theirs)
    assert message.encode(key, fingerprint=True) == packet
    parsed = stun.parse(packet)
    assert parsed == message and parsed.integrity_is_valid(key) and parsed.has_fingerprint
    assert not parsed.integrity_is_valid(key + b"x")
    again = aioice_stun.parse_message(packet)
    assert again.check_message_integrity(key)


def unseen_by_aioice() -> list[tuple[stun.AttributeType[Any], Any]]:
    return [
        (stun.UNKNOWN_ATTRIBUTES, [0x0003, 0x7FFF]),
        (stun.ALTERNATE_SERVER, ("192.0.2.9", 3478)),
        (stun.REQUESTED_ADDRESS_FAMILY, 2),
        (stun.EVEN_PORT, b"\x80"),
        (stun.DONT_FRAGMENT, True),
        (stun.RESERVATION_TOKEN, bytes(8)),
        (stun.PADDING, bytes(10)),
        (stun.RESPONSE_PORT, 5000),
        (stun.BOOKS, b"abc"),
        (stun.DOCUMENT_REQUEST, b"\x00\x00\x01"),
        (stun.DOCUMENT_PAGE, b"\x02page"),
        (stun.PROBE_NUMBER, 77),
        (stun.REACH_BACK, 40123),
        (stun.HOLD_ANSWER, 25_500),
    ]


def test_the_other_rows_read_back_what_they_wrote() -> None:
    message = Message(Method.ALLOCATE, MessageClass.ERROR, TID, tuple(unseen_by_aioice()))
    assert stun.parse(message.encode()) == message


def test_every_row_of_the_table_is_tested() -> None:
    made_by_encode = {stun.MESSAGE_INTEGRITY, stun.FINGERPRINT}
    assert set(AIOICE_ROWS) | {row for row, _ in unseen_by_aioice()} | made_by_encode == set(stun.ATTRIBUTES.values())


# What a message says


@pytest.mark.parametrize(("method", "message_class", "bits"), [
    (Method.BINDING, MessageClass.REQUEST, 0x0001), (Method.BINDING, MessageClass.SUCCESS, 0x0101),
    (Method.BINDING, MessageClass.ERROR, 0x0111), (Method.BINDING, MessageClass.INDICATION, 0x0011),
    (Method.ALLOCATE, MessageClass.ERROR, 0x0113), (Method.SEND, MessageClass.INDICATION, 0x0016),
    (Method.CHANNEL_BIND, MessageClass.SUCCESS, 0x0109), (0xFF, MessageClass.REQUEST, 0x02EF),
])  # fmt: skip
def test_method_and_class_share_the_first_two_bytes(method: int, message_class: MessageClass, bits: int) -> None:
    packet = Message(method, message_class, TID).encode()
    assert int.from_bytes(packet[:2], "big") == bits
    assert (stun.parse(packet).method, stun.parse(packet).message_class) == (method, message_class)


def test_methods_that_would_collide_with_other_protocols_are_not_stun() -> None:
    assert not stun.looks_like_stun(Message(0x100, MessageClass.REQUEST, TID).encode())  # RFC 7983: reserved


def test_get_gives_the_first_value_and_all_gives_every_one() -> None:
    peers = [("192.0.2.1", 0), ("192.0.2.2", 0)]
    packet = Message(1, MessageClass.REQUEST, TID, [(stun.XOR_PEER_ADDRESS, peer) for peer in peers]).encode()
    message = stun.parse(packet)
    assert message.get(stun.XOR_PEER_ADDRESS) == peers[0]
    assert message.all(stun.XOR_PEER_ADDRESS) == peers
    assert message.get(stun.LIFETIME) is None and message.all(stun.LIFETIME) == []


def test_unknown_attributes_are_kept_and_those_to_be_understood_named() -> None:
    message = stun.parse(Message(1, MessageClass.REQUEST, TID, (), ((0x7F00, b"abc"), (0xFF00, b""))).encode())
    assert message.unknown == ((0x7F00, b"abc"), (0xFF00, b""))
    assert message.unknown_required() == [0x7F00]
    assert [row.comprehension_required for row in (stun.PADDING, stun.BOOKS, stun.SOFTWARE)] == [True, False, False]


def test_what_follows_message_integrity_is_not_believed() -> None:
    signed = Message(1, MessageClass.REQUEST, TID, [(stun.USERNAME, "a:b")]).encode(b"key")
    added = Message(1, MessageClass.REQUEST, TID, [(stun.USE_CANDIDATE, True)]).encode()[stun.HEADER_BYTES :]
    packet = bytearray(signed + added)
    packet[2:4] = (len(packet) - stun.HEADER_BYTES).to_bytes(2, "big")
    message = stun.parse(bytes(packet))
    assert message.get(stun.USE_CANDIDATE) is None and message.get(stun.USERNAME) == "a:b"
    assert message.integrity_is_valid(b"key")


def test_without_message_integrity_no_key_is_right() -> None:
    assert not stun.parse(Message(1, MessageClass.REQUEST, TID).encode()).integrity_is_valid(b"")


def attribute(number: int, value: bytes, *, padding: bytes | None = None) -> bytes:
    body = number.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value
    body += bytes(-len(value) % 4) if padding is None else padding
    return bytes([0, 1, *len(body).to_bytes(2, "big")]) + stun.MAGIC_COOKIE.to_bytes(4, "big") + TID + body


@pytest.mark.parametrize(("packet", "says"), [
    (b"", "no STUN message"),
    (REQUEST[:19], "no STUN message"),
    (b"\x40" + REQUEST[1:], "no STUN message"),
    (REQUEST[:4] + bytes(4) + REQUEST[8:], "no STUN message"),
    (REQUEST[:-1], "88 bytes of attributes, 87 follow"),
    (REQUEST + bytes(4), "88 bytes of attributes, 92 follow"),
    (attribute(0x0006, b"abc", padding=b"")[:-3] + bytes(4), "bytes of attributes"),
    (REQUEST[:-8] + attribute(0x8028, bytes(4))[20:], "FINGERPRINT does not fit"),
    (attribute(0x8028, bytes(8)), "FINGERPRINT is not the last"),
    (attribute(0x0008, bytes(32)), "MESSAGE-INTEGRITY has 32 bytes"),
    (attribute(0x0020, b""), "shorter than its header"),
    (attribute(0x0020, bytes(8)), "family 0"),
    (attribute(0x0020, b"\0\x01" + bytes(18)), "family 1 has 20 bytes"),
    (attribute(0x0020, b"\0\x02" + bytes(22)), "24 bytes"),
    (attribute(0x0001, b"\0\x02" + bytes(22)), "24 bytes"),
    (attribute(0x0006, b"\xff\xff"), "not UTF-8"),
    (attribute(0x000D, bytes(3)), "3 bytes instead of 4"),
    (attribute(0x0025, b"\0"), "carries bytes"),
    (attribute(0x0009, b"\0\0\x04"), "no code"),
    (attribute(0x0009, b"\0\0\x02\0"), "no code"),
    (attribute(0x0009, b"\0\0\x04\x64"), "no code"),
    (attribute(0x000A, bytes(3)), "odd length"),
])  # fmt: skip
def test_a_message_that_cannot_be_read_is_refused_with_a_reason(packet: bytes, says: str) -> None:
    with pytest.raises(StunError, match=says):
        stun.parse(packet)


def test_an_attribute_longer_than_the_message_is_refused() -> None:
    packet = bytearray(attribute(0xC001, bytes(8)))
    packet[stun.HEADER_BYTES + 3] = 12
    with pytest.raises(StunError, match="0xc001 is longer than the message"):
        stun.parse(bytes(packet))


def test_one_flipped_bit_breaks_the_integrity_or_the_message() -> None:
    covered = len(REQUEST) - stun.INTEGRITY_BYTES - stun.FINGERPRINT_BYTES
    for at in range(covered):
        packet = bytearray(REQUEST[: -stun.FINGERPRINT_BYTES])
        packet[2:4] = (len(packet) - stun.HEADER_BYTES).to_bytes(2, "big")
        assert stun.parse(bytes(packet)).integrity_is_valid(ICE_PASSWORD)
        packet[at] ^= 0x10
        try:
            message = stun.parse(bytes(packet))
        except StunError:
            continue
        # The length field is the one that MESSAGE-INTEGRITY does not cover as it stands; parse holds that to account.
        assert not message.integrity_is_valid(ICE_PASSWORD), at


def test_words_for_people_need_not_be_utf_8() -> None:
    assert stun.parse(attribute(0x8022, b"co\xffturn")).get(stun.SOFTWARE) == "co\ufffdturn"
    assert stun.parse(attribute(0x0009, b"\0\0\x04\x01\xff")).get(stun.ERROR_CODE) == ErrorCode(401, "\ufffd")


def test_a_flag_that_is_not_set_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="either there or not"):
        Message(1, MessageClass.REQUEST, TID, [(stun.USE_CANDIDATE, False)]).encode()


def test_a_zone_index_does_not_travel() -> None:
    packet = Message(1, MessageClass.SUCCESS, TID, [(stun.XOR_MAPPED_ADDRESS, ("fe80::1%eth0", 9))]).encode()
    assert stun.parse(packet).get(stun.XOR_MAPPED_ADDRESS) == ("fe80::1", 9)


def test_long_term_key_is_that_of_the_rfc() -> None:
    assert stun.long_term_key("user", "realm", "pass").hex() == "8493fbc53ba582fb4c044c456bdc40eb"  # RFC 8489 9.2.2
    assert stun.long_term_key("u", "r", "p") == hashlib.md5(b"u:r:p", usedforsecurity=False).digest()


@given(st.integers(5, 300).map(lambda words: 4 * words), st.integers(5, 300).map(lambda words: 4 * words))
def test_padding_brings_a_message_to_the_size(message_bytes: int, wanted_bytes: int) -> None:
    padding = stun.padding_to(message_bytes, wanted_bytes)
    if wanted_bytes <= message_bytes:
        assert padding is None
    else:
        assert padding is not None
        with_it = Message(1, MessageClass.REQUEST, TID, [padding]).encode()
        assert len(with_it) - stun.HEADER_BYTES == wanted_bytes - message_bytes


def test_silence_is_decided_after_the_last_request() -> None:
    for schedule, decided in (
        (stun.PROBE_SCHEDULE_S, stun.PROBE_DECIDED_S),
        (stun.RFC8489_SCHEDULE_S, stun.RFC8489_DECIDED_S),
    ):
        assert schedule[0] == 0.0 and list(schedule) == sorted(schedule) and schedule[-1] < decided
