"""Waiting for far ends: whatever answers is there, whatever it answers; silence and a closed port are not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from calls_doctor.model.site import MediaAddress, ServerUri, Site
from calls_doctor.net import arrival
from calls_doctor.standin.launch import Options, StandInProcess

LONG_S = 20.0
SHORT_S = 0.1


def _stun(port: int) -> ServerUri:
    return ServerUri(scheme="stun", host="127.0.0.1", port=port)


def _turn(port: int, transport: str = "udp") -> ServerUri:
    return ServerUri(scheme="turn", host="127.0.0.1", port=port, transport=transport)


async def test_all_that_answers_is_there() -> None:
    async with StandInProcess(Options()) as ready:
        site = Site(
            stun=(_stun(ready.stun_port),),
            turn=(_turn(ready.turn_port), _turn(ready.turn_port, "tcp")),
            rtcd_url=f"http://127.0.0.1:{ready.api_port}",
            mattermost_url=f"http://127.0.0.1:{ready.api_port}",  # whatever it says, it is there
            media=(MediaAddress(host="127.0.0.1", udp_port=ready.media_port, tcp_port=ready.media_port),),
        )
        assert await arrival.wait(site, [ready.pairing], LONG_S)


@pytest.mark.parametrize("missing", ["stun", "turn", "api", "site", "media"])
async def test_one_that_is_missing_is_waited_for_until_time_is_up(missing: str) -> None:
    async with StandInProcess(Options(without=frozenset({"api" if missing == "site" else missing}))) as ready:
        sites = {
            "stun": Site(stun=(_stun(ready.stun_port),)),
            "turn": Site(turn=(_turn(ready.turn_port),)),
            "api": Site(rtcd_url=f"http://127.0.0.1:{ready.api_port}"),
            "site": Site(mattermost_url=f"http://127.0.0.1:{ready.api_port}"),
            "media": Site(
                media=(MediaAddress(host="127.0.0.1", udp_port=ready.media_port, tcp_port=ready.media_port),)
            ),
        }
        links = [ready.pairing] if missing == "media" else []
        assert not await arrival.wait(sites[missing], links, SHORT_S)


async def test_what_answers_nonsense_is_there_too() -> None:
    async def nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-nonsense\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await arrival.wait(Site(rtcd_url=f"http://127.0.0.1:{port}"), (), LONG_S)


async def test_a_far_end_that_comes_up_late_ends_the_wait(free_port: Callable[[], int]) -> None:
    port = free_port()
    site = Site(media=(MediaAddress(host="127.0.0.1", udp_port=port, tcp_port=port),))
    async with StandInProcess(Options(media_port=port)) as before:
        link = before.pairing
    waiting = asyncio.create_task(arrival.wait(site, [link], SHORT_S))
    assert not await waiting  # nobody is there any more

    late = asyncio.create_task(arrival.wait(Site(stun=(_stun(port),)), (), LONG_S))
    await asyncio.sleep(0)
    async with StandInProcess(Options(stun_port=port)):
        assert await late


async def test_no_far_end_is_no_wait() -> None:
    assert await arrival.wait(Site(), (), LONG_S)
