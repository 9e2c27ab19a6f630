"""The controlling agent: when it sends checks, what it believes of the answers, and when it gives up."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any, cast  # Any: attributes of a message have values of every type

import aioice
import aioice.ice
import pytest

from calls_doctor.model.books import SessionBooks
from calls_doctor.model.flow import Address, Path, Transport
from calls_doctor.wire import ice, stun
from calls_doctor.wire.ice import IceCredentials
from calls_doctor.wire.ice_controlling import PENDING_MAX, ROLE_SWITCHES_MAX, ControllingAgent
from calls_doctor.wire.path_books import PATHS_MAX, PathTable
from calls_doctor.wire.stun import AttributeType, ErrorCode, Message, MessageClass, Method

OURS = IceCredentials(local_fragment="near", local_password="n" * 22, remote_fragment="far0", remote_password="f" * 22)
UDP = Path(Transport.UDP, ("10.0.0.1", 5000), ("10.0.0.2", 8443))
OTHER = Path(Transport.UDP, ("10.0.0.1", 5001), ("10.0.0.2", 8443))
TCP = Path(Transport.TCP, ("10.0.0.1", 5002), ("10.0.0.2", 8443))
MAPPED: Address = ("192.0.2.1", 40000)


class Client:
    """An agent with a made-up clock; `sent` is what it sent, and when."""

    def __init__(self, *paths: Path, seed: int = 1, awaits_paths_until: float = 0.0) -> None:
        self.books = SessionBooks(session="run")
        random = Random(seed).randbytes
        self.agent = ControllingAgent(OURS, PathTable(self.books), random, awaits_paths_until=awaits_paths_until)
        self.now = 0.0
        self.sent: list[tuple[float, Path, Message]] = []
        for path in paths:
            self.agent.add_path(path, self.now)
        self.collect()

    def collect(self) -> None:
        self.sent += [(self.now, path, stun.parse(packet)) for path, packet in self.agent.outgoing]
        self.agent.outgoing = []

    def run(self, until: float) -> None:
        """Lets time pass, calling at every timer."""
        while (due := self.agent.next_timer()) is not None and due <= until:
            self.now = due
            self.agent.handle_timer(self.now)
            self.collect()
        self.now = until

    def last(self, path: Path) -> Message:
        """The last check that was sent by the path."""
        checks = (m for _, by, m in reversed(self.sent) if by == path and m.message_class is MessageClass.REQUEST)
        return next(checks)

    def selected(self) -> Path | None:
        return self.agent.selected

    def receive(self, message: Message, path: Path, key: bytes | None = b"f" * 22) -> bool:
        """Gives the agent a message as it came over the wire, with integrity under the key."""
        taken = self.agent.receive(stun.parse(message.encode(integrity_key=key, fingerprint=True)), path, self.now)
        self.collect()
        return taken

    def answer(self, path: Path, request: Message | None = None, key: bytes | None = b"f" * 22) -> bool:
        """Answers the last request, or the one given, with success."""
        tid = (request or self.last(path)).transaction_id
        attributes = [(stun.XOR_MAPPED_ADDRESS, MAPPED)]
        return self.receive(Message(Method.BINDING, MessageClass.SUCCESS, tid, attributes), path, key)

    def refuse(self, path: Path, code: int, key: bytes | None = b"f" * 22) -> bool:
        """Answers the last request with an error."""
        attributes = [(stun.ERROR_CODE, ErrorCode(code, "Because"))]
        tid = self.last(path).transaction_id
        return self.receive(Message(Method.BINDING, MessageClass.ERROR, tid, attributes), path, key)

    def checked_by(
        self, path: Path, *attributes: tuple[AttributeType[Any], Any], key: bytes = b"n" * 22
    ) -> Message | None:
        """A check of the far end's own, and what the agent answered."""
        listed: Sequence[tuple[AttributeType[Any], Any]] = [(stun.USERNAME, "near:far0"), *attributes]
        tid = len(self.sent).to_bytes(12, "big")
        before = len(self.sent)
        self.receive(Message(Method.BINDING, MessageClass.REQUEST, tid, listed), path, key)
        answers = [m for _, _, m in self.sent[before:] if m.message_class is not MessageClass.REQUEST]
        return answers[0] if answers else None


