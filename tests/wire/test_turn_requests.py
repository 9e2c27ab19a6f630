"""What a TURN server answers to each request, and with which code it refuses (RFC 8656 section 18)."""

from __future__ import annotations

from typing import Any  # attributes have values of every type

import pytest

from calls_doctor.model.flow import Transport
from calls_doctor.wire import stun
from calls_doctor.wire.stun import Message, MessageClass, Method
from calls_doctor.wire.turn_allocation import PEERS_MAX
from calls_doctor.wire.turn_requests import PEERS_PER_REQUEST_MAX, Limits
from tests.servers.turn_bench import ALLOCATE, PEER, REALM, SERVER, Bench, client

TRANSPORT = ALLOCATE[0]
Said = tuple[stun.AttributeType[Any], Any]
PEER_ATTRIBUTE: Said = (stun.XOR_PEER_ADDRESS, PEER)
OTHER = ("other", "secret")


def lifetime_of(answer: Message) -> int | None:
    assert answer.message_class is MessageClass.SUCCESS, answer
    return answer.get(stun.LIFETIME)


def test_an_allocation_says_what_it_is_and_is_signed() -> None:
    bench = Bench()
    answer = bench.ask(Method.ALLOCATE, ALLOCATE)
    assert answer.message_class is MessageClass.SUCCESS
    assert answer.get(stun.XOR_RELAYED_ADDRESS) == (SERVER[0], 50000)
    assert answer.get(stun.XOR_MAPPED_ADDRESS) == client().remote
    assert answer.get(stun.SOFTWARE) == "bench"
    assert lifetime_of(answer) == 600
    assert answer.integrity_is_valid(stun.long_term_key("user", REALM, "password"))


@pytest.mark.parametrize(("wanted", "granted"), [(0, 600), (1, 600), (601, 601), (3600, 3600), (2**32 - 1, 3600)])
def test_the_lifetime_is_the_wish_within_the_limits(wanted: int, granted: int) -> None:
    bench = Bench()
    assert lifetime_of(bench.ask(Method.ALLOCATE, [TRANSPORT, (stun.LIFETIME, wanted)])) == granted
    if wanted:
        assert lifetime_of(bench.ask(Method.REFRESH, [(stun.LIFETIME, wanted)])) == granted


def test_a_server_may_grant_less_than_the_default() -> None:
    bench = Bench(limits=Limits(lifetime_max_s=30))
    assert lifetime_of(bench.ask(Method.ALLOCATE, ALLOCATE)) == 30
    bench.now += 31
    assert bench.refused(Method.REFRESH) == 437


@pytest.mark.parametrize(("attributes", "code"), [
    ([], 400),
    ([(stun.REQUESTED_TRANSPORT, 6)], 442),
    ([TRANSPORT, (stun.REQUESTED_ADDRESS_FAMILY, 2)], 440),
    ([TRANSPORT, (stun.REQUESTED_ADDRESS_FAMILY, 3)], 440),
    ([TRANSPORT, (stun.EVEN_PORT, b"\x80")], 508),
    ([TRANSPORT, (stun.EVEN_PORT, b"")], 508),
    ([TRANSPORT, (stun.RESERVATION_TOKEN, bytes(8))], 508),
    ([TRANSPORT, (stun.DONT_FRAGMENT, True)], 420),
    ([TRANSPORT, (stun.CHANGE_REQUEST, 0)], 420),
])  # fmt: skip
def test_an_allocation_that_cannot_be_had(attributes: stun.Attributes, code: int) -> None:
    bench = Bench()
    assert bench.refused(Method.ALLOCATE, attributes) == code
    assert bench.server.allocations == 0


def test_the_family_of_the_server_may_be_asked_for() -> None:
    bench = Bench()
    assert lifetime_of(bench.ask(Method.ALLOCATE, [TRANSPORT, (stun.REQUESTED_ADDRESS_FAMILY, 1)])) == 600
    six = client(server=("2001:db8::1", 3478))
    assert bench.refused(Method.ALLOCATE, [TRANSPORT, (stun.REQUESTED_ADDRESS_FAMILY, 1)], path=six) == 440
    assert bench.allocated(six)[0] == "2001:db8::1"


