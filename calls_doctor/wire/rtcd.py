"""The messages of rtcd's WebSocket, in both directions: TABLE holds those that are maps of their own, and
wire/rtcd_signal.py those that travel as `rtc` and `vad`.

A message is one binary frame of two msgpack values, the type and the data: neither a map nor an array. Nothing is
acknowledged and there is no message for errors: rtcd logs what it cannot read, and goes on. Bytes in, messages out.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from calls_doctor.errors import RtcdError
from calls_doctor.wire import rtcd_signal
from calls_doctor.wire.rtcd_signal import RtcType, Sender, Signal
from calls_doctor.wire.rtcd_values import Keys, from_map, pack, to_map, unpack

MESSAGE_MAX_BYTES = 1 << 20
"""rtcd ends the connection of a client that sends more in one message."""
CONNECTION_ID_BYTES = 16
_BASE32, _Z_BASE32 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"ybndrfg8ejkmcpqxot1uwisza345h769"
_TO_Z_BASE32 = bytes.maketrans(_BASE32, _Z_BASE32)

Id = Annotated[str, Meta(min_length=1)]


def connection_id(random: bytes) -> str:
    """A connection id as rtcd makes them: CONNECTION_ID_BYTES random bytes in z-base-32, 26 characters."""
    return base64.b32encode(random).rstrip(b"=").translate(_TO_Z_BASE32).decode()


@dataclass(frozen=True)
class Hello:
    """The first message of a server: who it takes the client for, and the name of this connection."""

    client_id: str
    """"" for the admin, who can join no call."""
    conn_id: Id


@dataclass(frozen=True)
class Join:
    """A session of a user in a call begins. There is no answer: what follows is the client's offer."""

    call_id: Id
    user_id: Id
    session_id: Id
    """rtcd looks for it over all calls, and cuts names at "_": nobody can guess it, and it has no "_"."""
    channel_id: str = ""
    """For the server's log."""
    av1_support: bool = False
    dc_signaling: bool = False
    """The server's own offers come over the data channel."""


@dataclass(frozen=True)
class Leave:
    """The session ends; a Close follows."""

    session_id: Id


@dataclass(frozen=True)
class Reconnect:
    """A live session's messages go to this new connection from now on. There is no answer, and nothing that was lost
    comes again."""

    session_id: Id


@dataclass(frozen=True)
class Close:
    """The session has ended: it was left, its media path died, or it was not made in time."""

    session_id: Id


@dataclass(frozen=True)
class Rtc:
    """A signal to or of one session."""

    session_id: Id
    signal: Signal
    group_id: str = ""
    """The client id of the connection. A server fills these three, a client leaves them empty."""
    user_id: str = ""
    call_id: str = ""


@dataclass(frozen=True)
class Unknown:
    """A message of a version that knows more; a client skips it."""

    type: str
    rtc_type: int | None = None
    """Its number, where it is an rtc message."""


Message = Hello | Join | Leave | Reconnect | Close | Rtc | Unknown


@dataclass(frozen=True)
class Row:
    """One message that is a map of its own."""

    name: str
    """The first of its two values."""
    sender: Sender
    message: type[Hello | Join | Leave | Reconnect | Close]
    keys: Keys


_SESSION: Keys = (("sessionID", "session_id"),)
TABLE = (
    Row("hello", Sender.SERVER, Hello, (("clientID", "client_id"), ("connID", "conn_id"))),
    Row(
        "join",
        Sender.CLIENT,
        Join,
        (
            ("callID", "call_id"),
            ("userID", "user_id"),
            ("sessionID", "session_id"),
            ("channelID", "channel_id"),
            ("av1Support", "av1_support"),
            ("dcSignaling", "dc_signaling"),
        ),
    ),
    Row("leave", Sender.CLIENT, Leave, _SESSION),
    Row("reconnect", Sender.CLIENT, Reconnect, _SESSION),
    Row("close", Sender.SERVER, Close, _SESSION),
)
_JOIN_FLAGS = ("av1Support", "dcSignaling")
_RTC_FRAMES = ("rtc", "vad")
_RTC_KEYS = ("group_id", "user_id", "session_id", "call_id", "type", "data")
"""In rtcd's order, which an rtc message as a list has too."""
_RTC_IDS: Keys = tuple((key, key) for key in _RTC_KEYS[:4])


