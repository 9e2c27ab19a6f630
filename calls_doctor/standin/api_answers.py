"""What the stand-in's 8045 API answers to which request: as rtcd does (captured from v1.2.6).

It decides and never sends. All answers are rtcd's own to the byte but for two: `buildVersion` tells whoever looks that
it is the stand-in (wire/rtcd_version.py), and a client registers only if it, or who registers it, holds credentials of
this run (rtcd with allow_self_registration off). There are no metrics and no profiles.
"""

from __future__ import annotations

import html
import json
import os
import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote, urlsplit

from calls_doctor import __version__
from calls_doctor.standin import go_json
from calls_doctor.standin.api_accounts import AccountError, Accounts, Headers
from calls_doctor.standin.go_json import GoJsonError
from calls_doctor.wire import rtcd_version
from calls_doctor.wire.rtcd import Join

_GO_SYSTEM = {"Windows": "windows", "Darwin": "darwin", "Linux": "linux"}
_GO_MACHINE = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_NOSNIFF = ("X-Content-Type-Options", "nosniff")
_TEXT = ("Content-Type", "text/plain; charset=utf-8")
_JSON = ("Content-Type", "application/json")
_WEBSOCKET_VERSION = ("Sec-Websocket-Version", "13")
_SESSIONS = re.compile(r"/calls/([^/]+)/sessions(?:/([^/]+))?")


@dataclass(frozen=True)
class Answer:
    """One response, but for the headers that every response has."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Calls(Protocol):
    """The calls that are held now."""

    def joined(self, group: str, /) -> Mapping[str, Mapping[str, Join]]:
        """Call id -> session id -> what it joined with, of the calls of this client id."""


class Signalling(Calls, Protocol):
    """What the messages of the WebSockets go to. Nothing that a client sends makes it raise."""

    def connect(self, conn_id: str, group: str, send: Callable[[bytes], None], /) -> None:
        """A connection of this client id has said hello; `send` takes a message for it."""

    def receive(self, conn_id: str, frame: bytes, /) -> None:
        """One binary message of it."""

    def disconnect(self, conn_id: str, /) -> None:
        """It is gone; its sessions live on."""


class NoCalls:
    """Where there is no media port there is no call: messages are read and ignored."""

    def joined(self, _group: str, /) -> Mapping[str, Mapping[str, Join]]:
        """None."""
        return {}

    def connect(self, _conn_id: str, _group: str, _send: Callable[[bytes], None], /) -> None:
        """It is said hello to, and that is all."""

    def receive(self, _conn_id: str, _frame: bytes, /) -> None:
        """As rtcd does with what it cannot use."""

    def disconnect(self, _conn_id: str, /) -> None:
        """It had nothing."""


@dataclass(frozen=True)
class Request:
    """What an answer depends on."""

    method: str
    target: str
    headers: Headers
    body: bytes = b""

    @property
    def path(self) -> str:
        """Without the query."""
        return self.target.partition("?")[0]


NOT_FOUND = Answer(404, (_TEXT, _NOSNIFF), b"404 page not found\n")
"""Also for a known path with another method: rtcd never says 405."""
REFUSED = Answer(200)
"""rtcd's trap: /ws answers wrong credentials with an empty 200 instead of 101."""
NO_UPGRADE = Answer(400, (_TEXT, _WEBSOCKET_VERSION, _NOSNIFF), b"Bad Request\n")
FOREIGN_ORIGIN = Answer(403, (_TEXT, _WEBSOCKET_VERSION, _NOSNIFF), b"Forbidden\n")
_UNAUTHORIZED = Answer(401, (_TEXT, _NOSNIFF), b"unauthorized\n")


def answer(request: Request, accounts: Accounts, calls: Calls) -> Answer:
    """The answer to every request but GET /ws."""
    if request.path.startswith("/") and "//" in request.path:
        return _redirected(re.sub("/+", "/", request.path))
    route = (request.method, request.path)
    if route == ("GET", "/version"):
        return _json(200, version())
    if route == ("GET", "/system") and hasattr(os, "getloadavg"):
        return _json(200, {"cpu_load": min(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))})
    if request.method == "POST" and request.path in _ACCOUNT_ROUTES:
        return _ACCOUNT_ROUTES[request.path](request, accounts)
    session = _SESSIONS.fullmatch(request.path)
    if request.method == "GET" and session:
        return _sessions(request, accounts, calls, unquote(session[1]), unquote(session[2] or ""))
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


def _register(request: Request, accounts: Accounts) -> Answer:
    try:
        accounts.authenticate(request.headers)
    except AccountError as error:
        return _refusal(401, error)
    try:
        said = go_json.texts(request.body)
        accounts.register(said.get("clientID", ""), said.get("authKey", ""))
    except (GoJsonError, AccountError) as error:
        return _refusal(400, error)
    return _json(201, {"clientID": said["clientID"], "code": "201"})


def _unregister(request: Request, accounts: Accounts) -> Answer:
    try:
        client_id = accounts.authenticate(request.headers)
    except AccountError as error:
        return _refusal(401, error)
    try:
        named = go_json.texts(request.body).get("clientID", "")
        if not named:
            return _refusal(400, "client id should not be empty")
        if named != client_id:
            return _refusal(403, "client id not valid")
        accounts.unregister(named)
    except (GoJsonError, AccountError) as error:
        return _refusal(400, error)
    return _json(200, {"code": "200"})


def _log_in(request: Request, accounts: Accounts) -> Answer:
    try:
        said = go_json.texts(request.body)
        token = accounts.log_in(said.get("clientID", ""), said.get("authKey", ""))
    except (GoJsonError, AccountError) as error:
        return _refusal(400, error)
    return _json(200, {"bearerToken": token, "code": "200"})


_ACCOUNT_ROUTES = {"/register": _register, "/unregister": _unregister, "/login": _log_in}


def _sessions(request: Request, accounts: Accounts, calls: Calls, call: str, session: str) -> Answer:
    """All of a call, or the one that is named."""
    try:
        group = accounts.authenticate(request.headers)
    except AccountError:
        return _UNAUTHORIZED
    held = calls.joined(group)
    what = "session config" if session else "session configs"
    if not held:
        return _not_found(f"failed to get {what}: group not found")
    if call not in held:
        return _not_found(f"failed to get {what}: call not found")
    if not session:
        return _json(200, [_config(group, join) for join in held[call].values()])
    if session not in held[call]:
        return _not_found(f"failed to get {what}: session not found")
    return _json(200, _config(group, held[call][session]))


def _config(group: str, join: Join) -> dict[str, object]:
    """A session as Go writes it."""
    return {
        "GroupID": group,
        "CallID": join.call_id,
        "UserID": join.user_id,
        "SessionID": join.session_id,
        "Props": {"av1Support": join.av1_support, "channelID": join.channel_id, "dcSignaling": join.dc_signaling},
    }


def _redirected(path: str) -> Answer:
    """What Go's router answers to a path that has an empty part."""
    body = f'<a href="{html.escape(path)}">Temporary Redirect</a>.\n\n'.encode()
    return Answer(307, (("Content-Type", "text/html; charset=utf-8"), ("Location", path)), body)


def _not_found(sentence: str) -> Answer:
    return Answer(404, (_TEXT, _NOSNIFF), f"{sentence}\n".encode())


def _refusal(status: int, sentence: object) -> Answer:
    return _json(status, {"code": str(status), "error": str(sentence)})


def _json(status: int, content: object) -> Answer:
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    for char in "<>&":  # Go writes these so, for whoever shows JSON as HTML
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Answer(status, (_JSON,), text.encode() + b"\n")
