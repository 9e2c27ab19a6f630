"""How large a datagram may be: padded probes that no router may cut, to the stand-in and back.

Each size is tried several times, in rounds that are spaced in time, so that loss is not taken for a limit. An answer is
as large as its request; what arrived without coming back is in the far end's books. The answers leave with Don't
Fragment as rtcd's do: a far end that is told of a smaller MTU cuts them from then on (Linux's IP_PMTUDISC_WANT), and a
later round brings them. So what never comes back is lost for calls too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from calls_doctor.errors import FarEndError
from calls_doctor.net import pace
from calls_doctor.net.exchange import Exchange
from calls_doctor.wire import stun

ROUNDS = 3
ROUND_S = 0.3
"""How long a probe may take, plus two of the longest round trips so far, before the next round."""


@dataclass(frozen=True)
class SizesSeen:
    """What came of the probes."""

    sent_bytes: Sequence[int]
    """UDP payloads that were tried."""
    returned_bytes: frozenset[int]
    session: str
    """By which the far end's books know them."""
    mtu_bytes: int | None = None
    """The least MTU that anybody on the way there has named."""


async def run(exchange: Exchange, sizes_bytes: Sequence[int], session: str) -> SizesSeen:
    """Tries each size (a multiple of 4) until it comes back, at most ROUNDS times. Raises FarEndError where the far end
    refuses."""
    loop = asyncio.get_running_loop()
    asked: dict[bytes, int] = {}
    left = list(sizes_bytes)
    assert exchange.channel is not None, "sizes are tried over an open channel"
    remote = exchange.channel.path.remote
    pace_s = pace.between_s(remote)
    slowest_s = 0.0
    for _ in range(ROUNDS):
        this_round = []
        for size in left:
            await pace.room(remote, of_bytes=size)
            this_round.append(transaction_id := exchange.new_id())
            asked[transaction_id] = size
            exchange.ask(transaction_id, (stun.PROBE_NUMBER, len(asked)), size)
            await asyncio.sleep(pace_s)
        await exchange.answered(this_round, loop.time() + ROUND_S + 2 * slowest_s)
        slowest_s = max((answer.rtt_s for answer in exchange.answers.values()), default=0.0)
        returned = _returned(exchange, asked)
        left = [size for size in left if size not in returned]
        if not left or exchange.dead:
            break
    if exchange.refusal is not None:
        raise FarEndError("large packets at the media port", exchange.refusal.code, exchange.refusal.reason)
    return SizesSeen(sizes_bytes, _returned(exchange, asked), session)


def _returned(exchange: Exchange, asked: dict[bytes, int]) -> frozenset[int]:
    return frozenset(asked[transaction_id] for transaction_id in exchange.answers if transaction_id in asked)
