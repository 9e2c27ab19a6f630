"""8045 of the stand-in: what rtcd was captured to answer, asked by http.client and by websockets' own client."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import logging
import socket
from collections.abc import Mapping
from pathlib import Path

import msgpack  # type: ignore[import-untyped]  # it ships no types
import pytest
import websockets
from websockets.asyncio.client import connect

from calls_doctor import __version__
from calls_doctor.model.credentials import Secret
from calls_doctor.net import http as our_http
from calls_doctor.net import rtcd_client
from calls_doctor.standin.api import BODY_MAX_BYTES, HEAD_MAX_BYTES, ApiServer
from calls_doctor.standin.api_answers import NoCalls
from calls_doctor.standin.api_websocket import Timing
from calls_doctor.standin.connection_limit import ConnectionLimit
from calls_doctor.wire import rtcd, rtcd_http, rtcd_version
from calls_doctor.wire.rtcd import MESSAGE_MAX_BYTES, Join
from calls_doctor.wire.rtcd_signal import Sender
from tests.servers.plain_sockets import WAIT_S, eventually, rest_of

HOST = "127.0.0.1"
CLIENT_ID, KEY = "calls-doctor-0123456789abcdef", "k" * 48
CAPTURED = {
    (one["set"], one["name"]): one
    for one in map(json.loads, (Path(__file__).parents[1] / "data" / "rtcd" / "http.jsonl").read_text().splitlines())
}
Headers = dict[str, str]


def server(**how: object) -> ApiServer:
    return ApiServer([HOST], client_id=CLIENT_ID, auth_key=Secret(KEY), **how)  # type: ignore[arg-type]  # as its constructor takes them


def basic(client_id: str = CLIENT_ID, key: str = KEY) -> Headers:
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{key}".encode()).decode()}


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
}


async def ask(
    api: ApiServer, method: str, path: str, headers: Headers | None = None, body: str | None = None
) -> tuple[int, Headers, bytes]:
    """Status, headers in lower case without Date, and body, as http.client understands them."""

    def in_a_thread() -> tuple[int, Headers, bytes]:
        connection = http.client.HTTPConnection(HOST, api.port, timeout=WAIT_S)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            said = {name.lower(): value for name, value in answer.getheaders()}
            assert said.pop("date").endswith(" GMT")
            return answer.status, said, answer.read()
        finally:
            connection.close()

    return await asyncio.to_thread(in_a_thread)


# What was captured of rtcd, asked again

SAME = [
    "version-post", "version-head", "root", "unknown", "stats", "version-slash", "login-get", "register-get",
    "unregister-get", "system-post", "sessions-post", "login-unknown", "login-noid", "login-badjson", "login-wrongkey",
    "register-emptybody", "register-badjson", "register-nonstring", "register-short", "register-nokey",
    "register-noid", "register-longkey72", "register-longkey73", "register-bigid", "register-dup",
    "register-dup-otherkey", "register-extra", "unregister-noauth", "unregister-other", "unregister-noid",
    "unregister-ok", "sessions-noauth", "sessions-basic", "session-one", "sessions-emptyid",
    "ws-noauth", "ws-wrongkey", "ws-badtoken", "ws-lowercase-bearer", "ws-noupgrade", "ws-noupgrade-noauth",
    "ws-badorigin",
]  # fmt: skip
SAME_LOCKED = ["register-noauth", "register-basic-unknown", "register-basic-noid", "login-unknown"]
CLIENTS = {"cA": "a" * 32, "cB": "o" * 32}
"""Registered before each of the captured requests, as they were by then."""
PLACES = {"<authKey32>": "a" * 32, "<otherKey32>": "o" * 32, "<key31>": "k" * 31, "<token>": "t" * 32}


async def registered(api: ApiServer, clients: Headers) -> None:
    for client_id, key in clients.items():
        body = json.dumps({"clientID": client_id, "authKey": key})
        assert (await ask(api, "POST", "/register", basic(), body))[0] == 201


def as_it_was(text: str) -> str:
    for place, value in PLACES.items():
        text = text.replace(place, value)
    return text


@pytest.mark.parametrize(
    ("of", "name"), [("selfreg", name) for name in SAME] + [("locked", one) for one in SAME_LOCKED]
)
async def test_the_answer_is_rtcds(of: str, name: str) -> None:
    request, expected = CAPTURED[of, name]["request"], CAPTURED[of, name]["response"]
    headers: Headers = {}
    if request["authorization"] is not None:
        kind, _, said = as_it_was(request["authorization"]).partition(" ")
        if kind == "Basic":
            said = base64.b64encode(said.removeprefix('base64("').removesuffix('")').encode()).decode()
        headers = {"Authorization": f"{kind} {said}"}
    elif name.startswith("register") and of == "selfreg":
        headers = basic()  # who registers holds credentials of the run
    if name == "ws-badorigin":
        headers |= UPGRADE | {"Origin": "http://evil.example"}
    body = None if request["body"] is None else as_it_was(request["body"])
    clients = CLIENTS if of == "selfreg" else {}
    async with server() as api:
        await registered(api, {"cA": CLIENTS["cA"]} if name == "register-extra" else clients)
        answer = await ask(api, request["method"], request["path"], headers, body)
    assert answer == (expected["status"], expected["headers"], expected["body"].encode())


async def test_a_login_gives_a_token_that_opens_the_websocket_until_the_next_login() -> None:
    async with server() as api:
        await registered(api, {"cA": CLIENTS["cA"]})
        body = json.dumps({"clientID": "cA", "authKey": CLIENTS["cA"]})
        tokens = []
        for _ in range(2):
            status, headers, said = await ask(api, "POST", "/login", body=body)
            assert (status, headers["content-type"], list(json.loads(said))) == (
                200, "application/json", ["bearerToken", "code"],
            )  # fmt: skip
            tokens.append(json.loads(said)["bearerToken"])
        assert len(tokens[1]) == 32
        assert (await ask(api, "GET", "/ws", UPGRADE | {"Authorization": f"Bearer {tokens[0]}"}))[0] == 200
        bearer = {"Authorization": f"Bearer {tokens[1]}"}
        async with connect(url(api), additional_headers=bearer) as socket:
            hello = rtcd.decode(bytes(await socket.recv(decode=False)), Sender.SERVER)
            assert isinstance(hello, rtcd.Hello) and hello.client_id == "cA"


async def test_the_load_of_the_machine_is_told() -> None:
    async with server() as api:
        status, _, said = await ask(api, "GET", "/system")
    load = rtcd_http.cpu_load(said)
    assert status == 200 and load is not None and 0 <= load <= 1


class Noted(NoCalls):
    """Calls that a test has thought of, and what came for them."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.gone = False

    def joined(self, group: str, /) -> Mapping[str, Mapping[str, Join]]:
        return {"a call/é": {"s1": Join("a call/é", "u", "s1", dc_signaling=True)}} if group == CLIENT_ID else {}

    def receive(self, _conn_id: str, frame: bytes, /) -> None:
        self.messages.append(frame)

    def disconnect(self, _conn_id: str, /) -> None:
        self.gone = True


