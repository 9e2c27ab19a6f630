"""A session that was granted to somebody who was joined to a call by signalling: who takes what it carries, under which
names it is checked, and how it ends."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from calls_doctor.model.flow import Path
from calls_doctor.sfu.session import Association, Grant, Session
from calls_doctor.sfu.sfu import Sfu
from calls_doctor.wire import stun
from calls_doctor.wire.dtls import Certificate
from calls_doctor.wire.stun import Message, MessageClass, Method
from tests.servers.empty_desk import EmptyDesk
from tests.servers.middlebox import HOST
from tests.servers.plain_sockets import PlainUdp

PASSWORD, NEW_PASSWORD = "p" * 32, "q" * 32


class Participant:
    """One that notes what it is told."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.endings = 0

    def opened(self, session: Session, /) -> None:
        self.session = session

    def connected(self) -> None:
        raise AssertionError("nobody shakes hands here")

    def forward(self, _packet: bytes, _now: float, /) -> Iterable[tuple[Path, bytes]]:
        raise AssertionError("nothing is sent here")

    def heard_rtcp(self, _packet: bytes, _now: float, /) -> None:
        raise AssertionError("nothing is sent here")

    def associate(self, _send: Callable[[bytes], None], /) -> Association:
        raise AssertionError("nothing is sent here")

    def ended(self) -> None:
        self.endings += 1


def check(ours: str, theirs: str, password: str) -> bytes:
    request = Message(Method.BINDING, MessageClass.REQUEST, secrets.token_bytes(12), [
        (stun.USERNAME, f"{ours}:{theirs}"), (stun.PRIORITY, 1), (stun.ICE_CONTROLLING, 1),
    ])  # fmt: skip
    return request.encode(password.encode(), fingerprint=True)


@asynccontextmanager
async def standing(participant: Participant) -> AsyncIterator[tuple[Sfu, dict[str, Grant]]]:
    """An SFU, and what it grants by the fragment."""
    grants = {
        ours: Grant(
            session="one", password=password, peer_fingerprint=bytes(32), call=None, publishes_as=1, leg="",
            peer_fragment=theirs, participant=participant,
        )
        for ours, theirs, password in (("ours", "theirs", PASSWORD), ("new", "anew", NEW_PASSWORD))
    }  # fmt: skip
    sfu = Sfu(grants.get, Certificate.generate(), EmptyDesk())
    await sfu.start([HOST])
    try:
        yield sfu, grants
    finally:
        await sfu.close()


async def answered(udp: PlainUdp, sfu: Sfu, packet: bytes) -> Message:
    """The answer, before which none has come to what was sent earlier."""
    said = stun.parse(await udp.ask(packet, (HOST, sfu.port)))
    assert (said.message_class, said.transaction_id) == (MessageClass.SUCCESS, stun.parse(packet).transaction_id)
    return said


async def test_it_is_opened_by_the_signalled_peer_alone_and_tells_it_no_counters() -> None:
    participant = Participant()
    async with standing(participant) as (sfu, _), PlainUdp() as udp:
        await udp.send(check("ours", "another", PASSWORD), (HOST, sfu.port))
        await udp.send(check("ours", "theirs", NEW_PASSWORD), (HOST, sfu.port))
        answer = await answered(udp, sfu, check("ours", "theirs", PASSWORD))
        assert answer.get(stun.BOOKS) is None and answer.get(stun.XOR_MAPPED_ADDRESS) == udp.address
        assert participant.session is not None and sfu.sessions == 1 and sfu.bad_integrity == 1
    assert participant.endings == 1, "the port was closed"


async def test_where_ice_begins_anew_it_is_the_same_session_under_its_new_names_alone() -> None:
    participant = Participant()
    async with standing(participant) as (sfu, grants), PlainUdp() as udp:
        await answered(udp, sfu, check("ours", "theirs", PASSWORD))
        session = participant.session
        assert session is not None
        sfu.restart(session, "new")
        del grants["ours"]
        await udp.send(check("ours", "theirs", PASSWORD), (HOST, sfu.port))
        await answered(udp, sfu, check("new", "anew", NEW_PASSWORD))
        assert participant.session is session and sfu.sessions == 1 and list(sfu._sessions) == ["new:anew"]


async def test_whoever_granted_it_may_end_it_and_it_is_met_with_silence_from_then_on() -> None:
    participant = Participant()
    async with standing(participant) as (sfu, grants), PlainUdp() as udp:
        await answered(udp, sfu, check("ours", "theirs", PASSWORD))
        session = participant.session
        assert session is not None
        del grants["ours"]
        sfu.end(session)
        sfu.end(session)
        sfu.restart(session, "new")
        assert (sfu.sessions, participant.endings, sfu._by_path) == (0, 1, {})
        await udp.send(check("ours", "theirs", PASSWORD), (HOST, sfu.port))
        await answered(udp, sfu, check("new", "anew", NEW_PASSWORD))
        assert list(sfu._sessions) == ["new:anew"]
