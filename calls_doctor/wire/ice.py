"""ICE's messages (RFC 8445, 7675): what a connectivity check and its answer hold, and when either is believed.

The agents that send and answer them are in ice_lite.py (the stand-in) and ice_controlling.py (the client). Nothing
here opens a socket, reads a clock or draws a random number, and no answer is ever larger than its request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any  # attributes of a message have values of every type

from calls_doctor.model.flow import Address, Path, Transport
from calls_doctor.wire import stun
from calls_doctor.wire.stun import AttributeType, ErrorCode, Message, MessageClass, Method

CONSENT_EXPIRY_S = 30.0
"""Without a valid check for so long nothing more may be sent (RFC 7675 section 5.1)."""
CONSENT_INTERVAL_S = (4.0, 6.0)
"""Consent is asked for every 5 s, randomised by a fifth (RFC 7675 section 5.1)."""

BAD_REQUEST, UNAUTHENTICATED, FORBIDDEN, UNKNOWN_ATTRIBUTE = 400, 401, 403, 420
ROLE_CONFLICT = 487
INSUFFICIENT_CAPACITY = 508
"""RFC 8656's code, for a session that has too many paths."""

Attributes = Sequence[tuple[AttributeType[Any], Any]]
Random = Callable[[int], bytes]
"""`random(n)` gives n random bytes."""


class IceRole(StrEnum):
    """LITE only answers (RFC 8445 section 2.5); CONTROLLING checks and nominates."""

    CONTROLLING = "controlling"
    LITE = "lite"


@dataclass(frozen=True, kw_only=True)
class IceCredentials:
    """Fragments and passwords of both ends, as RFC 8445 section 7.2.2 uses them. The repr shows no password."""

    local_fragment: str
    local_password: str = field(repr=False)
    remote_fragment: str
    remote_password: str = field(repr=False)

    @property
    def username_in(self) -> str:
        """USERNAME of the checks that come in."""
        return f"{self.local_fragment}:{self.remote_fragment}"

    @property
    def username_out(self) -> str:
        """USERNAME of the checks that go out."""
        return f"{self.remote_fragment}:{self.local_fragment}"

    @property
    def key_in(self) -> bytes:
        """The key of incoming checks and of our answers."""
        return self.local_password.encode()

    @property
    def key_out(self) -> bytes:
        """The key of our checks and of the answers to them."""
        return self.remote_password.encode()


def fragments(message: Message) -> tuple[str, str] | None:
    """The receiver's and the sender's fragment in USERNAME of a Binding request; None for all else."""
    if message.method != Method.BINDING or message.message_class is not MessageClass.REQUEST:
        return None
    ours, colon, theirs = (message.get(stun.USERNAME) or "").partition(":")
    return (ours, theirs) if colon else None


def is_authentic(request: Message, credentials: IceCredentials) -> bool:
    """True for a Binding request of this session with valid MESSAGE-INTEGRITY."""
    parts = fragments(request)
    return (
        parts is not None
        and ":".join(parts) == credentials.username_in
        and request.integrity_is_valid(credentials.key_in)
    )


def priority(path: Path) -> int:
    """PRIORITY of a check: that of a peer-reflexive candidate, over TCP below any over UDP (RFC 8445 section 5.1.2,
    RFC 6544 section 4.2)."""
    local_preference = 8191 if path.transport is Transport.TCP else 65535
    return 110 << 24 | local_preference << 8 | 255


def check(
    transaction_id: bytes,
    credentials: IceCredentials,
    path: Path,
    role: tuple[AttributeType[int], int],
    *,
    nominates: bool = False,
) -> bytes:
    """A connectivity check; `role` is ICE-CONTROLLING or ICE-CONTROLLED with the tie-breaker."""
    attributes: list[tuple[AttributeType[Any], Any]] = [
        (stun.USERNAME, credentials.username_out),
        (stun.PRIORITY, priority(path)),
        role,
    ]
    if nominates:
        attributes.append((stun.USE_CANDIDATE, True))
    request = Message(Method.BINDING, MessageClass.REQUEST, transaction_id, attributes)
    return request.encode(integrity_key=credentials.key_out, fingerprint=True)


def success(
    request: Message, request_bytes: int, mapped: Address, key: bytes, books: bytes = b"", *, exact: bool = False
) -> bytes | None:
    """The answer to a check, never larger than the request; None where not even the least of it fits.

    `books` is the value of BOOKS, left out where it does not fit. `exact` pads the answer to the request's size, so
    that one probe tests both directions at that size.
    """
    least: Attributes = [(stun.XOR_MAPPED_ADDRESS, mapped)]
    choices: list[Attributes] = [[*least, (stun.BOOKS, books)], least] if books else [least]
    for attributes in choices:
        packet = _fitting(request, request_bytes, MessageClass.SUCCESS, attributes, key)
        if packet is None:
            continue
        padding = stun.padding_to(len(packet), request_bytes) if exact else None
        if padding is not None:
            packet = _fitting(request, request_bytes, MessageClass.SUCCESS, [*attributes, padding], key)
        return packet
    return None


def refusal(
    request: Message, request_bytes: int, error: ErrorCode, key: bytes, attributes: Attributes = ()
) -> bytes | None:
    """An authenticated error, never larger than the request; None where it does not fit."""
    for rest in (attributes, ()):
        for code in (error, ErrorCode(error.code)):
            packet = _fitting(request, request_bytes, MessageClass.ERROR, [(stun.ERROR_CODE, code), *rest], key)
            if packet is not None:
                return packet
    return None


def unknown_attributes_refusal(request: Message, request_bytes: int, key: bytes) -> bytes | None:
    """420 with the attributes that had to be understood (RFC 8489 section 6.3.1)."""
    error = ErrorCode(UNKNOWN_ATTRIBUTE, "Unknown Attribute")
    return refusal(request, request_bytes, error, key, [(stun.UNKNOWN_ATTRIBUTES, request.unknown_required())])


def role_conflict_refusal(request: Message, request_bytes: int, key: bytes) -> bytes | None:
    """487 (RFC 8445 section 7.3.1.1)."""
    return refusal(request, request_bytes, ErrorCode(ROLE_CONFLICT, "Role Conflict"), key)


def _fitting(
    request: Message, request_bytes: int, message_class: MessageClass, attributes: Attributes, key: bytes
) -> bytes | None:
    packet = _encoded(request, message_class, attributes, key)
    if len(packet) > request_bytes:  # FINGERPRINT is what a receiver needs least: it comes from a mapped 5-tuple
        packet = _encoded(request, message_class, attributes, key, fingerprint=False)
    return packet if len(packet) <= request_bytes else None


def _encoded(
    request: Message, message_class: MessageClass, attributes: Attributes, key: bytes, fingerprint: bool = True
) -> bytes:
    answer = Message(Method.BINDING, message_class, request.transaction_id, attributes)
    return answer.encode(integrity_key=key, fingerprint=fingerprint)
