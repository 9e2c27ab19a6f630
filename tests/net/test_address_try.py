"""What came of an address: a stand-in, a STUN server and a TCP listener on 127.0.0.1, or nobody."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from calls_doctor.model.site import MediaAddress, ServerUri
from calls_doctor.net import address_try
from calls_doctor.net.address_try import Tried, by_binding, by_connection, by_echo, tried
from calls_doctor.net.paired import PairedHost
from calls_doctor.standin.stun_server import StunServer
from calls_doctor.wire import stun
from tests.servers.media_host import media_host, paired, stranger_link
from tests.servers.middlebox import HOST
from tests.servers.plain_sockets import PlainUdp
from tests.servers.turn_servers import tcp_listener

NOBODY, ELSEWHERE = "127.0.0.66", "192.0.2.20"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of every silence."""
    monkeypatch.setattr(stun, "PROBE_SCHEDULE_S", tuple(at / 10 for at in stun.PROBE_SCHEDULE_S))
    monkeypatch.setattr(stun, "PROBE_DECIDED_S", stun.PROBE_DECIDED_S / 10)
    monkeypatch.setattr(address_try, "CONNECT_S", 0.3)


async def test_nothing_is_tried_without_a_way_to_try_it_or_a_route() -> None:
    assert await tried(HOST, None) == Tried(None)
    assert await tried("fe80::1", by_connection("http://rtcd:8045")) == Tried(None, "no-route")


async def test_a_stand_in_is_told_by_its_key() -> None:
    async with media_host() as stand_in:
        assert stand_in.ready is not None
        port = stand_in.ready.media_port
        media = MediaAddress(host=ELSEWHERE, udp_port=port, tcp_port=port)
        ours = PairedHost(stand_in.ready.pairing, media)
        another = PairedHost(stranger_link(stand_in.ready), media)
        assert await by_echo([ours])(HOST) == Tried(True)
        assert await by_echo([another, ours])(HOST) == Tried(True)
        assert (await by_echo([another])(HOST)).answers is False
        assert await by_echo([ours])(NOBODY) == Tried(False, "refused")


async def test_what_a_link_names_is_left_to_the_checks_of_it_unless_it_is_wanted() -> None:
    async with media_host() as stand_in:
        assert await by_echo([paired(stand_in.ready)])(HOST) == Tried(None)
        assert await by_echo([paired(stand_in.ready)], linked_too=True)(HOST) == Tried(True)


async def test_a_host_whose_own_name_gives_nothing_has_no_address() -> None:
    async with media_host() as stand_in:
        assert stand_in.ready is not None
        host = PairedHost(stand_in.ready.pairing, MediaAddress(host="nobody.invalid"))
        assert await address_try.address_of(host) == ""


async def test_a_server_that_says_anything_is_there(free_port: Callable[[], int]) -> None:
    async with StunServer([HOST]) as server:
        assert await by_binding(ServerUri(scheme="turn", host="turn", port=server.port))(HOST) == Tried(True)
    closed = ServerUri(scheme="turn", host="turn", port=free_port())
    assert await by_binding(closed)(HOST) == Tried(False, "refused")
    async with PlainUdp() as silent:
        assert await by_binding(ServerUri(scheme="turn", host="turn", port=silent.address[1]))(HOST) == Tried(
            False, "silent"
        )


async def test_a_connection_is_made_to_the_urls_port(free_port: Callable[[], int]) -> None:
    async with tcp_listener() as port:
        assert await by_connection(f"https://chat.example.com:{port}/")(HOST) == Tried(True)
    assert await by_connection(f"http://chat.example.com:{free_port()}")(HOST) == Tried(False, "refused")
