"""A call that is held and counted: sessions of our own that hear each other through the far end, and both ends' books.

It judges nothing. What a number means is for the checks.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any  # what a coroutine yields and is sent is asyncio's own

from calls_doctor.errors import FarEndError, NetworkError, ProtocolError
from calls_doctor.model.books import SessionBooks, StreamBooks
from calls_doctor.model.check import Evidence
from calls_doctor.net import pace
from calls_doctor.net.echo import HEADERS_BYTES
from calls_doctor.net.paired import PairedHost
from calls_doctor.net.peer import PAYLOAD_BYTES, CallFailed, Peer
from calls_doctor.net.sockets import ChannelOpener
from calls_doctor.wire.carried_rate import carried_bits_per_s

CONNECT_S = 2.9
"""A call whose handshake nobody has answered by then has failed."""
SLOW_CONNECT_S = 10.0
"""As long as one may take that is being answered."""
PACKETS_PER_S = 50
"""Of one voice: 20 ms of speech in each."""
OVERHEAD_BYTES = 28
"""RTP's header and SRTP's tag."""
PACKET_BYTES = PAYLOAD_BYTES + OVERHEAD_BYTES
"""Of each as it is sent."""
DRAIN_S = 0.2
"""How long the last packets may take, plus two round trips; on a path that loses none the wait ends with the last."""
UNDER_WAY_S = 0.1
"""How old the last packet of a call may be that was heard when the last is sent, plus as long as ICE took."""
BOOKS_AFTER_FAILURE_S = 0.4
"""For the far end's books where the call has failed: what failed is to be named within three seconds."""


@dataclass(frozen=True, kw_only=True)
class CallOutcome:
    """What came of a call."""

    near: Sequence[SessionBooks]
    """What this end counted, of each session."""
    far: Sequence[SessionBooks] | None
    """What the far end counted of the same sessions; None where its books could not be had."""
    failure: CallFailed | None
    rtts_s: Sequence[float]
    """Round trips that RTCP reports told while media flowed."""
    warning: NetworkError | None
    """The last ICMP error that did not end the call."""
    lateness_s: Sequence[float] = ()
    """How late this machine sent its packets."""
    unheard: int = 0
    """Packets that were sent before the others were told of a voice, as rtcd tells of it with its first packet: nobody
    misses them."""


def outcome_of(
    peers: Sequence[Peer], far: Sequence[SessionBooks] | None, failure: CallFailed | None, unheard: int = 0
) -> CallOutcome:
    """What came of a call of these peers."""
    return CallOutcome(
        near=[peer.books for peer in peers],
        far=far,
        failure=failure,
        rtts_s=[rtt_s for peer in peers for rtt_s in peer.rtts_s],
        warning=next((peer.warning for peer in peers if peer.warning), None),
        lateness_s=[late_s for peer in peers for late_s in peer.lateness_s],
        unheard=unheard,
    )


@dataclass(frozen=True, kw_only=True)
class Direction:
    """One direction: what one end sent, and what the other received of it. None: in books that could not be had."""

    sent: int | None
    received: int | None
    reordered: int = 0
    duplicated: int = 0
    jitter_s: float = 0.0
    """Of the worst stream."""
    carried_bits_per_s: int | None = None
    """At which it arrived, headers of IP and UDP included; None where too little did to tell."""

    @property
    def loss_ratio(self) -> float | None:
        """None where there is nothing to tell it from."""
        if not self.sent or self.received is None:
            return None
        return max(0.0, 1 - self.received / self.sent)


def to_far(outcome: CallOutcome) -> Direction:
    """What this end sent, and what arrived at the far end."""
    return _direction(sum(books.sent_rtp for books in outcome.near), outcome.far)


def from_far(outcome: CallOutcome) -> Direction:
    """What the far end sent, and what arrived here."""
    sent = None if outcome.far is None else sum(books.sent_rtp for books in outcome.far)
    return _direction(sent, outcome.near)


def there_and_back(outcome: CallOutcome) -> Direction:
    """What this end sent for others to hear, and what it heard: through the far end, whatever its books say."""
    hearers = max(1, len(outcome.near) - 1)
    return _direction(hearers * sum(books.sent_rtp for books in outcome.near) - outcome.unheard, outcome.near)


