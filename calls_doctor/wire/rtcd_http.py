"""Bodies of rtcd's HTTP API on 8045: what is asked, and what each of its refusals means (rtcd-protocol section 1).

rtcd says why in English and the status alone tells little (a wrong key is 400 to a login and 401 elsewhere), so its own
sentences are the table. No word here repeats what came: a refusal might hold what was sent.
"""

from __future__ import annotations

import base64
from enum import StrEnum

import msgspec

from calls_doctor.errors import HttpError

KEY_MIN_BYTES, KEY_MAX_BYTES = 32, 72
"""Of an auth key."""
CLIENT_ID_MAX_BYTES = 64
TOKEN_MAX_CHARS = 256
_OK, _CREATED = 200, 201


class Refusal(StrEnum):
    """Why rtcd, or who answers in its place, refuses."""

    BAD_BODY = "bad-body"
    SHORT_KEY = "short-key"
    LONG_KEY = "long-key"
    NO_ID = "no-client-id"
    LONG_ID = "long-client-id"
    ALREADY_REGISTERED = "already-registered"
    UNKNOWN_CLIENT = "unknown-client"
    WRONG_KEY = "wrong-key"
    BUSY = "busy"
    """Its limiter of authentications has no turn within 10 s."""
    NO_AUTHORIZATION = "no-authorization"
    NOT_ADMIN = "not-admin"
    """An empty client id, with another key than the admin's."""
    WRONG_CREDENTIALS = "wrong-credentials"
    WRONG_TOKEN = "wrong-token"
    EXPIRED_TOKEN = "expired-token"
    UNREGISTER_OFF = "unregister-off"
    ANOTHER_CLIENT = "another-client"
    """A client asks to unregister another one."""
    NO_ROUTE = "no-route"
    """404: rtcd too old to have it, or no rtcd."""
    OTHER = "other"
    """rtcd's form, and a reason that is not in the table."""
    NOT_RTCD = "not-rtcd"
    """An answer that rtcd does not give: a proxy's, or another service's."""


_REASONS = (
    (400, "registration failed: key not long enough", Refusal.SHORT_KEY),
    (400, "registration failed: bcrypt: password length exceeds 72 bytes", Refusal.LONG_KEY),
    (400, "registration failed: error: empty key", Refusal.NO_ID),
    (400, "registration failed: failed to set key: error: key too large", Refusal.LONG_ID),
    (400, "registration failed: already registered", Refusal.ALREADY_REGISTERED),
    (400, "registration failed: rate:", Refusal.BUSY),
    (400, "login failed: authentication failed: error: not found", Refusal.UNKNOWN_CLIENT),
    (400, "login failed: authentication failed: error: empty key", Refusal.NO_ID),
    (400, "login failed: authentication failed: rate:", Refusal.BUSY),
    (400, "login failed: authentication failed", Refusal.WRONG_KEY),
    (401, "authentication failed: invalid auth header", Refusal.NO_AUTHORIZATION),
    (401, "authentication failed: unauthorized", Refusal.NOT_ADMIN),
    (401, "authentication failed: token is invalid", Refusal.WRONG_TOKEN),
    (401, "authentication failed: session is expired", Refusal.EXPIRED_TOKEN),
    (401, "authentication failed", Refusal.WRONG_CREDENTIALS),
    (403, "unregister not enabled", Refusal.UNREGISTER_OFF),
    (403, "client id not valid", Refusal.ANOTHER_CLIENT),
    (400, "client id should not be empty", Refusal.NO_ID),
    (400, "unregister failed: error: not found", Refusal.UNKNOWN_CLIENT),
    (400, "EOF", Refusal.BAD_BODY),
    (400, "unexpected EOF", Refusal.BAD_BODY),
    (400, "invalid character", Refusal.BAD_BODY),
    (400, "json:", Refusal.BAD_BODY),
)
"""(status, how the sentence begins, what it means); the first that fits counts, so a longer beginning stands before a
shorter one."""


class _Said(msgspec.Struct):
    """Every JSON answer of these routes."""

    code: str
    error: str = ""
    bearerToken: str = ""  # noqa: N815 - rtcd's own name


def refusal(status: int, body: bytes) -> Refusal | None:
    """Why /register, /unregister or /login refuses; None where it does not."""
    said = _said(body)
    if said is None or said.code != str(status):
        return Refusal.NO_ROUTE if status == 404 else Refusal.NOT_RTCD
    if status in (_OK, _CREATED):
        return None
    told = (meaning for of, begins, meaning in _REASONS if of == status and said.error.startswith(begins))
    return next(told, Refusal.OTHER)


def token_of(body: bytes) -> str:
    """The bearer token of a login that was taken. Raises HttpError where there is none."""
    said = _said(body)
    if said is None or not 0 < len(said.bearerToken) <= TOKEN_MAX_CHARS or not said.bearerToken.isascii():
        raise HttpError("the answer to a login that was taken holds no token")
    return said.bearerToken


def credentials_body(client_id: str, auth_key: str) -> bytes:
    """What /register and /login are asked with."""
    return msgspec.json.encode({"clientID": client_id, "authKey": auth_key})


def client_body(client_id: str) -> bytes:
    """What /unregister is asked with."""
    return msgspec.json.encode({"clientID": client_id})


def basic(client_id: str, auth_key: str) -> str:
    """The value of an Authorization header, as the Calls plugin sends it."""
    return f"Basic {base64.b64encode(f'{client_id}:{auth_key}'.encode()).decode()}"


def bearer(token: str) -> str:
    """The same for a token; rtcd takes this spelling alone."""
    return f"Bearer {token}"


class _Load(msgspec.Struct):
    cpu_load: float


def cpu_load(body: bytes) -> float | None:
    """What /system tells of how busy rtcd's machine is, 0 to 1; None where it is not rtcd's answer."""
    try:
        return msgspec.json.decode(body, type=_Load).cpu_load
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


class SessionInCall(msgspec.Struct, frozen=True):
    """One of the sessions that rtcd says are in a call."""

    session_id: str = msgspec.field(name="SessionID")
    user_id: str = msgspec.field(name="UserID", default="")


def sessions_of(body: bytes) -> list[SessionInCall]:
    """The sessions of GET /calls/…/sessions. Raises HttpError where it is not rtcd's answer."""
    try:
        return msgspec.json.decode(body, type=list[SessionInCall])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise HttpError("what answers does not list the sessions of a call as rtcd does") from None


def _said(body: bytes) -> _Said | None:
    try:
        return msgspec.json.decode(body, type=_Said)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
