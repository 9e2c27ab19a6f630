"""How much leaves for one host in a second: at most a hundred packets of probes are promised, and BYTES_MAX in all.

The bytes are one budget of the path to that host. Echoes, large probes, pages of documents and TURN's requests draw on
it packet by packet and wait where it is spent; a stream of media takes its declared rate out of it before it begins and
for as long as it lasts. So probes that disturb each other on a thin link ask no more of it together than the budget,
and what some of them lost is repeated alone (net/path_lock.py) before it counts.

Media has its own rate of packets, and a call's ICE and DTLS are few and cannot wait: the limits leave room for them, as
for what TCP acknowledges and repeats by itself and for the few small packets of whoever looks on.

What measures bandwidth (net/bandwidth.py), and a shared screen that moves (net/rtcd_video.py), have more to send than
any budget, and are made for those alone who ask for them by name.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from calls_doctor.model.flow import Address, AddressClass, address_class

PACKETS_MAX = 75
"""Of probes, in any window."""
BYTES_MAX = 72_000
"""Of probes and streams, in any window: two echoes at once with what follows them, or three calls and single probes."""
STREAMS_BYTES_MAX = 58_000
"""Of them for streams, so that a probe never waits for the end of one."""
WINDOW_S = 1.05
"""A second, and what a timer may be late."""
HEADERS_BYTES = 54
"""Of IP and TCP with timestamps, and a frame's length (RFC 4571); UDP's are smaller."""
SMALL_BYTES = 150
"""Of a request that carries nothing large."""

BETWEEN_S = 0.025
"""Between two probes of a row: two rows at once stay below the hundred."""
BETWEEN_ON_LOOPBACK_S = 0.002
"""No network carries these."""


def between_s(remote: Address) -> float:
    """How long a row of probes to this host waits from one to the next."""
    return BETWEEN_S if _is_far(remote[0]) else BETWEEN_ON_LOOPBACK_S


class Pace:
    """What one host is sent, first come, first served. Pure: the time is an argument, in seconds."""

    def __init__(self) -> None:
        self._sent: deque[tuple[float, int, int]] = deque()
        """(when, packets, bytes) of what counts still."""
        self._packets = self._bytes = self._streams_bytes = 0
        self._free_at_s = 0.0
        """Before what was granted last nothing more leaves."""

    def reserve(self, packets: int, size_bytes: int, now_s: float) -> float:
        """When so many more (at most PACKETS_MAX, and BYTES_MAX less STREAMS_BYTES_MAX) may leave at once."""
        self._make_room(packets, size_bytes, now_s)
        self._note(packets, size_bytes)
        return self._free_at_s

    def begin_stream(self, window_bytes: int, now_s: float) -> float | None:
        """When a stream of so many bytes in each window may begin; None where another must end before."""
        if self._streams_bytes + window_bytes > STREAMS_BYTES_MAX:
            return None
        self._make_room(0, window_bytes, now_s)
        self._streams_bytes += window_bytes
        return self._free_at_s

    def end_stream(self, window_bytes: int, now_s: float) -> None:
        """It sends no more; its last window counts still."""
        self._free_at_s = max(self._free_at_s, now_s)
        self._streams_bytes -= window_bytes
        self._note(0, window_bytes)

    def _make_room(self, packets: int, size_bytes: int, now_s: float) -> None:
        self._free_at_s = max(self._free_at_s, now_s)
        while (
            self._packets + packets > PACKETS_MAX or self._bytes + self._streams_bytes + size_bytes > BYTES_MAX
        ) and self._sent:
            at_s, left_packets, left_bytes = self._sent.popleft()
            self._packets -= left_packets
            self._bytes -= left_bytes
            self._free_at_s = max(self._free_at_s, at_s + WINDOW_S)

    def _note(self, packets: int, size_bytes: int) -> None:
        self._sent.append((self._free_at_s, packets, size_bytes))
        self._packets += packets
        self._bytes += size_bytes


_paces: dict[str, Pace] = {}
"""By the host's address. The promise is the process's, so this is too."""
_stream_ended: dict[str, asyncio.Event] = {}


async def room(remote: Address, packets: int = 1, *, of_bytes: int = SMALL_BYTES) -> None:
    """Returns once so many packets, each of so many bytes without headers, may leave for this host. No network carries
    those to loopback."""
    await asyncio.sleep(max(0.0, _reserved(remote, packets, of_bytes) - asyncio.get_running_loop().time()))


def count(remote: Address, packets: int = 1, *, of_bytes: int = SMALL_BYTES) -> None:
    """Counts packets that do not wait: others do then."""
    _reserved(remote, packets, of_bytes)


@asynccontextmanager
async def stream(host: str, packets_per_s: int, *, of_bytes: int) -> AsyncIterator[None]:
    """Keeps the rate of a stream to this host free for it; what was sent before may have to leave the window first, and
    other streams may have to end."""
    if not _is_far(host):
        yield
        return
    loop, pace = asyncio.get_running_loop(), _paces.setdefault(host, Pace())
    ended = _stream_ended.setdefault(host, asyncio.Event())
    window_bytes = round(packets_per_s * WINDOW_S * (of_bytes + HEADERS_BYTES))
    while (begins_at_s := pace.begin_stream(window_bytes, loop.time())) is None:
        await ended.wait()
    try:
        await asyncio.sleep(max(0.0, begins_at_s - loop.time()))
        yield
    finally:
        pace.end_stream(window_bytes, loop.time())
        ended.set()  # wakes those that wait now
        ended.clear()


def _reserved(remote: Address, packets: int, of_bytes: int) -> float:
    if not _is_far(remote[0]):
        return 0.0
    size_bytes = packets * (of_bytes + HEADERS_BYTES)
    return _paces.setdefault(remote[0], Pace()).reserve(packets, size_bytes, asyncio.get_running_loop().time())


def _is_far(host: str) -> bool:
    return address_class(host) is not AddressClass.LOOPBACK
