"""How much the media port ever sends to whom it does not know, and to whom it does."""

# Invariant: before an authentic check nothing that comes by a path draws more bytes than it brought (UDP and TCP draw
# none at all); after it no answer to a Binding request is larger than the request.

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from hypothesis import example, given, settings
from hypothesis import strategies as st

from calls_doctor.model.flow import Path, Transport
from calls_doctor.wire import documents, stun
from calls_doctor.wire.documents import Document
from calls_doctor.wire.held_answers import HELD_MAX, HOLD_MAX_S
from calls_doctor.wire.stun import Attributes, Message, MessageClass, Method
from tests.fuzz.test_sfu import FOREIGN, HERE, HOME, KEYS, OTHER, OWN, STRANGER, Door, check, spoilt

BY_UDP, BY_TCP = (Path(transport, HERE, STRANGER) for transport in (Transport.UDP, Transport.TCP))
CLIENT_HELLO = b"\x16\xfe\xfd" + bytes(8) + b"\x00\xc8\x01" + bytes(199)
WHOLE = bytes(range(256)) * 40
"""A document of several pages."""


class FullDesk:
    """Has every document, and takes each."""

    def document(self, _document: Document, _nonces: Sequence[str]) -> bytes:
        return WHOLE

    def hand_in(self, _document: Document, _page: bytes) -> bytes:
        return documents.RECEIPT


def messages(username: str) -> st.SearchStrategy[Message]:
    """STUN of every class and method, with attributes that mean something to an ICE agent."""
    attributes: st.SearchStrategy[Attributes] = st.lists(
        st.sampled_from([
            (stun.PRIORITY, 1), (stun.ICE_CONTROLLING, 1), (stun.ICE_CONTROLLED, 1), (stun.USE_CANDIDATE, True),
            (stun.HOLD_ANSWER, 1000), (stun.HOLD_ANSWER, 0xFFFFFFFF), (stun.PROBE_NUMBER, 7),
            (stun.CHANGE_REQUEST, 6), (stun.REALM, "r"), (stun.LIFETIME, 600),
            *((stun.PADDING, bytes(size)) for size in (0, 4, 100, 1000)),
            *((stun.DOCUMENT_REQUEST, documents.pack_request(one, page)) for one in Document for page in (0, 1, 999)),
            (stun.DOCUMENT_REQUEST, b"?"), (stun.DOCUMENT_PAGE, b""), (stun.DOCUMENT_PAGE, b"\2\2" + bytes(50)),
        ]),
        max_size=6,
    )  # fmt: skip
    return st.builds(
        lambda method, kind, number, more: Message(
            method, kind, number.to_bytes(12, "big"), [(stun.USERNAME, username), *more]
        ),
        st.sampled_from(Method), st.sampled_from(MessageClass), st.integers(100, 1 << 90), attributes,
    )  # fmt: skip


def username_of(packet: bytes) -> str:
    name = stun.parse(packet).get(stun.USERNAME)
    assert name is not None
    return name


UNSIGNED = st.one_of([messages(username_of(packet)) for packet in (OWN, OTHER, FOREIGN)]).flatmap(
    lambda message: st.sampled_from([message.encode(), message.encode(b"wrong", fingerprint=True)])
)
WITHOUT_THE_KEY = UNSIGNED | st.binary(max_size=200) | spoilt(OTHER) | spoilt(OWN) | st.just(CLIENT_HELLO)


def at_a_door(do: Callable[[Door], None]) -> None:
    async def run() -> None:
        door = Door(FullDesk())
        try:
            do(door)
        finally:
            await door.sfu.close()

    asyncio.run(run())


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.sampled_from([BY_UDP, BY_TCP]), WITHOUT_THE_KEY), max_size=20))
@example([(BY_UDP, CLIENT_HELLO), (BY_TCP, FOREIGN)])
def test_who_has_not_authenticated_draws_no_more_bytes_than_it_brought(packets: list[tuple[Path, bytes]]) -> None:
    def do(door: Door) -> None:
        brought = 0
        for path, packet in packets:
            door.sfu.receive(packet, path, door.now)
            brought += len(packet)
            assert sum(len(data) for _, data in door.sent) <= brought
        assert door.sent == [], "silence, whatever came"

    at_a_door(do)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(messages(username_of(OWN)), st.booleans()), max_size=20))
def test_no_answer_to_an_authentic_check_is_larger_than_the_check(asked: list[tuple[Message, bool]]) -> None:
    key = KEYS.password(username_of(OWN).split(":")[0]).encode()

    def do(door: Door) -> None:
        for message, has_fingerprint in asked:
            door.sent.clear()
            packet = message.encode(key, fingerprint=has_fingerprint)
            door.sfu.receive(packet, BY_UDP, door.now)
            assert sum(len(data) for _, data in door.sent) <= len(packet)
            assert {path for path, _ in door.sent} <= {BY_UDP}

    at_a_door(do)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.tuples(messages(username_of(OWN)), st.integers(0, 30_000), st.sampled_from([HOME, BY_UDP])), max_size=40
    )
)
def test_what_is_held_back_leaves_once_for_who_asked_and_is_no_larger(asked: list[tuple[Message, int, Path]]) -> None:
    key = KEYS.password(username_of(OWN).split(":")[0]).encode()

    def do(door: Door) -> None:
        brought: Counter[Path] = Counter()
        largest: dict[tuple[bytes, Path], int] = {}
        for message, hold_ms, path in asked:
            held = Message(
                message.method, message.message_class, message.transaction_id,
                [*message.attributes, (stun.HOLD_ANSWER, hold_ms)],
            )  # fmt: skip
            packet = held.encode(key, fingerprint=True)
            brought[path] += len(packet)
            one = (message.transaction_id, path)
            largest[one] = max(len(packet), largest.get(one, 0))
            door.sfu.receive(packet, path, door.now)
        (session,) = door.sfu._sessions.values()
        assert len(session.held) <= HELD_MAX
        left = [*door.sent, *session.held.due(door.now + HOLD_MAX_S)]
        assert not session.held
        for path in brought:
            assert sum(len(data) for to, data in left if to == path) <= brought[path]
        assert all(len(data) <= largest[data[8:20], to] for to, data in left)

    at_a_door(do)


def test_the_whole_way_is_open_to_the_key() -> None:
    """The tests above would pass at a door that is shut."""

    def do(door: Door) -> None:
        assert door.sfu.receive(check(50, nonce="zzzzzzzz"), BY_UDP, door.now)
        assert [path for path, _ in door.sent] == [BY_UDP]

    at_a_door(do)
