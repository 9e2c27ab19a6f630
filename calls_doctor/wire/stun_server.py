"""The server's side of STUN Binding (RFC 8489 section 6.3): which address a request came from.

Bytes in, bytes out. It asks for no credentials, keeps no state but the rate limit, and is silent to whatever is not
a Binding request.
"""

from __future__ import annotations

from typing import Any  # attributes have values of every type

from calls_doctor.errors import StunError
from calls_doctor.model.flow import Path
from calls_doctor.wire import stun
from calls_doctor.wire.rate_limit import RateLimit
from calls_doctor.wire.stun import ErrorCode, Message, MessageClass, Method

UNDERSTOOD: frozenset[stun.AttributeType[Any]] = frozenset({stun.USERNAME, stun.REALM, stun.NONCE})
"""The comprehension-required attributes that change nothing here; NAT behaviour (RFC 5780) is not offered."""
UNKNOWN_ATTRIBUTE = 420


class BindingResponder:
    """Answers Binding requests, at most as often as the rate limit allows each source."""

    def __init__(self, software: str, limit: RateLimit | None = None) -> None:
        self._software = software
        self._limit = limit or RateLimit()

    def answer(self, packet: bytes, path: Path, now: float) -> bytes | None:
        """The answer to one datagram or message that came by this path; None where it deserves none."""
        try:
            message = stun.parse(packet)
        except StunError:
            return None
        if message.message_class is not MessageClass.REQUEST or message.method != Method.BINDING:
            return None
        return self.answer_to(message, path, now)

    def answer_to(self, message: Message, path: Path, now: float) -> bytes | None:
        """The same for a Binding request that was parsed already."""
        if not self._limit.allows(path.remote[0], now):
            return None
        software = (stun.SOFTWARE, self._software)
        if unknown := not_understood(message, UNDERSTOOD):
            refusal = [(stun.ERROR_CODE, ErrorCode(UNKNOWN_ATTRIBUTE, "Unknown Attribute"))]
            return answer(message, MessageClass.ERROR, [*refusal, (stun.UNKNOWN_ATTRIBUTES, unknown), software])
        return answer(message, MessageClass.SUCCESS, [(stun.XOR_MAPPED_ADDRESS, path.remote), software])


def answer(
    request: Message, message_class: MessageClass, attributes: stun.Attributes, key: bytes | None = None
) -> bytes:
    """An answer to the request, signed with the key where one is given; with FINGERPRINT where the request had it."""
    message = Message(request.method, message_class, request.transaction_id, attributes)
    return message.encode(key, fingerprint=request.has_fingerprint)


def not_understood(message: Message, understood: frozenset[stun.AttributeType[Any]]) -> list[int]:
    """The comprehension-required attributes of a request that are not among those understood (RFC 8489 section 6.3.1).

    The codec knows attributes of many uses; which of them a server must refuse is the server's to say.
    """
    known = {row.number for row, _ in message.attributes if row.comprehension_required and row not in understood}
    return sorted(known | set(message.unknown_required()))
