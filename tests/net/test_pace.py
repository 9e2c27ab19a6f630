"""What one host is sent: at most so many packets and bytes in any second, and none is kept longer than it must be."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from calls_doctor.model.flow import Transport
from calls_doctor.net import call, pace
from calls_doctor.net.pace import BYTES_MAX, PACKETS_MAX, STREAMS_BYTES_MAX, WINDOW_S, Pace
from checks import mtu, ports
from tests.servers.media_host import behind
from tests.servers.middlebox import Rule, Way

IP_AND_UDP_BYTES = 28
SMALL = 100


def busiest(sent: list[tuple[float, int]], window_s: float) -> int:
    """The most that is in any window."""
    return max(sum(size for at_s, size in sent if began_s <= at_s < began_s + window_s) for began_s, _ in sent)


def test_what_is_asked_for_at_once_leaves_in_windows_that_hold_no_more_than_the_limit() -> None:
    draw, host, now_s, sent_at_s = random.Random(8), Pace(), 100.0, list[float]()
    for _ in range(400):
        packets = draw.randint(1, 8)
        now_s += draw.choice((0.0, 0.0, 0.01))
        sent_at_s += [host.reserve(packets, packets * SMALL, now_s)] * packets
    for before, after in zip(sent_at_s, sent_at_s[PACKETS_MAX:], strict=False):
        assert after - before >= WINDOW_S - 1e-9
    assert sent_at_s[-1] - sent_at_s[0] < WINDOW_S * (len(sent_at_s) / (PACKETS_MAX - 8) + 1)


def test_no_window_holds_more_bytes_than_the_budget_with_what_its_streams_have_declared() -> None:
    draw, host, now_s, sent = random.Random(9), Pace(), 100.0, list[tuple[float, int]]()
    ends: list[float] = []
    for _ in range(600):
        now_s += draw.choice((0.0, 0.01, 0.03))
        if draw.random() < 0.02 and (at_s := host.begin_stream(19_000, now_s)) is not None:
            ends.append(at_s + 2)
            sent += [(at_s + n / 50, 19_000 // 53) for n in range(100)]  # 53 of them fit into a window
        for end_s in [one for one in ends if one <= now_s]:
            ends.remove(end_s)
            host.end_stream(19_000, end_s)
        size_bytes = draw.randint(100, 1500)
        sent.append((host.reserve(1, size_bytes, now_s), size_bytes))
    most = busiest(sent, WINDOW_S - 1e-9)
    assert 0.9 * BYTES_MAX < most <= BYTES_MAX


def test_nobody_waits_below_the_limit() -> None:
    host = Pace()
    assert host.reserve(PACKETS_MAX - 1, SMALL, 5.0) == 5.0
    assert host.reserve(1, SMALL, 5.5) == 5.5
    assert host.reserve(2, SMALL, 5.6) == 5.0 + WINDOW_S
    assert host.reserve(1, SMALL, 20.0) == 20.0
    assert host.begin_stream(STREAMS_BYTES_MAX, 20.0) == 20.0
    assert host.begin_stream(1, 21.0) is None
    assert host.reserve(1, BYTES_MAX - STREAMS_BYTES_MAX, 22.0) == 22.0
    host.end_stream(STREAMS_BYTES_MAX, 23.0)
    assert host.begin_stream(STREAMS_BYTES_MAX, 23.0) == 23.0 + WINDOW_S


async def test_those_that_did_not_wait_make_others_wait_at_their_host_alone_and_never_at_loopback() -> None:
    loop = asyncio.get_running_loop()
    for host in ("192.0.2.41", "127.0.0.1"):
        pace.count((host, 3478), PACKETS_MAX)
    began_at_s = loop.time()
    await pace.room(("192.0.2.42", 3478))
    await pace.room(("127.0.0.1", 3478))
    assert loop.time() - began_at_s < WINDOW_S / 2
    await pace.room(("192.0.2.41", 8443))
    assert loop.time() - began_at_s >= WINDOW_S - 0.1


async def test_a_stream_waits_for_the_end_of_others_where_all_would_be_too_much() -> None:
    """Three calls go on at once; the fourth waits, and nobody elsewhere does."""
    began: list[str] = []

    async def streaming(name: str, host: str, until: asyncio.Event) -> None:
        async with pace.stream(host, 2 * call.PACKETS_PER_S, of_bytes=call.PACKET_BYTES):
            began.append(name)
            await until.wait()

    first, rest = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for name in "abcd":
            tasks.create_task(streaming(name, "192.0.2.43", first if name == "a" else rest))
        tasks.create_task(streaming("elsewhere", "192.0.2.44", rest))
        await asyncio.sleep(0.05)
        assert began == ["a", "b", "c", "elsewhere"]
        first.set()
        await asyncio.sleep(WINDOW_S + 0.1)
        assert began[-1] == "d"
        rest.set()


def counting(sent: list[tuple[float, int]]) -> Rule:
    """Notes what comes from the client, as it would be on the wire."""

    def rule(going: Way, data: bytes) -> None:
        if going is Way.OUT:
            sent.append((time.monotonic(), len(data) + IP_AND_UDP_BYTES))

    return rule


async def test_a_host_is_sent_no_more_in_a_second_than_the_budget_by_all_probes_and_streams_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Several of each at once, counted where they arrive. Without a budget they ask for twice as much."""
    monkeypatch.setattr(pace, "_is_far", lambda _: True)  # loopback is no network, and is spared otherwise
    sent: list[tuple[float, int]] = []
    async with behind(counting(sent)) as host:
        opener = host.opener(Transport.UDP)
        calls = [asyncio.create_task(call.hold(host, [opener] * 2, "U", 1.0)) for _ in range(2)]
        echoes = [host.echo(opener, ports.ECHO_SIZES_BYTES) for _ in range(3)]
        sizes = [host.sizes(mtu.SIZES_BYTES) for _ in range(2)]
        await asyncio.gather(*calls, *echoes, *sizes, host.facts(), host.books())
    assert [call.to_far(one.result()).loss_ratio for one in calls] == [0.0, 0.0]
    assert BYTES_MAX / 2 < busiest(sent, 1.0) <= BYTES_MAX


def test_a_row_of_probes_is_slow_on_a_network_and_quick_where_none_carries_it() -> None:
    assert pace.between_s(("192.0.2.1", 1)) == 0.025 and 2 / pace.between_s(("192.0.2.1", 1)) < 100
    assert pace.between_s(("127.0.0.1", 1)) == pace.between_s(("::1", 1)) == 0.002