def nominates(message: Message) -> bool:
    return message.get(stun.USE_CANDIDATE) is not None


def test_checks_follow_the_schedule_and_then_fail() -> None:
    client = Client(UDP)
    client.run(2.54)
    assert [round(at, 6) for at, _, _ in client.sent] == list(stun.PROBE_SCHEDULE_S)
    assert client.agent.failure == ""
    client.run(2.56)
    assert client.agent.failure == "no connectivity check was answered: 6 sent, 2.55 s waited"
    assert client.agent.refused_with is None
    assert client.agent.next_timer() is None
    assert not client.agent.expired


def test_every_check_is_a_transaction_of_its_own() -> None:
    client = Client(UDP)
    client.run(2.0)
    assert len({message.transaction_id for _, _, message in client.sent}) == 6


def test_over_tcp_one_check_is_sent_and_waited_for_as_long() -> None:
    client = Client(TCP)
    client.run(2.54)
    assert len(client.sent) == 1
    assert client.agent.failure == ""
    client.run(2.56)
    assert client.agent.failure.startswith("no connectivity check was answered")


def test_an_answer_validates_the_path_and_ends_the_schedule() -> None:
    client = Client(UDP)
    client.now = 0.04
    assert client.answer(UDP)
    assert client.selected() == UDP
    assert client.agent.mapped == MAPPED
    assert client.agent.rtt_s == 0.04
    client.run(3.9)
    assert len(client.sent) == 1
    assert client.agent.failure == ""


def test_the_round_trip_is_that_of_the_check_that_was_answered() -> None:
    client = Client(UDP)
    client.run(0.2)
    client.answer(UDP, client.sent[1][2])
    assert client.agent.rtt_s == pytest.approx(0.15)


def test_an_answer_is_believed_once_on_its_own_path_and_with_integrity() -> None:
    client = Client(UDP, OTHER)
    request = client.last(UDP)
    assert not client.answer(UDP, key=None)
    assert not client.answer(UDP, key=b"n" * 22)
    assert not client.answer(OTHER, request)
    assert client.selected() is None
    assert client.answer(UDP)
    assert not client.answer(UDP, request)
    assert [path.stun_in for path in client.books.paths] == [1, 0]


def test_an_answer_without_an_address_is_none() -> None:
    client = Client(UDP)
    bare = Message(Method.BINDING, MessageClass.SUCCESS, client.last(UDP).transaction_id)
    assert not client.receive(bare, UDP)
    assert client.selected() is None


def test_what_comes_by_a_path_that_was_never_added_is_ignored_but_for_a_check() -> None:
    client = Client(UDP)
    assert not client.answer(OTHER, client.last(UDP))
    assert client.checked_by(OTHER, (stun.ICE_CONTROLLED, 1), key=b"f" * 22) is None
    assert [path.local for path in client.books.paths] == [UDP.local]


def test_a_peer_reflexive_candidate_is_answered_checked_and_used_where_no_other_answers() -> None:
    client = Client(UDP)
    answer = client.checked_by(OTHER, (stun.ICE_CONTROLLED, 1))
    assert answer is not None and answer.get(stun.XOR_MAPPED_ADDRESS) == OTHER.remote
    assert client.sent[-1][1] == OTHER and not nominates(client.last(OTHER))
    assert client.answer(OTHER)
    assert client.selected() == OTHER and nominates(client.last(OTHER))
    client.run(3.0)
    assert client.agent.failure == ""


def test_peer_reflexive_candidates_without_end_are_not_all_kept() -> None:
    client = Client(UDP)
    for port in range(PATHS_MAX):
        client.checked_by(OTHER._replace(remote=("10.0.0.3", 1024 + port)), (stun.ICE_CONTROLLED, 1))
    assert len(client.books.paths) == PATHS_MAX


def test_while_more_paths_may_come_those_that_have_failed_are_no_verdict() -> None:
    client = Client(seed=1, awaits_paths_until=0.5)
    client.agent.add_path(UDP, 0.0)
    client.agent.remove_path(UDP, 0.1)
    assert client.agent.failure == "" and client.agent.next_timer() == 0.5
    client.agent.add_path(OTHER, 0.2)
    assert client.agent.next_timer() == pytest.approx(0.25)
    client.agent.remove_path(OTHER, 0.3)
    client.run(1.0)
    assert client.agent.failure == "the path was closed" and client.agent.next_timer() is None


