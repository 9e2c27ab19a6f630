"""The filtering tests before a real STUN server with two addresses, on 127.0.0.0/8: what it does decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from calls_doctor.model.flow import Address
from calls_doctor.net import mapping
from calls_doctor.net.filtering import filtering_tests
from calls_doctor.wire import stun
from calls_doctor.wire.filtering import Change, Outcome
from tests.servers.plain_sockets import PlainUdp
from tests.servers.two_addresses import FIRST_HOST, TwoAddresses, two_addresses

Ports = Callable[[], int]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of every silence."""
    monkeypatch.setattr(stun, "PROBE_SCHEDULE_S", tuple(at / 10 for at in stun.PROBE_SCHEDULE_S))
    monkeypatch.setattr(stun, "PROBE_DECIDED_S", stun.PROBE_DECIDED_S / 10)
    monkeypatch.setattr(mapping, "SCHEDULE_S", tuple(at / 10 for at in mapping.SCHEDULE_S))
    monkeypatch.setattr(mapping, "DECIDED_S", mapping.DECIDED_S / 10)


async def outcomes(server: TwoAddresses) -> dict[Change, Outcome | None]:
    return {test.change: test.outcome for test in await filtering_tests(server.server, server.other)}


async def test_where_nothing_filters_every_answer_arrives(free_port: Ports) -> None:
    async with two_addresses(free_port) as server:
        assert await outcomes(server) == {Change.ADDRESS_AND_PORT: Outcome.ARRIVED, Change.PORT: Outcome.ARRIVED}
        assert {to for to, _ in server.asked} == {server.server}, "nothing was sent to where the answers came from"
        assert len(server.clients) == 2, "each test has a socket of its own"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("lost", [{6}, {2, 6}], ids=["address", "address and port"])
async def test_what_does_not_come_unasked_and_does_when_asked_is_filtered(lost: set[int], free_port: Ports) -> None:
    async with two_addresses(free_port) as server:
        server.answer_from = lambda asked, change: None if change in lost else server.changed(asked, change)
        assert await outcomes(server) == {
            change: Outcome.FILTERED if change in lost else Outcome.ARRIVED for change in Change
        }
        silent = [change for _, change in server.asked if change in lost]
        assert len(silent) == len(stun.PROBE_SCHEDULE_S) * len(lost), "a silence is waited out on its whole schedule"


@pytest.mark.usefixtures("quick")
async def test_another_address_that_never_answers_is_not_taken_for_a_filter(free_port: Ports) -> None:
    async with two_addresses(free_port) as server:
        server.answer_from = lambda asked, change: None if change or asked != server.server else asked
        assert set((await outcomes(server)).values()) == {Outcome.OTHER_SILENT}


@pytest.mark.usefixtures("quick")
async def test_nor_is_a_server_that_has_stopped() -> None:
    async with PlainUdp() as mute, PlainUdp() as other:
        found = await filtering_tests(mute.address, other.address)
    assert [(test.change, test.outcome) for test in found] == [(Change.PORT, Outcome.UNANSWERED)]


@pytest.mark.parametrize(("answers", "outcome"), [
    (lambda _asked, change: 420 if change else None, Outcome.REFUSED), (lambda asked, _: asked, Outcome.NOT_CHANGED),
])  # fmt: skip
async def test_a_server_that_does_not_do_it(
    answers: Callable[[Address, int], Address | int | None], outcome: Outcome, free_port: Ports
) -> None:
    async with two_addresses(free_port) as server:
        server.answer_from = lambda asked, change: answers(asked, change) if change else asked
        assert set((await outcomes(server)).values()) == {outcome}


async def test_an_answer_from_another_address_than_the_one_announced(free_port: Ports) -> None:
    async with two_addresses(free_port) as server:
        third = (server.other[0], server.server[1])
        server.answer_from = lambda asked, change: third if change else asked
        found = await filtering_tests(server.server, server.other)
    assert {(test.outcome, test.answered_from) for test in found} == {(Outcome.ELSEWHERE, third)}


async def test_with_one_address_the_port_alone_is_changed(free_port: Ports) -> None:
    async with two_addresses(free_port, hosts=(FIRST_HOST, FIRST_HOST)) as server:
        assert await outcomes(server) == {Change.PORT: Outcome.ARRIVED}


async def test_ipv6_has_one_address_here_and_two_ports(free_port: Ports) -> None:
    async with two_addresses(free_port, hosts=("::1", "::1")) as server:
        assert await outcomes(server) == {Change.PORT: Outcome.ARRIVED}


async def test_a_lost_request_is_sent_again(free_port: Ports) -> None:
    async with two_addresses(free_port) as server:
        server.answer_from = lambda asked, change: (
            server.changed(asked, change) if server.asked.count((asked, change)) > 2 else None
        )
        async with asyncio.timeout(1.5):
            assert set((await outcomes(server)).values()) == {Outcome.ARRIVED}
