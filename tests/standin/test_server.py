"""The stand-in's parts together: each answers on its port with what `ready` says, and all end with it."""

from __future__ import annotations

import asyncio

import pytest

from calls_doctor.model.credentials import Secret, TurnCredentials
from calls_doctor.model.flow import Transport
from calls_doctor.model.site import ServerUri
from calls_doctor.net import http, rtcd_client, stun_client, turn_client
from calls_doctor.standin.launch import Options
from calls_doctor.standin.server import StandIn
from tests.servers.media_host import paired
from tests.servers.middlebox import HOST


async def test_every_part_answers() -> None:
    async with StandIn(Options()) as stand_in:
        ready = stand_in.ready
        assert ready is not None
        host = paired(ready)
        assert len((await host.echo(host.opener(Transport.UDP), (200, 1200))).returned) == 2
        url = f"http://{HOST}:{ready.api_port}"
        assert (await http.get(f"{url}/version", timeout_s=3)).status == 200
        pair = rtcd_client.basic(host.api_client_id, host.api_auth_key)
        assert (await rtcd_client.hello(url, pair, 3)).client_id == host.api_client_id
        assert (await stun_client.binding((HOST, ready.stun_port))).mapped[0] == HOST
        uri = ServerUri(scheme="turn", host=HOST, port=ready.turn_port)
        credentials = TurnCredentials(ready.turn_username, Secret(ready.turn_password))
        async with await turn_client.allocate(uri, (HOST, ready.turn_port), credentials, timeout_s=2) as allocation:
            await allocation.permit([HOST])
            assert len((await host.echo(host.through(allocation), (200,))).returned) == 1
    for port in (ready.media_port, ready.api_port, ready.turn_port):
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, port)


async def test_the_books_of_the_run_come_over_the_wire_and_are_those_of_the_stand_in() -> None:
    async with StandIn(Options(without=frozenset({"api", "stun", "turn"}))) as stand_in:
        host = paired(stand_in.ready)
        outcome = await host.echo(host.opener(Transport.UDP), (200, 600, 1000))
        books = await host.books()
        assert books is not None and books.run == stand_in.books().run
        (session,) = [one for one in books.sessions if one.session == outcome.session]
        assert [probe.size_bytes for probe in sorted(session.probes, key=lambda one: one.number)][-3:] == [
            200,
            600,
            1000,
        ]


async def test_a_port_that_is_taken_leaves_nothing_open() -> None:
    async with StandIn(Options()) as first:
        assert first.ready is not None
        taken = first.ready.turn_port
        with pytest.raises(OSError, match=rf"its turn server cannot have port {taken} of 127.0.0.1: .*in use"):
            async with StandIn(Options(turn_port=taken)):
                pass
