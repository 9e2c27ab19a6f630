"""An independent full stack: aiortc's RTCPeerConnection, unmodified, calls the stand-in's echo over UDP.

It shares no line of ICE, DTLS, SRTP or RTP with ours, so a fault that both ends of ours have shows here. Own
deadlines throughout: aiortc by itself takes a minute to notice that nobody answers. Only this file knows aiortc, and
importing it takes a third of a second, so whoever uses it imports it in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass

from aioice import Candidate
from aiortc import (
    AudioStreamTrack,
    MediaStreamTrack,
    RTCConfiguration,
    RTCDtlsTransport,
    RTCInboundRtpStreamStats,
    RTCOutboundRtpStreamStats,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError

from calls_doctor.errors import NetworkError
from calls_doctor.model.check import Evidence
from calls_doctor.model.flow import AddressClass, address_class
from calls_doctor.net import pace
from calls_doctor.net.call import PACKET_BYTES, PACKETS_PER_S
from calls_doctor.net.paired import PairedHost

CONNECT_S = 5.0
CLOSE_S = 1.0
DRAIN_S = 0.3
"""How long the last packets may take."""
POLL_S = 0.02
"""aiortc tells what it counted when it is asked, and never by itself."""


@dataclass(frozen=True)
class _Counts:
    """What aiortc counted."""

    sent: int = 0
    received: int = 0


async def call(paired: PairedHost, media_time_s: float) -> Evidence:
    """One call of aiortc's with the echo, counted at both ends: {"connected", "sent", "received", "frames", ...}.

    A call that does not come up is in the counts; nothing is raised.
    """
    try:
        address = await paired.address()
        async with paired.path_lock.shared(), pace.stream(address, PACKETS_PER_S, of_bytes=PACKET_BYTES):
            return await _held(paired, media_time_s)
    except NetworkError as error:
        return {"connected": False, "state": str(error), "sent": 0, "received": 0, "frames": 0}


async def _held(paired: PairedHost, media_time_s: float) -> Evidence:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))  # without the argument it would ask Google's STUN server
    track = AudioStreamTrack()
    frames = _Frames()
    try:
        peer.addTrack(track)
        (transceiver,) = peer.getTransceivers()
        began_s = time.monotonic()
        session, connected = await _connected(paired, peer, transceiver)
        evidence: Evidence = {"connected": connected, "state": peer.connectionState}
        if connected:
            evidence["connect_s"] = round(time.monotonic() - began_s, 4)
            frames.take(transceiver.receiver.track)
            await asyncio.sleep(media_time_s)
            track.stop()
        counts = await _settled(transceiver)
        evidence |= {"sent": counts.sent, "received": counts.received, "frames": frames.count}
        return evidence | await _far_counts(paired, session)
    finally:
        await frames.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await peer.close()


async def _connected(paired: PairedHost, peer: RTCPeerConnection, transceiver: RTCRtpTransceiver) -> tuple[str, bool]:
    """Offers, takes the answer that is made from the link, and waits; the session's name, and whether it came up."""
    decided = asyncio.Event()

    @peer.on("connectionstatechange")
    def changed() -> None:
        if peer.connectionState in ("connected", "failed", "closed"):
            decided.set()

    if address_class(await paired.address()) is AddressClass.LOOPBACK:
        use_only(transceiver.sender.transport, await paired.address())
    await peer.setLocalDescription(await peer.createOffer())
    session, answer = await paired.answer(peer.localDescription.sdp)
    await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CONNECT_S):
            await decided.wait()
    return session, peer.connectionState == "connected"


def use_only(transport: RTCDtlsTransport, address: str) -> None:
    """Has aioice call from this address: of itself it takes every address of the machine but loopback's."""
    connection = transport.transport.iceGatherer._connection  # there is no public way to it
    gather = connection.get_component_candidates

    async def from_there(component: int, **_others: object) -> list[Candidate]:
        return await gather(component, [address])

    setattr(connection, "get_component_candidates", from_there)  # noqa: B010 - of this one call; the class stays as it is


async def _settled(transceiver: RTCRtpTransceiver) -> _Counts:
    """The counts once all that was sent has come back, or DRAIN_S has passed."""
    until_s = time.monotonic() + DRAIN_S
    while True:
        counts = await _counts(transceiver)
        if counts.received >= counts.sent or time.monotonic() > until_s:
            return counts
        await asyncio.sleep(POLL_S)


async def _counts(transceiver: RTCRtpTransceiver) -> _Counts:
    sent, received = await transceiver.sender.getStats(), await transceiver.receiver.getStats()
    return _Counts(
        sent=sum(row.packetsSent for row in sent.values() if isinstance(row, RTCOutboundRtpStreamStats)),
        received=sum(row.packetsReceived for row in received.values() if isinstance(row, RTCInboundRtpStreamStats)),
    )


async def _far_counts(paired: PairedHost, session: str) -> Evidence:
    """What the far end counted of the same call; None where its books could not be had."""
    books = await paired.books()
    sessions = [one for one in books.sessions if one.session == session] if books else []
    if not sessions:
        return {"far_received": None, "far_sent": None}
    return {
        "far_received": sum(stream.received for one in sessions for stream in one.streams),
        "far_sent": sum(one.sent_rtp for one in sessions),
    }


class _Frames:
    """Takes the decoded audio and counts it: what is not taken would pile up."""

    def __init__(self) -> None:
        self.count = 0
        self._task: asyncio.Task[None] | None = None

    def take(self, track: MediaStreamTrack) -> None:
        self._task = asyncio.create_task(self._run(track))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()
                self.count += 1
