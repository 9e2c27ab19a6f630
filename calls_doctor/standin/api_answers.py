"""What the stand-in's 8045 API answers to which request: as rtcd does (captured from v1.2.6), as far as it goes.

It decides and never sends. GET /version and refused credentials are rtcd's own answers to the byte; `buildVersion`
tells whoever looks that it is the stand-in (wire/rtcd.py).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import platform
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from calls_doctor import __version__
from calls_doctor.model.credentials import Secret
from calls_doctor.wire import rtcd_version

_GO_SYSTEM = {"Windows": "windows", "Darwin": "darwin", "Linux": "linux"}
_GO_MACHINE = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_NOSNIFF = ("X-Content-Type-Options", "nosniff")
_TEXT = ("Content-Type", "text/plain; charset=utf-8")
_JSON = ("Content-Type", "application/json")
_WEBSOCKET_VERSION = ("Sec-Websocket-Version", "13")

Headers = dict[str, list[str]]
"""Header name in lower case -> its values, in order."""


@dataclass(frozen=True)
class Answer:
    """One response, but for the headers that every response has."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


NOT_FOUND = Answer(404, (_TEXT, _NOSNIFF), b"404 page not found\n")
"""Also for a known path with another method: rtcd never says 405."""
REFUSED = Answer(200)
"""rtcd's trap: /ws answers wrong credentials with an empty 200 instead of 101."""
NO_UPGRADE = Answer(400, (_TEXT, _WEBSOCKET_VERSION, _NOSNIFF), b"Bad Request\n")
FOREIGN_ORIGIN = Answer(403, (_TEXT, _WEBSOCKET_VERSION, _NOSNIFF), b"Forbidden\n")


@dataclass(frozen=True)
class Account:
    """The one client that the stand-in knows."""

    client_id: str
    auth_key: Secret

    def opens(self, headers: Headers) -> bool:
        """True where the Authorization header carries this client's id and key (Basic)."""
        scheme, _, encoded = next(iter(headers.get("authorization", [])), "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            client_id, _, auth_key = base64.b64decode(encoded, validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return False
        return self.is_it(client_id, auth_key)

    def is_it(self, client_id: bytes, auth_key: bytes) -> bool:
        """Compares both in full, whatever the first says, so that the time taken tells nothing."""
        same_id = hmac.compare_digest(client_id, self.client_id.encode())
        return hmac.compare_digest(auth_key, self.auth_key.reveal().encode()) and same_id


def answer(account: Account, method: str, target: str, body: bytes) -> Answer:
    """The answer to every request but GET /ws."""
    route = (method, target.partition("?")[0])
    if route == ("GET", "/version"):
        return _json(200, version())
    if route == ("POST", "/login"):
        return _json(400, {"code": "400", "error": _login_error(account, body)})
    return NOT_FOUND


def version() -> dict[str, str]:
    """What /version tells of this program."""
    system, machine = platform.system(), platform.machine()
    build = f"{rtcd_version.STAND_IN_PREFIX}{__version__}"
    values = ("", build, "", "", _GO_SYSTEM.get(system, system.lower()), _GO_MACHINE.get(machine, machine))
    return dict(zip(rtcd_version.VERSION_KEYS, values, strict=True))


def is_foreign_origin(headers: Headers) -> bool:
    """True where an Origin header names another host than Host does."""
    origin, host = (next(iter(headers.get(name, [])), "") for name in ("origin", "host"))
    if not origin:
        return False
    try:
        return urlsplit(origin).netloc.lower() != host.lower()
    except ValueError:
        return True


def _login_error(account: Account, body: bytes) -> str:
    """rtcd's words where the login is wrong; the stand-in gives no tokens, so it refuses the right one too."""
    try:
        said = msgspec.json.decode(body, type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "EOF" if not body else "invalid character"
    client_id = said.get("clientID", "")
    if not client_id:
        return "login failed: authentication failed: error: empty key"
    if client_id != account.client_id:
        return "login failed: authentication failed: error: not found"
    if not account.is_it(client_id.encode(), said.get("authKey", "").encode()):
        return "login failed: authentication failed"
    return "login failed: the stand-in gives no tokens"


def _json(status: int, content: dict[str, str]) -> Answer:
    return Answer(status, (_JSON,), json.dumps(content, separators=(",", ":")).encode() + b"\n")
