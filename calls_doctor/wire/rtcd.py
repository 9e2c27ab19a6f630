"""What rtcd says on its API, as far as the stand-in and its clients speak it: the version, and the first message.

A WebSocket message of rtcd is two msgpack values one after the other, the type and the data; neither a map nor an
array. Bytes in, values out; nothing here is sent.
"""

from __future__ import annotations

import base64

import msgspec

STAND_IN_PREFIX = "dev-calls-doctor-"
"""How `buildVersion` begins where it is the stand-in that answers.

The plugin takes every version that begins with `dev` for new enough, so a client that keeps to the protocol sees no
difference; whoever asks for this prefix does.
"""
VERSION_KEYS = ("buildDate", "buildVersion", "buildHash", "goVersion", "goOS", "goArch")
"""All of /version, in rtcd's order; every value is a string."""
CONNECTION_ID_BYTES = 16
_BASE32, _Z_BASE32 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"ybndrfg8ejkmcpqxot1uwisza345h769"
_TO_Z_BASE32 = bytes.maketrans(_BASE32, _Z_BASE32)


def connection_id(random: bytes) -> str:
    """A connection id as rtcd makes them: CONNECTION_ID_BYTES random bytes in z-base-32, 26 characters."""
    return base64.b32encode(random).rstrip(b"=").translate(_TO_Z_BASE32).decode()


def hello(client_id: str, conn_id: str) -> bytes:
    """The first message of a server, in one binary frame."""
    encode = msgspec.msgpack.encode
    return encode("hello") + encode({"clientID": client_id, "connID": conn_id})


def parse_hello(message: bytes) -> str | None:
    """The client id that a server greets in its first message; None where the message is no hello."""
    kind = msgspec.msgpack.encode("hello")
    if not message.startswith(kind):
        return None
    try:
        return msgspec.msgpack.decode(message[len(kind) :], type=dict[str, str]).get("clientID")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
