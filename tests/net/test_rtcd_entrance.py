"""What an API that is not as rtcd's makes of who asks for entrance; what rtcd itself does, tests of checks say."""

from __future__ import annotations

import pytest

from calls_doctor.model.credentials import RtcdClient, Secret
from calls_doctor.net import rtcd_entrance
from calls_doctor.net.key_pace import Pace
from calls_doctor.net.rtcd_api import RtcdApi
from calls_doctor.wire import rtcd
from calls_doctor.wire.rtcd_signal import Sender
from tests.servers.api_servers import accepting_api, scripted_api
from tests.servers.registering_api import registering_api
from tests.servers.scripted_tcp import HOST, http_answer

OURS = RtcdClient("mattermost-1", Secret("k" * 32))
STRANGER = rtcd.encode(rtcd.Hello("somebody-else", "c"), Sender.SERVER)
TIMEOUT_S = 0.2


def api(url: str) -> RtcdApi:
    return RtcdApi(url, TIMEOUT_S, pace=Pace(0.0))


@pytest.mark.parametrize(
    ("says", "word"), [(b"welcome", "not-websocket"), (None, "silent"), (STRANGER, "not-websocket")]
)
async def test_a_first_message_that_is_none_or_no_hello_to_us(says: bytes | None, word: str) -> None:
    async with accepting_api(says) as server:
        row = await rtcd_entrance.enter(api(server.url("")), OURS)
    assert (row["ok"], row["stage"], row["trouble"]) == (False, "websocket", word)


async def test_who_is_let_in_is_told_how() -> None:
    async with registering_api() as server:
        server.known[OURS.client_id] = OURS.auth_key.reveal()
        row = await rtcd_entrance.enter(api(server.url), OURS)
        wrong = await rtcd_entrance.refuses_a_wrong_key(server.url, HOST, TIMEOUT_S)
    assert {key: row[key] for key in ("ok", "login", "token", "calls")} == {
        "ok": True, "login": "ok", "token": "ok", "calls": "ok",
    }  # fmt: skip
    assert wrong == {"address": HOST, "ok": True, "refuses_wrong_key": True}


@pytest.mark.parametrize(
    ("login", "word"),
    [
        (http_answer(404, b"404 page not found\n"), "no-route"),
        (http_answer(502, b"<html>"), "not-rtcd"),
        (http_answer(200, b"welcome"), "not-http"),
        (b"", "cut"),
        (None, "silent"),
    ],
)
async def test_a_login_that_tells_nothing_leaves_it_at_the_credentials(login: bytes | None, word: str) -> None:
    async with scripted_api({"/ws": http_answer(200), "/login": login}) as server:
        row = await rtcd_entrance.enter(api(server.url("")), OURS)
    assert (row["ok"], row["trouble"], row["login"]) == (False, "unauthorized", word)
