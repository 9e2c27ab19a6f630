"""A call through rtcd that is held and counted: sessions of our own, over one WebSocket, that hear each other.

Its call and its sessions have names of their own that nobody guesses, and all leave, whatever happened. What the
network or rtcd does wrong is in the outcome, by the stage that it happened at. Whoever holds one imports this file in a
thread: SCTP takes a third of a second.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from calls_doctor.errors import FarEndError, HttpError, NetworkError, ProtocolError, RtcdError, Silence
from calls_doctor.model.check import Evidence
from calls_doctor.model.flow import Transport, address_class, shown
from calls_doctor.net import http, pace, rtcd_client
from calls_doctor.net.call import PACKET_BYTES, PACKETS_PER_S, CallOutcome, drain, outcome_of, together
from calls_doctor.net.local_ports import local_addresses
from calls_doctor.net.peer import CallFailed, Peer
from calls_doctor.net.rtcd_access import MediaWay, RtcdAccess
from calls_doctor.net.rtcd_api import RtcdApi
from calls_doctor.net.rtcd_member import Member
from calls_doctor.net.sockets import trouble_word
from calls_doctor.net.websocket import WebSocket, open_websocket
from calls_doctor.wire import rtcd
from calls_doctor.wire.dtls import Certificate
from calls_doctor.wire.rtcd import Hello, Join
from calls_doctor.wire.rtcd_signal import Sender
from calls_doctor.wire.sdp import Candidate

HELLO_S = 2.6
"""For the WebSocket, and for the hello on it, each; rtcd's look at a key takes 0.1 s."""
HEARD_S = 4.5
"""For the first packet of each to be heard by the others, once all are in: rtcd itself waits 5 s for its turn to offer
a voice (each message that is lost costs a second and more), and gives that up for good."""
SILENT_S = 2.0
"""A session that hears nothing for so long has lost its call."""
WATCH_S = 0.25
CLOSE_S, CLOSE_AFTER_FAILURE_S = 1.0, 0.3
"""For rtcd's word that a session which left is over, which it gives in 1 ms: what failed is to be named soon."""
ASK_S = 1.0
"""For rtcd's API to say whether it has a session."""
GONE_S, ASK_AGAIN_S = 3.0, 1.0
"""How long sessions that left may stay, where the word that they leave may have to be sent again; rtcd takes 1 ms. Each
time it looks at our key again."""
NAME = "calls-doctor-"
"""How call and sessions begin, for whoever reads rtcd's log; a name must not hold `_`."""


@dataclass(frozen=True, kw_only=True)
class RtcdOutcome:
    """What came of a call, and what rtcd said in it."""

    call: CallOutcome
    signalling: Evidence
    """When what was reached, in seconds after the WebSocket opened; what rtcd advertised; how many sessions it said
    were over. "checked": to which of that checks of ours went, in how many sessions, and in how many they were answered
    unasked (rows); "left_over": how many it still had after a call that went well, None where its API does not say;
    "asked": what its API answered of a session after a silence; "api": whether it answers after a failure;
    "websocket": what ended that; "called_first": checks were answered only once rtcd sent its own; each where it was
    so."""

    def media_target(self, transport: Transport) -> str:
        """HOST:PORT/PROTOCOL of rtcd's by which the media went, or was to go; "" where it told of none."""
        protocol = "tcp" if transport is Transport.TCP else "udp"
        rows = [row for books in self.call.near for row in books.paths]
        if rows:
            return f"{shown(max(rows, key=lambda row: row.rtp_in).remote)}/{protocol}"
        told = [one for one in self.signalling.get("advertised", ()) if one.endswith(f"/{protocol}")]
        return told[-1] if told else ""


async def hold(access: RtcdAccess, ways: Sequence[MediaWay], media_time_s: float) -> RtcdOutcome:
    """A session over each way, all in one call."""

    def voices(address: str) -> AbstractAsyncContextManager[None]:
        return pace.stream(address, len(ways) * PACKETS_PER_S, of_bytes=PACKET_BYTES)

    def begin(socket: WebSocket, loopback: bool) -> RtcdCall:
        return RtcdCall(access, socket, ways, loopback=loopback)

    return await hold_as(begin, access, media_time_s, voices)


async def hold_as(
    begin: Callable[[WebSocket, bool], RtcdCall],
    access: RtcdAccess,
    media_time_s: float,
    paced: Callable[[str], AbstractAsyncContextManager[None]],
) -> RtcdOutcome:
    """The call that `begin` makes of a WebSocket, while the address has room for its media (net/pace.py); the other
    argument is whether rtcd is on this machine."""
    try:
        address, _ = await http.address_of(access.url, access.host)
        async with paced(address):
            url = f"{access.url.replace('http', 'ws', 1)}/ws"
            headers = [("Authorization", access.authorization.reveal())]
            async with open_websocket(url, HELLO_S, headers=headers, host=address) as socket:
                return await begin(socket, _is_here(address)).held(media_time_s)
    except NetworkError as error:
        return _never_begun(CallFailed("hello", str(error), error))
    except FarEndError as error:
        return _never_begun(CallFailed("hello", str(error), code=error.code))
    except ProtocolError as error:
        return _never_begun(CallFailed("hello", str(error)))