def test_a_path_that_comes_late_is_as_good_as_another() -> None:
    client = Client(seed=1, awaits_paths_until=0.5)
    client.agent.add_path(UDP, 0.0)
    client.agent.remove_path(UDP, 0.1)
    client.agent.add_path(OTHER, 0.2)
    client.collect()
    client.run(0.4)
    assert client.answer(OTHER) and client.selected() == OTHER
    client.run(3.0)
    assert client.agent.failure == "" and (client.agent.next_timer() or 0.0) > 4.0


def test_consent_is_asked_for_every_four_to_six_seconds() -> None:
    client = Client(UDP)
    client.answer(UDP)
    for second in range(1, 1000):
        client.run(float(second))
        client.answer(UDP)
    times = [at for at, _, _ in client.sent]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(gaps) >= 4.0
    assert max(gaps) <= 6.0
    assert len({round(gap, 3) for gap in gaps}) > 100
    assert all(nominates(message) for _, _, message in client.sent)


def test_while_a_handshake_runs_consent_is_asked_for_closely() -> None:
    client = Client(UDP)
    client.answer(UDP)
    client.agent.watch_handshake(client.now, runs=True)
    for tenth in range(1, 100):
        client.run(tenth / 10)
        client.answer(UDP)
    gaps = [later - earlier for earlier, later in itertools.pairwise([at for at, _, _ in client.sent])]
    assert min(gaps) >= 0.2 and max(gaps) <= 0.3
    client.agent.watch_handshake(client.now, runs=False)
    sent = len(client.sent)
    client.run(client.now + 3.9)
    assert len(client.sent) == sent


def test_a_far_end_that_is_gone_while_a_handshake_runs_is_found_out_in_less_than_three_seconds() -> None:
    client = Client(UDP)
    client.answer(UDP)
    client.agent.watch_handshake(client.now, runs=True)
    client.run(2.3)
    assert (client.agent.expired, client.selected()) == (False, UDP)
    client.run(2.5)
    assert (client.agent.expired, client.selected()) == (True, None)
    assert client.agent.failure == "consent expired: no check was answered for 2.4 s"


def test_consent_expires_thirty_seconds_after_the_last_answer() -> None:
    client = Client(UDP)
    client.answer(UDP)
    client.run(7.0)
    client.answer(UDP)
    client.run(36.9)
    assert (client.agent.expired, client.selected()) == (False, UDP)
    client.run(37.1)
    assert (client.agent.expired, client.selected()) == (True, None)
    assert client.agent.failure == "consent expired: no check was answered for 30 s"
    sent = len(client.sent)
    client.run(100.0)
    assert len(client.sent) == sent


def test_the_first_answered_path_is_nominated() -> None:
    client = Client(UDP, OTHER)
    assert [nominates(message) for _, _, message in client.sent] == [True, False]
    client.answer(OTHER)
    assert client.selected() == OTHER
    assert nominates(client.last(OTHER))
    client.answer(UDP)
    assert client.selected() == OTHER
    assert set(client.agent.validated) == {UDP, OTHER}


def test_a_later_nomination_moves_the_call() -> None:
    client = Client(UDP, OTHER)
    client.answer(UDP)
    with pytest.raises(ValueError, match="validated"):
        client.agent.nominate(OTHER, client.now)
    client.answer(OTHER)
    client.agent.nominate(OTHER, client.now)
    client.collect()
    assert client.selected() == OTHER
    assert nominates(client.last(OTHER))


def test_when_the_selected_path_loses_consent_another_takes_over() -> None:
    client = Client(UDP, OTHER)
    client.answer(UDP)
    client.answer(OTHER)
    for second in range(1, 32):
        client.run(float(second))
        client.answer(OTHER)
    assert client.selected() == OTHER
    assert nominates(client.last(OTHER))
    assert not client.agent.expired
    assert client.agent.failure == ""


def test_a_removed_path_hands_over_and_the_last_one_fails() -> None:
    client = Client(UDP, TCP)
    client.answer(UDP)
    client.answer(TCP)
    client.agent.remove_path(UDP, 1.0)
    assert client.selected() == TCP
    client.agent.remove_path(TCP, 1.0)
    assert (client.selected(), client.agent.failure) == (None, "the path was closed")


