"""How long NATs and firewalls on the way remember a UDP flow that is silent (RFC 4787 section 4.3).

Each silence has a socket of its own, all of them one session. After two-way traffic, which makes a flow established
(Linux: a stream, with a longer timeout), a few requests ask the stand-in to hold its answers back until the silence is
over. Nobody sends meanwhile, for whatever is sent refreshes the binding. An answer that comes then shows that the flow
was remembered. That none came shows the contrary only where the requests had arrived, which the far end's books tell,
and where a fresh exchange over the same socket is answered: else the requests were lost, or the path itself was gone.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from calls_doctor.errors import NetworkError
from calls_doctor.model.books import SessionBooks
from calls_doctor.model.flow import Address
from calls_doctor.net import pace
from calls_doctor.net.exchange import Answer, Exchange
from calls_doctor.net.room import ROOM_TRIES, ROOM_WAIT_S
from calls_doctor.net.sockets import ChannelOpener
from calls_doctor.wire import stun
from calls_doctor.wire.ice import IceCredentials

SILENCES_S = (4.0, 6.0, 10.0, 15.0, 25.0)
TRAFFIC_S = 3.0
"""Linux takes a flow for a stream once it has had answers for two seconds."""
TRAFFIC_EVERY_S = 0.3
ASKS, ASK_EVERY_S = 6, 0.1
"""So many answers are asked for, each for the same time after its request: the first comes when the silence since the
last request is over, and one that is lost is no forgotten binding."""
ARRIVED_MIN = 2
"""Of these requests, before their silence means anything."""
CHANCE_MAX = 0.01
"""Nor does it where a path that loses so much swallows all of so many answers with a greater probability."""
LATE_S = 2.0
"""How late an answer may be, beside two of the longest round trips so far: a radio link that slept has to wake up."""
EARLY_RATIO = 0.9
"""An answer that comes before this share of the time was not held."""
SIZE_BYTES = 200
NUMBERS = 1000
"""Each flow numbers its probes from a multiple of this on: by number the far end's books know them."""


@dataclass(frozen=True)
class SilentFlow:
    """One flow that was silent, and what came after it."""

    silent_s: float
    came: bool = False
    """An answer that was held until then."""
    asked: Sequence[int] = ()
    """Probe numbers of the requests that asked for it."""
    lost_ratio: float = 0.0
    """Of the traffic before."""
    mapped_before: Address | None = None
    """Our own address as the far end saw it before the silence."""
    mapped_after: Address | None = None
    why: str = ""
    """Why it tells nothing, whatever arrived; "" where it does not."""


@dataclass(frozen=True)
class Survival:
    """Whether a flow was remembered."""

    flow: SilentFlow
    remembered: bool | None
    """None: it cannot be told, and `why` says why."""
    why: str = ""


async def run(opener: ChannelOpener, credentials: IceCredentials, silences_s: Sequence[float]) -> list[SilentFlow]:
    """All silences side by side, in their order, in the session of these credentials. What the network did is in the
    outcome."""
    flows = (_silent_flow(opener, credentials, silent_s, place) for place, silent_s in enumerate(silences_s))
    return list(await asyncio.gather(*flows))


def survival(flow: SilentFlow, session: SessionBooks | None) -> Survival:
    """What the flow tells, beside the far end's books of its session; None where they could not be had."""
    if flow.why:
        return Survival(flow, None, flow.why)
    if flow.came:
        return Survival(flow, True)
    if session is None:
        return Survival(flow, None, "the far end's books could not be had")
    arrived = len({probe.number for probe in session.probes} & set(flow.asked))
    if arrived < ARRIVED_MIN:
        return Survival(flow, None, "the requests before it did not arrive")
    if flow.lost_ratio**arrived > CHANCE_MAX:
        return Survival(flow, None, "the path loses too much")
    return Survival(flow, False)


async def _silent_flow(opener: ChannelOpener, credentials: IceCredentials, silent_s: float, place: int) -> SilentFlow:
    for left in reversed(range(1 + ROOM_TRIES)):
        exchange = Exchange(secrets.token_bytes)
        try:
            exchange.begin(await opener(exchange), credentials)
            found = await _Flow(exchange, place * NUMBERS).after(silent_s)
        except NetworkError as error:
            return SilentFlow(silent_s, why=str(error))
        finally:
            await exchange.close()
        if exchange.refusal is None or not left:
            break
        await asyncio.sleep(ROOM_WAIT_S)
    return found


