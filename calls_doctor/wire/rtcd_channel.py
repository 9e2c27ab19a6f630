"""The messages of the data channel between a session and rtcd (v1.1.0 and later), in both directions: TABLE holds all.

A message is one or two msgpack values: its number, and its payload. Session descriptions are compressed here, and
here only. A client takes the lock before it offers, so that its offer and one of the server's do not cross; whoever
holds none and offers meanwhile is not answered. Bytes in, messages out.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from calls_doctor.errors import RtcdError
from calls_doctor.wire.rtcd_signal import DESCRIPTION_KEYS, Sender, SessionDescription
from calls_doctor.wire.rtcd_values import Keys, from_json, from_map, pack, to_json, to_map, unpack

MESSAGE_MAX_BYTES = 65536
"""What a client announces (a=max-message-size), so what rtcd can send."""
INFLATED_MAX_BYTES = 1 << 20
"""Of a session description: as much as the WebSocket carries."""


@dataclass(frozen=True)
class Ping:
    """A Pong comes back."""


@dataclass(frozen=True)
class Pong:
    """The answer to a Ping."""


@dataclass(frozen=True)
class TextPing:
    """The same, as clients wrote it before there were binary messages: the text `ping`."""


@dataclass(frozen=True)
class TextPong:
    """The answer to it: the text `pong`."""


@dataclass(frozen=True)
class LossRate:
    """What a client measured, for the server's metrics."""

    loss_ratio: float


@dataclass(frozen=True)
class RoundTripTime:
    """What a client measured, for the server's metrics."""

    rtt_s: float


@dataclass(frozen=True)
class Jitter:
    """What a client measured, for the server's metrics."""

    jitter_s: float


@dataclass(frozen=True)
class Lock:
    """A client asks for the right to offer. The answer comes at once, and may be no."""


@dataclass(frozen=True)
class LockReply:
    """The answer."""

    locked: bool


@dataclass(frozen=True)
class Unlock:
    """A client's negotiation is over. There is no answer; without it the server takes up no other track."""


@dataclass(frozen=True)
class MediaTrack:
    """What the section with this mid carries."""

    mid: str
    type: str
    """"voice", "screen", "screen-audio" or "video"."""
    sender_id: str
    """Meant to be the session that publishes; v1.2.6 names the receiver's own (`a=msid` tells the sender)."""


@dataclass(frozen=True)
class MediaMap:
    """Comes with every offer of the server, before it or after it (v1.2.2 and later)."""

    tracks: tuple[MediaTrack, ...]


@dataclass(frozen=True)
class Unknown:
    """A message of a version that knows more; a client skips it."""

    number: int


Message = (
    Ping
    | Pong
    | TextPing
    | TextPong
    | SessionDescription
    | LossRate
    | RoundTripTime
    | Jitter
    | Lock
    | LockReply
    | Unlock
    | MediaMap
    | Unknown
)


def _inflate(payload: object) -> SessionDescription:
    if not isinstance(payload, bytes):
        raise RtcdError("a session description is no bytes")
    stream = zlib.decompressobj()
    try:
        inflated = stream.decompress(payload, INFLATED_MAX_BYTES)
    except zlib.error as error:
        raise RtcdError(f"a session description is not compressed as it should be: {error}") from None
    if not stream.eof:
        raise RtcdError(f"a session description is cut, or inflates to more than {INFLATED_MAX_BYTES} bytes")
    return from_map(DESCRIPTION_KEYS, from_json(inflated), SessionDescription)


def _number(payload: object) -> float:
    if isinstance(payload, bool) or not isinstance(payload, int | float) or not math.isfinite(payload):
        raise RtcdError("a measured value is no finite number")
    return float(payload)


def _lock_reply(payload: object) -> LockReply:
    if not isinstance(payload, bool):
        raise RtcdError("the answer to lock is neither yes nor no")
    return LockReply(payload)


_TRACK_KEYS: Keys = (("type", "type"), ("sender_id", "sender_id"))