def test_an_authenticated_refusal_ends_the_path_at_once() -> None:
    client = Client(UDP)
    assert client.refuse(UDP, 508)
    assert client.agent.failure == "the far end refuses connectivity checks with 508 (Because)"
    assert client.agent.refused_with == 508
    client.run(10.0)
    assert len(client.sent) == 1


@pytest.mark.parametrize("code", [ice.BAD_REQUEST, ice.UNAUTHENTICATED])
def test_a_refusal_that_anybody_could_have_sent_only_names_the_reason(code: int) -> None:
    client = Client(UDP)
    assert client.refuse(UDP, code, key=None)
    assert client.agent.failure == ""
    client.run(2.6)
    assert len(client.sent) == 6
    assert client.agent.failure == f"the far end refuses connectivity checks with {code} (Because)"


def test_a_forged_refusal_does_not_keep_the_true_answer_out() -> None:
    client = Client(UDP)
    client.refuse(UDP, 401, key=None)
    assert not client.refuse(UDP, 508, key=None)
    assert client.answer(UDP)
    assert client.selected() == UDP


def test_403_takes_consent_back() -> None:
    client = Client(UDP)
    client.answer(UDP)
    client.run(6.0)
    client.refuse(UDP, 508)
    assert client.selected() == UDP
    client.run(12.0)
    client.refuse(UDP, 403)
    assert client.selected() is None
    assert "403" in client.agent.failure


def test_487_changes_the_role_and_checks_again() -> None:
    client = Client(UDP)
    first = client.last(UDP).get(stun.ICE_CONTROLLING)
    client.refuse(UDP, 487)
    again = client.last(UDP)
    assert again.get(stun.ICE_CONTROLLED) not in (None, first)
    assert not nominates(again)
    client.answer(UDP)
    assert client.selected() == UDP


def test_a_far_end_that_goes_on_answering_487_is_refusing() -> None:
    client = Client(UDP)
    for _ in range(ROLE_SWITCHES_MAX + 5):
        client.refuse(UDP, 487)
    assert len(client.sent) == 1 + ROLE_SWITCHES_MAX
    assert "487" in client.agent.failure


def test_a_check_of_the_far_ends_is_answered() -> None:
    client = Client(UDP)
    answer = client.checked_by(UDP, (stun.ICE_CONTROLLED, 1))
    assert answer is not None
    assert answer.get(stun.XOR_MAPPED_ADDRESS) == UDP.remote
    assert answer.integrity_is_valid(b"n" * 22)
    assert client.checked_by(UDP, (stun.ICE_CONTROLLED, 1), key=b"f" * 22) is None


def test_a_check_of_the_far_ends_wakes_a_path_that_was_given_up() -> None:
    client = Client(UDP, OTHER)
    client.answer(OTHER)
    client.run(3.0)
    sent = [path for _, path, _ in client.sent].count(UDP)
    client.checked_by(UDP, (stun.ICE_CONTROLLED, 1))
    assert [path for _, path, m in client.sent if m.message_class is MessageClass.REQUEST].count(UDP) == sent + 1
    client.answer(UDP)
    assert set(client.agent.validated) == {UDP, OTHER}


def test_of_two_controlling_ends_the_larger_tie_breaker_stays() -> None:
    client = Client(UDP)
    ours = client.last(UDP).get(stun.ICE_CONTROLLING)
    assert ours is not None
    conflict = client.checked_by(UDP, (stun.ICE_CONTROLLING, ours - 1))
    assert conflict is not None
    error = conflict.get(stun.ERROR_CODE)
    assert error is not None
    assert error.code == 487
    taken = client.checked_by(UDP, (stun.ICE_CONTROLLING, ours + 1))
    assert taken is not None
    assert taken.message_class is MessageClass.SUCCESS
    client.run(0.06)
    assert client.last(UDP).get(stun.ICE_CONTROLLED) == ours


