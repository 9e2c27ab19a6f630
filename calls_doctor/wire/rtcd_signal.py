"""What rtcd's rtc messages carry: session descriptions, candidates, and what a participant switches on and off.

TABLE holds all of them, with their numbers, who sends them and the keys of their JSON. Bytes in, signals out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Flag, IntEnum
from typing import Annotated, Literal

from msgspec import Meta

from calls_doctor.errors import RtcdError
from calls_doctor.wire.rtcd_values import Keys, from_json, from_map, to_json, to_map


class Sender(Flag):
    """Who sends a message."""

    CLIENT = 1
    SERVER = 2
    EITHER = 3


class RtcType(IntEnum):
    """`type` of an rtc message."""

    ICE = 1
    SDP = 2
    MUTE = 3
    UNMUTE = 4
    SCREEN_ON = 5
    SCREEN_OFF = 6
    VOICE_ON = 7
    VOICE_OFF = 8
    VIDEO_ON = 9
    VIDEO_OFF = 10


@dataclass(frozen=True)
class IceCandidate:
    """One trickled candidate (RTCIceCandidateInit); there is no end-of-candidates."""

    candidate: str
    """"candidate:" and the attribute's value (RFC 8839 section 5.1), to which rtcd adds `ufrag`; "" says nothing."""
    sdp_mid: str | None = None
    sdp_mline_index: Annotated[int, Meta(ge=0, le=0xFFFF)] | None = None
    username_fragment: str | None = None


@dataclass(frozen=True)
class SessionDescription:
    """An offer or an answer (RTCSessionDescription); rtcd refuses the other types."""

    type: Literal["offer", "answer"]
    sdp: str = field(repr=False)
    """RFC 8866; the ICE password is in it."""


@dataclass(frozen=True)
class Mute:
    """The server forwards this session's voice no longer; its receivers see that as loss."""


@dataclass(frozen=True)
class Unmute:
    """The server forwards it again."""


@dataclass(frozen=True)
class ScreenOn:
    """Tracks of this stream will be a shared screen; to be said before their first RTP packet."""

    screen_stream_id: str
    """The stream's name in their `a=msid`."""


@dataclass(frozen=True)
class ScreenOff:
    """The screen is shared no longer: the server takes its tracks back from all others with new offers."""


@dataclass(frozen=True)
class VoiceOn:
    """This session begins to speak: the loudness that its packets tell (RFC 6464) varies."""


@dataclass(frozen=True)
class VoiceOff:
    """It speaks no longer."""


@dataclass(frozen=True)
class VideoOn:
    """Tracks of this stream will be a camera's (rtcd 1.2.2 and later)."""

    video_stream_id: str
    """The stream's name in their `a=msid`."""


@dataclass(frozen=True)
class VideoOff:
    """The camera is off; rtcd does nothing about it."""


Signal = (
    IceCandidate | SessionDescription | Mute | Unmute | ScreenOn | ScreenOff | VoiceOn | VoiceOff | VideoOn | VideoOff
)


@dataclass(frozen=True)
class Row:
    """One signal as it travels."""

    rtc_type: RtcType
    frame: Literal["rtc", "vad"]
    """Which WebSocket message carries it."""
    senders: Sender
    signal: type[Signal]
    keys: Keys = ()
    """Of its JSON; a signal without any has no data."""
    wrapper: str = ""
    """Where this is not "", the JSON is {wrapper: {…}, "type": wrapper}."""


_CANDIDATE_KEYS: Keys = (
    ("candidate", "candidate"),
    ("sdpMid", "sdp_mid"),
    ("sdpMLineIndex", "sdp_mline_index"),
    ("usernameFragment", "username_fragment"),
)
DESCRIPTION_KEYS: Keys = (("type", "type"), ("sdp", "sdp"))

TABLE = (
    Row(RtcType.ICE, "rtc", Sender.CLIENT, IceCandidate, _CANDIDATE_KEYS),
    Row(RtcType.ICE, "rtc", Sender.SERVER, IceCandidate, _CANDIDATE_KEYS, wrapper="candidate"),
    Row(RtcType.SDP, "rtc", Sender.EITHER, SessionDescription, DESCRIPTION_KEYS),
    Row(RtcType.MUTE, "rtc", Sender.CLIENT, Mute),
    Row(RtcType.UNMUTE, "rtc", Sender.CLIENT, Unmute),
    Row(RtcType.SCREEN_ON, "rtc", Sender.CLIENT, ScreenOn, (("screenStreamID", "screen_stream_id"),)),
    Row(RtcType.SCREEN_OFF, "rtc", Sender.CLIENT, ScreenOff),
    Row(RtcType.VOICE_ON, "vad", Sender.SERVER, VoiceOn),
    Row(RtcType.VOICE_OFF, "vad", Sender.SERVER, VoiceOff),
    Row(RtcType.VIDEO_ON, "rtc", Sender.CLIENT, VideoOn, (("videoStreamID", "video_stream_id"),)),
    Row(RtcType.VIDEO_OFF, "rtc", Sender.CLIENT, VideoOff),
)
"""Every signal of rtcd v1.2.6."""


def row_of(signal: Signal, sender: Sender) -> Row:
    """How this sender writes the signal. Raises ValueError where it never sends one."""
    for row in TABLE:
        if row.signal is type(signal) and sender in row.senders:
            return row
    raise ValueError(f"a {sender.name} sends no {type(signal).__name__}")


def data_of(signal: Signal, row: Row) -> bytes:
    """The signal's JSON; b"" where it has none."""
    if not row.keys:
        return b""
    values = to_map(row.keys, signal)
    return to_json({row.wrapper: values, "type": row.wrapper} if row.wrapper else values)


def parse(row: Row, data: bytes) -> Signal:
    """The signal of that row whose data is this. Raises RtcdError."""
    value = from_json(data) if row.keys else {}
    if row.wrapper:
        if not isinstance(value, dict) or value.get("type") != row.wrapper:
            raise RtcdError(f"the data of the message is no {row.wrapper}")
        value = value.get(row.wrapper)
    return from_map(row.keys, value, row.signal)