@dataclass(frozen=True)
class _Track:
    type: str
    sender_id: str


def _media_map(payload: object) -> MediaMap:
    if not isinstance(payload, dict) or not all(isinstance(mid, str) for mid in payload):
        raise RtcdError("a media map is no map of mids")
    tracks = [(mid, from_map(_TRACK_KEYS, track, _Track)) for mid, track in payload.items()]
    return MediaMap(tuple(MediaTrack(mid, track.type, track.sender_id) for mid, track in tracks))


@dataclass(frozen=True)
class Row:
    """One message as it travels."""

    head: int | str
    """Its number; where it is text, all of it."""
    senders: Sender
    message: type[Message]
    parse: Callable[[object], Message]
    """The message of a payload, which is None where the message has no second value. Raises RtcdError."""


TABLE = (
    Row(1, Sender.CLIENT, Ping, lambda _: Ping()),
    Row(2, Sender.SERVER, Pong, lambda _: Pong()),
    Row(3, Sender.EITHER, SessionDescription, _inflate),
    Row(4, Sender.CLIENT, LossRate, lambda payload: LossRate(_number(payload))),
    Row(5, Sender.CLIENT, RoundTripTime, lambda payload: RoundTripTime(_number(payload))),
    Row(6, Sender.CLIENT, Jitter, lambda payload: Jitter(_number(payload))),
    Row(7, Sender.CLIENT, Lock, lambda _: Lock()),
    Row(7, Sender.SERVER, LockReply, _lock_reply),
    Row(8, Sender.CLIENT, Unlock, lambda _: Unlock()),
    Row(9, Sender.SERVER, MediaMap, _media_map),
    Row("ping", Sender.CLIENT, TextPing, lambda _: TextPing()),
    Row("pong", Sender.SERVER, TextPong, lambda _: TextPong()),
)
"""Every message of rtcd v1.2.6."""


def encode(message: Message, sender: Sender) -> bytes | str:
    """The message as this sender, exactly CLIENT or SERVER, writes it: a text where it is str.

    Raises ValueError where that sender never sends one.
    """
    for row in TABLE:
        if isinstance(message, row.message) and sender in row.senders:
            if isinstance(row.head, str):
                return row.head
            # Go writes a number of its type uint8 in two bytes, a client in JavaScript a small one in one.
            head = bytes((0xCC, row.head)) if sender is Sender.SERVER else pack(row.head)
            return head + _payload(message)
    raise ValueError(f"a {sender.name} sends no {type(message).__name__}")


def _payload(message: Message) -> bytes:
    match message:
        case SessionDescription():
            return pack(zlib.compress(to_json(to_map(DESCRIPTION_KEYS, message))))
        case LossRate(value) | RoundTripTime(value) | Jitter(value):
            return pack(float(value))
        case LockReply(locked):
            return pack(locked)
        case MediaMap(tracks):
            return pack({track.mid: to_map(_TRACK_KEYS, track) for track in tracks})
    return b""


def decode(message: bytes | str, sender: Sender) -> Message:
    """The message that this sender, exactly CLIENT or SERVER, wrote. Raises RtcdError, and nothing else."""
    if len(message) > MESSAGE_MAX_BYTES:
        raise RtcdError(f"a message has {MESSAGE_MAX_BYTES} bytes at most, not {len(message)}")
    head, payload = _parts(message)
    known = [row for row in TABLE if row.head == head]
    if not known and isinstance(head, int):
        return Unknown(head)
    for row in known:
        if sender in row.senders:
            return row.parse(payload)
    raise RtcdError(f"{f'message {head}' if isinstance(head, int) else 'such a text'} is not sent by a {sender.name}")


def _parts(message: bytes | str) -> tuple[int | str, object]:
    """What is in the table's column `head`, and the payload: None where there is none."""
    if isinstance(message, str):
        return message, None
    head, *payload = unpack(message, 2) or [None]
    if type(head) is not int or not 0 <= head <= 0xFF:
        raise RtcdError("a message begins with its number")
    return head, payload[0] if payload else None
