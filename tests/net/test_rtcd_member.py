"""One session by itself, without a WebSocket: which candidates are tried, what rtcd is told of us, at which stage it
is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from calls_doctor.errors import Cut, FarEndError, NetworkError, ProtocolError, Silence, TlsError
from calls_doctor.model.flow import Address, Path, Transport
from calls_doctor.net.peer import CallFailed
from calls_doctor.net.rtcd_access import MediaWay
from calls_doctor.net.rtcd_member import Member
from calls_doctor.net.sockets import Channel, Receiver
from calls_doctor.wire import rtcd
from calls_doctor.wire.dtls import Certificate
from calls_doctor.wire.rtcd import Join, Leave, Rtc
from calls_doctor.wire.rtcd_signal import IceCandidate, Sender, SessionDescription
from tests.servers.plain_sockets import eventually
from tests.servers.scripted_rtcd import ANSWER

JOIN = Join("call", "user", "s")
CERTIFICATE = Certificate.generate()
PUBLIC, LOOPBACK, PORT = "192.0.2.8", "127.0.0.1", 8443
LOCAL: Address = ("192.0.2.1", 5000)
Sent = list[rtcd.Message]


class Mute:
    """A channel to nowhere."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def send(self, data: bytes) -> None:
        """Nobody hears it."""

    async def close(self) -> None:
        """There is nothing to close."""


class Opener:
    """Opens such channels, and remembers whereto; with `error` it opens none."""

    def __init__(self, transport: Transport, error: Exception | None = None) -> None:
        self.transport, self.error = transport, error
        self.asked: list[Address] = []

    async def __call__(self, remote: Address, _receiver: Receiver) -> Channel:
        self.asked.append(remote)
        if self.error is not None:
            raise self.error
        return Mute(Path(self.transport, (LOCAL[0], LOCAL[1] + len(self.asked)), remote))


def a_member(opener: Opener, sent: Sent, *, loopback: bool = False) -> Member:
    way = MediaWay(opener.transport, opener)
    return Member(
        JOIN, way, CERTIFICATE, lambda frame: sent.append(rtcd.decode(frame, Sender.CLIENT)), loopback=loopback
    )


@asynccontextmanager
async def answered(
    opener: Opener, *candidates: str, loopback: bool = False
) -> AsyncIterator[tuple[Member, Sent, asyncio.Task[object]]]:
    """A member whose offer was answered, and who was told these; how it comes in."""
    sent: Sent = []
    member = a_member(opener, sent, loopback=loopback)
    coming = asyncio.create_task(member.come_in())
    try:
        await eventually(lambda: len(sent) == 2)
        member.receive(Rtc("s", SessionDescription("answer", ANSWER)))
        for candidate in candidates:
            member.receive(Rtc("s", IceCandidate(f"candidate:{candidate}", "0", 0)))
        await asyncio.sleep(0)
        yield member, sent, coming
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        await member.close()


def udp(address: str, component: int = 1) -> str:
    return f"1 {component} udp 2130706431 {address} {PORT} typ host ufrag x"


def tcp(address: str, tcp_type: str = "passive") -> str:
    return f"1 1 tcp 1671430143 {address} {PORT} typ host tcptype {tcp_type} ufrag x"


ALL = (
    udp(LOOPBACK), udp(PUBLIC), udp("0.0.0.0"), udp("name.invalid"), udp("192.0.2.9", 2), tcp(LOOPBACK), tcp(PUBLIC),
    tcp("192.0.2.10", "active"),
)  # fmt: skip


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize("loopback", [False, True])
async def test_one_transport_is_tried_and_loopback_only_on_rtcds_own_machine(
    transport: Transport, loopback: bool
) -> None:
    opener = Opener(transport)
    async with answered(opener, *ALL, loopback=loopback) as (member, _, _):
        assert opener.asked == [(address, PORT) for address in ([LOOPBACK, PUBLIC] if loopback else [PUBLIC])]
        assert len(member.advertised) == len(ALL)
        assert member.stage == "ice"


@pytest.mark.parametrize(
    ("transport", "told"),
    [
        (Transport.UDP, ["candidate:1 1 udp 2130706431 192.0.2.1 5001 typ host"]),
        (Transport.RELAY, ["candidate:1 1 udp 16777215 192.0.2.1 5001 typ relay"]),
        (Transport.TCP, []),
    ],
)
async def test_rtcd_is_told_where_we_are_where_it_answers_no_check(
    transport: Transport, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calls_doctor.net.rtcd_member.TELL_AFTER_S", 0.01)
    async with answered(Opener(transport), udp(PUBLIC), tcp(PUBLIC)) as (_, sent, _):
        await asyncio.sleep(0.03)
        signals = [message.signal for message in sent if isinstance(message, Rtc)]
        assert [signal.candidate for signal in signals if isinstance(signal, IceCandidate)] == told


@pytest.mark.parametrize(
    ("error", "stage", "code"),
    [
        (FarEndError("CreatePermission", 403, "Forbidden"), "permit", 403),
        (TlsError("no handshake"), "permit", None),
        (Silence("TCP to somewhere", 2.5), "ice", None),
    ],
)
async def test_where_no_channel_can_be_opened_it_is_said_why(
    error: FarEndError | ProtocolError | NetworkError, stage: str, code: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calls_doctor.net.rtcd_member.MORE_CANDIDATES_S", 0.05)
    async with answered(Opener(Transport.UDP, error), udp(PUBLIC)) as (_, _, coming):
        with pytest.raises(CallFailed) as caught:
            await coming
        assert (caught.value.stage, caught.value.code, caught.value.reason) == (stage, code, str(error))


async def test_the_end_of_the_websocket_is_told_at_the_stage_where_it_came() -> None:
    async with answered(Opener(Transport.UDP), udp(PUBLIC)) as (member, _, coming):
        member.lose("the WebSocket was cut", Cut("the WebSocket"))
        with pytest.raises(CallFailed) as caught:
            await coming
        assert (caught.value.stage, caught.value.reason) == ("ice", "the WebSocket was cut")


async def test_who_leaves_says_so_once_and_who_never_joined_says_nothing() -> None:
    async with answered(Opener(Transport.UDP), udp(PUBLIC)) as (member, sent, _):
        member.leave()
        member.leave()
        assert sent.count(Leave("s")) == 1
        assert not await member.closed(0.01)
        member.receive(rtcd.Close("s"))
        assert await member.closed(0.01)
    nothing: Sent = []
    stranger = a_member(Opener(Transport.UDP), nothing)
    stranger.leave()
    await stranger.close()
    assert nothing == []
