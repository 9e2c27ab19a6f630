"""aiortc, unmodified, in calls with the SFU over UDP: an implementation of ICE, DTLS, SRTP and RTCP that nobody here
wrote. What it says of a call by its own statistics is what was sent and received."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiortc import (
    AudioStreamTrack,
    MediaStreamTrack,
    RTCConfiguration,
    RTCInboundRtpStreamStats,
    RTCOutboundRtpStreamStats,
    RTCPeerConnection,
    RTCRemoteInboundRtpStreamStats,
    RTCRemoteOutboundRtpStreamStats,
    RTCSessionDescription,
    RTCStatsReport,
)
from msgspec import structs

from calls_doctor.model.books import SessionBooks
from calls_doctor.model.facts import Facts
from calls_doctor.model.flow import Transport
from calls_doctor.model.report import Report
from calls_doctor.net import sctp
from calls_doctor.net.aiortc_peer import use_only
from calls_doctor.net.paired import PairedHost
from calls_doctor.net.peer import Peer
from calls_doctor.standin.launch import Ready
from calls_doctor.standin.server import StandIn
from calls_doctor.wire import direct, documents, envelope, sdp
from calls_doctor.wire.data_channel import MESSAGE_MAX_BYTES, Kind
from calls_doctor.wire.documents import Document
from calls_doctor.wire.pages import PageReader, pages_of
from calls_doctor.wire.seal import NONCE_BYTES
from tests.reports.samples import failing_report
from tests.servers.media_host import MEDIA_ONLY, media_host, paired
from tests.servers.middlebox import HOST

WAIT_S = 10.0
FACTS = Facts(
    local_addresses=["10.0.0.2"], public_addresses=[], media_port=1, announced=[], needs_stun=False, stun=[],
    control_port=0,
)  # fmt: skip
NOISE = {f"key {n}": random.Random(n).randbytes(40).hex() for n in range(80)}
"""Makes a report of many pages."""


class Caller:
    """One RTCPeerConnection that sends audio and takes what comes."""

    def __init__(self, ready: Ready, channel: str = "") -> None:
        self._link = ready.pairing
        self._port = ready.media_port
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.track = AudioStreamTrack()
        self.peer.addTrack(self.track)
        (self._transceiver,) = self.peer.getTransceivers()
        use_only(self._transceiver.sender.transport, HOST)
        self.channel = self.peer.createDataChannel(channel) if channel else None
        self.said: asyncio.Queue[str | bytes] = asyncio.Queue()
        """What came on the channel."""
        if self.channel is not None:
            self.channel.add_listener("message", self.said.put_nowait)
        self.frames = 0
        self.session = ""
        self._taking: asyncio.Task[None] | None = None

    async def connect(self, leg: str, call: str = "") -> None:
        """Offers, and answers itself by what the link says."""
        await self.peer.setLocalDescription(await self.peer.createOffer())
        offer = sdp.parse(self.peer.localDescription.sdp)
        nonce = direct.nonce(secrets.token_bytes(direct.NONCE_BYTES), call)
        fragment = direct.compose(self._link.keys.run, leg, nonce, offer.fingerprint)
        self.session = fragment.session
        answer = sdp.answer(
            offer,
            sdp.host_candidate(Transport.UDP, HOST, self._port),
            str(fragment),
            self._link.keys.password(str(fragment)),
            self._link.fingerprint,
            direct.ECHO_SSRC,
        )
        await self.peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        self._taking = asyncio.create_task(self._take(self._transceiver.receiver.track))
        await until(lambda: self.peer.connectionState == "connected")

    async def ask(self, message: str | bytes) -> str | bytes:
        """What is answered on the channel."""
        assert self.channel is not None
        await until(lambda: self.channel is not None and self.channel.readyState == "open")
        self.channel.send(message)
        async with asyncio.timeout(WAIT_S):
            return await self.said.get()

    async def stats(self) -> RTCStatsReport:
        """What it says of both directions."""
        stats = await self._transceiver.sender.getStats()
        stats.update(await self._transceiver.receiver.getStats())
        return stats

    async def close(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.wait([self._taking])
        await self.peer.close()

    async def _take(self, track: MediaStreamTrack) -> None:
        while True:
            await track.recv()
            self.frames += 1


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what aiortc tells only when asked."""
    async with asyncio.timeout(WAIT_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def meeting() -> AsyncIterator[tuple[StandIn, PairedHost, Ready]]:
    async with media_host() as stand_in:
        assert stand_in.ready is not None
        yield stand_in, paired(stand_in.ready), stand_in.ready


def of(stand_in: StandIn, session: str) -> SessionBooks:
    (books,) = [one for one in stand_in.books().sessions if one.session == session]
    return books


async def test_its_statistics_of_an_echoed_call_are_true_at_both_ends() -> None:
    async with meeting() as (stand_in, _, ready):
        caller = Caller(ready)
        try:
            began_s = time.monotonic()
            await caller.connect("u")
            inbound = outbound = None
            async with asyncio.timeout(WAIT_S):  # reports come about a second apart, and both ends must have made one
                while not (inbound and outbound and inbound.roundTripTime is not None):
                    await asyncio.sleep(0.05)
                    stats = (await caller.stats()).values()
                    inbound = next((one for one in stats if isinstance(one, RTCRemoteInboundRtpStreamStats)), None)
                    outbound = next((one for one in stats if isinstance(one, RTCRemoteOutboundRtpStreamStats)), None)
            caller.track.stop()
            talked_s = time.monotonic() - began_s
            await asyncio.sleep(0.1)
            now = {type(one): one for one in (await caller.stats()).values()}
        finally:
            await caller.close()
        sent, received = now[RTCOutboundRtpStreamStats], now[RTCInboundRtpStreamStats]
        assert isinstance(sent, RTCOutboundRtpStreamStats) and isinstance(received, RTCInboundRtpStreamStats)
        assert (inbound.packetsLost, inbound.fractionLost) == (0, 0)
        assert 0 <= inbound.roundTripTime < 0.25
        assert outbound.ssrc == direct.ECHO_SSRC and 0 < outbound.packetsSent <= received.packetsReceived
        books = of(stand_in, caller.session)
        assert sent.packetsSent == received.packetsReceived == books.sent_rtp == books.streams[0].received
        assert received.packetsLost == 0 and sent.packetsSent > 10 * talked_s and caller.frames > 5


async def test_it_and_a_session_of_ours_hear_each_other_in_one_call_under_their_own_payload_types() -> None:
    async with meeting() as (stand_in, host, ready):
        call = host.new_call()
        caller, ours = Caller(ready), Peer(host.session_settings("U", call), secrets.token_bytes)
        try:
            await caller.connect("U", call)
            await ours.connect(await host.opener(Transport.UDP)(ours), 3.0)
            await until(lambda: bool(of(stand_in, caller.session).streams))  # the SFU learns its payload type from it
            await ours.talk(0.4, 50)
            received: list[int] = []
            async with asyncio.timeout(WAIT_S):
                while received != [20]:
                    await asyncio.sleep(0.02)
                    stats = (await caller.stats()).values()
                    received = [one.packetsReceived for one in stats if isinstance(one, RTCInboundRtpStreamStats)]
            assert caller.frames > 5
            heard = {stream.ssrc: stream.received for stream in ours.books.streams}
            assert set(heard) == {direct.forwarded_ssrc(caller.session)}
            assert heard[direct.forwarded_ssrc(caller.session)] > 10
        finally:
            await ours.close()
            await caller.close()


class Page(NamedTuple):
    """How a document's page is asked for, or brought, on a channel, and what is answered."""

    kind: Kind
    caller: Caller

    async def __call__(self, value: bytes) -> bytes:
        answer = await self.caller.ask(bytes((self.kind,)) + value)
        assert isinstance(answer, bytes) and answer[0] == self.kind
        return answer[1:]


async def test_over_its_data_channel_it_is_told_books_and_facts_and_hands_a_report_in() -> None:
    reports: list[Report] = []
    stand_in = StandIn(MEDIA_ONLY, facts=lambda: FACTS, received=reports.append, associate=sctp.associate)
    async with stand_in:
        assert stand_in.ready is not None
        keys = stand_in.ready.pairing.keys
        caller = Caller(stand_in.ready, "doctor")
        try:
            await caller.connect("u")
            assert await caller.ask("ping") == "pong"
            books = json.loads(await caller.ask("books"))
            (session,) = books["sessions"]
            (path,) = session["paths"]
            assert (books["run"], session["session"], path["transport"]) == (keys.run, caller.session, "udp")
            assert path["dtls_in"] > 0

            reader, ask, bring = PageReader(), Page(Kind.ASK, caller), Page(Kind.BRING, caller)
            for page in range(2):
                if page in reader.missing():
                    reader.feed(await ask(documents.pack_request(Document.FACTS, page)))
            assert envelope.open_facts(reader.whole(), keys) == FACTS

            report = structs.replace(failing_report(), metadata=NOISE)
            sealed = envelope.seal_report(report, keys, secrets.token_bytes(NONCE_BYTES))
            *most, last = [documents.pack_page(Document.REPORT, page) for page in pages_of(sealed)]
            assert len(most) > 2
            assert [await bring(page) for page in most] == [b""] * len(most)
            assert await bring(last) == documents.RECEIPT
            assert reports == [report]
        finally:
            await caller.close()


async def test_a_message_of_many_packets_reaches_it_whole() -> None:
    async with StandIn(MEDIA_ONLY, associate=sctp.associate) as stand_in:
        assert stand_in.ready is not None
        stand_in._sfu._past += [SessionBooks(session=f"past {n}", failure="f" * 200) for n in range(200)]
        caller = Caller(stand_in.ready, "doctor")
        try:
            await caller.connect("u")
            text = await caller.ask("books")
        finally:
            await caller.close()
    assert isinstance(text, str) and MESSAGE_MAX_BYTES // 3 < len(text) <= MESSAGE_MAX_BYTES
    assert json.loads(text)["sessions"][-1]["session"] == caller.session
