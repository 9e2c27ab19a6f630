"""The lite agent: silence for what does not authenticate, one bounded answer for what does, and where media goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any  # attributes of a message have values of every type

import pytest

from calls_doctor.model.books import PROBES_MAX, RunBooks, SessionBooks
from calls_doctor.model.flow import Path, Transport
from calls_doctor.wire import books as wire_books
from calls_doctor.wire import documents, stun
from calls_doctor.wire.documents import Document
from calls_doctor.wire.ice import IceCredentials
from calls_doctor.wire.ice_lite import Desk, LiteAgent
from calls_doctor.wire.pages import PageReader
from calls_doctor.wire.path_books import PATHS_MAX, PathTable
from calls_doctor.wire.stun import AttributeType, Message, MessageClass, Method

CREDENTIALS = IceCredentials(
    local_fragment="f" * 60, local_password="p" * 43, remote_fragment="client", remote_password="unused" * 4
)
CONTROLLING = (stun.ICE_CONTROLLING, 1)
NOMINATES = (stun.USE_CANDIDATE, True)


def path_from(port: int, host: str = "192.0.2.1") -> Path:
    return Path(Transport.UDP, ("10.0.0.2", 8443), (host, port))


FIRST, SECOND = path_from(1), path_from(2)


class Asked:
    """An agent, and a client that asks it."""

    def __init__(self, *, desk: Desk | None = None, consent_expiry_s: float = 30.0) -> None:
        self.books = SessionBooks(session="run")
        self.paths = PathTable(self.books)
        self.agent = LiteAgent(
            CREDENTIALS, self.books, self.paths, 0.0, leg="u", desk=desk, consent_expiry_s=consent_expiry_s
        )
        self.asked = 0

    def request(
        self,
        *attributes: tuple[AttributeType[Any], Any],
        transaction: int | None = None,
        pad_to: int = 0,
        password: str = "p" * 43,
        message_class: MessageClass = MessageClass.REQUEST,
        unknown: tuple[tuple[int, bytes], ...] = (),
    ) -> Message:
        """A check as the agent receives it, each with a transaction id of its own unless one is given."""
        self.asked += 1
        tid = (transaction if transaction is not None else 1000 + self.asked).to_bytes(12, "big")
        listed = [(stun.USERNAME, f"{'f' * 60}:client"), *attributes]
        message = Message(Method.BINDING, message_class, tid, listed, unknown)
        packet = message.encode(integrity_key=password.encode(), fingerprint=True)
        if padding := stun.padding_to(len(packet), pad_to):
            message = Message(Method.BINDING, message_class, tid, [*listed, padding], unknown)
            packet = message.encode(integrity_key=password.encode(), fingerprint=True)
        return stun.parse(packet)

    def ask(self, path: Path, now: float, message: Message) -> Message | None:
        """The answer to one message, which went to where the message came from; None for silence."""
        taken = self.agent.receive(message, path, now)
        answers, self.agent.outgoing = self.agent.outgoing, []
        assert taken or not answers
        if not answers:
            return None
        ((to, packet),) = answers
        assert to == path
        assert len(packet) <= len(message.raw)
        return stun.parse(packet)

    def check(self, path: Path, now: float, *attributes: tuple[AttributeType[Any], Any]) -> Message | None:
        return self.ask(path, now, self.request(CONTROLLING, *attributes))

    def expired_at(self, now: float) -> bool:
        self.agent.handle_timer(now)
        return self.agent.expired


def test_a_check_is_answered_with_the_address_it_came_from() -> None:
    lite = Asked()
    answer = lite.check(FIRST, 0.0)
    assert answer is not None
    assert answer.message_class is MessageClass.SUCCESS
    assert answer.get(stun.XOR_MAPPED_ADDRESS) == FIRST.remote
    assert answer.integrity_is_valid(b"p" * 43)


def test_the_answer_holds_the_counters() -> None:
    lite = Asked()
    lite.check(FIRST, 0.0)
    answer = lite.check(SECOND, 0.0)
    assert answer is not None
    value = answer.get(stun.BOOKS)
    assert value is not None
    counters = wire_books.parse_counters(value)
    assert (counters.leg, counters.stun_in, counters.stun_out) == ("u", 2, 1)


@pytest.mark.parametrize("message_class", [MessageClass.INDICATION, MessageClass.SUCCESS, MessageClass.ERROR])
def test_what_is_no_request_is_met_with_silence(message_class: MessageClass) -> None:
    lite = Asked()
    assert lite.ask(FIRST, 0.0, lite.request(CONTROLLING, message_class=message_class)) is None
    assert not lite.agent.validated


def test_a_forged_check_is_met_with_silence_and_moves_nothing() -> None:
    lite = Asked()
    lite.check(FIRST, 0.0)
    forged = lite.request(CONTROLLING, NOMINATES, password="q" * 43)
    assert lite.ask(SECOND, 1.0, forged) is None
    assert lite.agent.selected == FIRST
    assert list(lite.agent.validated) == [FIRST]
    assert lite.agent.next_timer() == 30.0
    assert [path.stun_in for path in lite.books.paths] == [1]


def test_media_goes_to_the_latest_path_until_the_first_nomination() -> None:
    lite = Asked()
    lite.check(FIRST, 0.0)
    lite.check(SECOND, 0.1)
    assert lite.agent.selected == SECOND
    lite.check(FIRST, 0.2, NOMINATES)
    lite.check(SECOND, 0.3)
    assert lite.agent.selected == FIRST
    lite.check(SECOND, 0.4, NOMINATES)
    assert lite.agent.selected == SECOND
    assert set(lite.agent.validated) == {FIRST, SECOND}


def test_a_nominated_path_that_is_checked_no_more_gives_way() -> None:
    lite = Asked()
    lite.check(FIRST, 0.0, NOMINATES)
    lite.check(SECOND, 11.0)
    assert lite.agent.selected == FIRST
    lite.check(SECOND, 12.5)
    assert lite.agent.selected == SECOND


def test_a_retransmission_is_answered_again_and_changes_nothing() -> None:
    lite = Asked()
    nominating = lite.request(CONTROLLING, NOMINATES)
    lite.ask(FIRST, 0.0, nominating)
    lite.check(SECOND, 1.0, NOMINATES)
    assert lite.ask(FIRST, 20.0, nominating) is not None
    assert lite.agent.selected == SECOND
    assert lite.agent.next_timer() == 31.0  # a recorded check does not keep a session alive


def test_a_replay_from_another_address_is_met_with_silence() -> None:
    lite = Asked()
    captured = lite.request(CONTROLLING, NOMINATES)
    lite.ask(FIRST, 0.0, captured)
    assert lite.ask(SECOND, 0.1, captured) is None
    assert list(lite.agent.validated) == [FIRST]
    assert lite.agent.selected == FIRST


@pytest.mark.parametrize("size", [200, 400, 600, 800, 1000, 1200, 1472])
def test_a_numbered_probe_is_answered_at_exactly_its_size_and_noted_once(size: int) -> None:
    lite = Asked()
    probe = lite.request(CONTROLLING, (stun.PROBE_NUMBER, 7), pad_to=size)
    assert len(probe.raw) == size
    for now in (2.5, 2.6):
        answer = lite.ask(FIRST, now, probe)
        assert answer is not None
        assert len(answer.raw) == size
    assert [(seen.number, seen.size_bytes, seen.at_s) for seen in lite.books.probes] == [(7, size, 2.5)]


def test_the_probes_in_the_books_are_bounded() -> None:
    lite = Asked()
    for number in range(PROBES_MAX + 10):
        answer = lite.check(FIRST, 0.0, (stun.PROBE_NUMBER, number))
        assert answer is not None
    assert len(lite.books.probes) == PROBES_MAX


def test_an_end_that_claims_to_be_controlled_is_told_of_the_conflict() -> None:
    lite = Asked()
    answer = lite.ask(FIRST, 0.0, lite.request((stun.ICE_CONTROLLED, 1)))
    assert answer is not None
    error = answer.get(stun.ERROR_CODE)
    assert error is not None
    assert error.code == 487
    assert not lite.agent.validated


def test_an_attribute_that_must_be_understood_and_is_not_draws_420() -> None:
    lite = Asked()
    answer = lite.ask(FIRST, 0.0, lite.request(CONTROLLING, unknown=((0x7C0C, b"four"),)))
    assert answer is not None
    assert answer.get(stun.UNKNOWN_ATTRIBUTES) == [0x7C0C]
    assert not lite.agent.validated


def test_an_attribute_that_may_be_ignored_is() -> None:
    lite = Asked()
    answer = lite.ask(FIRST, 0.0, lite.request(CONTROLLING, unknown=((0xC057, b"four"),)))
    assert answer is not None
    assert answer.message_class is MessageClass.SUCCESS


def test_consent_expires_without_fresh_checks() -> None:
    lite = Asked(consent_expiry_s=10.0)
    lite.check(FIRST, 0.0)
    lite.check(FIRST, 6.0)
    assert lite.agent.next_timer() == 16.0
    assert not lite.expired_at(15.9)
    assert lite.expired_at(16.0)
    assert lite.agent.selected is None
    assert not lite.agent.validated
    assert lite.agent.next_timer() is None


def test_a_session_whose_last_path_is_gone_has_as_long_as_any_to_come_back_by_another() -> None:
    lite = Asked(consent_expiry_s=10.0)
    lite.check(FIRST, 0.0)
    lite.check(FIRST, 60.0)
    lite.agent.remove_path(FIRST, 61.0)  # its TCP connection was cut
    assert not lite.expired_at(61.0)
    lite.check(SECOND, 65.0)
    assert lite.agent.selected == SECOND
    lite.agent.remove_path(SECOND, 66.0)
    assert not lite.expired_at(74.9)
    assert lite.expired_at(75.0)


def test_a_check_after_expiry_validates_anew() -> None:
    lite = Asked()
    lite.check(FIRST, 0.0)
    assert lite.expired_at(30.0)
    lite.check(FIRST, 31.0)
    assert not lite.expired_at(31.0)
    assert lite.agent.selected == FIRST


def test_a_client_that_begins_anew_is_checked_under_its_new_names_and_media_goes_on_meanwhile() -> None:
    asked = Asked()
    asked.check(FIRST, 0.0, NOMINATES)
    old = asked.request(CONTROLLING)
    asked.agent.restart(
        IceCredentials(local_fragment="n" * 16, local_password="q" * 32, remote_fragment="anew", remote_password="")
    )
    assert asked.agent.selected == FIRST and asked.ask(FIRST, 1.0, old) is None
    listed: list[tuple[AttributeType[Any], Any]] = [(stun.USERNAME, f"{'n' * 16}:anew"), CONTROLLING]
    message = Message(Method.BINDING, MessageClass.REQUEST, bytes(12), listed)
    assert asked.ask(SECOND, 1.0, stun.parse(message.encode(integrity_key=b"q" * 32, fingerprint=True))) is not None
    assert asked.agent.selected == SECOND and set(asked.agent.validated) == {FIRST, SECOND}


def test_a_removed_path_gives_way_to_the_latest_other() -> None:
    lite = Asked()
    third = path_from(3)
    for now, path in ((0.0, FIRST), (1.0, third), (2.0, SECOND)):
        lite.check(path, now)
    lite.agent.remove_path(SECOND, 3.0)
    assert lite.agent.selected == third
    lite.agent.remove_path(third, 40.0)  # FIRST has had no consent for 40 s
    assert lite.agent.selected is None


def test_more_paths_than_fit_are_told_so_until_others_expire() -> None:
    lite = Asked()
    for port in range(PATHS_MAX):
        lite.check(path_from(port), 0.0)
    answer = lite.check(path_from(9999), 1.0)
    assert answer is not None
    error = answer.get(stun.ERROR_CODE)
    assert error is not None
    assert error.code == 508
    lite.check(path_from(0), 29.0, NOMINATES)
    answer = lite.check(path_from(9999), 31.0)
    assert answer is not None
    assert answer.message_class is MessageClass.SUCCESS
    assert len(lite.books.paths) == PATHS_MAX
    assert lite.agent.selected == path_from(0)


class Run:
    """A run whose books grow with every look, and which has no facts; it keeps what is handed in."""

    def __init__(self) -> None:
        self.looks = 0
        self.handed_in: list[tuple[Document, bytes]] = []

    def document(self, document: Document, _nonces: Sequence[str]) -> bytes:
        if document is not Document.BOOKS:
            return b""
        self.looks += 1
        probes = [SessionBooks(session=f"{n:017d}", timeline={"stun": float(self.looks)}) for n in range(60)]
        return wire_books.encode(RunBooks(run="run", sessions=probes))

    def hand_in(self, document: Document, page: bytes) -> bytes:
        self.handed_in.append((document, page))
        return b"\x01"


def page(
    lite: Asked,
    number: int,
    transaction: int | None = None,
    pad_to: int = 1200,
    document: Document = Document.BOOKS,
) -> bytes | None:
    request = (stun.DOCUMENT_REQUEST, documents.pack_request(document, number))
    answer = lite.ask(FIRST, 0.0, lite.request(CONTROLLING, request, transaction=transaction, pad_to=pad_to))
    assert answer is not None
    return answer.get(stun.BOOKS)


def test_a_session_without_a_leg_tells_no_counters_and_no_document() -> None:
    run = Run()
    lite = Asked(desk=run)
    lite.agent._leg = ""
    assert page(lite, 0) is None and run.looks == 0


def test_the_books_of_the_run_come_page_by_page_from_one_snapshot() -> None:
    run = Run()
    lite = Asked(desk=run)
    reader = PageReader()
    while missing := reader.missing():
        value = page(lite, missing[0])
        assert value is not None
        reader.feed(value)
    assert run.looks == 1
    assert len(wire_books.decode(reader.whole()).sessions) == 60


def test_page_0_asked_for_again_is_a_new_snapshot_unless_it_is_a_retransmission() -> None:
    run = Run()
    lite = Asked(desk=run)
    first = page(lite, 0, transaction=1)
    assert page(lite, 0, transaction=1) == first
    assert page(lite, 0, transaction=2) != first
    assert run.looks == 2


def test_a_page_that_is_not_there_or_was_never_begun_is_left_out() -> None:
    lite = Asked(desk=Run())
    assert page(lite, 1) is None
    assert page(lite, 0) is not None
    assert page(lite, 999) is None


def test_a_page_is_left_out_where_the_request_has_no_room_for_it() -> None:
    lite = Asked(desk=Run())
    assert page(lite, 0, pad_to=400) is None


def test_a_garbled_request_for_books_is_an_ordinary_check() -> None:
    lite = Asked(desk=Run())
    answer = lite.check(FIRST, 0.0, (stun.DOCUMENT_REQUEST, b"three"))
    assert answer is not None
    assert answer.get(stun.BOOKS) is None


def test_each_document_keeps_a_snapshot_of_its_own_and_one_that_is_not_there_has_no_page() -> None:
    lite = Asked(desk=Run())
    first = page(lite, 0)
    assert page(lite, 0, document=Document.FACTS) is None
    assert first is not None and page(lite, 1) is not None


def test_a_page_that_is_handed_in_reaches_the_desk_and_its_receipt_the_client() -> None:
    run = Run()
    lite = Asked(desk=run)
    answer = lite.check(FIRST, 0.0, (stun.DOCUMENT_PAGE, documents.pack_page(Document.REPORT, b"page")))
    assert answer is not None and answer.get(stun.BOOKS) == b"\x01"
    assert run.handed_in == [(Document.REPORT, b"page")]


@pytest.mark.parametrize("value", [b"", b"\xffpage"])
def test_a_page_of_no_document_reaches_nobody_and_is_answered_as_a_check(value: bytes) -> None:
    run = Run()
    answer = Asked(desk=run).check(FIRST, 0.0, (stun.DOCUMENT_PAGE, value))
    assert answer is not None and answer.get(stun.BOOKS) is None
    assert run.handed_in == []


def test_nothing_is_handed_in_by_who_does_not_authenticate() -> None:
    run = Run()
    lite = Asked(desk=run)
    brought = (stun.DOCUMENT_PAGE, documents.pack_page(Document.REPORT, b"page"))
    assert lite.ask(FIRST, 0.0, lite.request(CONTROLLING, brought, password="x" * 43)) is None
    assert run.handed_in == []


def test_without_a_desk_documents_are_neither_given_nor_taken() -> None:
    lite = Asked()
    for attribute in (
        (stun.DOCUMENT_REQUEST, documents.pack_request(Document.BOOKS, 0)),
        (stun.DOCUMENT_PAGE, documents.pack_page(Document.REPORT, b"page")),
    ):
        answer = lite.check(FIRST, 0.0, attribute)
        assert answer is not None
        value = answer.get(stun.BOOKS)
        assert value is not None and wire_books.parse_counters(value).leg == "u"
