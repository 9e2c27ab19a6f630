"""How rtcd's messages are made of values: msgpack values one after the other, and maps whose keys are fields' names.

What is read is bounded before it is made: by the length of the message, and by how many values a map or a list in it
may announce.
"""

from __future__ import annotations

from typing import TypeVar

import msgpack  # type: ignore[import-untyped]  # it ships no types
import msgspec

from calls_doctor.errors import RtcdError

MAP_MAX = 1024
"""Entries of one map: a media map has one for each track of a call, everything else has fewer than ten."""
LIST_MAX = 16
"""rtcd sends no list; it takes one of six for an rtc message."""

Keys = tuple[tuple[str, str], ...]
"""Pairs of a key as it travels and the field that it fills, in the order in which they are written."""
_Message = TypeVar("_Message")


def pack(*values: object) -> bytes:
    """The values, one after the other: str, bytes, int, float, bool, None and dicts of these."""
    return b"".join(msgpack.packb(value, use_bin_type=True) for value in values)


def unpack(message: bytes, at_most: int) -> list[object]:
    """The first values of a message; what follows them is not looked at, as rtcd does.

    Fewer than `at_most` where the message holds no more. Raises RtcdError where one of them is not msgpack, or cut.
    """
    unpacker = msgpack.Unpacker(
        raw=False,
        max_buffer_size=max(len(message), 1),
        max_map_len=MAP_MAX,
        max_array_len=LIST_MAX,
        max_ext_len=0,
    )
    unpacker.feed(message)
    values: list[object] = []
    try:
        while len(values) < at_most and unpacker.tell() < len(message):
            values.append(unpacker.unpack())
    except msgpack.OutOfData:
        raise RtcdError("the message is cut") from None
    except (ValueError, msgpack.UnpackException) as error:
        raise RtcdError(f"the message is no msgpack: {error}") from None
    return values


def to_map(keys: Keys, message: object) -> dict[str, object]:
    """The fields of a message under their keys."""
    return {key: getattr(message, field) for key, field in keys}


def from_map(keys: Keys, value: object, message: type[_Message]) -> _Message:
    """The message (a dataclass) that a map makes; keys of which nothing is known are skipped.

    Raises RtcdError where the value is no map, or a field is missing or of another type than the dataclass says.
    """
    if not isinstance(value, dict):
        raise RtcdError("another value stands where a map belongs")
    try:
        return msgspec.convert({field: value[key] for key, field in keys if key in value}, type=message)
    except msgspec.ValidationError as error:
        raise RtcdError(f"a {message.__name__} that is none: {error}") from None


def from_json(data: bytes) -> object:
    """Raises RtcdError."""
    try:
        value: object = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RtcdError(f"the data of the message is no JSON: {error}") from None
    return value


def to_json(value: object) -> bytes:
    """Without spaces, as rtcd writes it."""
    return msgspec.json.encode(value)