def encode(message: Message, sender: Sender) -> bytes:
    """The frame, as this sender writes it: exactly CLIENT or SERVER. Raises ValueError where it never sends one."""
    if isinstance(message, Rtc):
        row = rtcd_signal.row_of(message.signal, sender)
        values = to_map(_RTC_IDS, message) | {"type": int(row.rtc_type)}
        if data := rtcd_signal.data_of(message.signal, row):
            values["data"] = data
        return pack(row.frame, values)
    for one in TABLE:
        if one.message is type(message) and one.sender is sender:
            return pack(one.name, to_map(one.keys, message))
    raise ValueError(f"a {sender.name} sends no {type(message).__name__}")


def decode(frame: bytes, sender: Sender) -> Message:
    """The message that this sender, exactly CLIENT or SERVER, wrote. Raises RtcdError, and nothing else."""
    if len(frame) > MESSAGE_MAX_BYTES:
        raise RtcdError(f"a message has {MESSAGE_MAX_BYTES} bytes at most, not {len(frame)}")
    values = unpack(frame, 2)
    if len(values) < 2 or not isinstance(values[0], str):
        raise RtcdError("a message begins with its type, a text, and its data follow")
    name, data = values[0], values[1]
    if name in _RTC_FRAMES:
        return _rtc(name, data, sender)
    row = next((row for row in TABLE if row.name == name), None)
    if row is None:
        return Unknown(name)
    if row.sender is not sender:
        raise RtcdError(f"{name} is no message of a {sender.name}")
    return from_map(row.keys, _typed(row, data), row.message)


def _typed(row: Row, data: object) -> object:
    """A join's value of another type counts as absent; all other maps hold texts only, or are refused as a whole."""
    if not isinstance(data, dict):
        return data
    if row.message is Join:
        return {key: one for key, one in data.items() if type(one) is (bool if key in _JOIN_FLAGS else str)}
    if not all(isinstance(one, str) for one in data.values()):
        raise RtcdError(f"a value of {row.name} is no text")
    return data


def _rtc(frame: str, data: object, sender: Sender) -> Message:
    values = _rtc_values(data)
    number = values.get("type")
    if type(number) is not int or number < 1:
        raise RtcdError("an rtc message has a type, a number above 0")
    known = [row for row in rtcd_signal.TABLE if row.rtc_type == number]
    if not known:
        return Unknown(frame, number)
    rows = [row for row in known if row.frame == frame and sender in row.senders]
    if not rows:
        raise RtcdError(f"{RtcType(number).name} is no {frame} message of a {sender.name}")
    payload = values.get("data", b"")
    payload = payload.encode() if isinstance(payload, str) else payload
    if not isinstance(payload, bytes):
        raise RtcdError("the data of an rtc message is no bytes")
    signal = rtcd_signal.parse(rows[0], payload)
    ids = from_map(_RTC_IDS, values, _Ids)
    return Rtc(ids.session_id, signal, ids.group_id, ids.user_id, ids.call_id)


@dataclass(frozen=True)
class _Ids:
    session_id: Id
    group_id: str = ""
    user_id: str = ""
    call_id: str = ""


def _rtc_values(data: object) -> Mapping[object, object]:
    if isinstance(data, list) and len(data) == len(_RTC_KEYS):
        return dict(zip(_RTC_KEYS, data, strict=True))
    if not isinstance(data, dict):
        raise RtcdError("another value stands where an rtc message's map belongs")
    return data
