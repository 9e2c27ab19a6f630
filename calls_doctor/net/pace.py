"""How many packets of probes leave for one host in a second: at most a hundred are promised, whoever sends them.

Media has its own rate, and a call's ICE and DTLS are few and cannot wait: the limit leaves room for them.
"""

from __future__ import annotations

import asyncio
from collections import deque

from calls_doctor.model.flow import Address, AddressClass, address_class

PACKETS_MAX = 60
"""Of probes, in any window."""
WINDOW_S = 1.05
"""A second, and what a timer may be late."""

BETWEEN_S = 0.025
"""Between two probes of a row: two rows at once stay below the hundred."""
BETWEEN_ON_LOOPBACK_S = 0.002
"""No network carries these."""


def between_s(remote: Address) -> float:
    """How long a row of probes to this host waits from one to the next."""
    return BETWEEN_ON_LOOPBACK_S if address_class(remote[0]) is AddressClass.LOOPBACK else BETWEEN_S


class Pace:
    """What one host is sent. Pure: the time is an argument, in seconds."""

    def __init__(self) -> None:
        self._sent_at_s: deque[float] = deque(maxlen=PACKETS_MAX)

    def reserve(self, packets: int, now_s: float) -> float:
        """When so many more (at most PACKETS_MAX) may leave at once; first come, first served."""
        at_s = max(now_s, self._sent_at_s[-1]) if self._sent_at_s else now_s
        too_many = len(self._sent_at_s) + packets - PACKETS_MAX
        if too_many > 0:
            at_s = max(at_s, self._sent_at_s[too_many - 1] + WINDOW_S)
        self._sent_at_s.extend([at_s] * packets)
        return at_s


_paces: dict[str, Pace] = {}
"""By the host's address. The promise is the process's, so this is too."""


async def room(remote: Address, packets: int = 1) -> None:
    """Returns once so many packets may leave for this host. No network carries those to loopback."""
    await asyncio.sleep(max(0.0, _reserved(remote, packets) - asyncio.get_running_loop().time()))


def count(remote: Address, packets: int = 1) -> None:
    """Counts packets that do not wait: others do then."""
    _reserved(remote, packets)


def _reserved(remote: Address, packets: int) -> float:
    if address_class(remote[0]) is AddressClass.LOOPBACK:
        return 0.0
    return _paces.setdefault(remote[0], Pace()).reserve(packets, asyncio.get_running_loop().time())
