"""rtcd's API on 8045 as far as its version and the first message of its WebSocket (rtcd-protocol sections 1 and 2)."""

from __future__ import annotations

import asyncio
import base64

import msgspec

from calls_doctor.errors import FarEndError, HttpError, Silence
from calls_doctor.model.credentials import Secret
from calls_doctor.net.http import HttpAnswer
from calls_doctor.net.websocket import open_websocket
from calls_doctor.wire import rtcd


def version_of(answer: HttpAnswer) -> str | None:
    """rtcd's buildVersion in an answer to GET /version, "" where it names none; None where it is not rtcd's answer."""
    if answer.status != 200:
        return None
    try:
        told = msgspec.json.decode(answer.body, type=dict[str, str])
    except msgspec.MsgspecError:
        return None
    return told["buildVersion"] if {"buildVersion", "buildHash", "goVersion"} <= told.keys() else None


async def hello(url: str, client_id: str, auth_key: Secret, timeout_s: float) -> float:
    """Opens the WebSocket of the API at this http(s) URL and waits for `hello`; how long that took, in seconds.

    Raises FarEndError where the upgrade is refused (200: the credentials are wrong), HttpError where what comes is
    not rtcd's hello, NetworkError.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    credentials = base64.b64encode(f"{client_id}:{auth_key.reveal()}".encode()).decode()
    headers = [("Authorization", f"Basic {credentials}")]
    try:
        async with asyncio.timeout(timeout_s):
            async with open_websocket(_websocket_url(url), timeout_s, headers=headers) as socket:
                message = await socket.receive()
    except TimeoutError:
        raise Silence(f"hello at {url}", timeout_s) from None
    if rtcd.parse_hello(message) != client_id:
        raise HttpError(f"the WebSocket at {url} does not begin with rtcd's hello to this client")
    return loop.time() - began


async def refuses(url: str, client_id: str, auth_key: str, timeout_s: float) -> bool:
    """True where the WebSocket is refused to these credentials. Raises HttpError, NetworkError."""
    try:
        await hello(url, client_id, Secret(auth_key), timeout_s)
    except FarEndError:
        return True
    return False


def _websocket_url(url: str) -> str:
    return f"{url.replace('http', 'ws', 1)}/ws"
