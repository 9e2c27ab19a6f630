"""Numbered probes to the stand-in and back: which came back, how fast, and what else the network said.

The first goes out on the silence schedule until one comes back, so that silence is decided in 2.55 s and six packets;
only then do the others follow, paced. What arrived and did not come back is in the far end's books.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from calls_doctor.errors import FarEndError, NetworkError, Silence
from calls_doctor.model.flow import Address, Transport, shown
from calls_doctor.net import pace
from calls_doctor.net.exchange import Exchange
from calls_doctor.wire import stun
from calls_doctor.wire.carried_rate import USABLE_BITS_PER_S

WHAT = "an echo at the media port"
"""In a refusal of the stand-in's, which tells it from a relay's."""
THIN_BITS_PER_S = USABLE_BITS_PER_S
"""An echo that is to disturb nothing stays below what the thinnest usable link carries."""
HEADERS_BYTES = 28
"""Of IP and UDP."""
SETTLE_S = 0.3
"""How long a probe may take, plus two of the longest round trips so far, before it counts as lost."""


WITNESSES_AFTER = 2
"""So many probes without an answer, and the witnesses begin."""


class Witness(Protocol):
    """Looks at the silence by a way of its own, with sockets of its own, and keeps what it finds."""

    async def watch(self) -> None:
        """Ended when an answer comes, or the silence is decided. Raises NetworkError and OSError, which say no more
        than that it could not look."""


@dataclass(frozen=True)
class Echo:
    """One probe that came back."""

    number: int
    rtt_s: float
    size_bytes: int
    """Of the answer; the stand-in makes it as large as the request."""
    at_s: float = 0.0
    """When it came back, on the loop's clock."""


@dataclass(frozen=True)
class EchoOutcome:
    """What came of all of them."""

    sent: int
    """Probes by number, sent once or more; 0: no connection was made."""
    returned: Sequence[Echo]
    mapped: Address | None
    """Our own address as the far end sees it."""
    trouble: NetworkError | None
    """What the network said, or Silence where nothing came back; None where all is well."""
    session: str
    """By which the far end's books know them."""
    own_address: str = ""
    """Of this machine, from which they were sent: before any NAT."""


async def run(
    exchange: Exchange,
    sizes_bytes: Sequence[int],
    session: str,
    witnesses: Sequence[Witness] = (),
    *,
    thin: bool = False,
) -> EchoOutcome:
    """Sends one probe of each size over the exchange's open channel, with `thin` at THIN_BITS_PER_S at most. What the
    network does is in the outcome; raises FarEndError where the far end refuses."""
    probes = _Probes(exchange, sizes_bytes, witnesses, thin=thin)
    if await probes.first():
        await probes.others()
    if exchange.refusal is not None:
        raise FarEndError(WHAT, exchange.refusal.code, exchange.refusal.reason)
    return probes.outcome(session)


class _Probes:
    """Probe number n has the n-th size; sent again, it has another transaction id."""

    def __init__(
        self, exchange: Exchange, sizes_bytes: Sequence[int], witnesses: Sequence[Witness], *, thin: bool
    ) -> None:
        assert exchange.channel is not None, "the echo runs over an open channel"
        self._loop = asyncio.get_running_loop()
        self._exchange, self._path = exchange, exchange.channel.path
        self._sizes_bytes, self._witnesses, self._thin = sizes_bytes, witnesses, thin
        self._numbers: dict[bytes, int] = {}
        """Transaction id -> probe number."""
        self._sent = self._packets = 0

    async def first(self) -> bool:
        """Probes on the schedule until one comes back; False where none does."""
        watching: list[asyncio.Task[None]] = []
        try:
            return await self._on_schedule(watching)
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def _on_schedule(self, watching: list[asyncio.Task[None]]) -> bool:
        began_at = self._loop.time()
        over_tcp = self._path.transport is Transport.TCP  # which sends again by itself (RFC 8489 section 6.2.2)
        schedule_s = stun.PROBE_SCHEDULE_S[:1] if over_tcp else stun.PROBE_SCHEDULE_S
        for next_s in (*schedule_s[1:], stun.PROBE_DECIDED_S):
            number = 1 + self._packets % len(self._sizes_bytes)
            pace.count(self._path.remote, of_bytes=self._sizes_bytes[number - 1])
            self._send(number)
            if await self._exchange.answered(self._numbers, began_at + next_s, enough=1):
                return True
            if self._exchange.dead:
                break
            if self._packets == WITNESSES_AFTER:
                watching += [asyncio.create_task(_watch(one)) for one in self._witnesses]
        return False

    async def others(self) -> None:
        """The probes that were not sent yet, and the wait for all."""
        pace_s = pace.between_s(self._path.remote)
        due_at = self._loop.time()
        for number in range(self._sent + 1, len(self._sizes_bytes) + 1):
            await asyncio.sleep(due_at - self._loop.time())
            asked_at = self._loop.time()
            await pace.room(self._path.remote, of_bytes=self._sizes_bytes[number - 1])
            if self._exchange.dead:
                return
            self._send(number)
            thin_s = 8 * (self._sizes_bytes[number - 1] + HEADERS_BYTES) / THIN_BITS_PER_S if self._thin else 0.0
            due_at += max(pace_s, thin_s) + self._loop.time() - asked_at  # what had to wait is no burst later
        slowest_s = max(answer.rtt_s for answer in self._exchange.answers.values())
        await self._exchange.answered(self._numbers, self._loop.time() + SETTLE_S + 2 * slowest_s)

    def outcome(self, session: str) -> EchoOutcome:
        """All that is known."""
        echoes: dict[int, Echo] = {}
        mapped: Address | None = None
        for transaction_id, answer in self._exchange.answers.items():
            number = self._numbers[transaction_id]
            echoes.setdefault(number, Echo(number, answer.rtt_s, answer.size_bytes, answer.at_s))
            mapped = answer.message.get(stun.XOR_MAPPED_ADDRESS) or mapped
        trouble = self._exchange.heard
        if trouble is None and not echoes:
            trouble = Silence(f"{self._path.transport.upper()} to {shown(self._path.remote)}", stun.PROBE_DECIDED_S)
        own = self._path.local[0]
        return EchoOutcome(self._sent, list(echoes.values()), mapped, trouble, session, own)

    def _send(self, number: int) -> None:
        transaction_id = self._exchange.new_id()
        self._numbers[transaction_id] = number
        self._sent = max(self._sent, number)
        self._packets += 1
        self._exchange.ask(transaction_id, (stun.PROBE_NUMBER, number), self._sizes_bytes[number - 1])


async def _watch(witness: Witness) -> None:
    with contextlib.suppress(NetworkError, OSError):
        await witness.watch()