async def test_the_sessions_of_a_call_are_told_to_its_client_alone() -> None:
    call = "/calls/a%20call%2F%C3%A9/sessions"
    session = {
        "GroupID": CLIENT_ID, "CallID": "a call/é", "UserID": "u", "SessionID": "s1",
        "Props": {"av1Support": False, "channelID": "", "dcSignaling": True},
    }  # fmt: skip
    async with server(signalling=Noted()) as api:
        status, headers, said = await ask(api, "GET", call, basic())
        assert (status, headers["content-type"], json.loads(said)) == (200, "application/json", [session])
        assert json.loads((await ask(api, "GET", f"{call}/s1", basic()))[2]) == session
        for path, sentence in (
            (f"{call}/s2", "config: session not found"), ("/calls/b/sessions/s1", "config: call not found"),
            ("/calls/b/sessions", "configs: call not found"),
        ):  # fmt: skip
            assert await ask(api, "GET", path, basic()) == (
                404,
                CAPTURED["selfreg", "sessions-basic"]["response"]["headers"]
                | {"content-length": f"{len(sentence) + 23}"},
                f"failed to get session {sentence}\n".encode(),
            )
        await registered(api, {"cA": CLIENTS["cA"]})
        assert (await ask(api, "GET", call, basic("cA", CLIENTS["cA"])))[2].endswith(b"group not found\n")


