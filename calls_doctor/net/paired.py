"""The stand-in that a pairing link names, as the checks use it: ways to it, sessions with it, its echo, its books.

All is derived from the link (wire/direct.py). Where its transports have been silent so far is remembered, so that no
check waits out a silence that another has waited out.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from calls_doctor.errors import BooksError, NetworkError, SealError
from calls_doctor.model.books import RunBooks
from calls_doctor.model.credentials import Secret
from calls_doctor.model.facts import Facts
from calls_doctor.model.flow import Address, Transport, reachable_by_address
from calls_doctor.model.report import Report
from calls_doctor.model.site import MediaAddress
from calls_doctor.net import documents_client, echo, payload_size, resolver
from calls_doctor.net.echo import Echo, EchoOutcome, Witness
from calls_doctor.net.exchange import Exchange
from calls_doctor.net.hops import HopWatch
from calls_doctor.net.listening import Listening, Signs
from calls_doctor.net.local_ports import local_addresses
from calls_doctor.net.path_lock import ALONE_WAIT_S, PathLock
from calls_doctor.net.payload_size import SizesSeen
from calls_doctor.net.reach_back import ReachBackWatch
from calls_doctor.net.sockets import Channel, ChannelOpener, Receiver, open_tcp, open_udp, open_whole_udp
from calls_doctor.net.strays import StrayWatch
from calls_doctor.wire import books as wire_books
from calls_doctor.wire import direct, envelope, sdp, stun
from calls_doctor.wire.connection import SessionSettings
from calls_doctor.wire.direct import Link
from calls_doctor.wire.documents import SESSIONS_MAX, Document
from calls_doctor.wire.dtls import Certificate, DtlsRole
from calls_doctor.wire.ice import IceCredentials, IceRole
from calls_doctor.wire.pages import CHUNK_BYTES
from calls_doctor.wire.seal import NONCE_BYTES

if TYPE_CHECKING:
    from calls_doctor.net.turn_client import Allocation

__all__ = ["ChannelOpener", "Echo", "EchoOutcome", "PairedHost"]

TCP_CONNECT_S = stun.PROBE_DECIDED_S
"""As long as UDP has to answer; the system sends a second SYN after a second."""
BOOKS_HEAD_START_S = 0.1
"""Books are asked for over TCP too where UDP has brought none by then, a round trip aside."""
SILENCE_KEPT_S = 10.0
"""How long a transport that was silent is not asked for books again."""
ONCE_SIZES_BYTES = (200, 400, 600)
BOOKS_WAYS = (Transport.UDP, Transport.TCP)
ECHO_LEGS = {Transport.UDP: "u", Transport.TCP: "t", Transport.RELAY: "r"}
LOCAL_FRAGMENT_BYTES, LOCAL_PASSWORD_BYTES = 6, 18
T = TypeVar("T")


class PairedHost:
    """One media host, behind which a stand-in with this link's key listens."""

    def __init__(self, link: Link, media: MediaAddress) -> None:
        self._link, self._media = link, media
        self._idle_sessions: dict[Transport, list[_Session]] = {way: [] for way in BOOKS_WAYS}
        """Sessions that nobody fetches books with just now: a run has a limited number of them."""
        self._unjudged_sessions: set[str] = set()
        """By name: those, and what looks on beside an echo. They are in the far end's books, and of no interest."""
        self._sessions: list[str] = []
        """Names of all that were made here."""
        self._udp_rtt_s = 0.0
        """Of the last echo that UDP brought back."""
        self._books_pages = 0
        """Of the books when they were fetched last: they grow."""
        self._address = ""
        self._silent_since: dict[Transport, float] = {}
        """Transport -> when it was first asked without an answer since."""
        self._signs = Signs()
        self.path_lock = PathLock()
        """Held by what sends more than a few packets: probes that disturb each other are repeated alone."""

    @cached_property
    def _certificate(self) -> Certificate:
        return Certificate.generate()

    @property
    def run(self) -> str:
        """The public name of the stand-in's run, the same at each of its addresses."""
        return self._link.keys.run

    @property
    def api_client_id(self) -> str:
        """The client id of the stand-in's 8045 API."""
        return self._link.keys.api_client_id

    @property
    def api_auth_key(self) -> Secret:
        """The key that belongs to it."""
        return self._link.keys.api_auth_key

    def target(self, transport: Transport) -> str:
        """HOST:PORT/TRANSPORT, as the reader knows the host."""
        return self._media.target(transport)

    @property
    def heard(self) -> bool:
        """True where anything was ever heard of the stand-in, by any way."""
        return self._signs.answered

    @property
    def disowned(self) -> bool:
        """True where a TCP connection was closed at its first frame, nobody refused anything and no way ever brought an
        answer: whoever listens there does not know this link (contract section 4), or is no stand-in at all."""
        return self._signs.closed and not (self._signs.answered or self._signs.refused)

    @property
    def elsewhere(self) -> bool:
        """True where nothing was ever heard of an address that is private and of no network like this machine's: the
        link was made for another network (contract section 4)."""
        signs, address = self._signs, self._link.address
        heard = signs.answered or signs.refused or signs.connected
        return not heard and self._address == address and not reachable_by_address(address, local_addresses())

    def opener(self, transport: Transport) -> ChannelOpener:
        """Opens channels straight to the media port."""

        async def open_channel(receiver: Receiver) -> Channel:
            listening = self._listening(receiver, transport)
            if transport is Transport.TCP:
                channel = await open_tcp((await self.address(), self._media.tcp_port), listening, TCP_CONNECT_S)
                self._signs.connected = True
                return channel
            return await open_udp(await self._udp_address(), listening)

        return open_channel

    def through(self, allocation: Allocation) -> ChannelOpener:
        """Opens channels to the media port through a relay; where one was bound before, without asking again."""

        async def open_channel(receiver: Receiver) -> Channel:
            return await allocation.channel(await self._udp_address(), self._listening(receiver, Transport.RELAY))

        return open_channel

    async def address(self) -> str:
        """The media host's IP address, looked up once. Raises NetworkError where its name has none."""
        if not self._address:
            self._address = (await resolver.resolve(self._media.host))[0]
        return self._address

    @property
    def udp_port(self) -> int:
        """The media port over UDP."""
        return self._media.udp_port

    @property
    def tcp_port(self) -> int:
        """The media port over TCP; 0: TCP is not wanted."""
        return self._media.tcp_port

    def at(self, address: str, port: int) -> PairedHost:
        """The same stand-in, tried at another address and port."""
        tcp_port = port if self._media.tcp_port else 0
        return PairedHost(self._link, MediaAddress(host=address, udp_port=port, tcp_port=tcp_port))

    async def echo_once(self, transport: Transport) -> EchoOutcome:
        """A few small probes: is this address reached at all?"""
        return await self.echo(self.opener(transport), ONCE_SIZES_BYTES)

    async def answer(self, offer: str, leg: str = "u") -> tuple[str, str]:
        """The answer of the stand-in to another stack's offer (SDP) over UDP, made here: the link says all that is
        in it. The session's name, and the answer. Raises SdpError and NetworkError."""
        parsed = sdp.parse(offer)
        session = self._new_session(leg, parsed.fingerprint)
        candidate = sdp.host_candidate(Transport.UDP, await self.address(), self._media.udp_port)
        ufrag, pwd = session.credentials.remote_fragment, session.credentials.remote_password
        return session.name, sdp.answer(parsed, candidate, ufrag, pwd, self._link.fingerprint, direct.ECHO_SSRC)

    def new_call(self) -> str:
        """A name for a call; sessions that are made with it hear each other."""
        return direct.base64_chars(secrets.token_bytes(direct.NONCE_BYTES))[: direct.CALL_CHARS]

    def session_settings(self, leg: str, call: str = "") -> SessionSettings:
        """A new session with DTLS on this leg (direct.ECHO_LEGS, direct.CONFERENCE_LEGS), in a call or without."""
        session = self._new_session(leg, self._certificate.fingerprint, call)
        return SessionSettings(
            session=session.name,
            ice_role=IceRole.CONTROLLING,
            dtls_role=DtlsRole.CLIENT,
            certificate=self._certificate,
            remote_fingerprint=self._link.fingerprint,
            local_fragment=session.credentials.local_fragment,
            local_password=session.credentials.local_password,
            remote_fragment=session.credentials.remote_fragment,
            remote_password=session.credentials.remote_password,
            ssrc=secrets.randbelow(0xFFFFFFFF) + 1,
            leg=leg,
        )

    def _listening(self, receiver: Receiver, transport: Transport) -> Listening:
        return Listening(receiver, transport, self._silent_since, self._signs)

    def _new_session(self, leg: str, fingerprint: bytes, call: str = "") -> _Session:
        nonce = direct.nonce(secrets.token_bytes(direct.NONCE_BYTES), call)
        fragment = direct.compose(self._link.keys.run, leg, nonce, fingerprint)
        credentials = IceCredentials(
            local_fragment=direct.base64_chars(secrets.token_bytes(LOCAL_FRAGMENT_BYTES)),
            local_password=direct.base64_chars(secrets.token_bytes(LOCAL_PASSWORD_BYTES)),
            remote_fragment=str(fragment),
            remote_password=self._link.keys.password(str(fragment)),
        )
        self._sessions.append(fragment.session)
        return _Session(fragment.session, credentials)

    def stray_watch(self) -> StrayWatch:
        """Who looks for answers from elsewhere than the UDP media port."""
        return StrayWatch(self._udp_address, self._witness_credentials())

    def hop_watch(self) -> HopWatch:
        """Who looks how far packets to the UDP media port come."""
        return HopWatch(self._udp_address, self._witness_credentials())

    def reach_back_watch(self) -> ReachBackWatch:
        """Who has the media host send to this machine over UDP."""
        credentials = self._witness_credentials(Transport.TCP)
        return ReachBackWatch(self._udp_address, self.opener(Transport.TCP), credentials)

    def _witness_credentials(self, way: Transport = Transport.UDP) -> IceCredentials:
        """Each has a session of its own at the far end, so that what it sends counts nowhere."""
        session = self._new_session(ECHO_LEGS[way], direct.NO_CERTIFICATE)
        self._unjudged_sessions.add(session.name)
        return session.credentials

    async def _udp_address(self) -> Address:
        return await self.address(), self._media.udp_port

    async def echo(
        self, opener: ChannelOpener, sizes_bytes: Sequence[int], witnesses: Sequence[Witness] = ()
    ) -> EchoOutcome:
        """One probe of each size there and back, with who looks on where it is silent; no session behind it does DTLS.
        What the network did is in the outcome. Raises FarEndError where the stand-in, or a relay, refuses."""
        async with self.path_lock.shared():
            return await self._echo(opener, sizes_bytes, witnesses)

    async def echo_alone(self, opener: ChannelOpener, sizes_bytes: Sequence[int]) -> EchoOutcome | None:
        """The same while nothing else is on the path, and slow enough for a thin link; None where what is under way
        there does not end soon."""
        try:
            async with self.path_lock.alone(ALONE_WAIT_S):
                return await self._echo(opener, sizes_bytes, thin=True)
        except TimeoutError:
            return None

    async def _echo(
        self, opener: ChannelOpener, sizes_bytes: Sequence[int], witnesses: Sequence[Witness] = (), thin: bool = False
    ) -> EchoOutcome:
        exchange = Exchange(secrets.token_bytes)
        try:
            channel = await opener(exchange)
        except NetworkError as error:
            return EchoOutcome(sent=0, returned=[], mapped=None, trouble=error, session="")
        session = self._new_session(ECHO_LEGS[channel.path.transport], direct.NO_CERTIFICATE)
        exchange.begin(channel, session.credentials)
        try:
            outcome = await echo.run(exchange, sizes_bytes, session.name, witnesses, thin=thin)
            if channel.path.transport is Transport.UDP:
                self._udp_rtt_s = min((one.rtt_s for one in outcome.returned), default=0.0)
            return outcome
        finally:
            await exchange.close()

    async def sizes(self, sizes_bytes: Sequence[int], *, alone: bool = False) -> SizesSeen:
        """Which of these UDP payloads come back whole; with `alone` while nothing else is on the path. Raises
        NetworkError where there is no route, FarEndError where the stand-in refuses, and TimeoutError where what is
        under way on the path does not end soon. Only where CAN_KEEP_WHOLE (net/sockets.py)."""
        async with self.path_lock.alone(ALONE_WAIT_S) if alone else self.path_lock.shared():
            return await self._sizes(sizes_bytes)

    async def _sizes(self, sizes_bytes: Sequence[int]) -> SizesSeen:
        exchange = Exchange(secrets.token_bytes)
        channel = await open_whole_udp(await self._udp_address(), self._listening(exchange, Transport.UDP))
        session = self._new_session(ECHO_LEGS[Transport.UDP], direct.NO_CERTIFICATE)
        exchange.begin(channel, session.credentials)
        try:
            seen = await payload_size.run(exchange, sizes_bytes, session.name)
            return replace(seen, mtu_bytes=channel.mtu_bytes)
        finally:
            await exchange.close()

    async def books(self) -> RunBooks | None:
        """The run's books as the stand-in keeps them of our sessions, by whichever way brings them first; None where
        none does within a second of silence, or all have been silent that long already."""
        likely = self._books_pages + 1
        ours = [name[-direct.NONCE_CHARS :] for name in self._sessions if name not in self._unjudged_sessions]
        wanted = ours if len(ours) <= SESSIONS_MAX else []  # of all, then
        encoded = await self._by_any_way(
            lambda exchange: documents_client.fetch(exchange, Document.BOOKS, likely, wanted)
        )
        self._books_pages = -(-len(encoded or b"") // CHUNK_BYTES)
        try:
            books = wire_books.decode(encoded) if encoded else None
        except BooksError:
            return None
        if books is not None:
            books.sessions = [one for one in books.sessions if one.session not in self._unjudged_sessions]
        return books

    async def facts(self) -> Facts | None:
        """What the stand-in tells of its machine; None where it cannot be asked, or tells nothing."""
        sealed = await self._by_any_way(lambda exchange: documents_client.fetch(exchange, Document.FACTS))
        try:
            return envelope.open_facts(sealed, self._link.keys) if sealed else None
        except SealError:
            return None

    async def hand_in(self, report: Report) -> bool:
        """Gives the stand-in this run's report, sealed; False where no way brought it there."""
        sealed = envelope.seal_report(report, self._link.keys, secrets.token_bytes(NONCE_BYTES))

        async def give(exchange: Exchange) -> bool | None:
            return await documents_client.hand_in(exchange, Document.REPORT, sealed) or None

        return bool(await self._by_any_way(give))

    async def _by_any_way(self, work: Callable[[Exchange], Awaitable[T | None]]) -> T | None:
        """What the work comes to over UDP or, a moment later, TCP: the first that is something."""
        ways = [way for way in BOOKS_WAYS if self._is_worth_asking(way)]
        tasks: list[asyncio.Task[T | None]] = []
        try:
            for way in ways:
                tasks.append(asyncio.create_task(self._by(way, work)))
                head_start_s = BOOKS_HEAD_START_S + self._udp_rtt_s
                await asyncio.wait(tasks, timeout=head_start_s, return_when=asyncio.FIRST_COMPLETED)
                if tasks[0].done() and tasks[0].result() is not None:
                    break
            for task in asyncio.as_completed(tasks):
                if (found := await task) is not None:
                    return found
            return None
        finally:
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _is_worth_asking(self, way: Transport) -> bool:
        if way is Transport.TCP and not self._media.tcp_port:
            return False
        since = self._silent_since.get(way)
        silent_s = 0.0 if since is None else asyncio.get_running_loop().time() - since
        if silent_s > SILENCE_KEPT_S:
            del self._silent_since[way]
            return True
        return silent_s < documents_client.SILENCE_S

    async def _by(self, way: Transport, work: Callable[[Exchange], Awaitable[T | None]]) -> T | None:
        idle = self._idle_sessions[way]
        session = idle.pop() if idle else self._new_session(ECHO_LEGS[way], direct.NO_CERTIFICATE)
        self._unjudged_sessions.add(session.name)
        exchange = Exchange(secrets.token_bytes)
        began_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(documents_client.SILENCE_S):
                channel = await self.opener(way)(exchange)
            exchange.begin(channel, session.credentials)
            return await work(exchange)
        except (NetworkError, TimeoutError):
            return None
        except asyncio.CancelledError:  # the other way was faster: that is no silence
            if self._silent_since.get(way, 0.0) >= began_at:
                del self._silent_since[way]
            raise
        finally:
            await exchange.close()
            idle.append(session)


@dataclass(frozen=True)
class _Session:
    """One session of the stand-in's, of our own making."""

    name: str
    credentials: IceCredentials