def test_an_even_port_may_be_asked_for() -> None:
    bench = Bench()
    assert [bench.allocated(client(port))[1] for port in (1, 2, 3)] == [50000, 50001, 50002]
    answer = bench.ask(Method.ALLOCATE, [TRANSPORT, (stun.EVEN_PORT, b"\x00")], path=client(4))
    assert answer.get(stun.XOR_RELAYED_ADDRESS) == (SERVER[0], 50004)


def test_a_refusal_names_the_attributes_that_it_does_not_know() -> None:
    answer = Bench().ask(Method.ALLOCATE, [TRANSPORT, (stun.DONT_FRAGMENT, True), (stun.PRIORITY, 1)])
    assert answer.get(stun.UNKNOWN_ATTRIBUTES) == [0x001A, 0x0024]


def test_a_retransmitted_allocate_gets_the_same_relay_and_another_one_437() -> None:
    bench = Bench()
    transaction_id = bench.transaction_id()
    first = bench.ask(Method.ALLOCATE, ALLOCATE, transaction_id=transaction_id)
    bench.now += 10
    again = bench.ask(Method.ALLOCATE, ALLOCATE, transaction_id=transaction_id)
    assert again.get(stun.XOR_RELAYED_ADDRESS) == first.get(stun.XOR_RELAYED_ADDRESS)
    assert lifetime_of(again) == 590
    assert bench.refused(Method.ALLOCATE, ALLOCATE) == 437
    assert bench.refused(Method.ALLOCATE, ALLOCATE, transaction_id=transaction_id, login=OTHER) == 437
    assert bench.server.allocations == 1


def test_the_quota_is_each_users_and_what_is_given_back_counts_no_more() -> None:
    bench = Bench(limits=Limits(allocations_per_user=2))
    paths = [client(port) for port in (1, 2, 3)]
    for path in paths[:2]:
        bench.allocated(path)
    assert bench.refused(Method.ALLOCATE, ALLOCATE, path=paths[2]) == 486
    bench.allocated(client(4), OTHER)
    assert lifetime_of(bench.ask(Method.REFRESH, [(stun.LIFETIME, 0)], path=paths[0])) == 0
    bench.allocated(paths[2])


def test_no_port_and_no_room_are_508() -> None:
    bench = Bench(ports=1)
    bench.allocated(client(1))
    assert bench.refused(Method.ALLOCATE, ALLOCATE, path=client(2)) == 508
    bench = Bench(limits=Limits(allocations=1))
    bench.allocated(client(1))
    assert bench.refused(Method.ALLOCATE, ALLOCATE, path=client(2), login=OTHER) == 508


def test_refresh_prolongs_and_lifetime_0_frees_at_once() -> None:
    bench = Bench()
    relayed = bench.allocated()
    bench.now += 599
    assert lifetime_of(bench.ask(Method.REFRESH)) == 600
    bench.now += 599
    assert lifetime_of(bench.ask(Method.REFRESH, [(stun.LIFETIME, 0)])) == 0
    assert bench.server.freed() == [relayed]
    assert bench.refused(Method.REFRESH, [(stun.LIFETIME, 0)]) == 437
    bench.allocated()


def test_refresh_of_the_other_family_is_443() -> None:
    bench = Bench()
    bench.allocated()
    assert bench.refused(Method.REFRESH, [(stun.REQUESTED_ADDRESS_FAMILY, 2)]) == 443
    assert lifetime_of(bench.ask(Method.REFRESH, [(stun.REQUESTED_ADDRESS_FAMILY, 1)])) == 600


