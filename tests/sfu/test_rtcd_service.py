"""The shell of calls: frames that come and go, whom a check may let in, and who ends when."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from calls_doctor.sfu.rtcd_service import RtcdService
from calls_doctor.sfu.session import Session
from calls_doctor.standin.offered import offered_at
from calls_doctor.wire import rtcd, rtcd_channel, sdp
from calls_doctor.wire.dtls import DtlsRole
from calls_doctor.wire.rtcd import Close, Join, Leave, Message, Rtc
from calls_doctor.wire.rtcd_signal import IceCandidate, Sender, SessionDescription
from tests.servers.rtcd_offers import CHANNEL_OFFER


class Channel:
    """A data channel that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str | bytes] = []
        self.opened: Callable[[], None] = lambda: None
        self.heard: Callable[[str | bytes], None] = lambda _message: None
        self.role = DtlsRole.SERVER

    def receive(self, packet: bytes, /) -> None:
        """A test brings messages, no packets."""

    def close(self) -> None:
        """Nothing to end."""

    def tell(self, message: str | bytes, /) -> None:
        self.told.append(message)


class Port:
    """A media port that carries nothing."""

    def end(self, _session: Session, /) -> None:
        raise AssertionError("no session was opened")

    def restart(self, _session: Session, _fragment: str, /) -> None:
        raise AssertionError("no session was opened")

    def send_rtp(self, _session: Session, _packet: bytes, /) -> None:
        raise AssertionError("no session was opened")

    def send_rtcp(self, _session: Session, _packet: bytes, /) -> None:
        raise AssertionError("no session was opened")


def service(channel: Channel | None = None) -> tuple[RtcdService, list[Message]]:
    """One with a connection, and what comes by it."""
    said: list[Message] = []

    def open_channel(
        _send: Callable[[bytes], None], heard: Callable[[str | bytes], None], opened: Callable[[], None], role: DtlsRole
    ) -> Channel:
        made_for = channel or Channel()
        made_for.heard, made_for.opened, made_for.role = heard, opened, role
        return made_for

    made = RtcdService(bytes(32), lambda: offered_at(["10.0.0.1"], 8443, 30443), open_channel, Port())
    made.connect("c1", "client", lambda frame: said.append(rtcd.decode(frame, Sender.SERVER)))
    return made, said


def tell(made: RtcdService, *messages: Message) -> None:
    for message in messages:
        made.receive("c1", rtcd.encode(message, Sender.CLIENT))


OFFER = Rtc("s1", SessionDescription("offer", CHANNEL_OFFER))


async def test_a_session_may_be_opened_from_its_answer_on_until_it_ends_and_by_nobody_else() -> None:
    made, said = service()
    tell(made, Join("call", "user", "s1"))
    assert said == []
    tell(made, OFFER)
    answer, *candidates = [one.signal for one in said if isinstance(one, Rtc)]
    assert isinstance(answer, SessionDescription)
    ends = [one.candidate.split(" ufrag ")[0][-40:] for one in candidates if isinstance(one, IceCandidate)]
    assert [("udp" in one or "30443 typ host" in one) for one in ends] == [True, True]
    described, offer = sdp.parse(answer.sdp), sdp.parse(CHANNEL_OFFER)
    grant = made.grant(described.ice_ufrag)
    assert grant is not None and grant.participant is not None and made.grant("x" * 16) is None
    assert (grant.password, grant.peer_fingerprint, grant.peer_fragment, grant.dtls_role, grant.leg) == (
        described.ice_pwd, offer.fingerprint, offer.ice_ufrag, DtlsRole.CLIENT, "",
    )  # fmt: skip
    tell(made, Leave("s1"))
    assert said[-1] == Close("s1") and made.grant(described.ice_ufrag) is None
    made.close()


async def test_a_client_that_begins_dtls_is_waited_for() -> None:
    made, said = service()
    active = Rtc("s1", SessionDescription("offer", CHANNEL_OFFER.replace("setup:actpass", "setup:active")))
    tell(made, Join("call", "user", "s1"), active)
    assert isinstance(said[0], Rtc) and isinstance(said[0].signal, SessionDescription)
    grant = made.grant(sdp.parse(said[0].signal.sdp).ice_ufrag)
    assert grant is not None and grant.dtls_role is DtlsRole.SERVER
    made.close()


async def test_a_data_channel_is_read_and_written() -> None:
    channel = Channel()
    made, said = service(channel)
    tell(made, Join("call", "user", "s1"), OFFER)
    assert isinstance(said[0], Rtc) and isinstance(said[0].signal, SessionDescription)
    grant = made.grant(sdp.parse(said[0].signal.sdp).ice_ufrag)
    assert grant is not None and grant.participant is not None
    assert grant.participant.associate(lambda _packet: None) is channel and channel.role is DtlsRole.CLIENT
    channel.opened()
    for message in (b"\x01", "ping", b"ping", b"\x07", b"\x08", b"\xff", "what"):
        channel.heard(message)
    await asyncio.sleep(0)
    assert channel.told == [b"\xcc\x02", "pong", "pong", b"\xcc\x07\xc3"]
    assert rtcd_channel.decode(channel.told[0], Sender.SERVER) == rtcd_channel.Pong()
    grant.participant.ended()
    await asyncio.sleep(0)
    assert said[-1] == Close("s1")
    made.close()


async def test_what_cannot_be_read_is_dropped_and_sessions_outlive_their_connection() -> None:
    made, said = service()
    for frame in (b"", b"\xff", b"\xa5bogus\x80", b"\xa4join"):
        made.receive("c1", frame)
    tell(made, Join("call", "user", "s1"))
    made.disconnect("c1")
    assert list(made.joined("client")["call"]) == ["s1"] and said == []
    made.connect("c2", "client", lambda frame: said.append(rtcd.decode(frame, Sender.SERVER)))
    made.receive("c2", rtcd.encode(Leave("s1"), Sender.CLIENT))
    assert made.joined("client") == {} and said == [], "its close went to the connection that is gone"
    made.close()


ERRORS = Path(__file__).parents[1] / "data" / "rtcd" / "ws-errors.jsonl"
CAPTURED = [
    one
    for one in map(
        json.loads, (Path(__file__).parents[1] / "data" / "rtcd" / "ws-errors.jsonl").read_text().splitlines()
    )
    if one["kind"] == "ws" and one["type"] != "hello" and one["data"] != {"sessionID": "x2"}
]
"""Of the session x2 nothing is offered: its end is a matter of time."""


async def test_what_was_captured_of_mistakes_is_answered_so_and_mostly_not_at_all() -> None:
    made, said = service()
    expected: list[Message] = []
    for one in CAPTURED:
        frame = bytes.fromhex(one["hex"])
        if one["dir"] == "c2s":
            assert said == expected, one
            made.receive("c1", frame)
        else:
            expected.append(rtcd.decode(frame, Sender.SERVER))
    assert said == expected == [Close("x9"), Close("x1")]
    made.close()
