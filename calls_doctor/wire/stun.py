"""STUN messages (RFC 8489), with the attributes of TURN (RFC 8656), ICE (RFC 8445) and NAT behaviour (RFC 5780).

Bytes in, messages out. It never opens a socket, reads a clock or draws a random number: transaction ids are
arguments. A new attribute is one row of the table below.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Generic, TypeVar, cast  # Any: a message holds attributes of every type

from calls_doctor.errors import StunError
from calls_doctor.model.flow import Address

MAGIC_COOKIE = 0x2112A442
HEADER_BYTES = 20
FINGERPRINT_XOR = 0x5354554E
INTEGRITY_BYTES = 24
"""MESSAGE-INTEGRITY with its header."""
FINGERPRINT_BYTES = 8
"""FINGERPRINT with its header."""
_ADDRESS_BYTES_MAX = 20
TRANSACTION_ID_BYTES = 12
TRANSACTION_ID = slice(8, 8 + TRANSACTION_ID_BYTES)
"""Where it stands in a message."""

PROBE_SCHEDULE_S = (0.0, 0.05, 0.15, 0.35, 0.75, 1.55)
"""When a request is sent over UDP, seconds after the first, where silence is to be a verdict."""
PROBE_DECIDED_S = 2.55
"""When silence on that schedule is decided."""
RFC8489_SCHEDULE_S = (0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5)
"""RFC 8489 section 6.2.1: RTO 0.5 s, doubled, seven requests."""
RFC8489_DECIDED_S = 39.5


class Method(IntEnum):
    """RFC 8489 section 18.2, RFC 8656 section 17."""

    BINDING = 0x001
    ALLOCATE = 0x003
    REFRESH = 0x004
    SEND = 0x006
    DATA = 0x007
    CREATE_PERMISSION = 0x008
    CHANNEL_BIND = 0x009


class MessageClass(IntEnum):
    """RFC 8489 section 5."""

    REQUEST = 0b00
    INDICATION = 0b01
    SUCCESS = 0b10
    ERROR = 0b11


T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class AttributeType(Generic[T]):
    """One row of the attribute table; pack and unpack get the transaction id for the XORed addresses."""

    number: int
    name: str
    pack: Callable[[T, bytes], bytes]
    unpack: Callable[[bytes, bytes], T]

    @property
    def comprehension_required(self) -> bool:
        """RFC 8489 section 14: 0x0000 to 0x7FFF must be understood."""
        return self.number < 0x8000

    def __repr__(self) -> str:
        return self.name


def _pack_address(address: Address, _tid: bytes = b"") -> bytes:
    ip = ipaddress.ip_address(address[0].split("%")[0])
    return struct.pack("!BBH", 0, 1 if ip.version == 4 else 2, address[1]) + ip.packed


def _unpack_address(data: bytes, _tid: bytes = b"") -> Address:
    if len(data) < 4:
        raise StunError("an address attribute is shorter than its header")
    _, family, port = struct.unpack_from("!BBH", data)
    size = {1: 4, 2: 16}.get(family)
    if size is None or len(data) != 4 + size:
        raise StunError(f"an address attribute of family {family} has {len(data)} bytes")
    return str(ipaddress.ip_address(data[4:])), port


def _xor(packed: bytes, tid: bytes) -> bytes:
    pad = struct.pack("!HI", MAGIC_COOKIE >> 16, MAGIC_COOKIE) + tid
    return packed[:2] + bytes(a ^ b for a, b in zip(packed[2:], pad, strict=False))


def _pack_xor_address(address: Address, tid: bytes) -> bytes:
    return _xor(_pack_address(address), tid)


def _unpack_xor_address(data: bytes, tid: bytes) -> Address:
    if len(data) > _ADDRESS_BYTES_MAX:  # the pad ends there, and what is beyond it would be lost unnoticed
        raise StunError(f"an address attribute has {len(data)} bytes")
    return _unpack_address(_xor(data, tid))


def _pack_text(text: str, _tid: bytes) -> bytes:
    return text.encode()


def _unpack_text(data: bytes, _tid: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise StunError("a text attribute is not UTF-8") from None


def _unpack_words(data: bytes, _tid: bytes) -> str:
    """Text that people read and nothing is made from: one byte that is not UTF-8 is no reason to lose an answer."""
    return data.decode(errors="replace")


def _number(layout: str) -> tuple[Callable[[int, bytes], bytes], Callable[[bytes, bytes], int]]:
    def unpack(data: bytes, _tid: bytes) -> int:
        if len(data) != struct.calcsize(layout):
            raise StunError(f"a number attribute has {len(data)} bytes instead of {struct.calcsize(layout)}")
        return cast(int, struct.unpack(layout, data)[0])

    return lambda value, _tid: struct.pack(layout, value), unpack


def _pack_flag(value: bool, _tid: bytes) -> bytes:
    if not value:
        raise ValueError("a flag attribute is either there or not")
    return b""


def _unpack_flag(data: bytes, _tid: bytes) -> bool:
    if data:
        raise StunError("a flag attribute carries bytes")
    return True


def _pack_bytes(value: bytes, _tid: bytes) -> bytes:
    return value


def _unpack_bytes(data: bytes, _tid: bytes) -> bytes:
    return data


@dataclass(frozen=True)
class ErrorCode:
    """RFC 8489 section 14.8."""

    code: int
    reason: str = ""


def _pack_error(error: ErrorCode, _tid: bytes) -> bytes:
    return struct.pack("!HBB", 0, error.code // 100, error.code % 100) + error.reason.encode()


def _unpack_error(data: bytes, _tid: bytes) -> ErrorCode:
    if len(data) < 4 or not 3 <= data[2] & 7 <= 6 or data[3] > 99:
        raise StunError("ERROR-CODE holds no code from 300 to 699")
    return ErrorCode((data[2] & 7) * 100 + data[3], data[4:].decode(errors="replace"))


def _pack_numbers(values: Sequence[int], _tid: bytes) -> bytes:
    return b"".join(struct.pack("!H", value) for value in values)


def _unpack_numbers(data: bytes, _tid: bytes) -> Sequence[int]:
    if len(data) % 2:
        raise StunError("UNKNOWN-ATTRIBUTES has an odd length")
    return [number for (number,) in struct.iter_unpack("!H", data)]


_U8, _U16, _U32, _U64 = _number("!Bxxx"), _number("!Hxx"), _number("!I"), _number("!Q")

# RFC 8489
MAPPED_ADDRESS = AttributeType(0x0001, "MAPPED-ADDRESS", _pack_address, _unpack_address)
USERNAME = AttributeType(0x0006, "USERNAME", _pack_text, _unpack_text)
MESSAGE_INTEGRITY = AttributeType(0x0008, "MESSAGE-INTEGRITY", _pack_bytes, _unpack_bytes)
ERROR_CODE = AttributeType(0x0009, "ERROR-CODE", _pack_error, _unpack_error)
UNKNOWN_ATTRIBUTES = AttributeType(0x000A, "UNKNOWN-ATTRIBUTES", _pack_numbers, _unpack_numbers)
REALM = AttributeType(0x0014, "REALM", _pack_text, _unpack_text)
NONCE = AttributeType(0x0015, "NONCE", _pack_bytes, _unpack_bytes)
XOR_MAPPED_ADDRESS = AttributeType(0x0020, "XOR-MAPPED-ADDRESS", _pack_xor_address, _unpack_xor_address)
SOFTWARE = AttributeType(0x8022, "SOFTWARE", _pack_text, _unpack_words)
ALTERNATE_SERVER = AttributeType(0x8023, "ALTERNATE-SERVER", _pack_address, _unpack_address)
FINGERPRINT = AttributeType(0x8028, "FINGERPRINT", *_U32)
# RFC 8656
CHANNEL_NUMBER = AttributeType(0x000C, "CHANNEL-NUMBER", *_U16)
LIFETIME = AttributeType(0x000D, "LIFETIME", *_U32)
XOR_PEER_ADDRESS = AttributeType(0x0012, "XOR-PEER-ADDRESS", _pack_xor_address, _unpack_xor_address)
DATA = AttributeType(0x0013, "DATA", _pack_bytes, _unpack_bytes)
XOR_RELAYED_ADDRESS = AttributeType(0x0016, "XOR-RELAYED-ADDRESS", _pack_xor_address, _unpack_xor_address)
REQUESTED_ADDRESS_FAMILY = AttributeType(0x0017, "REQUESTED-ADDRESS-FAMILY", *_U8)
EVEN_PORT = AttributeType(0x0018, "EVEN-PORT", _pack_bytes, _unpack_bytes)
REQUESTED_TRANSPORT = AttributeType(0x0019, "REQUESTED-TRANSPORT", *_U8)
DONT_FRAGMENT = AttributeType(0x001A, "DONT-FRAGMENT", _pack_flag, _unpack_flag)
RESERVATION_TOKEN = AttributeType(0x0022, "RESERVATION-TOKEN", _pack_bytes, _unpack_bytes)
# RFC 8445
PRIORITY = AttributeType(0x0024, "PRIORITY", *_U32)
USE_CANDIDATE = AttributeType(0x0025, "USE-CANDIDATE", _pack_flag, _unpack_flag)
ICE_CONTROLLED = AttributeType(0x8029, "ICE-CONTROLLED", *_U64)
ICE_CONTROLLING = AttributeType(0x802A, "ICE-CONTROLLING", *_U64)
# RFC 5780
CHANGE_REQUEST = AttributeType(0x0003, "CHANGE-REQUEST", *_U32)
PADDING = AttributeType(0x0026, "PADDING", _pack_bytes, _unpack_bytes)
RESPONSE_PORT = AttributeType(0x0027, "RESPONSE-PORT", *_U16)
RESPONSE_ORIGIN = AttributeType(0x802B, "RESPONSE-ORIGIN", _pack_address, _unpack_address)
OTHER_ADDRESS = AttributeType(0x802C, "OTHER-ADDRESS", _pack_address, _unpack_address)
# Ours: comprehension-optional and not registered, so others ignore them (measured: Chromium, aioice).
BOOKS = AttributeType(0xCD0C, "BOOKS", _pack_bytes, _unpack_bytes)
DOCUMENT_REQUEST = AttributeType(0xCD0D, "DOCUMENT-REQUEST", _pack_bytes, _unpack_bytes)
PROBE_NUMBER = AttributeType(0xCD0E, "PROBE-NUMBER", *_U32)
DOCUMENT_PAGE = AttributeType(0xCD0F, "DOCUMENT-PAGE", _pack_bytes, _unpack_bytes)
REACH_BACK = AttributeType(0xCD10, "REACH-BACK", *_U32)
"""A UDP port of the sender's, to be reached from the media port; over TCP alone, which proves the address."""
HOLD_ANSWER = AttributeType(0xCD11, "HOLD-ANSWER", *_U32)
"""For how many milliseconds the answer is to be held back; over UDP alone."""

