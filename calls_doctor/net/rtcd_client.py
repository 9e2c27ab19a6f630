"""rtcd's API on 8045 as far as its version and the first message of its WebSocket (rtcd-protocol sections 1 and 2)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec

from calls_doctor.errors import FarEndError, HttpError, RtcdError, Silence
from calls_doctor.model.credentials import Secret
from calls_doctor.net.http import HttpAnswer, shown
from calls_doctor.net.rtcd_api import AUTHORIZATION
from calls_doctor.net.websocket import open_websocket
from calls_doctor.wire import rtcd, rtcd_http
from calls_doctor.wire.rtcd_signal import Sender

WRONG_CREDENTIALS = 200
"""What rtcd answers instead of 101; whoever stands before it may say it as the standard has it."""
REFUSALS = (WRONG_CREDENTIALS, 401, 403)
VERSION_MAX_CHARS = 64


class _Version(msgspec.Struct):
    """What tells rtcd's answer from another service's; it may hold more."""

    buildVersion: str  # noqa: N815 - rtcd's own names
    buildHash: str  # noqa: N815 - rtcd's own names
    goVersion: str  # noqa: N815 - rtcd's own names


def version_of(answer: HttpAnswer) -> str | None:
    """rtcd's buildVersion in an answer to GET /version, "" where it names none; None where it is not rtcd's answer."""
    if answer.status != 200:
        return None
    try:
        told = msgspec.json.decode(answer.body, type=_Version)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return told.buildVersion[:VERSION_MAX_CHARS]


def basic(client_id: str, auth_key: Secret) -> Secret:
    """The Authorization header's value for a client and its key."""
    return Secret(rtcd_http.basic(client_id, auth_key.reveal()))


def bearer(token: Secret) -> Secret:
    """The same for a token of `login`."""
    return Secret(rtcd_http.bearer(token.reveal()))


@dataclass(frozen=True)
class Greeting:
    """rtcd's first message on a WebSocket."""

    client_id: str
    """Whom it takes us for; "" for its admin, who may join no call."""
    took_s: float
    """From the first SYN on."""


async def hello(url: str, authorization: Secret, timeout_s: float, *, host: str = "") -> Greeting:
    """Opens the WebSocket of the API at this http(s) URL and waits for `hello`. With `host` at this address of
    several; `authorization` is the header's whole value.

    Raises FarEndError where the upgrade is refused (200: the credentials are wrong), HttpError where what comes is
    not rtcd's hello, NetworkError.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    headers = [(AUTHORIZATION, authorization.reveal())]
    try:
        async with asyncio.timeout(timeout_s):
            async with open_websocket(_websocket_url(url), timeout_s, headers=headers, host=host) as socket:
                message = await socket.receive()
    except TimeoutError:
        raise Silence(f"hello at {shown(url)}", timeout_s) from None
    try:
        greeting = rtcd.decode(message, Sender.SERVER)
    except RtcdError:
        greeting = None
    if not isinstance(greeting, rtcd.Hello):
        raise HttpError(f"the WebSocket at {shown(url)} does not begin with rtcd's hello")
    return Greeting(greeting.client_id, loop.time() - began)


async def refuses(url: str, authorization: Secret, timeout_s: float, *, host: str = "") -> bool:
    """True where the WebSocket is refused to these credentials, False where it opens, whatever is said there then.

    Raises FarEndError for an answer that is neither, HttpError, NetworkError.
    """
    headers = [(AUTHORIZATION, authorization.reveal())]
    try:
        async with open_websocket(_websocket_url(url), timeout_s, headers=headers, host=host):
            return False
    except FarEndError as error:
        if error.code not in REFUSALS:
            raise
    return True


def _websocket_url(url: str) -> str:
    return f"{url.replace('http', 'ws', 1)}/ws"
