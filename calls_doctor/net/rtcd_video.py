"""A shared screen through rtcd: one session of ours shares, another sees, and both count.

rtcd is told of the screen before its first packet, else it drops it; it offers it to the other session with that
packet, and asks nobody for a whole picture: who sees it has to, and rtcd passes that on once a second.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

from calls_doctor.model.check import Evidence
from calls_doctor.model.flow import Transport
from calls_doctor.net import pace
from calls_doctor.net.call import OVERHEAD_BYTES, drain, together
from calls_doctor.net.echo import HEADERS_BYTES
from calls_doctor.net.peer import CallFailed, Peer
from calls_doctor.net.rtcd_access import MediaWay, RtcdAccess, straight
from calls_doctor.net.rtcd_call import HEARD_S, SILENT_S, RtcdCall, RtcdOutcome, hold_as
from calls_doctor.net.rtcd_member import Member
from calls_doctor.net.websocket import WebSocket
from calls_doctor.wire import rtp_feedback
from calls_doctor.wire.carried_rate import carried_bits_per_s
from calls_doctor.wire.rtcd_description import VP8_PAYLOAD_TYPE
from calls_doctor.wire.rtp import ReceiverReport
from calls_doctor.wire.screen_stream import PAYLOAD_BYTES, ScreenStream

PACKETS_PER_S = 40
"""0.4 Mbit/s: as much as the promise of any run allows (net/pace.py)."""
FULL_PACKETS_PER_S = 167
"""1.6 Mbit/s: a shared screen that moves. For those alone who ask for it by name."""
PACKET_BYTES = PAYLOAD_BYTES + OVERHEAD_BYTES
ASK_AGAIN_S = 1.1
"""rtcd passes on one question a second."""


OVER_UDP = straight(Transport.UDP)


async def hold(access: RtcdAccess, packets_per_s: int, time_s: float, way: MediaWay = OVER_UDP) -> RtcdOutcome:
    """By this way, for so long after the first packet was seen; "screen" in what it signalled has the counts."""

    def room(address: str) -> AbstractAsyncContextManager[None]:
        return pace.stream(address, packets_per_s, of_bytes=PACKET_BYTES) if packets_per_s <= PACKETS_PER_S else _ASKED

    def begin(socket: WebSocket, loopback: bool) -> RtcdCall:
        return _ScreenCall(access, socket, way, packets_per_s, loopback=loopback)

    return await hold_as(begin, access, time_s, room)


_ASKED = nullcontext()


class _ScreenCall(RtcdCall):
    """The first session shares, the second sees. Their voices are offered, as by any client, and say nothing."""

    def __init__(
        self, access: RtcdAccess, socket: WebSocket, way: MediaWay, packets_per_s: int, *, loopback: bool
    ) -> None:
        super().__init__(access, socket, [way] * 2, loopback=loopback)
        self._packets_per_s = packets_per_s
        self._sharer, self._viewer = self.members
        self._stream: ScreenStream | None = None
        self._pictures_asked = self._key_frames = self._nacks = 0
        self._ask_at = 0.0

    async def media(self, media_time_s: float) -> None:
        """Both come in, one shares."""
        await together(self._enters(member) for member in self.members)
        await self._sharer.share(self._heed)
        sending, seeing = self._sharer.peer, self._viewer.peer
        assert sending is not None and seeing is not None, "they have come in"
        ssrc, timestamp = self._sharer.own.screen_ssrc, secrets.randbelow(1 << 32)
        self._stream = ScreenStream(ssrc, VP8_PAYLOAD_TYPE, sending.first_sent, timestamp, self._packets_per_s)
        await self._show(self._stream, sending, seeing, media_time_s)
        await drain([sending, seeing])

    def signalling(self, closed: Sequence[bool]) -> Evidence:
        """With what was counted of the screen at both ends."""
        told, stream, seeing = super().signalling(closed), self._stream, self._viewer.peer
        if stream is None or seeing is None:
            return told
        seen = [one for one in seeing.books.streams if one.ssrc in self._viewer.shown_ssrcs]
        sending = self._sharer.peer
        before = _sent_before(sending, seeing) if sending is not None else 0
        return told | {
            "screen": {
                "sent": stream.sent - before,
                "received": sum(one.received - one.duplicated for one in seen),
                "packets_per_s": self._packets_per_s,
                "packet_bytes": PACKET_BYTES,
                "carried_bits_per_s": carried_bits_per_s(seen, PACKET_BYTES + HEADERS_BYTES),
                "offered": bool(self._viewer.shown_ssrcs),
                "key_frames_asked": self._pictures_asked,
                "key_frames_wanted": self._key_frames,
                "nacks": self._nacks,
            }
        }

    async def _enters(self, member: Member) -> None:
        peer = await member.come_in()
        peer.watch(closely=False)

    async def _show(self, stream: ScreenStream, sending: Peer, seeing: Peer, time_s: float) -> None:
        """Each packet at its time, as many as make up so long once the first was seen."""
        loop = asyncio.get_running_loop()
        began_at, packets = loop.time(), round(time_s * self._packets_per_s)
        while True:
            await asyncio.sleep(began_at + stream.sent / self._packets_per_s - loop.time())
            now = loop.time()
            if seeing.first_heard is None:
                if now > began_at + HEARD_S:
                    raise CallFailed("media", self._unseen())
            elif stream.sent - _sent_before(sending, seeing) >= packets:
                return
            elif now > seeing.heard_at + SILENT_S:
                raise CallFailed("media", f"no RTP of the screen came through rtcd for {SILENT_S:g} s")
            elif now > self._ask_at and not self._key_frames:
                self._ask_at = now + ASK_AGAIN_S
                self._ask_for_picture(seeing)
            sending.send_rtp(stream.packet())

    def _unseen(self) -> str:
        if self._viewer.shown_ssrcs:
            return f"rtcd offered the screen to the other session, and no RTP of it came in {HEARD_S:g} s"
        return f"rtcd did not offer the screen to the other session in {HEARD_S:g} s"

    def _ask_for_picture(self, seeing: Peer) -> None:
        """As who has just begun to see."""
        ssrc = self._viewer.own.ssrc
        for shown in self._viewer.shown_ssrcs[:1]:
            seeing.send_rtcp(bytes(ReceiverReport(ssrc, ())) + rtp_feedback.key_frame_request(ssrc, shown))
            self._pictures_asked += 1

    def _heed(self, packet: bytes) -> None:
        """What rtcd tells who shares."""
        ssrc = self._sharer.own.screen_ssrc
        self._nacks += len(rtp_feedback.packets_wanted(packet).get(ssrc, ()))
        if ssrc in rtp_feedback.key_frames_wanted(packet) and self._stream is not None:
            self._key_frames += 1
            self._stream.want_key_frame()


def _sent_before(sending: Peer, seeing: Peer) -> int:
    """How many packets of the screen were sent before the first that was seen: rtcd tells of it with its first."""
    return 0 if seeing.first_heard is None else (seeing.first_heard - sending.first_sent) & 0xFFFF
