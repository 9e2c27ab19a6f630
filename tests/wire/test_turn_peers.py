"""Permissions and channels: what is confirmed, and when it is due again."""

from __future__ import annotations

import pytest

from calls_doctor.model.flow import Address
from calls_doctor.wire.turn_peers import CHANNEL_REFRESH_S, PERMISSION_REFRESH_S, Peers
from calls_doctor.wire.turn_stream import CHANNEL_FIRST, CHANNEL_LAST

ONE: Address = ("192.0.2.1", 8443)
OTHER: Address = ("192.0.2.2", 8443)


def test_a_permission_is_due_once_until_the_next_answer() -> None:
    peers = Peers()
    peers.permit([ONE[0], OTHER[0]], 10.0)
    assert peers.is_permitted(ONE[0]) and not peers.is_bound(ONE)
    assert peers.next_refresh() == 10.0 + PERMISSION_REFRESH_S
    assert peers.take_due_permissions(10.0 + PERMISSION_REFRESH_S) == [ONE[0], OTHER[0]]
    assert peers.take_due_permissions(1000.0) == [] and peers.next_refresh() is None
    peers.ask_permissions_again([ONE[0], "192.0.2.9"], 1005.0)
    assert peers.next_refresh() == 1005.0 and not peers.is_permitted("192.0.2.9")


def test_a_channel_is_refreshed_and_its_permission_with_it() -> None:
    peers = Peers()
    peers.permit([ONE[0]], 0.0)
    assert peers.number_for(ONE) == peers.number_for(ONE) == CHANNEL_FIRST != peers.number_for(OTHER)
    assert not peers.is_bound(ONE)
    assert peers.bind(ONE, 1.0) == CHANNEL_FIRST and peers.peer_of(CHANNEL_FIRST) == ONE
    peers.permit([ONE[0]], 2.0)
    assert peers.is_bound(ONE) and peers.take_due_permissions(1000.0) == []
    assert peers.next_refresh() == 1.0 + CHANNEL_REFRESH_S
    assert peers.take_due_channels(1000.0) == [ONE] and peers.next_refresh() is None
    peers.ask_channel_again(ONE, 1005.0)
    peers.ask_channel_again(OTHER, 3.0)
    assert peers.next_refresh() == 1005.0 and not peers.is_bound(OTHER)


def test_there_are_no_more_channels_than_numbers() -> None:
    peers = Peers()
    for port in range(CHANNEL_LAST - CHANNEL_FIRST + 1):
        peers.number_for((ONE[0], port))
    with pytest.raises(ValueError, match="no channel left"):
        peers.number_for(OTHER)
