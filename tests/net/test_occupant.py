"""What answers on a port that somebody else has: servers that answer, and one that keeps silent."""

from __future__ import annotations

import time

from calls_doctor.model.flow import Transport
from calls_doctor.net.occupant import ANSWER_S, what_answers
from calls_doctor.standin.stun_server import StunServer
from tests.servers.api_servers import accepting_api, scripted_api
from tests.servers.plain_sockets import PlainUdp
from tests.servers.scripted_tcp import HOST, http_answer


async def test_rtcd_is_known_by_its_version() -> None:
    async with accepting_api(None) as api:
        assert await what_answers((HOST, api.port), Transport.TCP) == "rtcd v1.2.6"


async def test_another_http_server_is_told_by_its_status() -> None:
    async with scripted_api({"/version": http_answer(404, b"")}) as api:
        assert await what_answers((HOST, api.port), Transport.TCP) == "HTTP 404"


async def test_a_stun_server_is_known_by_its_answer() -> None:
    async with StunServer([HOST]) as server:
        assert await what_answers((HOST, server.port), Transport.UDP) == "STUN"


async def test_silence_is_no_answer_and_waited_for_shortly() -> None:
    async with PlainUdp() as mute:
        began = time.monotonic()
        assert await what_answers(mute.address, Transport.UDP) == ""
        assert time.monotonic() - began < 2 * ANSWER_S
