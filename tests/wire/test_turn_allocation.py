"""The table of allocations: who may pass, which channel leads where, what is forgotten when."""

from __future__ import annotations

from calls_doctor.wire.turn_allocation import CHANNEL_S, PEERS_MAX, PERMISSION_S, Allocation, Allocations
from tests.servers.turn_bench import PEER, client

RELAYED = ("192.0.2.1", 50000)


def allocation(port: int = 40000, user: str = "user", expires_at: float = 600.0) -> Allocation:
    return Allocation(client(port), ("192.0.2.1", port), user, user, bytes(12), expires_at)


def test_a_permission_is_for_an_address_whatever_the_port() -> None:
    one = allocation()
    assert not one.permits(PEER[0], 0.0)
    assert one.permit({PEER[0], "198.51.100.10"}, 0.0)
    assert one.permits(PEER[0], PERMISSION_S - 0.1) and one.permits("198.51.100.10", 1.0)
    assert not one.permits(PEER[0], PERMISSION_S)


def test_what_has_expired_makes_room() -> None:
    one = allocation()
    assert one.permit({f"198.51.100.{number}" for number in range(PEERS_MAX)}, 0.0)
    assert not one.permit({"192.0.2.9"}, 1.0) and not one.permits("192.0.2.9", 1.0)
    assert one.permit({"192.0.2.9"}, PERMISSION_S)
    for number in range(PEERS_MAX):
        assert one.bind(0x4000 + number, (PEER[0], number), 0.0)
    assert not one.bind(0x4FFF, PEER, 1.0)
    assert one.bind(0x4000, (PEER[0], 0), 1.0), "a refresh needs no room"
    assert one.bind(0x4FFF, PEER, CHANNEL_S)


def test_a_channel_is_free_again_once_it_has_expired() -> None:
    one = allocation()
    other = (PEER[0], PEER[1] + 1)
    assert one.bind(0x4000, PEER, 0.0)
    assert one.peer_of(0x4000, CHANNEL_S - 0.1) == PEER and one.channel_to(PEER, CHANNEL_S - 0.1) == 0x4000
    assert not one.bind(0x4000, other, CHANNEL_S - 0.1) and not one.bind(0x4001, PEER, CHANNEL_S - 0.1)
    assert one.peer_of(0x4000, CHANNEL_S) is None and one.channel_to(PEER, CHANNEL_S) is None
    assert one.bind(0x4000, other, CHANNEL_S) and one.bind(0x4001, PEER, CHANNEL_S)
    assert one.peer_of(0x4FFF, CHANNEL_S) is None


def test_the_table_finds_counts_and_forgets() -> None:
    table = Allocations()
    first, second, third = allocation(1, "a", 10.0), allocation(2, "a", 20.0), allocation(3, "b", 30.0)
    assert table.next_expiry() is None
    for one in (second, first, third):
        table.add(one)
    assert len(table) == 3 and table.count("a") == 2 and table.count("nobody") == 0
    assert table.of_client(client(1)) is first and table.at(second.relayed) is second
    assert table.next_expiry() == 10.0
    table.expire(20.0)
    assert len(table) == 1 and table.of_client(client(1)) is None and table.at(second.relayed) is None
    assert sorted(table.freed()) == [first.relayed, second.relayed] and table.freed() == []
