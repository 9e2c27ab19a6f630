"""The calls of rtcd's protocol at a stand-in: who is in which call, and what goes from whom to whom.

Messages, events of the media path and packets in; messages, and what is to be opened and ended, out. It knows neither a
socket nor a clock. Mistakes are silence, as with rtcd: there is no message for them. Clients of different ids never see
each other, though their calls be named alike.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from calls_doctor.sfu import rtcd_tracks
from calls_doctor.sfu.rtcd_tracks import TRACKS_MAX, Receiver, Track
from calls_doctor.wire import rtcd, rtcd_channel
from calls_doctor.wire.ice import Random
from calls_doctor.wire.rtcd import Close, Join, Leave, Reconnect, Rtc
from calls_doctor.wire.rtcd_sdp import AV1, OPUS, VP8, LocalTransport, SentTrack
from calls_doctor.wire.rtcd_server_session import ServerSession
from calls_doctor.wire.rtcd_signal import (
    Mute,
    ScreenOff,
    ScreenOn,
    SessionDescription,
    Signal,
    Unmute,
    VideoOn,
)
from calls_doctor.wire.rtp import rewritten
from calls_doctor.wire.sdp import Candidate

SESSIONS_MAX = 64
ID_MAX_CHARS = 256
"""Of each name in a join; rtcd takes any."""
KEY_FRAME_S = 1.0
"""A publisher is asked for a key frame this often at most, whoever asks."""
_UFRAG_BYTES, _PWD_BYTES, _TRACK_NAME_BYTES = 12, 24, 5


@dataclass(frozen=True)
class Offered:
    """Where a call may be reached."""

    candidates: tuple[Candidate, ...]
    """As the sockets have them."""
    trickled: tuple[Candidate, ...]
    """As clients are told them: by a mapped port, where there is one."""


@dataclass
class Member:
    """One session, and what is known of it beyond its negotiation."""

    group: str
    session: ServerSession
    joined_by: str
    """The connection that hears of its end."""
    conn_id: str
    """The connection that its signals go to."""
    tracks: dict[int, Track] = field(default_factory=dict)
    """By the client's SSRC."""
    sends: dict[str, SentTrack] = field(default_factory=dict)
    """Name of another's track -> how it goes to this one, from when it is to be offered on."""
    muted: bool = False
    video_stream: str = ""
    ufrag: str = ""
    """Under which its media path is opened, or goes on."""

    @property
    def id(self) -> str:
        """The session's."""
        return self.session.join.session_id


@dataclass
class _Call:
    members: dict[str, Member] = field(default_factory=dict)
    screen: Member | None = None
    """Who shares its screen."""
    screen_stream: str = ""


