# Invariant: whatever message comes, even one from a peer that knows the password, an agent neither raises nor answers
# with more bytes than it was asked with; what does not authenticate is met with silence. The only error is StunError,
# from `stun.parse`.

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import StunError
from calls_doctor.model.books import SessionBooks
from calls_doctor.model.flow import Path, Transport
from calls_doctor.wire import stun
from calls_doctor.wire.documents import Document
from calls_doctor.wire.ice import Attributes, IceCredentials
from calls_doctor.wire.ice_controlling import ControllingAgent
from calls_doctor.wire.ice_lite import LiteAgent
from calls_doctor.wire.path_books import PATHS_MAX, PathTable
from calls_doctor.wire.stun import Message, MessageClass

NEAR = IceCredentials(local_fragment="near", local_password="n" * 22, remote_fragment="far0", remote_password="f" * 22)
FAR = IceCredentials(local_fragment="far0", local_password="f" * 22, remote_fragment="near", remote_password="n" * 22)
PATHS = [Path(Transport.UDP, ("10.0.0.1", 1), ("192.0.2.1", n)) for n in range(3)]
PATHS.append(Path(Transport.TCP, ("2001:db8::1", 1), ("fe80::1%eth0", 65535)))
NUMBERS = [*stun.ATTRIBUTES, 0x7C0C, 0xC057]


class FixedDesk:
    """Every document is the same; what is handed in is forgotten."""

    def document(self, document: Document, _nonces: Sequence[str]) -> bytes:
        return bytes(5000) if document is not Document.FACTS else b""

    def hand_in(self, document: Document, page: bytes) -> bytes:
        assert isinstance(document, Document)
        return page[:1]


def lite() -> LiteAgent:
    books = SessionBooks(session="run")
    return LiteAgent(FAR, books, PathTable(books), 0.0, leg="u", desk=FixedDesk())


def controlling() -> ControllingAgent:
    agent = ControllingAgent(NEAR, PathTable(SessionBooks(session="run")), Random(1).randbytes)
    for path in PATHS[:2]:
        agent.add_path(path, 0.0)
    return agent


@st.composite
def messages(draw: st.DrawFn, username: str) -> Message:
    """Any message with any attributes, each with any value."""
    attributes = draw(st.lists(st.tuples(st.sampled_from(NUMBERS), st.binary(max_size=40)), max_size=8))
    if draw(st.booleans()):
        attributes.insert(0, (stun.USERNAME.number, username.encode()))
    method = draw(st.one_of(st.just(1), st.integers(0, 0xFFF)))
    tid = draw(st.sampled_from([bytes(12), b"one of twelv", b"another12345"]))
    return Message(method, draw(st.sampled_from(MessageClass)), tid, (), attributes)


def given_to(agent: LiteAgent | ControllingAgent, packet: bytes, path: Path) -> None:
    agent.outgoing = []
    try:
        message = stun.parse(packet)
    except StunError:
        return
    taken = agent.receive(message, path, 1.0)
    answers = [sent for _, sent in agent.outgoing if stun.parse(sent).message_class is not MessageClass.REQUEST]
    assert taken or not answers
    assert sum(map(len, answers)) <= len(packet)
    assert all(to == path for to, sent in agent.outgoing if sent in answers)
    agent.next_timer()
    agent.handle_timer(1.0)


@given(st.data(), st.sampled_from(PATHS), st.sampled_from([b"f" * 22, b"wrong", None]), st.booleans())
def test_a_lite_agent(data: st.DataObject, path: Path, key: bytes | None, fingerprint: bool) -> None:
    agent = lite()
    for message in data.draw(st.lists(messages("far0:near"), max_size=5)):
        given_to(agent, message.encode(integrity_key=key, fingerprint=fingerprint), path)
    if key != b"f" * 22:
        assert not agent.validated
        assert agent.outgoing == []


@given(st.data(), st.sampled_from(PATHS), st.sampled_from([b"n" * 22, b"f" * 22, None]), st.booleans())
def test_a_controlling_agent(data: st.DataObject, path: Path, key: bytes | None, answers_us: bool) -> None:
    agent = controlling()
    asked = [stun.parse(packet).transaction_id for _, packet in agent.outgoing]
    for message in data.draw(st.lists(messages("near:far0"), max_size=5)):
        tid = data.draw(st.sampled_from(asked)) if answers_us else message.transaction_id
        aimed = Message(message.method, message.message_class, tid, (), message.unknown)
        given_to(agent, aimed.encode(integrity_key=key, fingerprint=True), path)
    if key != b"f" * 22:
        assert not agent.validated


@given(st.binary(max_size=200), st.sampled_from(PATHS))
def test_any_bytes(packet: bytes, path: Path) -> None:
    given_to(lite(), packet, path)
    given_to(controlling(), packet, path)


@given(st.integers(0, 19), st.integers(0, 200), st.binary(min_size=1, max_size=4), st.booleans())
def test_truncations_and_mutations_of_real_checks(cut: int, at: int, put: bytes, answered: bool) -> None:
    ours, theirs = controlling(), lite()
    _, check = ours.outgoing[0]
    theirs.receive(stun.parse(check), PATHS[0], 0.0)
    packet = theirs.outgoing[0][1] if answered else check
    at = min(at, len(packet) - stun.FINGERPRINT_BYTES - len(put))  # what stands behind MESSAGE-INTEGRITY is ignored
    changed = packet[:at] + put + packet[at + len(put) :]
    agent: ControllingAgent | LiteAgent = ours if answered else lite()
    for garbled in (packet[: -1 - cut], changed):
        given_to(agent, garbled, PATHS[0])
        assert not agent.validated or garbled == packet


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0, 100), st.booleans()), max_size=60))
def test_however_many_paths_what_is_kept_is_bounded(checks: list[tuple[int, float, bool]]) -> None:
    books = SessionBooks(session="run")
    agent = LiteAgent(FAR, books, PathTable(books), 0.0, leg="u")
    for number, (port, now, nominates) in enumerate(sorted(checks, key=lambda check: check[1])):
        attributes: Attributes = [(stun.USERNAME, "far0:near"), *([(stun.USE_CANDIDATE, True)] if nominates else [])]
        check = Message(1, MessageClass.REQUEST, number.to_bytes(12, "big"), attributes)
        path = PATHS[0]._replace(remote=("192.0.2.1", port))
        agent.receive(stun.parse(check.encode(integrity_key=b"f" * 22)), path, now)
        agent.handle_timer(now)
    assert len(agent.validated) <= len(books.paths) <= PATHS_MAX
    assert agent.selected is None or agent.selected in agent.validated