@pytest.mark.parametrize("method", [Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND])
def test_without_an_allocation_437_and_with_anothers_441(method: Method) -> None:
    bench = Bench()
    attributes = [PEER_ATTRIBUTE, (stun.CHANNEL_NUMBER, 0x4000)]
    assert bench.refused(method, attributes) == 437
    bench.allocated()
    assert bench.refused(method, attributes, login=OTHER) == 441
    assert bench.refused(method, attributes, path=client(transport=Transport.TCP)) == 437, "another 5-tuple"
    assert bench.ask(method, attributes).message_class is MessageClass.SUCCESS


def test_peers_are_the_policys_to_allow() -> None:
    bench = Bench(may_relay=lambda ip: ip == PEER[0])
    bench.allocated()
    assert bench.ask(Method.CREATE_PERMISSION, [PEER_ATTRIBUTE]).message_class is MessageClass.SUCCESS
    foreign: Said = (stun.XOR_PEER_ADDRESS, ("10.0.0.1", 1))
    assert bench.refused(Method.CREATE_PERMISSION, [PEER_ATTRIBUTE, foreign]) == 403
    assert bench.refused(Method.CHANNEL_BIND, [(stun.CHANNEL_NUMBER, 0x4000), foreign]) == 403
    six: Said = (stun.XOR_PEER_ADDRESS, ("2001:db8::9", 1))
    assert bench.refused(Method.CREATE_PERMISSION, [six]) == 443


@pytest.mark.parametrize("attributes", [
    [],
    [(stun.XOR_PEER_ADDRESS, (f"198.51.100.{number}", 0)) for number in range(PEERS_PER_REQUEST_MAX + 1)],
])  # fmt: skip
def test_a_permission_names_one_peer_or_some(attributes: stun.Attributes) -> None:
    bench = Bench()
    bench.allocated()
    assert bench.refused(Method.CREATE_PERMISSION, attributes) == 400


@pytest.mark.parametrize("attributes", [
    [], [PEER_ATTRIBUTE], [(stun.CHANNEL_NUMBER, 0x4000)],
    [PEER_ATTRIBUTE, (stun.CHANNEL_NUMBER, 0x3FFF)], [PEER_ATTRIBUTE, (stun.CHANNEL_NUMBER, 0x5000)],
])  # fmt: skip
def test_a_channel_needs_a_peer_and_a_number(attributes: stun.Attributes) -> None:
    bench = Bench()
    bench.allocated()
    assert bench.refused(Method.CHANNEL_BIND, attributes) == 400


def test_a_channel_has_one_peer_and_a_peer_one_channel() -> None:
    bench = Bench()
    bench.allocated()
    number, other_number = (stun.CHANNEL_NUMBER, 0x4000), (stun.CHANNEL_NUMBER, 0x4001)
    other_peer = (stun.XOR_PEER_ADDRESS, (PEER[0], PEER[1] + 1))
    assert bench.ask(Method.CHANNEL_BIND, [number, PEER_ATTRIBUTE]).message_class is MessageClass.SUCCESS
    assert bench.ask(Method.CHANNEL_BIND, [number, PEER_ATTRIBUTE]).message_class is MessageClass.SUCCESS
    assert bench.refused(Method.CHANNEL_BIND, [other_number, PEER_ATTRIBUTE]) == 400
    assert bench.refused(Method.CHANNEL_BIND, [number, other_peer]) == 400
    assert bench.ask(Method.CHANNEL_BIND, [other_number, other_peer]).message_class is MessageClass.SUCCESS


def test_permissions_have_an_end_in_number() -> None:
    bench = Bench()
    bench.allocated()
    for number in range(PEERS_MAX):
        bench.ask(Method.CREATE_PERMISSION, [(stun.XOR_PEER_ADDRESS, (f"198.51.100.{number}", 0))])
    assert bench.refused(Method.CREATE_PERMISSION, [(stun.XOR_PEER_ADDRESS, ("198.51.100.255", 0))]) == 508
    channel: stun.Attributes = [(stun.CHANNEL_NUMBER, 0x4000), (stun.XOR_PEER_ADDRESS, ("198.51.100.255", 1))]
    assert bench.refused(Method.CHANNEL_BIND, channel) == 508
