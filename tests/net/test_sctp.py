"""The SCTP adapter against aiortc's own client end, and against one that sends what no honest end does: the contract of
an association, and its bounds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

import pytest
from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCDtlsTransport, RTCSctpTransport
from aiortc.rtcsctptransport import (
    AbortChunk,
    CookieAckChunk,
    DataChunk,
    HeartbeatAckChunk,
    InitChunk,
    SackChunk,
    parse_packet,
)

from calls_doctor.net.sctp import (
    CHANNELS_MAX,
    MISORDERED_MAX,
    PENDING_MAX_BYTES,
    STREAMS_MAX,
    UNFINISHED_CHUNKS_MAX,
    WINDOW_BYTES,
    Association,
    open_channel,
)
from calls_doctor.wire.data_channel import MESSAGE_MAX_BYTES
from calls_doctor.wire.dtls import DATA_MAX_BYTES, DtlsRole
from tests.servers.plain_sockets import eventually
from tests.servers.sctp_client import BINARY, DCEP, OPEN, TEXT, SctpClient, chunk

WAIT_S = 5.0
BEGINS, PLAIN = 2 | 4, 4
"""Flags of unordered fragments."""


def echo(message: str | bytes) -> str | bytes | None:
    return message or None


class Wire:
    """What aiortc's client end takes for DTLS: it leads to an association of ours and back."""

    state, _role = "connected", "client"

    def __init__(self, answer: Callable[[str | bytes], str | bytes | None], lost: frozenset[int] = frozenset()) -> None:
        self.sizes: list[int] = []
        self._lost = lost
        self.association = Association(self._to_client, answer)
        self.client = RTCSctpTransport(cast(RTCDtlsTransport, self))  # it has all that is used of one

    def _register_data_receiver(self, receiver: RTCSctpTransport) -> None:
        pass

    def _unregister_data_receiver(self, receiver: RTCSctpTransport) -> None:
        pass

    async def _send_data(self, data: bytes) -> None:
        asyncio.get_running_loop().call_soon(self.association.receive, data)

    def _to_client(self, packet: bytes) -> None:
        self.sizes.append(len(packet))
        if len(self.sizes) not in self._lost:
            asyncio.get_running_loop().create_task(self.client._handle_data(packet))


async def conversation(wire: Wire, *messages: str | bytes) -> list[str | bytes]:
    """What a client's channel is answered."""
    said: asyncio.Queue[str | bytes] = asyncio.Queue()
    await wire.client.start(None, 5000)
    channel = RTCDataChannel(wire.client, RTCDataChannelParameters(label="words"))
    opened = asyncio.Event()
    channel.add_listener("open", opened.set)
    channel.add_listener("message", said.put_nowait)
    async with asyncio.timeout(WAIT_S):
        await opened.wait()
        for message in messages:
            channel.send(message)
        return [await said.get() for _ in messages]