class _Flow:
    """One socket's."""

    def __init__(self, exchange: Exchange, number: int) -> None:
        assert exchange.channel is not None, "it has begun"
        self._exchange, self._remote = exchange, exchange.channel.path.remote
        self._loop = asyncio.get_running_loop()
        self._number = number
        """Of the last probe."""

    async def after(self, silent_s: float) -> SilentFlow:
        """Traffic, silence, and what came after it."""
        traffic = await self._traffic()
        before = self._last_answer(traffic)
        if before is None:
            return SilentFlow(silent_s, why=self._trouble("no two-way traffic came about"))
        lost_ratio = 1 - len(self._exchange.answers) / len(traffic)
        slowest_s = max(answer.rtt_s for answer in self._exchange.answers.values())
        hold_s = silent_s + (ASKS - 1) * ASK_EVERY_S
        held, asked = await self._ask(hold_s)
        await self._exchange.answered(held, self._loop.time() + hold_s + LATE_S + 2 * slowest_s, enough=1)
        first = next((self._exchange.answers[one] for one in held if one in self._exchange.answers), None)
        after = await self._control()
        why = ""
        if first is not None and first.rtt_s < EARLY_RATIO * hold_s:
            why = "the far end does not hold answers back"
        elif first is None and after is None:
            why = self._trouble("nothing was answered any more after it")
        return SilentFlow(silent_s, first is not None, asked, lost_ratio, _mapped(before), _mapped(after), why)

    async def _traffic(self) -> list[bytes]:
        until = self._loop.time() + TRAFFIC_S
        sent: list[bytes] = []
        while self._loop.time() < until and not self._exchange.dead:
            await pace.room(self._remote, of_bytes=SIZE_BYTES)
            sent.append(self._send())
            await asyncio.sleep(TRAFFIC_EVERY_S)
        return sent

    async def _ask(self, hold_s: float) -> tuple[list[bytes], list[int]]:
        """The requests whose answers are to be held, and their numbers."""
        await pace.room(self._remote, ASKS, of_bytes=SIZE_BYTES)
        held, numbers = [], []
        for place in range(ASKS):
            await asyncio.sleep(ASK_EVERY_S if place else 0.0)
            held.append(self._send((stun.HOLD_ANSWER, round(1000 * hold_s))))
            numbers.append(self._number)
        return held, numbers

    async def _control(self) -> Answer | None:
        """A fresh exchange over the same socket; None where it is not answered either."""
        began_at = self._loop.time()
        sent: list[bytes] = []
        for next_s in (*stun.PROBE_SCHEDULE_S[1:], stun.PROBE_DECIDED_S):
            pace.count(self._remote, of_bytes=SIZE_BYTES)
            sent.append(self._send())
            if await self._exchange.answered(sent, began_at + next_s, enough=1) or self._exchange.dead:
                break
        return self._last_answer(sent)

    def _send(self, *more: tuple[stun.AttributeType[int], int]) -> bytes:
        """One numbered probe; its transaction id."""
        self._number += 1
        transaction_id = self._exchange.new_id()
        self._exchange.ask(transaction_id, (stun.PROBE_NUMBER, self._number), SIZE_BYTES, *more)
        return transaction_id

    def _last_answer(self, sent: Sequence[bytes]) -> Answer | None:
        answers = self._exchange.answers
        return next((answers[one] for one in reversed(sent) if one in answers), None)

    def _trouble(self, otherwise: str) -> str:
        """What the network or the far end said, else this."""
        exchange = self._exchange
        if exchange.refusal is not None:
            return f"the far end refused: {exchange.refusal.code} {exchange.refusal.reason}"
        return str(exchange.heard) if exchange.heard is not None else otherwise


def _mapped(answer: Answer | None) -> Address | None:
    return answer.message.get(stun.XOR_MAPPED_ADDRESS) if answer else None
