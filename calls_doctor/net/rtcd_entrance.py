"""Entrance to rtcd as its clients ask for it: what the WebSocket and a login say to a wrong key, and to the right one.

Each function gives a row of evidence: `ok`, and where it is not, `stage`, `trouble` and `detail`, a sentence.
"""

from __future__ import annotations

import secrets
from typing import Any  # rows of evidence are JSON

from calls_doctor.errors import CallsDoctorError, FarEndError, NetworkError
from calls_doctor.model.credentials import RtcdClient, Secret
from calls_doctor.net import rtcd_client
from calls_doctor.net.rtcd_api import RtcdApi
from calls_doctor.net.sockets import trouble_word
from calls_doctor.wire.rtcd_http import KEY_MAX_BYTES, KEY_MIN_BYTES, Refusal

Row = dict[str, Any]
NOBODY = "calls-doctor-wrong"
"""A client that no rtcd knows, so that it hashes nothing for it."""


async def refuses_a_wrong_key(url: str, host: str, timeout_s: float) -> Row:
    """`ok` where nobody is let in with a key that nobody gave out, and the answer is rtcd's."""
    row: Row = {"address": host, "ok": True}
    wrong = rtcd_client.basic(NOBODY, Secret(secrets.token_hex(20)))
    try:
        row["refuses_wrong_key"] = await rtcd_client.refuses(url, wrong, timeout_s, host=host)
    except CallsDoctorError as error:
        return row | _no_websocket(error)
    return row if row["refuses_wrong_key"] else row | _fault("open", "the WebSocket accepts a key that nobody gave out")


async def enter(api: RtcdApi, client: RtcdClient) -> Row:
    """The plugin's way (Basic on the WebSocket), then a login and the WebSocket with its token."""
    pair = rtcd_client.basic(client.client_id, client.auth_key)
    await api.pace.turn()
    try:
        greeting = await rtcd_client.hello(api.url, pair, api.timeout_s, host=api.host)
    except FarEndError as error:
        if error.code != rtcd_client.WRONG_CREDENTIALS:
            return _no_websocket(error)
        return await _locked_out(api, client)
    except CallsDoctorError as error:
        return _no_websocket(error)
    if greeting.client_id == client.client_id:
        return {"ok": True, "hello_s": round(greeting.took_s, 6)} | await _logged_in(api, client)
    if not greeting.client_id:
        said = "the key is the secret of rtcd's admin: it opens the WebSocket, and every join over it is refused"
        return _fault("admin-secret", said) | {"calls": await _calls(api, pair)}
    return _fault("not-websocket", f"the WebSocket at {api.url} does not begin with rtcd's hello to this client")


async def _logged_in(api: RtcdApi, client: RtcdClient) -> Row:
    """What the plugin does without: words for the reader, no fault."""
    try:
        token = await api.login(client.client_id, client.auth_key)
    except CallsDoctorError as error:
        return {"login": _word(error)}
    try:
        await rtcd_client.hello(api.url, rtcd_client.bearer(token), api.timeout_s, host=api.host)
    except CallsDoctorError as error:
        return {"login": "ok", "token": _word(error)}
    return {"login": "ok", "token": "ok", "calls": await _calls(api, rtcd_client.bearer(token))}


async def _calls(api: RtcdApi, authorization: Secret) -> str:
    """What rtcd says to whoever asks who is in a call; its admin is no client, and is refused."""
    try:
        await api.sessions(NOBODY, authorization)
    except CallsDoctorError as error:
        return _word(error)
    return "ok"


async def _locked_out(api: RtcdApi, client: RtcdClient) -> Row:
    """rtcd says 200 instead of 101 where the credentials are wrong, and nothing more (rtcd-protocol, "Trap"); to a
    login it says what is wrong with them."""
    try:
        await api.login(client.client_id, client.auth_key)
    except CallsDoctorError as error:
        word = _word(error)
    else:
        said = "/login takes the credentials and the WebSocket does not: something on the way takes their header away"
        return _fault("header-lost", said) | {"login": "ok"}
    if word == Refusal.UNKNOWN_CLIENT:
        said = "rtcd knows no client of this id: it was never registered there, or rtcd's store was lost"
    elif word == Refusal.WRONG_KEY:
        said = "rtcd knows this client id by another key, and whoever registers it again is told `already registered`"
    else:
        said = "/version answers, the WebSocket does not accept the credentials"
    if not KEY_MIN_BYTES <= len(client.auth_key.reveal().encode()) <= KEY_MAX_BYTES:
        said += f"; keys have {KEY_MIN_BYTES} to {KEY_MAX_BYTES} bytes, and this one does not"
    return _fault("unauthorized", said) | {"login": word}


def _word(error: CallsDoctorError) -> str:
    if isinstance(error, FarEndError):
        return error.reason if error.reason in set(Refusal) else f"status-{error.code}"
    return trouble_word(error) if isinstance(error, NetworkError) else "not-http"


def _no_websocket(error: CallsDoctorError) -> Row:
    """HTTP works, and the upgrade does not."""
    if isinstance(error, FarEndError):
        return _fault(f"status-{error.code}", f"/version answers, {error}")
    word = trouble_word(error) if isinstance(error, NetworkError) else "not-websocket"
    return _fault(word, f"/version answers, the WebSocket does not: {error}")


def _fault(trouble: str, detail: str) -> Row:
    return {"ok": False, "stage": "websocket", "trouble": trouble, "detail": detail}