async def test_the_version_is_rtcds_but_for_what_it_says() -> None:
    expected = CAPTURED["selfreg", "version"]["response"]
    async with server() as api:
        status, headers, body = await ask(api, "GET", "/version")
        assert (await ask(api, "GET", "/version?verbose=1"))[2] == body
    assert status == expected["status"] and headers["content-type"] == expected["headers"]["content-type"]
    assert body.endswith(b"\n") and b" " not in body
    version = json.loads(body)
    assert list(version) == list(json.loads(expected["body"]))
    assert all(isinstance(value, str) for value in version.values())
    assert version["buildVersion"] == f"dev-calls-doctor-{__version__}"


async def test_our_own_client_finds_the_version() -> None:
    async with server() as api:
        answer = await our_http.get(f"http://{HOST}:{api.port}/version", timeout_s=WAIT_S)
    version = rtcd_client.version_of(answer)
    assert version is not None and version.startswith(rtcd_version.STAND_IN_PREFIX)


async def test_one_connection_serves_one_request_after_the_other() -> None:
    async with server() as api:
        reader, writer = await asyncio.open_connection(HOST, api.port)
        get = f"GET /version HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
        writer.write(get + get[:10])
        async with asyncio.timeout(WAIT_S):
            first = await reader.readuntil(b"}\n")
            writer.write(get[10:])
            assert (await reader.readuntil(b"}\n")).startswith(first[:17]) and first.startswith(b"HTTP/1.1 200 OK\r\n")
        writer.write(get.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert (await rest_of(reader)).endswith(b"}\n")
        writer.close()


@pytest.mark.parametrize("authorization", [
    "Basic !!!", "Basic", "Basic " + base64.b64encode(b"no colon").decode(), "Basic " + "é", "Digest x", "",
])  # fmt: skip
async def test_garbled_credentials_are_refused_as_wrong_ones_are(authorization: str) -> None:
    async with server() as api:
        assert await ask(api, "GET", "/ws", UPGRADE | {"Authorization": authorization}) == (
            200, {"content-length": "0"}, b"",
        )  # fmt: skip


@pytest.mark.parametrize("login", [("someone-else", KEY), (CLIENT_ID, KEY[:-1]), (CLIENT_ID, ""), ("", KEY), ("", "")])
async def test_half_of_the_credentials_is_refused(login: tuple[str, str]) -> None:
    async with server() as api:
        assert (await ask(api, "GET", "/ws", UPGRADE | basic(*login)))[0] == 200


@pytest.mark.parametrize("change", [
    {"Sec-WebSocket-Version": "8"}, {"Sec-WebSocket-Key": "short"}, {"Upgrade": "h2c"}, {"Connection": "close"},
    {"Sec-WebSocket-Key": ""}, {"Sec-WebSocket-Key": "\x1f"},
])  # fmt: skip
async def test_a_handshake_that_is_none_is_a_bad_request(change: Headers) -> None:
    async with server() as api:
        status, headers, body = await ask(api, "GET", "/ws", UPGRADE | basic() | change)
    assert (status, body, headers["sec-websocket-version"]) == (400, b"Bad Request\n", "13")


# The WebSocket


def url(api: ApiServer) -> str:
    return f"ws://{HOST}:{api.port}/ws"


async def test_websockets_gets_hello_first_and_as_two_values() -> None:
    async with server() as api:
        conn_ids = set()
        for _ in range(2):
            async with connect(url(api), additional_headers=basic()) as socket:
                assert socket.protocol.extensions == [] and socket.subprotocol is None
                message = await socket.recv()
                assert isinstance(message, bytes)
                unpacker = msgpack.Unpacker()
                unpacker.feed(message)
                kind, data = unpacker
                assert (kind, data["clientID"], set(data)) == ("hello", CLIENT_ID, {"clientID", "connID"})
                assert len(data["connID"]) == 26
                conn_ids.add(data["connID"])
        assert len(conn_ids) == 2


async def test_our_own_client_is_greeted_and_a_wrong_key_refused() -> None:
    async with server() as api:
        http_url = f"http://{HOST}:{api.port}"
        right, wrong = (rtcd_client.basic(CLIENT_ID, Secret(key)) for key in (KEY, "wrong" * 8))
        assert (await rtcd_client.hello(http_url, right, WAIT_S)).client_id == CLIENT_ID
        assert await rtcd_client.refuses(http_url, wrong, WAIT_S)
        assert not await rtcd_client.refuses(http_url, right, WAIT_S)


async def test_whole_binary_messages_are_handed_on_and_pings_answered() -> None:
    calls = Noted()
    async with server(signalling=calls) as api, connect(url(api), additional_headers=basic()) as socket:
        await socket.recv()
        await socket.send(b"\xa5leave\x80")
        await socket.send("text")
        await socket.send([b"x" * 70_000, b"y"])
        await socket.send(b"x" * MESSAGE_MAX_BYTES)
        async with asyncio.timeout(WAIT_S):
            await (await socket.ping(b"1"))
        assert calls.messages == [b"\xa5leave\x80", b"x" * 70_000 + b"y", b"x" * MESSAGE_MAX_BYTES]
        await socket.close()
        assert socket.protocol.close_code == 1000
        await eventually(lambda: calls.gone)


async def test_a_message_that_is_too_large_ends_it() -> None:
    async with server() as api, connect(url(api), additional_headers=basic()) as socket:
        await socket.recv()
        await socket.send(b"x" * (MESSAGE_MAX_BYTES + 1))
        with pytest.raises(websockets.ConnectionClosedError):
            await socket.recv()


async def test_the_same_origin_is_no_foreign_one() -> None:
    async with server() as api:
        origin = websockets.Origin(f"http://{HOST}:{api.port}")
        async with connect(url(api), additional_headers=basic(), origin=origin) as socket:
            assert isinstance(await socket.recv(), bytes)


async def raw_websocket(api: ApiServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that knows no WebSocket: it has asked for one and read the 101 and hello."""
    reader, writer = await asyncio.open_connection(HOST, api.port)
    head = "".join(f"{name}: {value}\r\n" for name, value in (UPGRADE | basic() | {"Host": HOST}).items())
    writer.write(f"GET /ws HTTP/1.1\r\n{head}\r\n".encode())
    async with asyncio.timeout(WAIT_S):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        opcode, length = await reader.readexactly(2)
        assert opcode == 0x82
        await reader.readexactly(length)
    return reader, writer


async def test_a_client_that_never_pongs_is_dropped_without_a_close_frame() -> None:
    async with server(timing=Timing(ping_interval_s=0.05, pong_timeout_s=0.12)) as api:
        reader, writer = await raw_websocket(api)
        writer.write(b"\x82\x80" + bytes(4))  # data proves nothing
        assert await rest_of(reader) == b"\x89\x00" * 2, "two empty pings, then the end"
        writer.close()


async def test_a_client_that_pongs_stays() -> None:
    async with server(timing=Timing(ping_interval_s=0.05, pong_timeout_s=0.12)) as api:
        reader, writer = await raw_websocket(api)
        async with asyncio.timeout(WAIT_S):
            for _ in range(5):
                assert await reader.readexactly(2) == b"\x89\x00"
                writer.write(b"\x8a\x80" + bytes(4))
        writer.close()


async def test_frames_that_came_with_the_request_are_not_lost() -> None:
    async with server() as api:
        reader, writer = await asyncio.open_connection(HOST, api.port)
        head = "".join(f"{name}: {value}\r\n" for name, value in (UPGRADE | basic() | {"Host": HOST}).items())
        writer.write(f"GET /ws HTTP/1.1\r\n{head}\r\n".encode() + b"\x89\x81" + bytes(4) + b"p")
        async with asyncio.timeout(WAIT_S):
            await reader.readuntil(b"\x8a\x01p")
        writer.close()


async def test_a_frame_that_is_none_ends_it() -> None:
    async with server() as api:
        reader, writer = await raw_websocket(api)
        writer.write(b"\xff" * 64)
        said = await rest_of(reader)
        assert said == b"" or said.startswith(b"\x88")
        writer.close()


# Limits


@pytest.mark.parametrize("junk", [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x00\x20" + bytes(32), b"GET /version\r\n\r\n",
    b"GET /version HTTP/9.9\r\n\r\n", b"GET /version HTTP/1.1\r\n\r\n", b"\r\n" * HEAD_MAX_BYTES,
    b"GET /" + b"x" * HEAD_MAX_BYTES, b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * (HEAD_MAX_BYTES // 6),
    b"POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (BODY_MAX_BYTES + 1) + bytes(BODY_MAX_BYTES + 1),
    b"POST /login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
], ids=range(11))  # fmt: skip
async def test_whoever_breaks_http_or_a_limit_is_cut_off_without_a_word(junk: bytes) -> None:
    async with server() as api:
        reader, writer = await asyncio.open_connection(HOST, api.port)
        writer.write(junk)
        assert await rest_of(reader) == b""
        writer.close()
        assert (await ask(api, "GET", "/version"))[0] == 200


async def test_a_request_has_its_time_and_no_more() -> None:
    async with server(request_timeout_s=0.15) as api:
        for begun in (b"", b"GET /version HT", b"POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc"):
            reader, writer = await asyncio.open_connection(HOST, api.port)
            writer.write(begun)
            assert await rest_of(reader) == b""
            writer.close()
        async with connect(url(api), additional_headers=basic()) as socket:
            await socket.recv()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await socket.recv()  # it stays open: the time was the request's


async def test_a_source_has_so_many_connections() -> None:
    async with server(limit=ConnectionLimit(total=3, per_source=2)) as api:
        first = [await asyncio.open_connection(HOST, api.port) for _ in range(2)]
        reader, writer = await asyncio.open_connection(HOST, api.port)
        assert await rest_of(reader) == b""
        writer.close()
        elsewhere = await asyncio.open_connection(HOST, api.port, local_addr=("127.0.0.2", 0))
        one_too_many, last_writer = await asyncio.open_connection(HOST, api.port, local_addr=("127.0.0.3", 0))
        assert await rest_of(one_too_many) == b""
        for _, open_writer in (*first, elsewhere):
            open_writer.close()
        last_writer.close()
        limit = api._limit  # nothing else tells when the server has seen the ends
        await eventually(lambda: limit.enter(HOST))
        limit.leave(HOST)
        assert (await ask(api, "GET", "/version"))[0] == 200


async def test_close_ends_every_connection() -> None:
    api = server()
    await api.start()
    idle, idle_writer = await asyncio.open_connection(HOST, api.port)
    socket_reader, socket_writer = await raw_websocket(api)
    await api.close()
    assert await rest_of(idle) == await rest_of(socket_reader) == b""
    for writer in (idle_writer, socket_writer):
        writer.close()
    async with ApiServer([HOST], api.port, client_id="c", auth_key=Secret(KEY)):
        pass


async def test_a_port_that_is_taken_is_an_os_error() -> None:
    with socket.create_server((HOST, 0)) as taken, pytest.raises(OSError, match="in use"):
        await ApiServer([HOST], taken.getsockname()[1], client_id="c", auth_key=Secret(KEY)).start()


async def test_it_listens_on_every_address_with_one_port() -> None:
    async with ApiServer([HOST, "127.0.0.2", "::1"], client_id="c", auth_key=Secret(KEY)) as api:
        for host in ("127.0.0.2", "::1"):
            name = f"[{host}]" if ":" in host else host
            assert (await our_http.get(f"http://{name}:{api.port}/version", timeout_s=WAIT_S)).status == 200


async def test_no_log_shows_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with server() as api:
        async with connect(url(api), additional_headers=basic(), logger=logging.Logger("quiet")) as socket:
            await socket.recv()
        await ask(api, "GET", "/ws", basic())
    encoded = basic()["Authorization"].removeprefix("Basic ")
    assert KEY not in caplog.text and encoded not in caplog.text
