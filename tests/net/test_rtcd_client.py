"""The client of rtcd's API against the stand-in's, and against others that look like it."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from calls_doctor.errors import Cut, FarEndError, HttpError, Silence
from calls_doctor.model.credentials import Secret
from calls_doctor.net import http
from calls_doctor.net.http import HttpAnswer
from calls_doctor.net.rtcd_client import VERSION_MAX_CHARS, basic, hello, refuses, version_of
from calls_doctor.standin.api import ApiServer
from calls_doctor.wire import rtcd, rtcd_version
from calls_doctor.wire.rtcd_signal import Sender
from tests.servers.api_servers import VERSION, accepting_api
from tests.servers.scripted_tcp import HOST, answering, http_answer

CLIENT_ID, KEY = "calls-doctor-test", "k" * 40
OURS = basic(CLIENT_ID, Secret(KEY))
TIMEOUT_S = 2.0


def greeting(client_id: str) -> bytes:
    return rtcd.encode(rtcd.Hello(client_id, "c"), Sender.SERVER)


@asynccontextmanager
async def api() -> AsyncIterator[str]:
    async with ApiServer([HOST], client_id=CLIENT_ID, auth_key=Secret(KEY)) as server:
        yield f"http://{HOST}:{server.port}"


def answer(body: bytes, status: int = 200) -> HttpAnswer:
    return HttpAnswer(status, [], body, 0.01)


@pytest.mark.parametrize(
    ("body", "version"),
    [
        (VERSION, "v1.2.6"),
        (b'{"buildVersion":"","buildHash":"","goVersion":"go1.26"}', ""),
        (b'{"buildVersion":"v2","buildHash":"","goVersion":"","features":["dc"],"started":1}', "v2"),
        (b'{"buildVersion":"' + b"9" * 1000 + b'","buildHash":"","goVersion":""}', "9" * VERSION_MAX_CHARS),
        (b'{"buildVersion":"v1","buildHash":""}', None),
        (b'{"buildVersion":1,"buildHash":"","goVersion":""}', None),
        (b'{"version":"10.5.0"}', None),
        (b"[]", None),
        (b"", None),
        (b"<html>", None),
        (b'{"buildVersion":"\xff","buildHash":"","goVersion":""}', None),
        (VERSION[:-1], None),
        (b'{"a":' * 100_000, None),
    ],
)
def test_the_version_is_rtcds_or_none(body: bytes, version: str | None) -> None:
    assert version_of(answer(body)) == version


@pytest.mark.parametrize("status", [201, 204, 301, 404, 502])
def test_an_answer_that_is_not_200_names_no_version(status: int) -> None:
    assert version_of(answer(VERSION, status)) is None


async def test_the_stand_ins_version_is_known() -> None:
    async with api() as url:
        version = version_of(await http.get(f"{url}/version", timeout_s=TIMEOUT_S))
        assert (version or "").startswith(rtcd_version.STAND_IN_PREFIX)


async def test_hello_with_the_right_pair_and_a_refusal_of_a_wrong_one() -> None:
    async with api() as url:
        greeted = await hello(url, OURS, TIMEOUT_S)
        assert greeted.client_id == CLIENT_ID and 0 < greeted.took_s < 1
        with pytest.raises(FarEndError) as refused:
            await hello(url, basic(CLIENT_ID, Secret("w" * 40)), TIMEOUT_S)
        assert refused.value.code == 200
        assert await refuses(url, basic(CLIENT_ID, Secret("w" * 40)), TIMEOUT_S)
        assert await refuses(url, basic("somebody-else", Secret(KEY)), TIMEOUT_S)
        assert not await refuses(url, OURS, TIMEOUT_S)


async def test_an_api_that_takes_any_key_refuses_none_whatever_it_says_then() -> None:
    for says in (greeting(CLIENT_ID), greeting("calls"), b"welcome", None):
        async with accepting_api(says) as server:
            assert not await refuses(server.url(""), OURS, TIMEOUT_S)


@pytest.mark.parametrize(("status", "refused"), [(200, True), (401, True), (403, True), (404, None), (502, None)])
async def test_what_is_a_refusal_and_what_is_not(status: int, refused: bool | None) -> None:
    async with answering(http_answer(status)) as server:
        if refused:
            assert await refuses(server.url(""), OURS, TIMEOUT_S)
        else:
            with pytest.raises(FarEndError) as other:
                await refuses(server.url(""), OURS, TIMEOUT_S)
            assert other.value.code == status


async def test_whom_the_hello_greets_is_told() -> None:
    for name in ("somebody-else", ""):
        async with accepting_api(greeting(name)) as server:
            assert (await hello(server.url(""), OURS, TIMEOUT_S)).client_id == name


@pytest.mark.parametrize("says", [b"welcome", b"", greeting(CLIENT_ID)[:-3]])
async def test_a_first_message_that_is_no_hello(says: bytes) -> None:
    async with accepting_api(says) as server:
        with pytest.raises(HttpError, match="does not begin with rtcd's hello"):
            await hello(server.url(""), OURS, TIMEOUT_S)


async def test_no_hello_is_silence_in_time_and_an_end_before_it_a_cut() -> None:
    began = asyncio.get_running_loop().time()
    async with accepting_api(None) as server:
        with pytest.raises(Silence, match=r"hello at http://127\.0\.0\.1"):
            await hello(server.url(""), OURS, 0.1)
    assert asyncio.get_running_loop().time() - began < 1
    async with accepting_api(None, leaves=True) as server:
        with pytest.raises(Cut):
            await hello(server.url(""), OURS, TIMEOUT_S)


async def test_the_path_of_the_url_is_kept() -> None:
    async with answering(http_answer(200)) as server:
        assert await refuses(server.url("/behind/a-proxy"), OURS, TIMEOUT_S)
        assert server.requests[0].startswith(b"GET /behind/a-proxy/ws HTTP/1.1\r\n")


async def test_the_pair_is_sent_and_stands_in_no_error_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sent = base64.b64encode(f"{CLIENT_ID}:{KEY}".encode()).decode()
    for says in (http_answer(200), http_answer(502), b"SSH-2.0\r\n", b"HTTP/1.1 200 " + sent.encode() + b"\r\n\r\n"):
        async with answering(says) as server:
            with pytest.raises((FarEndError, HttpError)) as error:
                await hello(server.url(""), OURS, TIMEOUT_S)
            assert f"Authorization: Basic {sent}".encode() in server.requests[0]
            assert KEY not in repr(error.value) + str(error.value)
            assert sent not in repr(error.value) + str(error.value)
    assert KEY not in caplog.text and sent not in caplog.text