def test_of_two_controlled_ends_the_larger_tie_breaker_takes_over() -> None:
    client = Client(UDP)
    client.refuse(UDP, 487)
    ours = client.last(UDP).get(stun.ICE_CONTROLLED)
    assert ours is not None
    conflict = client.checked_by(UDP, (stun.ICE_CONTROLLED, ours + 1))
    assert conflict is not None
    assert conflict.message_class is MessageClass.ERROR
    taken = client.checked_by(UDP, (stun.ICE_CONTROLLED, ours - 1))
    assert taken is not None
    assert taken.message_class is MessageClass.SUCCESS
    client.run(0.2)
    assert client.last(UDP).get(stun.ICE_CONTROLLING) == ours


def test_a_controlled_end_sends_where_the_far_end_nominates() -> None:
    client = Client(UDP, OTHER)
    client.refuse(UDP, 487)
    client.answer(UDP)
    client.answer(OTHER)
    assert client.selected() == UDP
    client.checked_by(OTHER, (stun.ICE_CONTROLLING, 1), (stun.USE_CANDIDATE, True))
    assert client.selected() == OTHER


def test_what_must_be_understood_and_is_not_draws_420() -> None:
    client = Client(UDP)
    listed = [(stun.USERNAME, "near:far0")]
    strange = Message(Method.BINDING, MessageClass.REQUEST, bytes(12), listed, [(0x7C0C, b"four")])
    assert client.receive(strange, UDP, b"n" * 22)
    assert client.sent[-1][2].get(stun.UNKNOWN_ATTRIBUTES) == [0x7C0C]


def test_what_is_remembered_and_added_is_bounded() -> None:
    client = Client(UDP)
    client.answer(UDP)
    first = client.sent[0][2]
    for _ in range(PENDING_MAX + 1):
        client.agent.nominate(UDP, client.now)
    client.collect()
    assert not client.answer(UDP, first)
    assert not client.answer(UDP, client.sent[1][2])
    assert client.answer(UDP, client.sent[2][2])
    with pytest.raises(ValueError, match="many paths"):
        for port in range(PATHS_MAX):
            client.agent.add_path(UDP._replace(local=("10.0.0.9", port)), client.now)


def test_the_books_count_what_was_sent_and_believed() -> None:
    client = Client(UDP)
    client.run(0.1)
    client.answer(UDP)
    (row,) = client.books.paths
    assert (row.stun_out, row.stun_in) == (2, 1)
    assert row.bytes_out == sum(len(message.raw) for _, _, message in client.sent)


class Socket(asyncio.DatagramProtocol):
    """The agent behind a real socket: one path, to whoever is on the other side."""

    def __init__(self, agent: ControllingAgent, remote: Address) -> None:
        self.agent, self.remote = agent, remote
        self.selected = asyncio.Event()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    @property
    def path(self) -> Path:
        assert self._transport is not None
        return Path(Transport.UDP, cast(Address, self._transport.get_extra_info("sockname")), self.remote)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        assert addr == self.remote
        self.agent.receive(stun.parse(data), self.path, time.monotonic())
        self.send()

    def send(self) -> None:
        assert self._transport is not None
        for path, packet in self.agent.outgoing:
            self._transport.sendto(packet, path.remote)
        self.agent.outgoing = []
        if self.agent.selected is not None:
            self.selected.set()


@pytest.mark.parametrize("they_control", [False, True], ids=["we control", "both control"])
async def test_a_full_agent_that_is_not_ours_connects(they_control: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: ["127.0.0.1"])
    theirs = aioice.Connection(ice_controlling=they_control)
    theirs.remote_username, theirs.remote_password = OURS.local_fragment, OURS.local_password
    await theirs.gather_candidates()
    credentials = replace(OURS, remote_fragment=theirs.local_username, remote_password=theirs.local_password)
    agent = ControllingAgent(credentials, PathTable(SessionBooks(session="run")), Random(1).randbytes)
    (candidate,) = theirs.local_candidates
    transport, ours = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Socket(agent, (candidate.host, candidate.port)), local_addr=("127.0.0.1", 0)
    )
    try:
        host, port = ours.path.local
        line = f"1 1 udp 2130706431 {host} {port} typ host"
        await theirs.add_remote_candidate(aioice.Candidate.from_sdp(line))
        await theirs.add_remote_candidate(None)
        agent.add_path(ours.path, time.monotonic())
        ours.send()
        async with asyncio.timeout(5):
            await theirs.connect()
            await ours.selected.wait()
        assert agent.mapped == ours.path.local
        assert agent.failure == ""
    finally:
        await theirs.close()
        transport.close()