@pytest.mark.parametrize("message", ["ping", "süß", b"\x00\x01", "long" * (MESSAGE_MAX_BYTES // 4)], ids=len)
async def test_a_message_is_answered(message: str | bytes) -> None:
    wire = Wire(echo)
    assert await conversation(wire, message, message) == [message, message]
    assert max(wire.sizes) <= DATA_MAX_BYTES
    await wire.client.stop()
    await asyncio.sleep(0)
    assert wire.association.closed


async def test_a_channel_of_our_own_waits_for_the_far_end_and_then_carries_messages_both_ways() -> None:
    wire = Wire(lambda _: None)
    said: asyncio.Queue[str | bytes] = asyncio.Queue()
    opened = asyncio.Event()
    send = wire.association.open("ours", opened.set, said.put_nowait)
    send(b"too early")
    await asyncio.sleep(0)
    assert wire.sizes == []
    channels: list[RTCDataChannel] = []
    wire.client.on("datachannel", channels.append)
    await wire.client.start(None, 5000)
    async with asyncio.timeout(WAIT_S):
        await opened.wait()
        (channel,) = channels
        assert channel.label == "ours"
        channel.on("message", lambda message: channel.send(message * 2))
        for message in (b"\x07", "ping"):
            send(message)
            assert await said.get() == message * 2
    await wire.client.stop()
    await asyncio.sleep(0)
    send(b"too late")
    assert wire.association.closed


async def test_the_far_ends_channel_may_be_spoken_to_unasked() -> None:
    heard: list[str | bytes] = []
    told: list[str] = []
    wire = Wire(lambda _: None)

    def opened() -> None:
        told.append("open")
        wire.association.tell(b"hello")

    wire.association = open_channel(wire._to_client, heard.append, opened, DtlsRole.CLIENT)
    wire.association.tell(b"too early")
    assert await conversation(wire, "a question") == [b"hello"]
    await eventually(lambda: heard == ["a question"])
    assert told == ["open"]
    await wire.client.stop()
    await asyncio.sleep(0)
    wire.association.tell(b"too late")
    assert wire.association.closed


ANSWER = 6
"""Its place: before it come INIT ACK, COOKIE ACK, the channel's ACK and SACK, and the SACK of the message."""


async def test_an_answer_that_is_lost_comes_again() -> None:
    wire = Wire(echo, lost=frozenset({ANSWER}))
    began_s = time.monotonic()
    assert await conversation(wire, "ping") == ["ping"]
    assert time.monotonic() - began_s > 0.5, "nothing was lost"
    await wire.client.stop()
    await asyncio.sleep(0)


async def test_it_says_nothing_and_keeps_no_timer_before_it_is_spoken_to() -> None:
    client = SctpClient(echo)
    association = client.association
    assert client.packets == [] and not association.closed
    client.send(chunk(1, bytes(16)))
    assert len(client.packets) == 1
    timers = (association._sctp._t1_handle, association._sctp._t2_handle, association._sctp._t3_handle)
    assert timers == (None, None, None)
    association.close()


async def test_who_is_told_to_begin_says_init_once_and_not_to_an_association_that_is_there() -> None:
    client = SctpClient(echo)
    client.association.begin()
    client.association.begin()
    (packet,) = client.packets
    assert isinstance(parse_packet(packet)[3][0], InitChunk)
    timer = client.association._sctp._t1_handle
    assert timer is not None and not timer.cancelled()
    client.association.close()
    assert timer.cancelled()
    established = ready()
    established.heard()
    established.association.begin()
    assert established.packets == []
    established.association.close()


async def test_closing_tells_the_far_end_once_and_then_nothing_is_said_or_taken() -> None:
    client = SctpClient(echo)
    client.establish()
    client.send(client.data(DCEP, OPEN), client.data(TEXT, b"word"))
    assert isinstance(client.heard()[0], CookieAckChunk)
    client.association.close()
    client.association.close()
    assert [type(one) for one in client.heard()] == [AbortChunk]
    client.send(client.data(TEXT, b"word"))
    await asyncio.sleep(0)
    assert client.packets == []
    assert client.association._sctp._t3_handle is None


def ready() -> SctpClient:
    client = SctpClient(echo)
    client.establish()
    client.send(client.data(DCEP, OPEN))
    return client


async def test_what_is_to_come_again_in_the_moment_of_closing_starts_no_timer() -> None:
    client = ready()
    client.send(client.data(TEXT, b"word"))
    await asyncio.sleep(0)
    kept = client.association._sctp
    due = kept._t3_handle
    assert due is not None, "nobody acknowledged the answer"
    due.cancel()
    kept._t3_expired()
    client.association.close()
    client.heard()
    await asyncio.sleep(0)
    assert kept._t3_handle is None and client.packets == []


async def test_the_client_that_is_hostile_below_is_answered_where_it_is_honest() -> None:
    client = ready()
    client.heard()
    client.send(client.data(TEXT, b"word"))
    await asyncio.sleep(0)
    heard = client.heard()
    assert [one.user_data for one in heard if isinstance(one, DataChunk) and one.protocol == TEXT] == [b"word"]
    assert any(isinstance(one, SackChunk) for one in heard)
    client.association.close()


Hostile = Callable[[SctpClient], list[bytes]]
"""One chunk for each packet."""


def fragments(client: SctpClient, count: int, size_bytes: int) -> list[bytes]:
    """The beginning of a message that never ends."""
    first = client.data(BINARY, bytes(size_bytes), flags=BEGINS)
    return [first, *(client.data(BINARY, bytes(size_bytes), flags=PLAIN) for _ in range(count - 1))]


BREAKS: dict[str, Hostile] = {
    "a channel is opened twice": lambda c: [c.data(DCEP, OPEN)],
    "a channel that nobody opened is acknowledged": lambda c: [c.data(DCEP, b"\x02", stream=9)],
    "text that is none": lambda c: [c.data(TEXT, b"\xff\xfe")],
    "a name that is none": lambda c: [c.data(DCEP, b"\x03" + bytes(7) + b"\0\x01\0\0\xff", stream=2)],
    "more channels": lambda c: [c.data(DCEP, OPEN, stream=n) for n in range(1, CHANNELS_MAX + 1)],
    "more streams": lambda c: [c.data(99, b"x", stream=n) for n in range(1, STREAMS_MAX + 1)],
    "more than the window": lambda c: fragments(c, WINDOW_BYTES // 1100 + 1, 1100),
    "more fragments": lambda c: fragments(c, UNFINISHED_CHUNKS_MAX + 1, 1),
    "more gaps": lambda c: [c.data(99, b"x", skip=1) for _ in range(MISORDERED_MAX + 1)],
    "a stream that is reset has no number": lambda _: [chunk(130, bytes((0, 13, 0, 6, 0, 0, 0, 0)))],
    "streams are skipped without end": lambda _: [
        chunk(192, (2000).to_bytes(4, "big") + b"".join(bytes((0, n, 0, 1)) for n in range(40)))
    ],
}


@pytest.mark.parametrize("hostile", BREAKS.values(), ids=BREAKS)
async def test_what_no_honest_end_sends_ends_the_association_and_raises_nothing(hostile: Hostile) -> None:
    client = ready()
    client.heard()
    packets = hostile(client)
    for one in packets[:-1]:
        client.send(one)
    before = client.association.closed
    client.send(packets[-1])
    assert (before, client.association.closed) == (False, True), "neither sooner nor later than it goes too far"
    assert isinstance(client.heard()[-1], AbortChunk)
    await asyncio.sleep(0)


async def test_two_beginnings_in_one_packet_end_it_too() -> None:
    client = SctpClient(echo)
    client.send(chunk(1, bytes(16)), chunk(1, bytes(16)))
    assert client.association.closed


UNSOUND = {
    "a parameter of no length": chunk(4, bytes(4)),
    "an acknowledgement of everything": chunk(3, bytes(8) + b"\0\x01\0\0" + b"\0\x01\xff\xff"),
    "data without data": chunk(0, bytes(12), flags=7),
}


@pytest.mark.parametrize("unsound", UNSOUND.values(), ids=UNSOUND)
async def test_what_would_never_be_counted_to_its_end_is_passed_over(unsound: bytes) -> None:
    client = ready()
    client.heard()
    client.send(unsound)
    assert client.packets == [] and not client.association.closed
    client.association.close()


async def test_a_heartbeat_is_answered_where_the_answer_fits() -> None:
    client = ready()
    client.heard()
    for size in (100, DATA_MAX_BYTES):
        client.send(chunk(4, b"\0\x01" + (4 + size).to_bytes(2, "big") + bytes(size)))
    assert [type(one) for one in client.heard()] == [HeartbeatAckChunk]
    client.association.close()


async def test_who_takes_no_answers_gets_no_more_of_them() -> None:
    answers = 0

    def answer(_message: str | bytes) -> bytes:
        nonlocal answers
        answers += 1
        return bytes(MESSAGE_MAX_BYTES)

    client = SctpClient(answer)
    client.establish()
    client.send(client.data(DCEP, OPEN))
    for _ in range(100):
        client.send(client.data(TEXT, b"more"))
        await asyncio.sleep(0)
    assert 2 <= answers <= 2 + PENDING_MAX_BYTES // MESSAGE_MAX_BYTES
    assert sum(map(len, client.packets)) < MESSAGE_MAX_BYTES
    client.association.close()
