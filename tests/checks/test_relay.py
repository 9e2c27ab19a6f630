"""turn.relay-range against the stand-in's server that loses, refuses or gives too few: what is said of data."""

from __future__ import annotations

import pytest

from calls_doctor.net import relay as opening
from calls_doctor.wire import stun
from calls_doctor.wire.stun import Method
from calls_doctor.wire.turn_requests import Limits
from calls_doctor.wire.turn_server import Faults
from checks import relay
from tests.servers.media_host import media_host, paired
from tests.servers.turn_checks import ALL_PASS, checked, server, uri


async def test_through_to_the_media_host() -> None:
    async with server() as turn_server, media_host() as stand_in:
        found = await checked(uri(turn_server.port), host=paired(stand_in.ready))
    assert found.statuses == ALL_PASS and found.causes == []
    evidence = found.results["turn.relay-range"].evidence
    assert evidence["carried"] == evidence["sampled"] == relay.RELAY_PORTS_SAMPLED
    assert evidence["sent"] == evidence["returned"] == len(relay.SIZES_BYTES) * relay.RELAY_PORTS_SAMPLED
    assert len({tuple(row["relayed"]) for row in evidence["ports"]}) == relay.RELAY_PORTS_SAMPLED


@pytest.mark.parametrize("faults", [Faults(lose_to_peers=True), Faults(lose_from_peers=True)])
async def test_data_that_two_allocations_do_not_exchange_decides_nothing(
    faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "EXCHANGE_S", 0.1)
    async with server() as turn_server:
        turn_server.faults = faults
        found = await checked(uri(turn_server.port))
    assert found.statuses["relay-range"] == "unknown" and found.causes == []
    assert found.results["turn.relay-range"].evidence["arrived"] == 0


async def test_data_that_goes_one_way_only_is_not_taken_for_data_that_goes_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def one_way(*_: object) -> tuple[int, int]:
        return relay.DATAGRAMS, 0

    monkeypatch.setattr(relay, "_between_two", one_way)
    async with server() as turn_server:
        found = await checked(uri(turn_server.port))
    assert found.statuses["relay-range"] == "unknown"


@pytest.mark.parametrize(
    ("faults", "arrived"), [(Faults(lose_to_peers=True), False), (Faults(lose_from_peers=True), True)]
)
async def test_data_that_the_media_host_does_not_exchange_is_a_failure_with_its_way(
    faults: Faults, arrived: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stun, "PROBE_SCHEDULE_S", (0.0, 0.05, 0.1))
    monkeypatch.setattr(stun, "PROBE_DECIDED_S", 0.3)
    async with server() as turn_server, media_host() as stand_in:
        turn_server.faults = faults
        found = await checked(uri(turn_server.port), host=paired(stand_in.ready))
    assert found.statuses["relay-range"] == "fail" and found.causes == ["turn.relay-blocked"]
    evidence = found.results["turn.relay-range"].evidence
    assert (evidence["returned"], evidence["arrived"] > 0) == (0, arrived)


@pytest.mark.parametrize(
    ("refused", "status", "carried", "said"),
    [
        ({Method.ALLOCATE: 500}, "warn", 1, "no other relay port could be tried"),  # the one that the run has open
        ({Method.ALLOCATE: 500, Method.CHANNEL_BIND: 500}, "fail", 0, "no relay port could be tried"),
    ],
)
async def test_a_server_that_gives_no_relay_any_more_is_not_said_to_lose_data(
    refused: dict[int, int], status: str, carried: int, said: str
) -> None:
    def from_now_on_no_more(_peer: str) -> bool:
        turn_server.faults = Faults(refuse=refused)
        return True

    async with server(may_relay=from_now_on_no_more) as turn_server, media_host() as stand_in:
        found = await checked(uri(turn_server.port), host=paired(stand_in.ready))
    assert found.statuses == ALL_PASS | {"relay-range": status} and found.causes == ["turn.not-allocating"]
    relay_range = found.results["turn.relay-range"]
    assert (relay_range.evidence["sent"], relay_range.evidence["arrived"]) == (len(relay.SIZES_BYTES) * carried, None)
    assert said in relay_range.summary and "refused with 500" in relay_range.summary


async def test_a_quota_that_gives_fewer_ports_than_are_sampled_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "FREED_AFTER_S", 0.01)
    async with server(limits=Limits(allocations_per_user=3)) as turn_server, media_host() as stand_in:
        found = await checked(uri(turn_server.port), host=paired(stand_in.ready))
    assert found.statuses == ALL_PASS and found.causes == []
    assert 3 <= found.results["turn.relay-range"].evidence["sampled"] < relay.RELAY_PORTS_SAMPLED
