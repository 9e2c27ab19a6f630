"""Probes to one host: at most so many in any second, and none is kept longer than it must be."""

from __future__ import annotations

import asyncio
import random

from calls_doctor.net import pace
from calls_doctor.net.pace import PACKETS_MAX, WINDOW_S, Pace


def test_what_is_asked_for_at_once_leaves_in_windows_that_hold_no_more_than_the_limit() -> None:
    draw, host, now_s, sent_at_s = random.Random(8), Pace(), 100.0, list[float]()
    for _ in range(400):
        packets = draw.randint(1, 8)
        now_s += draw.choice((0.0, 0.0, 0.01))
        sent_at_s += [host.reserve(packets, now_s)] * packets
    for before, after in zip(sent_at_s, sent_at_s[PACKETS_MAX:], strict=False):
        assert after - before >= WINDOW_S - 1e-9
    assert sent_at_s[-1] - sent_at_s[0] < WINDOW_S * (len(sent_at_s) / (PACKETS_MAX - 8) + 1)


def test_nobody_waits_below_the_limit() -> None:
    host = Pace()
    assert host.reserve(PACKETS_MAX - 1, 5.0) == 5.0
    assert host.reserve(1, 5.5) == 5.5
    assert host.reserve(2, 5.6) == 5.0 + WINDOW_S
    assert host.reserve(1, 20.0) == 20.0


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
