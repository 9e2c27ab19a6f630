# Invariant: whatever a client sends, each of its requests gets an answer of the table or its connection is cut; nothing
# is raised, nobody without the key gets 101, and the next client is served.

from __future__ import annotations

import asyncio
import base64
import json

import h11
from hypothesis import example, given
from hypothesis import strategies as st

from calls_doctor.model.credentials import Secret
from calls_doctor.standin import api_answers
from calls_doctor.standin.api import ApiServer
from calls_doctor.standin.api_accounts import AccountError, Accounts, Headers
from calls_doctor.standin.api_answers import NoCalls, Request
from calls_doctor.standin.api_websocket import accepted

HOST = "127.0.0.1"
CLIENT, KEY = "client", Secret("k" * 32)
ACCOUNTS = Accounts(CLIENT, KEY)
CREDENTIALS = base64.b64encode(b"client:" + b"k" * 32)
GET = b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n"
REAL = [
    GET,
    b'POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 16\r\n\r\n{"clientID":"x"}',
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Basic "
    + CREDENTIALS
    + b"\r\n\r\n\x82\x85\0\0\0\0hello\x8a\x80\0\0\0\0",
]
STATUSES = {101, 200, 307, 400, 401, 403, 404}
NAMES = ["authorization", "origin", "host", "connection", "upgrade", "sec-websocket-key", "sec-websocket-version"]
VALUES = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=40)
HEADERS = st.dictionaries(st.sampled_from(NAMES), st.lists(VALUES, max_size=2))


def answered(method: str, target: str, body: bytes, headers: Headers) -> api_answers.Answer:
    return api_answers.answer(Request(method, target, headers, body), ACCOUNTS, NoCalls())


@given(st.text(max_size=20), st.text(max_size=40), st.binary(max_size=100), HEADERS)
@example("POST", "/login", b"\xff", {})
@example("POST", "/login", b"[" * 4000, {})
@example("POST", "/login", json.dumps({"clientID": "\ud800", "authKey": ""}).encode(), {})
@example("GET", "/calls/%ff/sessions", b"", {})
@example("GET", "/" * 99, b"", {})
def test_any_request_has_an_answer(method: str, target: str, body: bytes, headers: Headers) -> None:
    assert answered(method, target, body, headers).status in STATUSES
    for route, status in (("/login", 400), ("/register", 401), ("/unregister", 401), ("/calls/c/sessions", 401)):
        asked = "GET" if "sessions" in route else "POST"
        assert answered(asked, route, body, headers).status == status
    assert answered("GET", "/version", body, headers).status == 200


@given(st.binary(max_size=100))
def test_who_holds_credentials_may_send_any_body(body: bytes) -> None:
    headers = {"authorization": ["Basic " + CREDENTIALS.decode()]}
    for route in ("/register", "/unregister"):
        assert answered("POST", route, body, headers).status in STATUSES


@given(st.dictionaries(st.text(max_size=10), st.text()))
def test_no_login_is_let_in(said: dict[str, str]) -> None:
    for extra in ({}, {"clientID": "client"}, {"authKey": "k" * 32}):
        assert answered("POST", "/login", json.dumps(said | extra).encode(), {}).status == 400


@given(HEADERS, st.text(st.characters(codec="ascii", exclude_categories=["Cc", "Z"]), min_size=1, max_size=20))
def test_any_headers(headers: Headers, target: str) -> None:
    assert not lets_in(headers)
    api_answers.is_foreign_origin(headers)
    protocol = accepted(target, headers)
    assert protocol is None or headers["upgrade"][0].strip().lower() == "websocket"


@given(st.binary(max_size=80))
def test_any_credentials(credentials: bytes) -> None:
    header = {"authorization": ["Basic " + base64.b64encode(credentials).decode()]}
    assert lets_in(header) == (credentials == b"client:" + b"k" * 32)


def lets_in(headers: Headers) -> bool:
    try:
        return ACCOUNTS.authenticate(headers) == CLIENT
    except AccountError:
        return False


async def exchange(port: int, sent: bytes) -> bytes:
    """What the server says until it closes; this end closes its half after the last byte."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(sent)
        writer.write_eof()
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def serve(sent: bytes) -> None:
    raised: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: raised.append(context))
    async with ApiServer([HOST], client_id=CLIENT, auth_key=KEY) as server:
        said = await exchange(server.port, sent)
        assert (await exchange(server.port, GET)).endswith(b"}\n")
    assert raised == []
    parser = h11.Connection(h11.CLIENT)
    if said and not sent.startswith(b"HEAD"):
        proposal = [("Host", "a"), ("Connection", "Upgrade"), ("Upgrade", "websocket")]
        parser.send(h11.Request(method="GET", target="/", headers=proposal))
        parser.send(h11.EndOfMessage())
        parser.receive_data(said)
        answer = parser.next_event()
        assert isinstance(answer, h11.Response | h11.InformationalResponse) and answer.status_code in STATUSES
        assert answer.status_code != 101 or CREDENTIALS in sent


@given(st.binary(max_size=300))
def test_any_bytes_on_a_connection(sent: bytes) -> None:
    asyncio.run(serve(sent))


@given(st.sampled_from(REAL), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3), st.integers(0))
def test_real_requests_cut_and_changed(request: bytes, changes: list[tuple[int, int]], at: int) -> None:
    changed = bytearray(request)
    for index, value in changes:
        changed[index % len(changed)] = value
    asyncio.run(serve(bytes(changed)[: at % (2 * len(changed))]))
