"""The client of rtcd's HTTP API: against captured answers played again, and against rtcd itself where RTCD_BIN is."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from calls_doctor.errors import Cut, FarEndError, HttpError, Refused
from calls_doctor.model.credentials import Secret
from calls_doctor.net.key_pace import Pace
from calls_doctor.net.rtcd_api import RtcdApi
from calls_doctor.net.rtcd_client import basic, bearer, hello, refuses
from calls_doctor.wire.rtcd_http import Refusal
from tests.servers import rtcd_server
from tests.servers.rtcd_server import RtcdServer
from tests.servers.scripted_tcp import Scripted, answering, http_answer, served

LINES = (Path(__file__).parents[1] / "data" / "rtcd" / "http.jsonl").read_text().splitlines()
CAPTURED = {(row["set"], row["name"]): row["response"] for row in map(json.loads, LINES)}
TIMEOUT_S = 2.0
KEY, OTHER_KEY = Secret("k" * 32), Secret("o" * 32)
ADMIN = "admins-own-secret"
NO_RTCD = rtcd_server.why_not()
with_rtcd = pytest.mark.skipif(bool(NO_RTCD), reason=f"no rtcd here: {NO_RTCD}")


def captured(config: str, name: str) -> bytes:
    answer = CAPTURED[config, name]
    return http_answer(answer["status"], answer["body"].encode())


def api(server: Scripted | RtcdServer) -> RtcdApi:
    url = server.url("") if isinstance(server, Scripted) else server.url
    return RtcdApi(url, TIMEOUT_S, pace=Pace(0.0))


@pytest.mark.parametrize(
    ("config", "name", "why"),
    [
        ("selfreg", "register-short", None),
        ("selfreg", "register-noid", None),
        ("locked", "register-noauth", Refusal.NO_AUTHORIZATION),
        ("selfreg", "root", Refusal.NO_ROUTE),
        ("selfreg", "register-ok", Refusal.NOT_RTCD),
    ],
)
async def test_whether_anybody_is_registered_is_asked_with_nothing_to_register(
    config: str, name: str, why: Refusal | None
) -> None:
    async with answering([captured(config, name)]) as server:
        assert await api(server).would_register() is why


async def test_what_is_posted() -> None:
    sent: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        sent.extend([head, await reader.readexactly(size)])
        writer.write(captured("selfreg", "unregister-ok"))

    async with served(serve) as server:
        await api(server).unregister("cA", KEY)
    head, body = sent
    assert head.startswith(b"POST /unregister HTTP/1.1\r\n") and b"Content-Type: application/json\r\n" in head
    assert f"Authorization: {basic('cA', KEY).reveal()}\r\n".encode() in head
    assert json.loads(body) == {"clientID": "cA"}


@pytest.mark.parametrize(("name", "has"), [("unregister-noauth", True), ("root", None)])
async def test_an_admin_is_told_by_what_unregister_says(name: str, has: bool | None) -> None:
    async with answering(captured("selfreg", name)) as server:
        assert await api(server).has_admin() is has
    async with answering(captured("locked", "unregister")) as server:
        assert await api(server).has_admin() is False


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("login-unknown", Refusal.UNKNOWN_CLIENT),
        ("login-wrongkey", Refusal.WRONG_KEY),
        ("login-get", Refusal.NO_ROUTE),
    ],
)
async def test_a_login_that_is_refused_says_why(name: str, why: Refusal) -> None:
    async with answering(captured("selfreg", name)) as server:
        with pytest.raises(FarEndError) as refused:
            await api(server).login("cA", KEY)
    assert (refused.value.code, refused.value.reason) == (CAPTURED["selfreg", name]["status"], why)


async def test_a_login_gives_a_token() -> None:
    async with answering(captured("selfreg", "login-ok")) as server:
        assert (await api(server).login("cA", KEY)).reveal() == "<bearerToken32>"


@pytest.mark.parametrize(
    ("config", "name", "why"),
    [
        ("selfreg", "sessions-noauth", Refusal.WRONG_CREDENTIALS),
        ("selfreg", "sessions-oldtoken", Refusal.WRONG_CREDENTIALS),
        ("admin", "sessions-admin", Refusal.WRONG_CREDENTIALS),
        ("selfreg", "unknown", Refusal.NO_ROUTE),
        ("selfreg", "sessions-emptyid", Refusal.NOT_RTCD),
    ],
)
async def test_who_is_in_a_call_is_refused_with_a_reason(config: str, name: str, why: Refusal) -> None:
    async with answering(captured(config, name)) as server:
        with pytest.raises(FarEndError) as refused:
            await api(server).sessions("call1", basic("cA", KEY))
    assert refused.value.reason == why


async def test_a_call_that_rtcd_does_not_know_has_nobody_in_it() -> None:
    async with answering(captured("selfreg", "sessions-basic")) as server:
        assert await api(server).sessions("call1", basic("cA", KEY)) == []


async def test_the_load() -> None:
    async with answering(captured("selfreg", "system")) as server:
        assert await api(server).cpu_load() == 0.5025106402010028
    async with answering(captured("selfreg", "unknown")) as server:
        assert await api(server).cpu_load() is None


async def test_no_secret_stands_in_an_error_or_a_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echoed = KEY.reveal().encode()
    said: list[str] = []
    for answer in (http_answer(400, b'{"code":"400","error":"' + echoed + b'"}'), http_answer(200, echoed), echoed):
        async with answering(answer) as server:
            for work in (api(server).login("cA", KEY), api(server).unregister("cA", KEY)):
                with pytest.raises((FarEndError, HttpError, Cut)) as error:
                    await work
                said.append(repr(error.value) + str(error.value))
    assert KEY.reveal() not in "".join(said) + caplog.text


async def test_a_closed_port_is_refused() -> None:
    async with answering(b"") as server:
        gone = api(server)
    with pytest.raises(Refused):
        await gone.login("cA", KEY)


@pytest.fixture
async def open_rtcd() -> AsyncIterator[RtcdServer]:
    async with rtcd_server.rtcd_server() as server:
        yield server


@with_rtcd
async def test_a_client_of_rtcd_itself_from_registration_to_its_end(open_rtcd: RtcdServer) -> None:
    mine = api(open_rtcd)
    assert await mine.would_register() is None and (await mine.cpu_load() or 0.0) >= 0.0
    await mine.register("cA", KEY)
    with pytest.raises(FarEndError) as twice:
        await mine.register("cA", KEY)
    assert twice.value.reason == Refusal.ALREADY_REGISTERED
    token = await mine.login("cA", KEY)
    for who in (bearer(token), basic("cA", KEY)):
        assert (await hello(open_rtcd.url, who, TIMEOUT_S)).client_id == "cA"
        assert await mine.sessions("nobody", who) == []
    assert await refuses(open_rtcd.url, basic("cA", OTHER_KEY), TIMEOUT_S)
    for client, key, why in (("cA", OTHER_KEY, Refusal.WRONG_KEY), ("cB", KEY, Refusal.UNKNOWN_CLIENT)):
        with pytest.raises(FarEndError) as refused:
            await mine.login(client, key)
        assert (refused.value.code, refused.value.reason) == (400, why)
    with pytest.raises(FarEndError) as stranger:
        await mine.unregister("cA", OTHER_KEY)
    assert stranger.value.reason == Refusal.WRONG_CREDENTIALS
    await mine.unregister("cA", KEY)
    assert await refuses(open_rtcd.url, bearer(token), TIMEOUT_S)


@with_rtcd
@pytest.mark.parametrize(
    ("client", "key", "why"),
    [
        ("c", "k" * 31, Refusal.SHORT_KEY),
        ("c", "k" * 73, Refusal.LONG_KEY),
        ("", "k" * 32, Refusal.NO_ID),
        ("c" * 65, "k" * 32, Refusal.LONG_ID),
    ],
)
async def test_what_rtcd_itself_refuses_to_register(open_rtcd: RtcdServer, client: str, key: str, why: Refusal) -> None:
    with pytest.raises(FarEndError) as refused:
        await api(open_rtcd).register(client, Secret(key))
    assert (refused.value.code, refused.value.reason) == (400, why)


@with_rtcd
async def test_rtcd_itself_with_an_admin_alone() -> None:
    async with rtcd_server.rtcd_server(admin=ADMIN) as server:
        mine, admin = api(server), basic("anybody", Secret(ADMIN))
        assert await mine.would_register() is Refusal.NO_AUTHORIZATION and await mine.has_admin() is True
        assert (await hello(server.url, admin, TIMEOUT_S)).client_id == ""
        with pytest.raises(FarEndError) as refused:
            await mine.sessions("call", admin)
        assert (refused.value.code, refused.value.reason) == (401, Refusal.WRONG_CREDENTIALS)
        with pytest.raises(FarEndError) as login:
            await mine.login("anybody", Secret(ADMIN))
        assert login.value.reason == Refusal.UNKNOWN_CLIENT
