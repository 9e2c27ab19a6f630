"""What a path carries each way, against a real stand-in, straight and through thin links."""

from __future__ import annotations

import asyncio

import pytest

from calls_doctor.net import bandwidth, call
from calls_doctor.net.bandwidth import Bandwidth, Way
from calls_doctor.net.paired import PairedHost
from calls_doctor.sfu import session
from calls_doctor.wire import rtp
from calls_doctor.wire.framing import PacketKind
from tests.servers import middlebox
from tests.servers.media_host import behind, media_host, paired
from tests.servers.middlebox import drop, thin

NEEDED = 2_500_000
WINDOW_S = bandwidth.WINDOW_S


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth, "WINDOW_S", 0.3)


async def measured(host: PairedHost) -> Bandwidth:
    found = await bandwidth.measure(host, 1.0)
    assert found is not None
    return found


def shares(way: Way) -> tuple[int, int]:
    """Of what is needed, in percent: what was offered, and what was carried."""
    assert way.offered_bits_per_s is not None and way.carried_bits_per_s is not None
    return 100 * way.offered_bits_per_s // NEEDED, 100 * way.carried_bits_per_s // NEEDED


async def test_a_healthy_path_carries_all_both_ways() -> None:
    async with media_host() as stand_in:
        found = await measured(paired(stand_in.ready))
    assert (found.failure, found.held_back) == (None, 0)
    for way in (found.to_far, found.from_far):
        assert way.sent == way.received and way.sent
        assert all(40 <= share <= 200 for share in shares(way)), "105, on a machine that is not late itself"
    assert [len(books.streams) for books in found.near] == [0, 0, *[1] * bandwidth.HEARERS]


@pytest.mark.parametrize("thin_way", middlebox.Way)
async def test_each_way_is_measured_by_itself(thin_way: middlebox.Way) -> None:
    """1 Mbit/s one way, as DSL has: the other is asked for all the same."""
    async with behind(thin(1_000_000, 20_000, thin_way)) as host:
        found = await measured(host)
    ways = {middlebox.Way.OUT: found.to_far, middlebox.Way.BACK: found.from_far}
    narrow = ways.pop(thin_way)
    (other,) = ways.values()
    assert narrow.sent and narrow.received and narrow.received < 0.8 * narrow.sent
    assert other.sent and other.received == other.sent, "counts, since a busy machine is late with what it sends"


async def test_what_the_far_end_holds_back_is_told_and_not_taken_for_the_paths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "FORWARDED_BYTES_PER_S", 5_000)
    monkeypatch.setattr(session, "FORWARDED_BURST_BYTES", 4_000)
    async with media_host() as stand_in:
        found = await measured(paired(stand_in.ready))
    assert found.held_back > 50
    assert found.to_far.received == found.to_far.sent, "what arrives is counted, passed on or not"
    assert shares(found.from_far)[0] < 80, "so no more was asked of the way back"


def test_within_the_far_ends_limit_nothing_is_held_back() -> None:
    """The limit that docs/threat-model.md names: 2 Mbit/s of what one session sends, and a second of it at once."""
    sends_bytes = bandwidth.PACKETS_PER_S * WINDOW_S * (bandwidth.PAYLOAD_BYTES + rtp.HEADER_BYTES)
    assert sends_bytes < session.FORWARDED_BURST_BYTES + session.FORWARDED_BYTES_PER_S * WINDOW_S
    assert bandwidth.PACKETS_PER_S % bandwidth.HEARERS == 0, "as much each way"


async def test_a_call_that_does_not_come_up_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "CONNECT_S", 0.2)
    async with behind(drop(middlebox.Way.BACK, PacketKind.DTLS)) as host:
        monkeypatch.setattr(call, "SLOW_CONNECT_S", 0.2)
        found = await measured(host)
    assert found.failure is not None and found.failure.stage == "dtls"
    assert found.to_far == found.from_far == bandwidth.UNKNOWN


async def test_it_has_the_path_to_itself_or_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth, "WINDOW_S", 0.05)
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        async with host.path_lock.shared():
            assert await bandwidth.measure(host, 0.05) is None
        measuring = asyncio.create_task(bandwidth.measure(host, 1.0))
        await asyncio.sleep(0.05)
        async with host.path_lock.shared():
            assert measuring.done(), "who would share waits for its end"
        await measuring
