"""Which credentials, which server, and what a run has open there: lent, kept and given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from calls_doctor.errors import FarEndError, NetworkError, Unresolved
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.credentials import Credentials, Secret, TurnCredentials
from calls_doctor.model.flow import Path
from calls_doctor.model.site import ServerUri, Site
from calls_doctor.net import relay
from calls_doctor.net.relay import Relays
from calls_doctor.standin.turn_server import TurnServer
from calls_doctor.wire import stun
from calls_doctor.wire.stun import Method
from calls_doctor.wire.turn_auth import rest_password
from calls_doctor.wire.turn_requests import Limits
from tests.servers.middlebox import HOST
from tests.servers.plain_sockets import PlainUdp, eventually

SECRET = Secret("north")
UDP, TCP, ELSEWHERE = (
    ServerUri(scheme="turn", host=host, port=3478, transport=transport)
    for host, transport in (("a", "udp"), ("a", "tcp"), ("b", "udp"))
)
SITE = Site(turn=(UDP, TCP, ELSEWHERE))
GIVEN = Credentials(turn_secret=SECRET)


class Nobody:
    def packet(self, data: bytes) -> None: ...

    def trouble(self, error: NetworkError) -> None: ...


def test_what_was_given_goes_before_what_can_be_made() -> None:
    given = TurnCredentials("alice", Secret("wonderland"))
    assert relay.credentials_of(Credentials(turn=given, turn_secret=SECRET), 0.0) is given
    assert relay.credentials_of(Credentials(), 0.0) is None


def test_a_credential_made_from_the_secret_is_good_for_an_hour() -> None:
    made = relay.credentials_of(Credentials(turn_secret=SECRET), 1_700_000_000.9)
    assert made is not None and made.username == "1700003600:calls-doctor"
    expected = rest_password(SECRET, made.username, 1_700_000_000)
    assert expected is not None and made.password.reveal() == expected.reveal()
    assert rest_password(SECRET, made.username, 1_700_003_600) is None


async def test_the_servers_address() -> None:
    assert await relay.address_of(ServerUri(scheme="turn", host=HOST, port=4711)) == (HOST, 4711)
    with pytest.raises(Unresolved):
        await relay.address_of(ServerUri(scheme="turn", host="nobody.invalid", port=3478))


def found(check: str, *ok: ServerUri, bad: tuple[ServerUri, ...] = ()) -> dict[str, CheckResult]:
    rows = [{"uri": str(uri), "ok": uri in ok} for uri in (*ok, *bad)]
    one = CheckResult(
        id=check, title=check, category="turn", status=Status.WARN, vantage="client", evidence={"servers": rows}
    )
    return {check: one}


def test_the_server_that_is_used_is_the_first_that_works_and_allows_peers() -> None:
    allocated = found("turn.allocate", TCP, ELSEWHERE, bad=(UDP,))
    assert relay.usable(SITE.turn, allocated) == TCP
    assert relay.usable(SITE.turn, allocated | found("turn.permission", ELSEWHERE, bad=(TCP,))) == ELSEWHERE
    # that one denies its own range decides nothing where nobody named a media host
    assert relay.usable(SITE.turn, allocated | found("turn.permission", bad=(TCP, ELSEWHERE))) == TCP
    with pytest.raises(ValueError, match="no TURN server"):
        relay.usable(SITE.turn, found("turn.allocate", bad=(UDP,)))


@asynccontextmanager
async def running(*, limits: Limits | None = None) -> AsyncIterator[tuple[TurnServer, ServerUri, Relays]]:
    """A server, its URI, and the relays of a run."""
    async with TurnServer([HOST], secret=SECRET, may_relay=lambda _: True, limits=limits) as server:
        relays = Relays()
        try:
            yield server, ServerUri(scheme="turn", host=HOST, port=server.port), relays
        finally:
            await relays.close()


async def test_a_quota_that_is_only_just_freed_is_asked_for_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "FREED_AFTER_S", 0.05)
    async with running(limits=Limits(allocations_per_user=1)) as (server, uri, relays):

        async def one() -> int:
            async with relays.lent(uri, GIVEN):
                return server.allocations

        async with relays.lent(uri, GIVEN):
            with pytest.raises(FarEndError) as refused:  # twice: it is somebody else's
                await one()
            assert refused.value.code == relay.ALLOCATION_QUOTA_REACHED
            waiting = asyncio.create_task(one())
            await asyncio.sleep(0.02)
        assert await waiting == 1
        await eventually(lambda: server.allocations == 0)


async def test_who_is_not_patient_hears_of_the_quota_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "FREED_AFTER_S", 60.0)
    async with running(limits=Limits(allocations_per_user=1)) as (_, uri, relays), relays.lent(uri, GIVEN):
        with pytest.raises(FarEndError):
            async with relays.lent(uri, GIVEN, patient=False):
                pass


async def test_any_other_refusal_is_final_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "FREED_AFTER_S", 60.0)
    async with running() as (_, uri, relays):
        with pytest.raises(FarEndError) as refused:
            async with relays.lent(uri, Credentials(turn_secret=Secret("south"))):
                pass
    assert refused.value.code == 401


async def test_what_is_kept_is_lent_again_and_what_is_not_is_given_back_beside_what_goes_on() -> None:
    async with running() as (server, uri, relays):
        async with relays.lent(uri, GIVEN, keep=True) as first:
            assert server.allocations == 1
        async with relays.lent(uri, GIVEN) as again, relays.lent(uri, GIVEN, keep=True) as second:
            assert again is first and second is not first
        await eventually(lambda: server.allocations == 1)
        await relays.end_all("elsewhere")
        assert server.allocations == 1
        await relays.end_all(HOST)
        assert server.allocations == 0


async def test_one_more_is_opened_ahead_and_what_comes_of_it_is_told_to_who_comes_next() -> None:
    async with running(limits=Limits(allocations_per_user=2)) as (server, uri, relays):
        for _ in range(3):
            relays.open_ahead(uri, GIVEN)
        await eventually(lambda: server.allocations == 2)
        async with relays.lent(uri, GIVEN) as one, relays.lent(uri, GIVEN) as other:
            assert one is not other and server.allocations == 2
        await relays.close()
        assert server.allocations == 0


@pytest.mark.parametrize("ended_by", ["close", "cancel"])
async def test_whatever_happens_nothing_is_left_at_the_server(ended_by: str) -> None:
    async with running() as (server, uri, relays):
        async with relays.lent(uri, GIVEN, keep=True):
            pass

        async def hold() -> None:
            async with relays.lent(uri, GIVEN), relays.lent(uri, GIVEN, keep=True):
                await asyncio.Event().wait()

        holding = asyncio.create_task(hold())
        await eventually(lambda: server.allocations == 2)
        relays.open_ahead(uri, GIVEN)
        if ended_by == "close":
            await eventually(lambda: server.allocations == 3)
        holding.cancel()
        await asyncio.wait([holding])
        closing = asyncio.create_task(relays.close())
        if ended_by == "cancel":
            await asyncio.sleep(0)
            closing.cancel()
        await asyncio.wait([closing])
        await eventually(lambda: server.allocations == 0)


async def test_an_allocation_goes_on_where_the_challenge_left_off_and_its_channel_is_bound_once() -> None:
    asked: list[Method] = []
    async with running() as (server, uri, relays), PlainUdp() as peer:
        received = server.receive

        def receive(packet: bytes, path: Path, now: float) -> None:
            if packet[0] >> 6 == 0:
                asked.append(Method(stun.parse(packet).method))
            received(packet, path, now)

        server.receive = receive  # type: ignore[method-assign]  # to look on
        assert (await relays.challenge(uri)).code == 401
        for _ in range(2):
            async with relays.lent(uri, GIVEN, keep=True) as allocation:
                channel = await allocation.channel(peer.address, Nobody())
                channel.send(b"here")
                assert await peer.receive() == (b"here", allocation.relayed)
                await channel.close()
        assert asked == [Method.ALLOCATE, Method.ALLOCATE, Method.CHANNEL_BIND]


async def test_a_challenge_whose_connection_the_server_has_closed_is_asked_for_anew() -> None:
    async with running() as (server, uri, relays):
        over_tcp = msgspec.structs.replace(uri, transport="tcp")
        await relays.challenge(over_tcp)
        port = server.port
        await server.close()
        async with (
            TurnServer([HOST], port, secret=SECRET, may_relay=lambda _: True) as another,
            relays.lent(over_tcp, GIVEN, keep=True) as allocation,
        ):
            assert another.allocations == 1
            await another.close()
            await eventually(lambda: allocation.lost)
        with pytest.raises(NetworkError):  # what is lost is not lent
            async with relays.lent(over_tcp, GIVEN):
                pass
