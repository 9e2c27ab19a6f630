"""How often a source address is answered before it has authenticated: token buckets, bounded in number.

It only counts: `now` is an argument, and what is not allowed is the caller's to drop. It never says a source is bad.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

ANSWERS_PER_S = 40.0
ANSWERS_BURST = 80.0
"""Chromium asks up to 20 times a second per leg while nothing answers (measured); this is above two of it."""
TOTAL_FACTOR = 25.0
"""All sources together get this many times what one gets: a flood from forged addresses finds an end too."""
SOURCES_MAX = 1024


@dataclass
class _Bucket:
    per_s: float
    burst: float
    tokens: float
    filled_at: float

    def take(self, now: float) -> bool:
        self.tokens = min(self.burst, self.tokens + (now - self.filled_at) * self.per_s)
        self.filled_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class RateLimit:
    """`per_s` answers a second for each source, `burst` at once; of `sources_max` sources the latest are remembered."""

    def __init__(
        self, per_s: float = ANSWERS_PER_S, burst: float = ANSWERS_BURST, *, sources_max: int = SOURCES_MAX
    ) -> None:
        self._per_s, self._burst, self._sources_max = per_s, burst, sources_max
        self._sources: OrderedDict[str, _Bucket] = OrderedDict()
        self._total: _Bucket | None = None

    def allows(self, address: str, now: float) -> bool:
        """True where one more answer to this IP address literal is within the limits; counts it."""
        source = source_of(address)
        bucket = self._sources.pop(source, None) or _Bucket(self._per_s, self._burst, self._burst, now)
        self._sources[source] = bucket
        if len(self._sources) > self._sources_max:
            self._sources.popitem(last=False)
        if self._total is None:
            self._total = _Bucket(
                self._per_s * TOTAL_FACTOR, self._burst * TOTAL_FACTOR, self._burst * TOTAL_FACTOR, now
            )
        return bucket.take(now) and self._total.take(now)

    @property
    def sources(self) -> int:
        """How many are remembered."""
        return len(self._sources)


def source_of(address: str) -> str:
    """Who is behind an address literal: itself for IPv4, its /64 for IPv6, of which one host has all."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is None:
        return str(ipaddress.IPv6Address(int(ip) >> 64 << 64))
    return str(ip)