ATTRIBUTES: dict[int, AttributeType[Any]] = {
    row.number: row
    for row in (
        MAPPED_ADDRESS, USERNAME, MESSAGE_INTEGRITY, ERROR_CODE, UNKNOWN_ATTRIBUTES, REALM, NONCE, XOR_MAPPED_ADDRESS,
        SOFTWARE, ALTERNATE_SERVER, FINGERPRINT, CHANNEL_NUMBER, LIFETIME, XOR_PEER_ADDRESS, DATA, XOR_RELAYED_ADDRESS,
        REQUESTED_ADDRESS_FAMILY, EVEN_PORT, REQUESTED_TRANSPORT, DONT_FRAGMENT, RESERVATION_TOKEN, PRIORITY,
        USE_CANDIDATE, ICE_CONTROLLED, ICE_CONTROLLING, CHANGE_REQUEST, PADDING, RESPONSE_PORT, RESPONSE_ORIGIN,
        OTHER_ADDRESS, BOOKS, DOCUMENT_REQUEST, PROBE_NUMBER, DOCUMENT_PAGE, REACH_BACK, HOLD_ANSWER,
    )
}  # fmt: skip


Attributes = Sequence[tuple[AttributeType[Any], Any]]
"""What a message says, in the order in which it says it."""


@dataclass(frozen=True)
class Message:
    """One STUN message. MESSAGE-INTEGRITY and FINGERPRINT are made by `encode` and not listed among `attributes`."""

    method: int
    message_class: MessageClass
    transaction_id: bytes
    attributes: Attributes = ()
    unknown: Sequence[tuple[int, bytes]] = ()
    """Attributes that are not in the table, as they came."""
    raw: bytes = field(default=b"", compare=False, repr=False)
    """The bytes it was parsed from; b"" for a message of our own."""
    integrity_at: int | None = field(default=None, compare=False, repr=False)
    """Where MESSAGE-INTEGRITY begins in `raw`; None where there is none."""
    has_fingerprint: bool = field(default=False, compare=False)
    """True for a parsed message with a FINGERPRINT, which fits it."""

    def get(self, attribute: AttributeType[T]) -> T | None:
        """The first value of the attribute, or None (RFC 8489 section 14: only the first one counts)."""
        for row, value in self.attributes:
            if row is attribute:
                return cast(T, value)
        return None

    def all(self, attribute: AttributeType[T]) -> list[T]:
        """Every value of the attribute; CreatePermission may name several peers."""
        return [cast(T, value) for row, value in self.attributes if row is attribute]

    def unknown_required(self) -> list[int]:
        """Attributes that had to be understood and are not: the answer is 420 (RFC 8489 section 6.3.1)."""
        return [number for number, _ in self.unknown if number < 0x8000]

    def encode(self, integrity_key: bytes | None = None, fingerprint: bool = False) -> bytes:
        """The bytes on the wire, with MESSAGE-INTEGRITY (HMAC-SHA1) under the key and FINGERPRINT where asked for."""
        tid = self.transaction_id
        body = b"".join(_encode_attribute(row.number, row.pack(value, tid)) for row, value in self.attributes)
        body += b"".join(_encode_attribute(number, value) for number, value in self.unknown)
        if integrity_key is not None:
            mac = hmac.digest(integrity_key, self._header(len(body) + INTEGRITY_BYTES) + body, "sha1")
            body += _encode_attribute(MESSAGE_INTEGRITY.number, mac)
        if fingerprint:
            crc = zlib.crc32(self._header(len(body) + FINGERPRINT_BYTES) + body) ^ FINGERPRINT_XOR
            body += _encode_attribute(FINGERPRINT.number, struct.pack("!I", crc))
        return self._header(len(body)) + body

    def __bytes__(self) -> bytes:
        return self.raw or self.encode()

    def integrity_is_valid(self, key: bytes) -> bool:
        """True where the parsed message carries MESSAGE-INTEGRITY made with this key."""
        if self.integrity_at is None:
            return False
        covered = bytearray(self.raw[: self.integrity_at])
        struct.pack_into("!H", covered, 2, self.integrity_at - HEADER_BYTES + INTEGRITY_BYTES)
        expected = hmac.digest(key, bytes(covered), "sha1")
        return hmac.compare_digest(expected, self.raw[self.integrity_at + 4 : self.integrity_at + INTEGRITY_BYTES])

    def _header(self, length: int) -> bytes:
        method, kind = self.method, self.message_class
        bits = (method & 0xF) | (kind & 1) << 4 | (method & 0x70) << 1 | (kind & 2) << 7 | (method & 0xF80) << 2
        return struct.pack("!HHI", bits, length, MAGIC_COOKIE) + self.transaction_id


