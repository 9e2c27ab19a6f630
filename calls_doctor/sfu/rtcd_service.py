"""The shell of rtcd's calls: between the WebSockets of 8045, the media port and the data channels.

It reads and writes messages, tells the calls (sfu/rtcd_calls.py) what came when, and does what they want done, once for
all that came in one turn of the loop.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from calls_doctor.errors import RtcdError
from calls_doctor.model.flow import Path
from calls_doctor.sfu.rtcd_calls import Member, Offered, RtcdCalls
from calls_doctor.sfu.session import Association, Grant, Session
from calls_doctor.wire import rtcd, rtcd_channel, rtp_feedback
from calls_doctor.wire.dtls import DtlsRole
from calls_doctor.wire.rtcd import Join
from calls_doctor.wire.rtcd_signal import Sender


class Channel(Association, Protocol):
    """A session's data channel over SCTP (net/sctp.py)."""

    def tell(self, message: str | bytes, /) -> None:
        """Sends one message, or drops it where the channel is not open."""


OpenChannel = Callable[[Callable[[bytes], None], Callable[[str | bytes], None], Callable[[], None], DtlsRole], Channel]
"""Makes one that sends its packets so, hands on its messages, tells that it is open, and has this role in DTLS."""


class MediaPort(Protocol):
    """The port that carries the sessions' media (sfu/sfu.py)."""

    def end(self, session: Session, /) -> None:
        """Ends a session."""

    def restart(self, session: Session, fragment: str, /) -> None:
        """Goes on with a session under the name that is granted now."""

    def send_rtp(self, session: Session, packet: bytes, /) -> None:
        """Sends one RTP packet."""

    def send_rtcp(self, session: Session, packet: bytes, /) -> None:
        """Sends one compound RTCP packet."""


class RtcdService:
    """One for a stand-in."""

    def __init__(
        self, fingerprint: bytes, offered: Callable[[], Offered], open_channel: OpenChannel, media: MediaPort
    ) -> None:
        self._calls = RtcdCalls(fingerprint, offered, secrets.token_bytes)
        self.open_channel, self.media = open_channel, media
        self._connections: dict[str, tuple[str, Callable[[bytes], None]]] = {}
        """Connection id -> client id, and what takes its messages."""
        self._legs: dict[tuple[str, str], _Leg] = {}
        self._is_due = self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None

    def joined(self, group: str, /) -> Mapping[str, Mapping[str, Join]]:
        """Who is in which call of this client id."""
        return self._calls.joined(group)

    def connect(self, conn_id: str, group: str, send: Callable[[bytes], None], /) -> None:
        """A WebSocket has said hello."""
        self._connections[conn_id] = group, send

    def receive(self, conn_id: str, frame: bytes, /) -> None:
        """One message of it; what cannot be read is dropped, as rtcd drops it."""
        group, _ = self._connections[conn_id]
        try:
            message = rtcd.decode(frame, Sender.CLIENT)
        except RtcdError:
            return
        self._calls.receive(conn_id, group, message, _now())
        self._act()

    def disconnect(self, conn_id: str, /) -> None:
        """It is gone; its sessions live on."""
        del self._connections[conn_id]

    def grant(self, fragment: str) -> Grant | None:
        """What a check with this user name may open; None: it is no session's of a call."""
        member = self._calls.member_of(fragment)
        if member is None or member.session.remote is None:
            return None
        local, remote = member.session.local, member.session.remote
        leg = self._legs.setdefault((member.group, member.id), _Leg(self, member))
        return Grant(
            session=member.id, password=local.pwd, peer_fingerprint=remote.fingerprint, call=None,
            publishes_as=leg.ssrc, leg="", dtls_role=leg.dtls_role, peer_fragment=remote.ice_ufrag, participant=leg,
        )  # fmt: skip

    def close(self) -> None:
        """No timer is left, and none begins any more."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()

    def wake(self) -> None:
        """Does what is to be done, when what goes on now is done."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._act)

    @property
    def calls(self) -> RtcdCalls:
        """What is held now."""
        return self._calls

    def leg(self, group: str, session_id: str) -> _Leg | None:
        """The media path of a session, where it has one."""
        return self._legs.get((group, session_id))

    def _act(self) -> None:
        self._is_due = False
        for member, message in self._calls.channel_to_send():
            leg = self._legs.get((member.group, member.id))
            if leg is not None and leg.channel is not None:
                leg.channel.tell(rtcd_channel.encode(message, Sender.SERVER))
        for conn_id, frame in self._calls.frames_to_send():
            if conn_id in self._connections:
                self._connections[conn_id][1](rtcd.encode(frame, Sender.SERVER))
        for member in self._calls.restarted():
            leg = self._legs.get((member.group, member.id))
            if leg is not None and leg.session is not None:
                self.media.restart(leg.session, member.ufrag)
        for member in self._calls.ended():
            leg = self._legs.pop((member.group, member.id), None)
            if leg is not None and leg.session is not None:
                self.media.end(leg.session)
        self._set_timer()

    def _set_timer(self) -> None:
        at = self._calls.next_timer()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if at is None or self._is_closed else asyncio.get_running_loop().call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._calls.handle_timer(_now())
        self._act()