def _direction(sent: int | None, receivers: Sequence[SessionBooks] | None) -> Direction:
    if receivers is None:
        return Direction(sent=sent, received=None)
    streams: list[StreamBooks] = [stream for books in receivers for stream in books.streams]
    return Direction(
        sent=sent,
        received=sum(stream.received for stream in streams),
        reordered=sum(stream.reordered for stream in streams),
        duplicated=sum(stream.duplicated for stream in streams),
        jitter_s=max((stream.jitter_s for stream in streams), default=0.0),
        carried_bits_per_s=carried_bits_per_s(streams, PACKET_BYTES + HEADERS_BYTES),
    )


def evidence(outcome: CallOutcome) -> Evidence:
    """Both ends' counts: RTP by direction, and all packets by kind."""
    rows: Evidence = {
        "sessions": len(outcome.near),
        "packets_per_s": PACKETS_PER_S,
        "timeline": _slowest([books.timeline for books in outcome.near]),
        "to_far": _row(to_far(outcome)),
        "from_far": _row(from_far(outcome)),
        "there_and_back": _row(there_and_back(outcome)),
        "near": _counts(outcome.near),
        "far": None if outcome.far is None else _counts(outcome.far),
        "dtls_retransmissions": sum(books.dtls_retransmissions for books in outcome.near),
    }
    if outcome.rtts_s:
        rows["rtts"] = len(outcome.rtts_s)
        rows["rtt_p50_s"] = round(median(outcome.rtts_s), 6)
        rows["rtt_p95_s"] = round(percentile_95(outcome.rtts_s), 6)
    if outcome.lateness_s:
        rows["late_p95_s"] = round(percentile_95(outcome.lateness_s), 6)
    if outcome.warning is not None:
        rows["icmp"] = str(outcome.warning)
    return rows


