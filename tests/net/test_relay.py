"""Which credentials, which server, and an allocation that another of the same run has only just given back."""

from __future__ import annotations

import asyncio

import pytest

from calls_doctor.errors import FarEndError, Unresolved
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.credentials import Credentials, Secret, TurnCredentials
from calls_doctor.model.site import ServerUri, Site
from calls_doctor.net import relay
from calls_doctor.standin.turn_server import TurnServer
from calls_doctor.wire.turn_auth import rest_password
from calls_doctor.wire.turn_requests import Limits
from tests.servers.middlebox import HOST
from tests.servers.plain_sockets import eventually

SECRET = Secret("north")
UDP, TCP, ELSEWHERE = (
    ServerUri(scheme="turn", host=host, port=3478, transport=transport)
    for host, transport in (("a", "udp"), ("a", "tcp"), ("b", "udp"))
)
SITE = Site(turn=(UDP, TCP, ELSEWHERE))


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


async def test_a_quota_that_is_only_just_freed_is_asked_for_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "FREED_AFTER_S", 0.05)
    given = Credentials(turn_secret=SECRET)
    async with TurnServer(
        [HOST], secret=SECRET, may_relay=lambda _: True, limits=Limits(allocations_per_user=1)
    ) as server:
        uri = ServerUri(scheme="turn", host=HOST, port=server.port)
        async with await relay.opened(uri, given):
            with pytest.raises(FarEndError) as refused:  # twice: it is somebody else's
                await relay.opened(uri, given)
            assert refused.value.code == relay.ALLOCATION_QUOTA_REACHED
            waiting = asyncio.create_task(relay.opened(uri, given))
            await asyncio.sleep(0.02)
        async with await waiting:
            assert server.allocations == 1
        await eventually(lambda: server.allocations == 0)


async def test_any_other_refusal_is_final_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "FREED_AFTER_S", 60.0)
    async with TurnServer([HOST], secret=SECRET, may_relay=lambda _: True) as server:
        with pytest.raises(FarEndError) as refused:
            uri = ServerUri(scheme="turn", host=HOST, port=server.port)
            await relay.opened(uri, Credentials(turn_secret=Secret("south")))
    assert refused.value.code == 401
