"""What a NAT or firewall lets in from addresses that were not asked: filtering (RFC 4787 section 5), by a server with
another address that answers from there on request (RFC 5780 section 4.4).

One test is one fresh socket: the server is asked plainly, then for an answer from elsewhere; where that does not come,
elsewhere is asked itself. So neither a blocked path nor a server that says that it cannot do it is taken for a filter;
one that names another address and may not send from there unasked looks like one. Bytes in, bytes out: the socket, the
schedule and the transaction ids are the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum, StrEnum

from calls_doctor.errors import StunError
from calls_doctor.model.flow import Address
from calls_doctor.wire import stun
from calls_doctor.wire.stun import Attributes, Message, MessageClass, Method


class Change(IntEnum):
    """CHANGE-REQUEST (RFC 5780 section 7.2): from where the answer is to come."""

    PORT = 0x2
    ADDRESS_AND_PORT = 0x6


class Step(IntEnum):
    """What a test asks, in this order."""

    PLAIN = 0
    """The server, for an answer of its own: the path is open."""
    CHANGED = 1
    """The server, for an answer from elsewhere, to which nothing was sent."""
    DIRECT = 2
    """Elsewhere, for an answer of its own: it lives, and its packets get here once it was asked."""


class Outcome(StrEnum):
    """What one test came to."""

    ARRIVED = "arrived"
    """The answer came from the changed address, uncalled for by this socket."""
    FILTERED = "filtered"
    """It did not, and that address answers once it is asked itself."""
    REFUSED = "refused"
    """The server says that it does not do it (420)."""
    NOT_CHANGED = "not-changed"
    """The server answered from where it was asked."""
    ELSEWHERE = "elsewhere"
    """The answer came from an address that was not announced: the server's own NAT may stand before it."""
    UNANSWERED = "unanswered"
    """Not even the plain request of this socket was answered."""
    OTHER_SILENT = "other-silent"
    """The changed address is silent when it is asked itself too."""


class Filtering(StrEnum):
    """RFC 4787 section 5."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_DEPENDENT = "address-dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"
    UNKNOWN = "unknown"


def changed_source(server: Address, other: Address, change: Change) -> Address:
    """From where the answer comes, where OTHER-ADDRESS says `other`."""
    return other if change is Change.ADDRESS_AND_PORT else (server[0], other[1])


def changes_offered(server: Address, other: Address) -> list[Change]:
    """What this server can change: one with a single IP address offers another port alone, and one whose OTHER-ADDRESS
    is of the other family, or no address at all, offers nothing."""
    if (":" in other[0]) is not (":" in server[0]) or not other[1]:
        return []
    differs = {Change.ADDRESS_AND_PORT: other[0] != server[0], Change.PORT: other[1] != server[1]}
    return [change for change, is_other in differs.items() if is_other]


class FilteringTest:
    """One test. The caller sends `request` until `receive` says that it is done with, or nothing came: `silence`."""

    def __init__(self, server: Address, other: Address, change: Change, transaction_ids: Sequence[bytes]) -> None:
        """`transaction_ids`: one for each Step."""
        self.server, self.change = server, change
        self.expected = changed_source(server, other, change)
        self.step = Step.PLAIN
        self.outcome: Outcome | None = None
        """None: it is not over."""
        self.answered_from: Address | None = None
        """Whence the answer to CHANGE-REQUEST came; None: there was none."""
        self._transaction_ids = transaction_ids

    def request(self) -> tuple[bytes, Address]:
        """What is sent in this step, and to whom."""
        attributes: Attributes = [(stun.CHANGE_REQUEST, int(self.change))] if self.step is Step.CHANGED else []
        message = Message(Method.BINDING, MessageClass.REQUEST, self._transaction_ids[self.step], attributes)
        return message.encode(), self.expected if self.step is Step.DIRECT else self.server

    def receive(self, packet: bytes, source: Address) -> bool:
        """One datagram came to the socket. True where that ends the step."""
        try:
            message = stun.parse(packet)
        except StunError:
            return False
        is_answer = message.message_class in (MessageClass.SUCCESS, MessageClass.ERROR)
        if self.outcome or not is_answer or message.transaction_id != self._transaction_ids[self.step]:
            return False
        if self.step is Step.CHANGED:
            self.answered_from = source
            self.outcome = self._changed(message, source)
            return True
        asked = self.server if self.step is Step.PLAIN else self.expected
        if source != asked or message.message_class is not MessageClass.SUCCESS:
            return False
        if self.step is Step.PLAIN:
            self.step = Step.CHANGED
        else:
            self.outcome = Outcome.FILTERED
        return True

    def _changed(self, message: Message, source: Address) -> Outcome:
        if source == self.expected:
            return Outcome.ARRIVED
        if source != self.server:
            return Outcome.ELSEWHERE
        return Outcome.REFUSED if message.message_class is MessageClass.ERROR else Outcome.NOT_CHANGED

    def silence(self) -> None:
        """Nothing ended the step for long enough."""
        if self.step is Step.CHANGED:
            self.step = Step.DIRECT
        else:
            self.outcome = Outcome.UNANSWERED if self.step is Step.PLAIN else Outcome.OTHER_SILENT


def filtering_of(outcomes: Mapping[Change, Outcome]) -> Filtering:
    """What the tests say together (RFC 5780 section 4.4)."""
    address, port = outcomes.get(Change.ADDRESS_AND_PORT), outcomes.get(Change.PORT)
    if address is Outcome.ARRIVED:
        return Filtering.ENDPOINT_INDEPENDENT
    if port is Outcome.FILTERED:
        return Filtering.ADDRESS_AND_PORT_DEPENDENT
    if address is Outcome.FILTERED and port is Outcome.ARRIVED:
        return Filtering.ADDRESS_DEPENDENT
    return Filtering.UNKNOWN
