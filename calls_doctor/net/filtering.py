"""The filtering tests of RFC 5780 section 4.4 (wire/filtering.py) on sockets: a fresh one for each, side by side."""

from __future__ import annotations

import asyncio
import secrets
import socket
from itertools import pairwise

from calls_doctor.model.flow import Address
from calls_doctor.net import mapping, pace
from calls_doctor.net.bound_sockets import DatagramSocket
from calls_doctor.wire import stun
from calls_doctor.wire.filtering import FilteringTest, Step, changes_offered


async def filtering_tests(server: Address, other: Address) -> list[FilteringTest]:
    """The tests that a server which names this OTHER-ADDRESS can make, each with its outcome.

    They say most where nothing was sent to the other address before: some NATs open themselves for all sockets.
    """
    tests = [
        FilteringTest(server, other, change, [secrets.token_bytes(stun.TRANSACTION_ID_BYTES) for _ in Step])
        for change in changes_offered(server, other)
    ]
    await asyncio.gather(*(_made(test) for test in tests))
    return tests


async def _made(test: FilteringTest) -> None:
    came = asyncio.Event()

    def receive(packet: bytes, source: Address) -> None:
        if test.receive(packet, source):
            came.set()

    sock = socket.socket(socket.AF_INET6 if ":" in test.server[0] else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    unconnected = DatagramSocket(sock, receive)  # a connected one would be a filter itself
    try:
        while test.outcome is None:
            came.clear()
            await _step(test, unconnected, came)
    finally:
        unconnected.close()


async def _step(test: FilteringTest, sock: DatagramSocket, came: asyncio.Event) -> None:
    request, to = test.request()
    for wait_s in _waits_s(test.step):
        await pace.room(to)
        sock.send(request, to)
        try:
            async with asyncio.timeout(wait_s):
                await came.wait()
                return
        except TimeoutError:
            continue
    test.silence()


def _waits_s(step: Step) -> list[float]:
    """How long to wait after each request: a silence that is a verdict takes the schedule of one."""
    is_verdict = step is Step.CHANGED
    schedule_s = stun.PROBE_SCHEDULE_S if is_verdict else mapping.SCHEDULE_S
    decided_s = stun.PROBE_DECIDED_S if is_verdict else mapping.DECIDED_S
    return [after_s - before_s for before_s, after_s in pairwise((*schedule_s, decided_s))]
