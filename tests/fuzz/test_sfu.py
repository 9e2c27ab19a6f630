"""Hostile packets at the SFU's door."""

# Invariant: whatever comes, nothing raises; without a valid MESSAGE-INTEGRITY nothing is answered and nothing is kept
# but counts; and a session that is open goes on.

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hypothesis import example, given, settings
from hypothesis import strategies as st

from calls_doctor.model.flow import Path, Transport
from calls_doctor.sfu.mux import Mux
from calls_doctor.sfu.sfu import Sfu
from calls_doctor.standin.admission import Admission
from calls_doctor.wire import stun
from calls_doctor.wire.direct import NO_CERTIFICATE, Keys, compose
from calls_doctor.wire.dtls import Certificate
from calls_doctor.wire.ice_lite import Desk
from calls_doctor.wire.stun import Message, MessageClass, Method
from tests.servers.empty_desk import EmptyDesk

KEYS = Keys(bytes(range(16)))
CERTIFICATE = Certificate.generate()
HERE, CLIENT, STRANGER = ("192.0.2.1", 8443), ("198.51.100.1", 1), ("198.51.100.2", 2)
HOME, STRANGE = Path(Transport.UDP, HERE, CLIENT), Path(Transport.UDP, HERE, STRANGER)


def check(number: int, *, nonce: str = "abcdefgh", run: str = KEYS.run) -> bytes:
    fragment = str(compose(run, "u", nonce, NO_CERTIFICATE))
    request = Message(Method.BINDING, MessageClass.REQUEST, number.to_bytes(12, "big"), [
        (stun.USERNAME, f"{fragment}:near"), (stun.PRIORITY, 1), (stun.ICE_CONTROLLING, 1),
    ])  # fmt: skip
    return request.encode(KEYS.password(fragment).encode(), fingerprint=True)


OWN, OTHER, FOREIGN = check(1), check(2, nonce="ijklmnop"), check(3, run="A" * 8)


class Door:
    """An SFU without a port, in which one session is open."""

    def __init__(self, desk: Desk | None = None) -> None:
        self.sent: list[tuple[Path, bytes]] = []
        self.admission = Admission(KEYS)
        self.sfu = Sfu(self.admission, CERTIFICATE, desk or EmptyDesk())
        self.sfu._mux = Outbox(self.sfu, self.sent)
        self.now = 0.0
        assert self.sfu.receive(OWN, HOME, self.now)
        self.sent.clear()

    def state(self) -> tuple[int, int, int]:
        return (len(self.sfu._sessions), len(self.sfu._by_path), len(self.sfu.books()))

    def still_serves(self) -> bool:
        self.sent.clear()
        self.sfu.receive(check(9), HOME, self.now)
        return [path for path, _ in self.sent] == [HOME]


class Outbox(Mux):
    """Keeps what would be sent."""

    def __init__(self, sfu: Sfu, sent: list[tuple[Path, bytes]]) -> None:
        super().__init__(sfu)
        self.sent = sent

    def send(self, path: Path, packet: bytes) -> None:
        self.sent.append((path, packet))


def at_the_door(do: Callable[[Door], None]) -> None:
    """Runs it in a loop, for timers are set."""

    async def run() -> None:
        door = Door()
        try:
            do(door)
            assert door.still_serves()
        finally:
            await door.sfu.close()

    asyncio.run(run())


def spoilt(packet: bytes) -> st.SearchStrategy[bytes]:
    """The packet cut off, or with one byte changed before MESSAGE-INTEGRITY ends (but its length); never as it was."""
    covered = len(packet) - 8  # FINGERPRINT comes last and authenticates nothing
    changed = st.tuples(st.integers(0, covered - 1).filter(lambda at: at not in (2, 3)), st.integers(1, 255)).map(
        lambda where: packet[: where[0]] + bytes([packet[where[0]] ^ where[1]]) + packet[where[0] + 1 : covered]
    )
    return st.integers(0, len(packet) - 1).map(lambda size: packet[:size]) | changed.map(_with_right_length)


def _with_right_length(packet: bytes) -> bytes:
    """Without FINGERPRINT, so that it is MESSAGE-INTEGRITY that has to tell."""
    return packet[:2] + (len(packet) - 20).to_bytes(2, "big") + packet[4:]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.binary(max_size=200) | spoilt(OTHER) | spoilt(OWN) | st.just(FOREIGN), max_size=12))
@example([b"", b"\0", OTHER[:20], FOREIGN])
def test_a_stranger_draws_no_answer_and_leaves_nothing(packets: list[bytes]) -> None:
    def do(door: Door) -> None:
        before = door.state()
        for packet in packets:
            assert not door.sfu.receive(packet, STRANGE, door.now)
        assert door.sent == [] and door.state() == before
        sfu = door.sfu
        counted = sfu.unauthenticated + sfu.bad_integrity + door.admission.foreign_runs + door.admission.unreadable
        assert counted == len(packets)

    at_the_door(do)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.binary(max_size=200) | spoilt(OTHER) | spoilt(OWN), max_size=12))
@example([b"\x16\xfe\xfd" + bytes(60), b"\x80\x6f" + bytes(30), b"\x80\xc8" + bytes(30), b"\x40\x00\x00\x04abcd"])
def test_junk_by_the_path_of_a_session_does_not_end_it(packets: list[bytes]) -> None:
    def do(door: Door) -> None:
        before = door.state()
        for packet in packets:
            door.sfu.receive(packet, HOME, door.now)
        assert door.state() == before
        assert all(len(data) <= 1200 and path == HOME for path, data in door.sent)

    at_the_door(do)
