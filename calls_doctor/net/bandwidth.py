"""What a path carries each way when as much is sent as a shared screen takes: RTP in large packets, one way after the
other, counted by whoever receives it.

To the far end one session sends, in a call in which nobody hears it. From the far end one that sends little is heard by
HEARERS others of its call, all of them here: the far end passes each packet on to each, so what goes there does not
bound what is asked of the way back. Either way a session sends less than the far end lets one cause
(docs/threat-model.md: 2 Mbit/s, and a second of that at once), and what it may have held back is in its books.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from calls_doctor.model.books import SessionBooks
from calls_doctor.model.flow import Transport
from calls_doctor.net import call
from calls_doctor.net.echo import HEADERS_BYTES
from calls_doctor.net.paired import PairedHost
from calls_doctor.net.peer import CallFailed, Peer
from calls_doctor.wire.carried_rate import carried_bits_per_s

WINDOW_S = 2.0
"""Each way."""
PACKETS_PER_S = 312
HEARERS = 8
"""A link whose way there carries 0.33 Mbit/s is asked for all on the way back."""
PAYLOAD_BYTES = 1000
PACKET_BYTES = PAYLOAD_BYTES + call.OVERHEAD_BYTES + HEADERS_BYTES
OFFERED_BITS_PER_S = 8 * PACKET_BYTES * PACKETS_PER_S
"""2.6 Mbit/s, headers of IP and UDP included."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One direction."""

    sent: int | None
    """Packets; None, as whatever else is: in books that could not be had."""
    received: int | None
    offered_bits_per_s: int | None
    carried_bits_per_s: int | None
    """None too where hardly anything came."""


UNKNOWN = Way(sent=None, received=None, offered_bits_per_s=None, carried_bits_per_s=None)


@dataclass(frozen=True, kw_only=True)
class Bandwidth:
    """What was found."""

    to_far: Way = UNKNOWN
    from_far: Way = UNKNOWN
    held_back: int = 0
    """Packets that the far end took and did not pass on, since they were over its limit for a session."""
    failure: CallFailed | None = None
    """Why a way was not measured, or not to its end."""
    near: Sequence[SessionBooks] = ()


async def measure(paired: PairedHost, wait_s: float) -> Bandwidth | None:
    """Both ways, over UDP, while nothing else is on the path; None where what is under way there does not end within
    `wait_s`."""
    with contextlib.suppress(TimeoutError):
        async with paired.path_lock.alone(wait_s):
            return await _measured(paired)
    return None


async def _measured(paired: PairedHost) -> Bandwidth:
    found = Bandwidth()
    try:
        there = await _sent(paired, 0, PACKETS_PER_S)
        found = Bandwidth(to_far=_way(there.near, there.far, there.took_s), near=there.near)
        back = await _sent(paired, HEARERS, PACKETS_PER_S // HEARERS)
    except CallFailed as error:
        return Bandwidth(to_far=found.to_far, failure=error, near=found.near)
    return Bandwidth(
        to_far=found.to_far,
        from_far=_way(back.far, back.near, back.took_s),
        held_back=sum(books.over_limit for books in (*(there.far or ()), *(back.far or ()))),
        near=[*there.near, *back.near],
    )


@dataclass(frozen=True)
class _Sent:
    """Both ends' books of one call, in which the first session spoke for so long."""

    near: Sequence[SessionBooks]
    far: Sequence[SessionBooks] | None
    took_s: float


async def _sent(paired: PairedHost, hearers: int, packets_per_s: int) -> _Sent:
    name, loop = paired.new_call(), asyncio.get_running_loop()
    peers = [Peer(paired.session_settings("U", name), secrets.token_bytes) for _ in range(1 + hearers)]
    try:
        await call.together(call.connect(peer, paired.opener(Transport.UDP)) for peer in peers)
        began_at = loop.time()
        await peers[0].talk(WINDOW_S, packets_per_s, PAYLOAD_BYTES)
        took_s = max(WINDOW_S, loop.time() - began_at)
        await call.drain(peers)
        return _Sent([peer.books for peer in peers], await call.far_books(paired, peers, None), took_s)
    finally:
        for peer in peers:
            await peer.close()


def _way(senders: Sequence[SessionBooks] | None, receivers: Sequence[SessionBooks] | None, took_s: float) -> Way:
    sent = None if senders is None else sum(books.sent_rtp for books in senders)
    streams = [stream for books in receivers or () for stream in books.streams]
    return Way(
        sent=sent,
        received=None if receivers is None else sum(stream.received for stream in streams),
        offered_bits_per_s=None if sent is None else round(8 * PACKET_BYTES * sent / took_s),
        carried_bits_per_s=carried_bits_per_s(streams, PACKET_BYTES),
    )