class RtcdCalls:
    """All calls. `offered` says where they may be reached when a session begins; no candidate, no session."""

    def __init__(self, fingerprint: bytes, offered: Callable[[], Offered], random: Random) -> None:
        self._fingerprint, self._offered, self._random = fingerprint, offered, random
        self._calls: dict[tuple[str, str], _Call] = {}
        self._members: dict[tuple[str, str], Member] = {}
        """By client id and session id."""
        self._by_ufrag: dict[str, Member] = {}
        self._closes: list[tuple[str, Close]] = []
        self._ended: list[Member] = []
        self._restarted: list[Member] = []

    def joined(self, group: str, /) -> Mapping[str, Mapping[str, Join]]:
        """Call id -> session id -> what it joined with, of one client id."""
        return {
            call_id: {one.id: one.session.join for one in call.members.values()}
            for (of, call_id), call in self._calls.items()
            if of == group
        }

    def member_of(self, ufrag: str) -> Member | None:
        """The session whose media path is opened by this name, once it was answered."""
        member = self._by_ufrag.get(ufrag)
        return member if member is not None and member.session.remote is not None else None

    def receive(self, conn_id: str, group: str, message: rtcd.Message, now: float) -> None:
        """A message of a WebSocket."""
        if isinstance(message, Join):
            self._join(conn_id, group, message, now)
            return
        if not isinstance(message, Leave | Reconnect | Rtc):
            return
        member = self._members.get((group, message.session_id))
        if member is None:
            return
        if isinstance(message, Leave):
            self._end(member, now)
        elif isinstance(message, Reconnect):
            member.conn_id = conn_id
        else:
            self._take_signal(member, message.signal, now)

    def receive_channel(self, member: Member, message: rtcd_channel.Message, now: float) -> None:
        """A message of a session's data channel."""
        member.session.receive_channel(message, now)
        if isinstance(message, SessionDescription):
            self._after_description(member, now)

    def channel_opened(self, member: Member, now: float) -> None:
        """A data channel is open: its session is offered what others send."""
        if member.session.is_open or not self._is_live(member):
            return
        member.session.channel_opened(now)
        self._after_description(member, now)
        for other in self._call_of(member).members.values():
            latest = {(track.type, track.codec): track for track in other.tracks.values()}
            for track in latest.values() if other is not member else ():
                self._offer(track, other, member, now)

    def media_ended(self, member: Member, now: float) -> None:
        """Its media path is gone for good."""
        if self._is_live(member):
            self._end(member, now)

    def forward(self, member: Member, packet: bytes, now: float) -> Iterator[tuple[str, bytes]]:
        """One packet that a session sent, as it goes to each other session (group stays the same)."""
        track = member.tracks.get(int.from_bytes(packet[8:12], "big"))
        if track is None:
            track = self._begin(member, packet, now)
        if track is None or not track.receivers or (track.type == "voice" and member.muted):
            return
        plain = packet
        if track.is_video:
            plain = rtcd_tracks.without_extension(packet)
            track.remember(plain)
        for receiver in track.receivers:
            yield receiver.session_id, rewritten(plain, receiver.payload_type, receiver.ssrc)

    def again(self, member: Member, ssrc: int, sequences: Sequence[int]) -> list[bytes]:
        """Packets of a video that a session is sent and that it lacks, as far as they are still there."""
        for receiver, _, track in self._sent_to(member):
            if receiver.ssrc == ssrc:
                kept = [track.recent[number] for number in sequences if number in track.recent]
                return [rewritten(packet, receiver.payload_type, receiver.ssrc) for packet in kept]
        return []

    def key_frame_wanted(self, member: Member, ssrc: int, now: float) -> tuple[str, int] | None:
        """A session lacks a key frame of a stream that it is sent: whom to ask, and for which stream of his; None where
        he was asked just now, or there is no such stream."""
        for receiver, publisher, track in self._sent_to(member):
            if receiver.ssrc == ssrc and now - track.asked_at >= KEY_FRAME_S:
                track.asked_at = now
                return publisher.id, track.ssrc
        return None

    def _sent_to(self, member: Member) -> Iterator[tuple[Receiver, Member, Track]]:
        """What a session is sent now: as what, of whom and which."""
        for other in self._call_of(member).members.values() if self._is_live(member) else ():
            for track in other.tracks.values():
                for receiver in track.receivers:
                    if receiver.session_id == member.id:
                        yield receiver, other, track

    def next_timer(self) -> float | None:
        """When `handle_timer` is to be called."""
        timers = (one.session.next_timer() for one in self._members.values())
        return min((at for at in timers if at is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """What has waited long enough."""
        for member in list(self._members.values()):
            due = member.session.next_timer()
            if due is not None and due <= now:
                member.session.handle_timer(now)
                self._after_description(member, now)

    def frames_to_send(self) -> list[tuple[str, rtcd.Message]]:
        """What each connection is to be sent, in order."""
        frames: list[tuple[str, rtcd.Message]] = []
        for member in self._members.values():
            join = member.session.join
            signals, member.session.outgoing = member.session.outgoing, []
            frames += [
                (member.conn_id, Rtc(member.id, one, member.group, join.user_id, join.call_id)) for one in signals
            ]
        closes, self._closes = self._closes, []
        return [*frames, *closes]

    def channel_to_send(self) -> list[tuple[Member, rtcd_channel.Message]]:
        """What each data channel is to be sent, in order."""
        messages: list[tuple[Member, rtcd_channel.Message]] = []
        for member in self._members.values():
            of, member.session.channel = member.session.channel, []
            messages += [(member, one) for one in of]
        return messages

    def restarted(self) -> list[Member]:
        """Sessions whose media paths go on under another name, each once for each."""
        restarted, self._restarted = self._restarted, []
        return restarted

    def ended(self) -> list[Member]:
        """Sessions whose media paths are to be closed, each once."""
        ended, self._ended = self._ended, []
        return ended

    def _join(self, conn_id: str, group: str, join: Join, now: float) -> None:
        names = (join.call_id, join.user_id, join.session_id, join.channel_id)
        offered = self._offered()
        if (
            (group, join.session_id) in self._members
            or len(self._members) >= SESSIONS_MAX
            or any(len(name) > ID_MAX_CHARS for name in names)
            or not offered.candidates
        ):
            return
        ufrag, pwd = self._names()
        local = LocalTransport(ufrag=ufrag, pwd=pwd, fingerprint=self._fingerprint, candidates=offered.candidates)
        origin = int.from_bytes(self._random(8), "big") >> 1
        session = ServerSession(join, local, offered.trickled, origin, now, self._names)
        member = Member(group, session, conn_id, conn_id, ufrag=ufrag)
        self._members[group, join.session_id] = self._by_ufrag[ufrag] = member
        self._calls.setdefault((group, join.call_id), _Call()).members[join.session_id] = member

    def _names(self) -> tuple[str, str]:
        return _text(self._random(_UFRAG_BYTES)), _text(self._random(_PWD_BYTES))

    def _take_signal(self, member: Member, signal: Signal, now: float) -> None:
        """Candidates of a client are not needed: it comes to us."""
        call = self._call_of(member)
        match signal:
            case SessionDescription():
                member.session.receive_description(signal, "websocket", now)
                self._after_description(member, now)
            case Mute():
                member.muted = any(track.type == "voice" for track in member.tracks.values())
            case Unmute():
                member.muted = False
            case ScreenOn(stream) if call.screen in (None, member):
                call.screen, call.screen_stream = member, stream
            case ScreenOff() if call.screen is member:
                self._end_screen(call, now)
            case VideoOn(stream):
                member.video_stream = stream

    def _after_description(self, member: Member, now: float) -> None:
        """What was agreed on may have begun or ended streams."""
        if member.session.failed:
            if self._is_live(member):
                self._end(member, now)
            return
        if member.session.local.ufrag != member.ufrag and self._is_live(member):
            del self._by_ufrag[member.ufrag]
            member.ufrag = member.session.local.ufrag
            self._by_ufrag[member.ufrag] = member
            self._restarted.append(member)
        sending = {one.mid: one for one in member.session.descriptions.sections if one.client_sends and not one.refused}
        member.tracks = {
            ssrc: track
            for ssrc, track in member.tracks.items()
            if (section := sending.get(track.mid)) and ssrc in (section.ssrcs or (ssrc,))
        }
        taken = dict(member.session.sent_tracks)
        for other in self._call_of(member).members.values():
            for track in other.tracks.values():
                sent = member.sends.get(track.name)
                others = tuple(one for one in track.receivers if one.session_id != member.id)
                goes = (Receiver(member.id, sent.ssrc, taken[sent]),) if sent in taken else ()
                track.receivers = others + goes

    def _begin(self, member: Member, packet: bytes, now: float) -> Track | None:
        """A track with its first packet; None for a packet that is of none."""
        section = rtcd_tracks.section_of(packet, member.session.descriptions.sections)
        codec = rtcd_tracks.codec_of(packet, section) if section else ""
        if section is None or not codec or not self._is_live(member) or len(member.tracks) >= TRACKS_MAX:
            return None
        if codec != OPUS and any(track.mid == section.mid for track in member.tracks.values()):
            return None  # another layer of simulcast, where the first that came goes to all
        call = self._call_of(member)
        kind = rtcd_tracks.type_of(section, codec, call.screen_stream if call.screen else "", member.video_stream)
        if kind == "screen" and call.screen is not member:
            kind = ""
        name = f"{kind}_{member.id}_{self._random(_TRACK_NAME_BYTES).hex()[:8]}"
        track = Track(name, kind, section.mid, codec, int.from_bytes(packet[8:12], "big"))
        if kind:  # rtcd drops a stream for good that comes before it was said what it is
            for other in call.members.values():
                if other is not member and other.session.is_open:
                    self._offer(track, member, other, now)
        member.tracks[track.ssrc] = track
        return track

    def _offer(self, track: Track, publisher: Member, receiver: Member, now: float) -> None:
        """AV1 goes from who sends it to who takes it, and VP8 to all others."""
        both = publisher.session.join.av1_support and receiver.session.join.av1_support
        if not track.type or (track.codec == AV1 and not receiver.session.join.av1_support):
            return
        if track.codec == VP8 and both and self._has_av1(publisher, track.type):
            return
        ssrc = int.from_bytes(self._random(4), "big") or 1
        sent = receiver.sends[track.name] = SentTrack(track.name, publisher.id, track.codec, ssrc)
        receiver.session.add(sent, now)

    @staticmethod
    def _has_av1(publisher: Member, kind: str) -> bool:
        return any(track.codec == AV1 and track.type == kind for track in publisher.tracks.values())

    def _end_screen(self, call: _Call, now: float) -> None:
        assert call.screen is not None, "seen by whoever asks"
        sharer, call.screen, call.screen_stream = call.screen, None, ""
        for track in sharer.tracks.values():
            if track.type == "screen":
                self._withdraw(track, call, now)
                track.type, track.receivers = "", ()

    def _withdraw(self, track: Track, call: _Call, now: float) -> None:
        for other in call.members.values():
            sent = other.sends.pop(track.name, None)
            if sent is not None:
                other.session.remove(sent, now)

    def _end(self, member: Member, now: float) -> None:
        """A session leaves, or is gone: its video is withdrawn, its voice just ceases."""
        call = self._call_of(member)
        del self._members[member.group, member.id]
        del self._by_ufrag[member.ufrag]
        del call.members[member.id]
        if not call.members:
            del self._calls[member.group, member.session.join.call_id]
        if call.screen is member:
            call.screen, call.screen_stream = None, ""
        for track in member.tracks.values():
            if track.type in ("screen", "video"):
                self._withdraw(track, call, now)
        for other in call.members.values():
            for track in member.tracks.values():
                other.sends.pop(track.name, None)
            for track in other.tracks.values():
                track.receivers = tuple(one for one in track.receivers if one.session_id != member.id)
        self._closes.append((member.joined_by, Close(member.id)))
        self._ended.append(member)

    def _is_live(self, member: Member) -> bool:
        return self._members.get((member.group, member.id)) is member

    def _call_of(self, member: Member) -> _Call:
        return self._calls.get((member.group, member.session.join.call_id)) or _Call()


def _text(random: bytes) -> str:
    """Characters of ICE (RFC 8839 section 5.4): base64 without padding."""
    return base64.b64encode(random).decode().rstrip("=")
