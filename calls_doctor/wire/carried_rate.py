"""At what rate media came through: what one end received of one direction, by its own clock. Pure.

From the first packet to the last, so that neither a queue that empties late nor the books' own delay adds to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from calls_doctor.model.books import StreamBooks

USABLE_BITS_PER_S = 100_000
"""A link that carries less is too thin for a call (contract section 6)."""
SPAN_MIN_S = 0.05
PACKETS_MIN = 5
"""Of fewer, or in less time, the rate is chance."""


def carried_bits_per_s(streams: Iterable[StreamBooks], packet_bytes: int) -> int | None:
    """The rate of all these streams together, each packet of so many bytes; None where too little came to tell."""
    came = [one for one in streams if one.received]
    if not came:
        return None
    packets = sum(one.received - 1 for one in came)  # with its first a stream's time only begins
    span_s = max(one.last_at_s for one in came) - min(one.first_at_s for one in came)
    if packets < PACKETS_MIN or not SPAN_MIN_S <= span_s < inf:
        return None
    return round(8 * packet_bytes * packets / span_s)
