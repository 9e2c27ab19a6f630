"""rtcd's API on 8045 as far as its version and the first message of its WebSocket (rtcd-protocol sections 1 and 2)."""

from __future__ import annotations

import asyncio
import base64

import msgspec

from calls_doctor.errors import FarEndError, HttpError, RtcdError, Silence
from calls_doctor.model.credentials import Secret
from calls_doctor.net.http import HttpAnswer, shown
from calls_doctor.net.websocket import open_websocket
from calls_doctor.wire import rtcd
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


async def hello(url: str, client_id: str, auth_key: Secret, timeout_s: float, *, host: str = "") -> float:
    """Opens the WebSocket of the API at this http(s) URL and waits for `hello`; how long that took, in seconds. With
    `host` at this address of several.

    Raises FarEndError where the upgrade is refused (200: the credentials are wrong), HttpError where what comes is
    not rtcd's hello, NetworkError.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    headers = [_authorization(client_id, auth_key)]
    try:
        async with asyncio.timeout(timeout_s):
            async with open_websocket(_websocket_url(url), timeout_s, headers=headers, host=host) as socket:
                message = await socket.receive()
    except TimeoutError:
        raise Silence(f"hello at {shown(url)}", timeout_s) from None
    if not _greets(message, client_id):
        raise HttpError(f"the WebSocket at {shown(url)} does not begin with rtcd's hello to this client")
    return loop.time() - began


async def refuses(url: str, client_id: str, auth_key: str, timeout_s: float, *, host: str = "") -> bool:
    """True where the WebSocket is refused to these credentials, False where it opens, whatever is said there then.

    Raises FarEndError for an answer that is neither, HttpError, NetworkError.
    """
    headers = [_authorization(client_id, Secret(auth_key))]
    try:
        async with open_websocket(_websocket_url(url), timeout_s, headers=headers, host=host):
            return False
    except FarEndError as error:
        if error.code not in REFUSALS:
            raise
    return True


def _greets(message: bytes, client_id: str) -> bool:
    try:
        greeting = rtcd.decode(message, Sender.SERVER)
    except RtcdError:
        return False
    return isinstance(greeting, rtcd.Hello) and greeting.client_id == client_id


def _authorization(client_id: str, auth_key: Secret) -> tuple[str, str]:
    return "Authorization", f"Basic {base64.b64encode(f'{client_id}:{auth_key.reveal()}'.encode()).decode()}"


def _websocket_url(url: str) -> str:
    return f"{url.replace('http', 'ws', 1)}/ws"
