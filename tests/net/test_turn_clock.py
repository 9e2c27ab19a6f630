"""The time at a TURN server by which credentials it takes, from servers whose clock is off by a known time."""

from __future__ import annotations

import time

import pytest

from calls_doctor.errors import Silence
from calls_doctor.model.credentials import Secret
from calls_doctor.model.site import ServerUri
from calls_doctor.net import turn_clock
from calls_doctor.net.clock import Reading
from calls_doctor.standin.turn_server import TurnServer
from calls_doctor.wire.turn_requests import Limits
from tests.servers.plain_sockets import PlainUdp

HOST = "127.0.0.1"
SECRET = Secret("north")
TIMEOUT_S = 2.0
HOUR_S, DAY_S = 3600.0, 86_400.0


def server(ahead_s: float = 0.0, secret: Secret = SECRET, limits: Limits | None = None) -> TurnServer:
    return TurnServer(
        [HOST], users={}, secret=secret, may_relay={HOST}.__contains__, unix_time=lambda: time.time() + ahead_s,
        limits=limits,
    )  # fmt: skip


async def read(port: int, transport: str = "udp") -> Reading | None:
    uri = ServerUri(scheme="turn", host=HOST, port=port, transport=transport)
    return await turn_clock.of_turn(uri, (HOST, port), SECRET, TIMEOUT_S)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_server_whose_clock_is_right(transport: str) -> None:
    async with server() as one:
        assert await read(one.port, transport) == Reading(0.0, 30.0)


@pytest.mark.parametrize("ahead_s", [25.0, -25.0, 60.0, -60.0, 2 * HOUR_S, -2 * HOUR_S, 40 * DAY_S, -40 * DAY_S])
async def test_how_far_a_server_is_ahead(ahead_s: float) -> None:
    async with server(ahead_s) as one:
        found = await read(one.port)
    assert found is not None
    assert abs(found.offset_s - ahead_s) <= found.uncertainty_s
    assert (abs(found.offset_s) - found.uncertainty_s >= 30.0) is (abs(ahead_s) > 30.0)


async def test_one_that_knows_another_secret_tells_nothing() -> None:
    async with server(secret=Secret("south")) as one:
        assert await read(one.port) is None


async def test_one_that_is_full_took_the_credentials_first() -> None:
    async with server(limits=Limits(allocations_per_user=0)) as one:
        assert await read(one.port) == Reading(0.0, 30.0)


async def test_one_that_looks_at_no_time_tells_nothing() -> None:
    """A server that takes what has expired for ten years: its clock would be as far behind."""
    async with server(-20 * 366 * DAY_S) as one:
        assert await read(one.port) is None


async def test_silence_is_raised() -> None:
    async with PlainUdp() as silent:
        uri = ServerUri(scheme="turn", host=HOST, port=silent.address[1])
        with pytest.raises(Silence):
            await turn_clock.of_turn(uri, silent.address, SECRET, 0.2)