class _Leg:
    """The media path of one session."""

    def __init__(self, service: RtcdService, member: Member) -> None:
        self._service, self._member = service, member
        self.session: Session | None = None
        self.channel: Channel | None = None
        self.ssrc = int.from_bytes(secrets.token_bytes(4), "big") or 1
        """Under which reports go out."""

    @property
    def dtls_role(self) -> DtlsRole:
        """Ours: rtcd begins the handshake, unless the client wants to."""
        remote = self._member.session.remote
        return DtlsRole.SERVER if remote is not None and remote.setup == "active" else DtlsRole.CLIENT

    def opened(self, session: Session, /) -> None:
        """The first check has come."""
        self.session = session

    def connected(self) -> None:
        """Its handshake is done."""
        self._member.session.connected()
        self._service.wake()

    def forward(self, packet: bytes, now: float, /) -> Iterable[tuple[Path, bytes]]:
        """To each session that takes the track."""
        known = len(self._member.tracks)
        for session_id, copy in self._service.calls.forward(self._member, packet, now):
            leg = self._service.leg(self._member.group, session_id)
            out = leg.session.connection.outgoing_rtp(copy, now) if leg is not None and leg.session else None
            if out is not None:
                yield out
        if len(self._member.tracks) > known:  # its first packet: it is offered to the others
            self._service.wake()

    def heard_rtcp(self, packet: bytes, now: float, /) -> None:
        """Who lacks packets of video has them again; who lacks a key frame has it asked for at the publisher's."""
        if self.session is None:
            return
        for ssrc, sequences in rtp_feedback.packets_wanted(packet).items():
            for copy in self._service.calls.again(self._member, ssrc, sequences):
                if self.session.affords(len(copy), now):
                    self._service.media.send_rtp(self.session, copy)
        for ssrc in rtp_feedback.key_frames_wanted(packet):
            asked = self._service.calls.key_frame_wanted(self._member, ssrc, now)
            leg = self._service.leg(self._member.group, asked[0]) if asked else None
            if asked and leg is not None and leg.session is not None:
                self._service.media.send_rtcp(leg.session, rtp_feedback.key_frame_request(leg.ssrc, asked[1]))

    def associate(self, send: Callable[[bytes], None], /) -> Association:
        """SCTP begins with the client's first packet."""
        self.channel = self._service.open_channel(send, self._heard, self._channel_opened, self.dtls_role)
        return self.channel

    def ended(self) -> None:
        """Gone for good."""
        self._service.calls.media_ended(self._member, _now())
        self._service.wake()

    def _heard(self, message: str | bytes) -> None:
        try:
            read = rtcd_channel.decode("ping" if message == b"ping" else message, Sender.CLIENT)
        except RtcdError:
            return
        self._service.calls.receive_channel(self._member, read, _now())
        self._service.wake()

    def _channel_opened(self) -> None:
        self._service.calls.channel_opened(self._member, _now())
        self._service.wake()


def _now() -> float:
    return asyncio.get_running_loop().time()