def percentile_95(values: Sequence[float]) -> float:
    """The value that 95 % do not exceed; of few values the largest."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]


def _row(direction: Direction) -> Evidence:
    row: Evidence = {"sent": direction.sent, "received": direction.received}
    if direction.loss_ratio is not None and direction.sent:
        row["loss_ratio"] = round(direction.loss_ratio, 4)
        row["reordered_ratio"] = round(direction.reordered / direction.sent, 4)
        row["duplicated_ratio"] = round(direction.duplicated / direction.sent, 4)
        row["jitter_s"] = round(direction.jitter_s, 6)
        row["carried_bits_per_s"] = direction.carried_bits_per_s
    return row


def _counts(sessions: Sequence[SessionBooks]) -> dict[str, int]:
    """Packets of one end, by kind and way."""
    names = ("stun_out", "stun_in", "dtls_out", "dtls_in", "rtp_out", "rtp_in", "rtcp_out", "rtcp_in")
    return {name: sum(getattr(path, name) for books in sessions for path in books.paths) for name in names}


def _slowest(timelines: Sequence[dict[str, float]]) -> dict[str, float]:
    stages = dict.fromkeys(stage for timeline in timelines for stage in timeline)
    return {f"{stage}_s": round(max(t[stage] for t in timelines if stage in t), 4) for stage in stages}


async def hold(paired: PairedHost, openers: Sequence[ChannelOpener], leg: str, media_time_s: float) -> CallOutcome:
    """Connects a session over each opener's channel, all in one call, lets media flow, and fetches both ends' books.

    What the network or the far end does wrong is in the outcome.
    """
    async with paired.path_lock.shared():
        return await _held(paired, openers, leg, media_time_s)


async def hold_alone(
    paired: PairedHost, openers: Sequence[ChannelOpener], leg: str, media_time_s: float, wait_s: float | None = None
) -> CallOutcome | None:
    """The same while nothing else is on the path; None where what is under way there does not end within `wait_s`."""
    with contextlib.suppress(TimeoutError):
        async with paired.path_lock.alone(wait_s):
            return await _held(paired, openers, leg, media_time_s)
    return None


async def _held(paired: PairedHost, openers: Sequence[ChannelOpener], leg: str, media_time_s: float) -> CallOutcome:
    call = paired.new_call()
    peers = [Peer(paired.session_settings(leg, call), secrets.token_bytes) for _ in openers]
    try:
        failure = await _within_budget(paired, peers, openers, media_time_s)
        far = await (far_books(paired, peers, BOOKS_AFTER_FAILURE_S) if failure else _counted(paired, peers))
        return outcome_of(peers, far, failure)
    finally:
        for peer in peers:
            await peer.close()


async def _within_budget(
    paired: PairedHost, peers: Sequence[Peer], openers: Sequence[ChannelOpener], media_time_s: float
) -> CallFailed | None:
    """The whole call, once its media has its share of what the host may be sent. A relayed one comes there too."""
    try:
        address = await paired.address()
    except NetworkError as error:
        return CallFailed("ice", str(error), error)
    async with pace.stream(address, len(peers) * PACKETS_PER_S, of_bytes=PACKET_BYTES):
        return await _ended(peers, openers, media_time_s)


async def _ended(peers: Sequence[Peer], openers: Sequence[ChannelOpener], media_time_s: float) -> CallFailed | None:
    """The whole call; how it failed, or None. The first failure ends it for all."""
    try:
        await together(connect(peer, opener) for peer, opener in zip(peers, openers, strict=True))
        await together(peer.talk(media_time_s, PACKETS_PER_S) for peer in peers)
    except CallFailed as error:
        return error
    return None


async def together(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Runs all at once; the first that raises ends the others, and is raised.

    It is no TaskGroup: one that fails leaves the task around it counted as cancelled, and before Python 3.11.3 (Debian
    12 has 3.11.2) `asyncio.timeout` takes its own time-out there for that cancellation, for ever after.
    """
    tasks = [asyncio.create_task(one) for one in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def connect(peer: Peer, opener: ChannelOpener) -> None:
    """Brings one session up. Raises CallFailed with the stage that failed."""
    try:
        channel = await opener(peer)
    except FarEndError as error:  # a relay's
        raise CallFailed("permit", str(error), code=error.code) from None
    except NetworkError as error:
        raise CallFailed("ice", str(error), error) from None
    except ProtocolError as error:
        raise CallFailed("permit", str(error)) from None
    await peer.connect(channel, CONNECT_S, SLOW_CONNECT_S)


async def _counted(paired: PairedHost, peers: Sequence[Peer]) -> list[SessionBooks] | None:
    """The far end's books once the last packets have had their time. They are asked for while those travel; what is
    missing in them may only have been overtaken, so then they are asked for once more."""
    if not _come_through([peer.books for peer in peers]):
        await drain(peers)
        return await far_books(paired, peers, None)
    asking = asyncio.create_task(_books_behind_the_last(paired, peers))
    try:
        await drain(peers)
        far = await asking
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    if far is None or not _direction(sum(peer.books.sent_rtp for peer in peers), far).loss_ratio:
        return far
    return await far_books(paired, peers, None) or far


def _come_through(near: Sequence[SessionBooks]) -> bool:
    """True where no more is missing than may be under way. A path that loses or holds back more is asked only once."""
    hearers = max(1, len(near) - 1)
    sent = hearers * sum(books.sent_rtp for books in near)
    received = sum(stream.received for books in near for stream in books.streams)
    under_way_s = UNDER_WAY_S + max(books.timeline.get("ice", 0.0) for books in near)
    return sent - received <= under_way_s * PACKETS_PER_S * hearers * len(near)


async def _books_behind_the_last(paired: PairedHost, peers: Sequence[Peer]) -> list[SessionBooks] | None:
    await asyncio.sleep(1 / PACKETS_PER_S)
    return await far_books(paired, peers, None)


async def drain(peers: Sequence[Peer]) -> None:
    """Waits for what is on its way: each peer hears what the others sent; one alone, its echo."""
    sent = sum(peer.books.sent_rtp for peer in peers)
    longest_s = max((peer.rtt_s or 0.0 for peer in peers), default=0.0)
    await asyncio.gather(*(
        peer.heard(sent - (peer.books.sent_rtp if len(peers) > 1 else 0), DRAIN_S + 2 * longest_s) for peer in peers
    ))  # fmt: skip


async def far_books(paired: PairedHost, peers: Sequence[Peer], limit_s: float | None) -> list[SessionBooks] | None:
    """What the far end counted of these sessions; None where its books could not be had, or lack one."""
    try:
        async with asyncio.timeout(limit_s):
            books = await paired.books()
    except TimeoutError:
        return None
    names = {peer.books.session for peer in peers}
    found = [] if books is None else [one for one in books.sessions if one.session in names]
    return found if len(found) == len(names) else None