def _never_begun(failure: CallFailed) -> RtcdOutcome:
    return RtcdOutcome(call=outcome_of([], None, failure), signalling={})


def _is_here(address: str) -> bool:
    return address_class(address).is_loopback or address in local_addresses()


class RtcdCall:
    """One call over an open WebSocket, of voices; another kind has other media."""

    def __init__(self, access: RtcdAccess, socket: WebSocket, ways: Sequence[MediaWay], *, loopback: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._opened_at = self._loop.time()
        self._access, self._socket, self._call = access, socket, NAME + secrets.token_hex(10)
        certificate = Certificate.generate()
        names = [NAME + secrets.token_hex(10) for _ in ways]
        self._members = {
            name: Member(
                Join(self._call, name, name), way, certificate, socket.send, loopback=loopback, locks=access.locks
            )
            for name, way in zip(names, ways, strict=True)
        }
        self._greeted = asyncio.Event()
        self._lost: CallFailed | None = None
        self._in_at: dict[Member, float] = {}
        """When each was ready to talk."""
        self._asked = self._api = ""

    async def held(self, media_time_s: float) -> RtcdOutcome:
        """All of it, to the last session's end."""
        listening = asyncio.create_task(self._listen())
        closed: list[bool] = []
        left_over: Evidence = {}
        close_s = CLOSE_AFTER_FAILURE_S
        try:
            outcome = self._outcome(await self._ended(media_time_s))
            close_s = close_s if outcome.failure else CLOSE_S
        finally:
            closed = await self._left(close_s)
            if close_s == CLOSE_S and self._lost is None:
                left_over = {"left_over": await self._left_over()}
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        return RtcdOutcome(call=outcome, signalling=self.signalling(closed) | left_over)

    async def _listen(self) -> None:
        """What rtcd says, for whom it concerns; the end of the WebSocket concerns all."""
        try:
            while True:
                self._hear(await self._socket.receive())
        except (NetworkError, HttpError) as error:
            trouble = error if isinstance(error, NetworkError) else None
            self._lost = CallFailed("hello", str(error), trouble)
            self._greeted.set()
            for member in self._members.values():
                member.lose(str(error), trouble)

    def _hear(self, frame: bytes) -> None:
        try:
            message = rtcd.decode(frame, Sender.SERVER)
        except RtcdError:
            return  # a newer rtcd says more
        if isinstance(message, Hello):
            self._greeted.set()
        for member in self._members.values():
            member.receive(message)

    async def _ended(self, media_time_s: float) -> CallFailed | None:
        """The whole call; how it failed, or None. The first failure ends it for all."""
        try:
            await self._hello()
            await self.media(media_time_s)
        except CallFailed as error:
            if error.stage == "join" and error.trouble is None:
                error = CallFailed("join", f"{error.reason}; {await self._ask()}")
            self._api = await self._answers()
            return error
        return None

    async def media(self, media_time_s: float) -> None:
        """All come in, and send for so long. Raises CallFailed."""
        await together(self._begins(member) for member in self.members)
        peers = self._peers()
        await together([*(peer.talk(media_time_s, PACKETS_PER_S) for peer in peers), self._watch(media_time_s)])
        await drain(peers)

    @property
    def members(self) -> list[Member]:
        """By the order of their ways."""
        return list(self._members.values())

    async def _hello(self) -> None:
        try:
            async with asyncio.timeout(HELLO_S):
                await self._greeted.wait()
        except TimeoutError:
            silence = Silence("rtcd's hello on the open WebSocket", HELLO_S)
            raise CallFailed("hello", str(silence), silence) from None
        if self._lost is not None:
            raise self._lost

    async def _begins(self, member: Member) -> None:
        """Comes in, and talks until all others hear it: rtcd tells them of a voice with its first packet."""
        peer = await member.come_in()
        self._in_at[member] = self._loop.time()
        others = [one for one in self._members.values() if one is not member]
        while not all(one.peer is not None and one.peer.first_heard is not None for one in others):
            if len(self._in_at) == len(self._members) and self._loop.time() > max(self._in_at.values()) + HEARD_S:
                raise CallFailed("media", f"no RTP came through rtcd in {HEARD_S:g} s, over sessions that are up")
            await peer.talk(1 / PACKETS_PER_S, PACKETS_PER_S)
            await asyncio.sleep(1 / PACKETS_PER_S)
        peer.watch(closely=False)  # from now on media tells

    async def _watch(self, time_s: float) -> None:
        """While all talk, none may hear nothing for long."""
        began_at = self._loop.time()
        while self._loop.time() < began_at + time_s:
            await asyncio.sleep(min(WATCH_S, time_s))
            heard_at = min(max(peer.heard_at, began_at) for peer in self._peers())
            if self._loop.time() > heard_at + SILENT_S:
                raise CallFailed("media", f"no RTP came through rtcd for {SILENT_S:g} s")

    async def _ask(self) -> str:
        """What rtcd's API says of the sessions for which nothing was answered."""
        for name in self._members:
            url = f"{self._access.url}/calls/{self._call}/sessions/{name}"
            headers = [("Authorization", self._access.authorization.reveal())]
            try:
                answer = await http.get(url, timeout_s=ASK_S, host=self._access.host, headers=headers)
            except (NetworkError, ProtocolError) as error:
                self._asked = "silent"
                return f"asked whether it has the session, it says nothing: {error}"
            self._asked = str(answer.status)
            if answer.status != 200:
                return f"it says itself that it has no such session (status {answer.status}): it refused the join"
        return "it says itself that it has the session: it is the offer that it does not answer"

    async def _answers(self) -> str:
        """Whether rtcd's API still does: "answers", or the word for why not. A call may fail because rtcd does."""
        try:
            answer = await http.get(f"{self._access.url}/version", timeout_s=ASK_S, host=self._access.host)
        except NetworkError as error:
            return trouble_word(error)
        except ProtocolError:
            return "not-http"
        return "answers" if rtcd_client.version_of(answer) is not None else f"status-{answer.status}"

    async def _left(self, close_s: float) -> list[bool]:
        """All leave; whether rtcd said that their sessions are over."""
        try:
            for member in self._members.values():
                member.leave()
            if self._lost is not None:
                return []
            return list(await asyncio.gather(*(member.closed(close_s) for member in self._members.values())))
        finally:
            for member in self._members.values():
                await member.close()

    async def _left_over(self) -> int | None:
        """How many sessions of this call rtcd still has, once they have had time to go. Asked while the WebSocket is
        open: its end would end them."""
        api = RtcdApi(self._access.url, ASK_S, self._access.host)
        until_s = self._loop.time() + GONE_S
        try:
            while left := await api.sessions(self._call, self._access.authorization):
                if self._loop.time() > until_s:
                    break
                await asyncio.sleep(ASK_AGAIN_S)
        except (NetworkError, FarEndError, ProtocolError):
            return None
        return len(left)

    def _peers(self) -> list[Peer]:
        return [member.peer for member in self._members.values() if member.peer is not None]

    def _outcome(self, failure: CallFailed | None) -> CallOutcome:
        peers = self._peers()
        return outcome_of(peers, None, failure, sum(_unheard(by, of) for by in peers for of in peers if by is not of))

    def signalling(self, closed: Sequence[bool]) -> Evidence:
        """What is told of it beside its media; for each session that left whether rtcd said that it was over."""
        members = self._members.values()
        steps = dict.fromkeys(step for member in members for step in member.reached_at)
        told = {step: max(m.reached_at[step] for m in members if step in m.reached_at) for step in steps}
        heard = [peer.first_heard_at for peer in self._peers() if peer.first_heard is not None]
        evidence: Evidence = {"call": self._call} | {
            f"{step}_s": round(at - self._opened_at, 4) for step, at in told.items()
        }
        if heard:
            evidence["first_rtp_s"] = round(min(heard) - self._opened_at, 4)
        if self._asked:
            evidence["asked"] = self._asked
        if self._api:
            evidence["api"] = self._api
        if self._lost is not None:
            evidence["websocket"] = trouble_word(self._lost.trouble) if self._lost.trouble else "not-websocket"
        if any(member.called_first for member in members):
            evidence["called_first"] = True
        advertised = {f"{c.address}:{c.port}/{c.transport}": None for m in members for c in m.advertised}
        evidence |= {"advertised": list(advertised), "checked": _checked(members)}
        return evidence | {"closes_told": sum(closed), "sessions": len(members)}


def _checked(members: Collection[Member]) -> list[Evidence]:
    rows: dict[Candidate, Evidence] = {}
    for member, candidate in ((of, one) for of in members for one in dict.fromkeys(of.tried)):
        empty = {"protocol": candidate.transport, "address": candidate.address, "port": candidate.port}
        row = rows.setdefault(candidate, empty | {"sent": 0, "returned": 0})
        row["sent"] += 1
        row["returned"] += member.has_reached(candidate)
    return list(rows.values())


def _unheard(by: Peer, of: Peer) -> int:
    """How many packets were sent before the hearer was told of them."""
    return 0 if by.first_heard is None else (by.first_heard - of.first_sent) & 0xFFFF