def _encode_attribute(number: int, value: bytes) -> bytes:
    return struct.pack("!HH", number, len(value)) + value + bytes(-len(value) % 4)


def looks_like_stun(data: bytes) -> bool:
    """A first byte of 0 to 3 (RFC 7983: other protocols share the port) and the magic cookie; cheap, before `parse`."""
    return len(data) >= HEADER_BYTES and data[0] < 4 and data[4:8] == MAGIC_COOKIE.to_bytes(4, "big")


def parse(data: bytes) -> Message:
    """Reads one message that fills `data` exactly. Raises StunError, and nothing else, on anything else.

    A FINGERPRINT that does not fit is an error; MESSAGE-INTEGRITY is not judged here (`integrity_is_valid`).
    Attributes after MESSAGE-INTEGRITY other than FINGERPRINT are ignored (RFC 8489 section 14.5).
    """
    if not looks_like_stun(data):
        raise StunError("no STUN message: the header or its magic cookie is missing")
    bits, length = struct.unpack_from("!HH", data)
    if length % 4 or length != len(data) - HEADER_BYTES:
        raise StunError(f"the header announces {length} bytes of attributes, {len(data) - HEADER_BYTES} follow")
    transaction_id = data[8:20]
    attributes: list[tuple[AttributeType[Any], Any]] = []
    unknown: list[tuple[int, bytes]] = []
    integrity_at: int | None = None
    has_fingerprint = False
    at = HEADER_BYTES
    while at < len(data):
        number, size = struct.unpack_from("!HH", data, at)
        value = data[at + 4 : at + 4 + size]
        if len(value) != size or at + 4 + size + (-size % 4) > len(data):
            raise StunError(f"attribute 0x{number:04x} is longer than the message")
        if number == FINGERPRINT.number:
            _check_fingerprint(data, at, value)
            has_fingerprint = True
            break
        if integrity_at is None:
            if number == MESSAGE_INTEGRITY.number:
                if size != INTEGRITY_BYTES - 4:
                    raise StunError(f"MESSAGE-INTEGRITY has {size} bytes instead of 20")
                integrity_at = at
            elif row := ATTRIBUTES.get(number):
                attributes.append((row, row.unpack(value, transaction_id)))
            else:
                unknown.append((number, value))
        at += 4 + size + (-size % 4)
    method = bits & 0xF | (bits >> 1) & 0x70 | (bits >> 2) & 0xF80
    message_class = MessageClass((bits >> 4) & 1 | (bits >> 7) & 2)
    head = (method, message_class, transaction_id)
    return Message(*head, tuple(attributes), tuple(unknown), data, integrity_at, has_fingerprint)


def _check_fingerprint(data: bytes, at: int, value: bytes) -> None:
    if at + FINGERPRINT_BYTES != len(data) or len(value) != 4:
        raise StunError("FINGERPRINT is not the last attribute, or not 4 bytes long")
    if zlib.crc32(data[:at]) ^ FINGERPRINT_XOR != int.from_bytes(value, "big"):
        raise StunError("FINGERPRINT does not fit the message")


def long_term_key(username: str, realm: str, password: str) -> bytes:
    """The key of the long-term credential mechanism: MD5 of `username:realm:password` (RFC 8489 section 9.2.2)."""
    return hashlib.md5(f"{username}:{realm}:{password}".encode(), usedforsecurity=False).digest()


def padding_to(message_bytes: int, wanted_bytes: int) -> tuple[AttributeType[bytes], bytes] | None:
    """A PADDING attribute (RFC 5780 section 7.6) that brings a message of this size to the wanted size; None where
    it is that large already or fewer than 4 bytes are missing. Sizes are multiples of 4."""
    missing = wanted_bytes - message_bytes
    return (PADDING, bytes(missing - 4)) if missing >= 4 else None
