"""The filtering test of RFC 5780 section 4.4, step by step: what it sends, what it believes, what it comes to."""

from __future__ import annotations

import pytest

from calls_doctor.model.flow import Address
from calls_doctor.wire import stun
from calls_doctor.wire.filtering import (
    Change,
    Filtering,
    FilteringTest,
    Outcome,
    Step,
    changed_source,
    changes_offered,
    filtering_of,
)
from calls_doctor.wire.stun import ErrorCode, Message, MessageClass, Method

SERVER, OTHER = ("192.0.2.1", 3478), ("192.0.2.2", 3479)
OTHER_PORT = ("192.0.2.1", 3479)
STRANGER = ("203.0.113.9", 9)
IDS = [bytes([number]) * 12 for number in range(3)]


def a_test(change: Change = Change.ADDRESS_AND_PORT) -> FilteringTest:
    return FilteringTest(SERVER, OTHER, change, IDS)


def answer(step: Step, kind: MessageClass = MessageClass.SUCCESS) -> bytes:
    error = [(stun.ERROR_CODE, ErrorCode(420, "Unknown Attribute"))] if kind is MessageClass.ERROR else []
    return Message(Method.BINDING, kind, IDS[step], error).encode()


def changed(change: Change = Change.ADDRESS_AND_PORT) -> FilteringTest:
    """One that has been answered plainly."""
    test = a_test(change)
    assert test.receive(answer(Step.PLAIN), SERVER)
    return test


def sent(test: FilteringTest) -> tuple[Address, int | None]:
    packet, to = test.request()
    return to, stun.parse(packet).get(stun.CHANGE_REQUEST)


@pytest.mark.parametrize(("change", "bits", "expected"), [
    (Change.ADDRESS_AND_PORT, 6, OTHER), (Change.PORT, 2, OTHER_PORT),
])  # fmt: skip
def test_what_is_sent_in_each_step(change: Change, bits: int, expected: Address) -> None:
    test = a_test(change)
    assert sent(test) == (SERVER, None)
    assert test.receive(answer(Step.PLAIN), SERVER)
    assert sent(test) == (SERVER, bits)
    test.silence()
    assert (sent(test), test.outcome) == ((expected, None), None)
    assert test.expected == changed_source(SERVER, OTHER, change) == expected


def test_an_answer_from_the_changed_address_has_come_in() -> None:
    test = changed()
    assert test.receive(answer(Step.CHANGED), OTHER)
    assert (test.outcome, test.answered_from) == (Outcome.ARRIVED, OTHER)


def test_silence_is_a_filter_only_where_the_other_address_answers_when_asked() -> None:
    test = changed(Change.PORT)
    test.silence()
    assert test.receive(answer(Step.DIRECT), OTHER_PORT)
    assert (test.outcome, test.answered_from) == (Outcome.FILTERED, None)
    test = changed(Change.PORT)
    test.silence()
    test.silence()
    assert test.outcome is Outcome.OTHER_SILENT


def test_a_socket_that_is_not_answered_plainly_says_nothing() -> None:
    test = a_test()
    assert not test.receive(answer(Step.CHANGED), OTHER), "it was not asked yet"
    test.silence()
    assert test.outcome is Outcome.UNANSWERED


@pytest.mark.parametrize(("kind", "source", "outcome"), [
    (MessageClass.ERROR, SERVER, Outcome.REFUSED), (MessageClass.SUCCESS, SERVER, Outcome.NOT_CHANGED),
    (MessageClass.SUCCESS, STRANGER, Outcome.ELSEWHERE), (MessageClass.SUCCESS, OTHER_PORT, Outcome.ELSEWHERE),
])  # fmt: skip
def test_an_answer_from_anywhere_else_is_no_proof(kind: MessageClass, source: Address, outcome: Outcome) -> None:
    test = changed()
    assert test.receive(answer(Step.CHANGED, kind), source)
    assert (test.outcome, test.answered_from) == (outcome, source)


@pytest.mark.parametrize("packet", [
    b"", b"noise", answer(Step.DIRECT), Message(Method.BINDING, MessageClass.REQUEST, IDS[1]).encode(),
    Message(Method.BINDING, MessageClass.SUCCESS, bytes(range(12))).encode(), answer(Step.PLAIN),
], ids=["nothing", "noise", "a later step's", "a request", "another's", "an earlier step's, again"])  # fmt: skip
def test_what_is_no_answer_to_this_step_changes_nothing(packet: bytes) -> None:
    test = changed()
    assert not test.receive(packet, OTHER)
    assert (test.step, test.outcome) == (Step.CHANGED, None)


def test_the_first_and_the_last_step_want_an_answer_of_whom_they_asked() -> None:
    test = a_test()
    assert not test.receive(answer(Step.PLAIN), OTHER)
    assert not test.receive(answer(Step.PLAIN, MessageClass.ERROR), SERVER)
    assert test.receive(answer(Step.PLAIN), SERVER)
    test.silence()
    assert not test.receive(answer(Step.CHANGED), OTHER), "the socket has sent there now: it proves nothing any more"
    assert not test.receive(answer(Step.DIRECT), SERVER)
    assert test.receive(answer(Step.DIRECT), OTHER)
    assert not test.receive(answer(Step.DIRECT), OTHER), "it is over"


@pytest.mark.parametrize(("other", "changes"), [
    (OTHER, [Change.ADDRESS_AND_PORT, Change.PORT]), (OTHER_PORT, [Change.PORT]),
    (("192.0.2.2", 3478), [Change.ADDRESS_AND_PORT]), (SERVER, []), (("2001:db8::2", 3479), []), (("192.0.2.2", 0), []),
])  # fmt: skip
def test_what_a_server_can_change(other: Address, changes: list[Change]) -> None:
    assert changes_offered(SERVER, other) == changes


ARRIVED, FILTERED, SILENT = Outcome.ARRIVED, Outcome.FILTERED, Outcome.OTHER_SILENT


@pytest.mark.parametrize(("address", "port", "filtering"), [
    (ARRIVED, ARRIVED, Filtering.ENDPOINT_INDEPENDENT), (ARRIVED, None, Filtering.ENDPOINT_INDEPENDENT),
    (FILTERED, ARRIVED, Filtering.ADDRESS_DEPENDENT), (FILTERED, FILTERED, Filtering.ADDRESS_AND_PORT_DEPENDENT),
    (None, FILTERED, Filtering.ADDRESS_AND_PORT_DEPENDENT), (SILENT, FILTERED, Filtering.ADDRESS_AND_PORT_DEPENDENT),
    (None, ARRIVED, Filtering.UNKNOWN), (FILTERED, None, Filtering.UNKNOWN), (FILTERED, SILENT, Filtering.UNKNOWN),
    (SILENT, ARRIVED, Filtering.UNKNOWN), (Outcome.REFUSED, Outcome.REFUSED, Filtering.UNKNOWN),
    (None, None, Filtering.UNKNOWN),
])  # fmt: skip
def test_what_the_tests_say_together(address: Outcome | None, port: Outcome | None, filtering: Filtering) -> None:
    outcomes = {Change.ADDRESS_AND_PORT: address, Change.PORT: port}
    assert filtering_of({change: outcome for change, outcome in outcomes.items() if outcome}) is filtering
