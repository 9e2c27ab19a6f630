"""The SFU on a real port: who is let in, who is met with silence, and what is kept of either."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from calls_doctor.model.books import SessionBooks
from calls_doctor.model.flow import Transport
from calls_doctor.net.peer import CallFailed, Peer
from calls_doctor.net.sockets import open_tcp, open_udp
from calls_doctor.sfu import sfu as sfu_module
from calls_doctor.sfu.session import FORWARDED_BURST_BYTES, FORWARDED_BYTES_PER_S, Grant
from calls_doctor.sfu.sfu import BOOKS_MAX, SESSIONS_MAX, Sfu
from calls_doctor.standin.launch import Ready
from calls_doctor.standin.server import StandIn
from calls_doctor.wire import ice, stun
from calls_doctor.wire.connection import DataReceived, Event, SessionSettings
from calls_doctor.wire.direct import NO_CERTIFICATE, compose, nonce
from calls_doctor.wire.dtls import Certificate, DtlsRole
from calls_doctor.wire.framing import PacketKind, frame, packet_kind
from calls_doctor.wire.ice_lite import Desk
from calls_doctor.wire.rate_limit import ANSWERS_BURST
from calls_doctor.wire.stun import Message, MessageClass, Method
from tests.servers.empty_desk import EmptyDesk
from tests.servers.media_host import MEDIA_ONLY, media_host, paired, stranger
from tests.servers.middlebox import HOST
from tests.servers.plain_sockets import PlainUdp, eventually, rest_of

TRANSPORTS = [Transport.UDP, Transport.TCP]


@asynccontextmanager
async def running() -> AsyncIterator[tuple[StandIn, Sfu, Ready]]:
    async with media_host() as stand_in:
        assert stand_in.ready is not None
        yield stand_in, stand_in._sfu, stand_in.ready


def check(ready: Ready, *, password: str | None = None, fragment: str | None = None) -> bytes:
    """A connectivity check of a new session."""
    keys = ready.pairing.keys
    fragment = fragment or str(compose(keys.run, "u", nonce(secrets.token_bytes(6)), NO_CERTIFICATE))
    request = Message(Method.BINDING, MessageClass.REQUEST, secrets.token_bytes(12), [
        (stun.USERNAME, f"{fragment}:near"), (stun.PRIORITY, 1), (stun.ICE_CONTROLLING, 1),
    ])  # fmt: skip
    return request.encode((password or keys.password(fragment)).encode(), fingerprint=True)


def check_of(settings: SessionSettings) -> bytes:
    """A check of a session that is known."""
    request = Message(Method.BINDING, MessageClass.REQUEST, secrets.token_bytes(12), [
        (stun.USERNAME, settings.ice_credentials.username_out), (stun.PRIORITY, 1), (stun.ICE_CONTROLLING, 1),
    ])  # fmt: skip
    return request.encode(settings.remote_password.encode(), fingerprint=True)


class Heard:
    """A receiver that keeps what comes."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.troubles: list[Exception] = []
        self.news = asyncio.Event()

    def packet(self, data: bytes) -> None:
        self.packets.append(data)
        self.news.set()

    def trouble(self, error: Exception) -> None:
        self.troubles.append(error)
        self.news.set()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_three_in_a_call_hear_each_other(transport: Transport) -> None:
    async with running() as (_, sfu, ready):
        host = paired(ready)
        call = host.new_call()
        peers = [Peer(host.session_settings(str(transport)[0].upper(), call), secrets.token_bytes) for _ in range(3)]
        for peer in peers:
            await peer.connect(await host.opener(transport)(peer), 3.0)
        await asyncio.gather(*(peer.talk(0.2, 50) for peer in peers))
        await asyncio.gather(*(peer.heard(20, 1.0) for peer in peers))
        assert [[stream.received for stream in peer.books.streams] for peer in peers] == [[10, 10]] * 3
        assert [[stream.received for stream in books.streams] for books in sfu.books()] == [[10]] * 3
        for peer in peers:
            await peer.close()
        await eventually(lambda: not (sfu.sessions))
        assert sfu._forwarder._calls == {}
        assert len(sfu.books()) == 3


HOSTILE = {
    "nothing": b"",
    "text": b"hello",
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "zeroes": bytes(1200),
    "bare binding": Message(Method.BINDING, MessageClass.REQUEST, bytes(12)).encode(),
    "dtls": b"\x16\xfe\xfd" + bytes(10) + b"\x01" + bytes(100),
    "rtp": b"\x80\x6f" + bytes(170),
    "rtcp": b"\x80\xc9" + bytes(30),
    "an answer": Message(Method.BINDING, MessageClass.SUCCESS, bytes(12)).encode(),
}


async def test_over_udp_what_is_not_authentic_is_met_with_silence_and_makes_no_state() -> None:
    async with running() as (stand_in, sfu, ready), PlainUdp() as udp:
        keys = ready.pairing.keys
        foreign = str(compose("A" * 8, "u", "B" * 8, NO_CERTIFICATE))
        valid = check(ready)
        for data in (
            *HOSTILE.values(), valid[:-1], valid[: len(valid) // 2], valid[:40] + b"\xff" + valid[41:],
            check(ready, fragment=foreign), check(ready, password="wrong" * 6), secrets.token_bytes(500),
        ):  # fmt: skip
            await udp.send(data, (HOST, ready.media_port))
        answered = await udp.ask(valid, (HOST, ready.media_port))  # comes after all of them, and is the first answer
        message = stun.parse(answered)
        assert message.message_class is MessageClass.SUCCESS
        assert message.get(stun.XOR_MAPPED_ADDRESS) == udp.address
        fragment = (stun.parse(valid).get(stun.USERNAME) or "").split(":")[0]
        assert message.integrity_is_valid(keys.password(fragment).encode())
        assert len(answered) <= len(valid)
        assert sfu.sessions == 1 and len(sfu._by_path) == 1
        books = stand_in.books()
        assert (books.foreign_runs, books.bad_integrity) == (1, 1)
        assert books.unauthenticated >= len(HOSTILE)


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "nothing"])
async def test_over_tcp_the_first_frame_that_is_not_admitted_ends_the_connection(name: str) -> None:
    async with running() as (_, sfu, ready):
        for data in (frame(HOSTILE[name]), HOSTILE[name]):
            reader, writer = await asyncio.open_connection(HOST, ready.media_port)
            writer.write(data + bytes(4096))
            assert await rest_of(reader) == b""
            writer.transport.abort()
        assert sfu.sessions == 0 and not sfu._mux.streams


async def test_a_strangers_key_gets_nothing_by_either_way() -> None:
    async with running() as (stand_in, sfu, ready):
        host = stranger(ready)
        outcome = await host.echo(host.opener(Transport.TCP), (200,))
        assert not outcome.returned and str(outcome.trouble).count("closed")
        assert sfu.sessions == 0
        assert stand_in.books().foreign_runs >= 1


async def test_a_legitimate_call_goes_on_undisturbed_through_a_flood() -> None:
    async with running() as (_, sfu, ready), PlainUdp() as flood:
        host = paired(ready)
        peer = Peer(host.session_settings("u"), secrets.token_bytes)
        await peer.connect(await host.opener(Transport.UDP)(peer), 3.0)
        talking = asyncio.create_task(peer.talk(0.4, 50))
        junk = [*HOSTILE.values(), check(ready, password="wrong" * 6), secrets.token_bytes(900)]
        while not talking.done():
            for data in junk:
                await flood.send(data, (HOST, ready.media_port))
            await asyncio.sleep(0)
        await talking
        await peer.heard(20, 1.0)
        assert [stream.received for stream in peer.books.streams] == [20]
        assert sfu.sessions == 1
        await peer.close()


async def test_a_flood_without_the_key_does_not_silence_its_holder_at_the_same_address() -> None:
    async with running() as (_, sfu, ready), PlainUdp() as udp, PlainUdp() as holder:
        for _ in range(200):
            await udp.send(check(ready, password="wrong" * 6), (HOST, ready.media_port))
        answer = stun.parse(await holder.ask(check(ready), (HOST, ready.media_port)))
        assert answer.message_class is MessageClass.SUCCESS
        assert (sfu.bad_integrity, sfu.sessions) == (200, 1)


async def test_whoever_opens_sessions_too_fast_is_told_and_never_silenced() -> None:
    async with running() as (_, _, ready), PlainUdp() as udp:
        answers = [stun.parse(await udp.ask(check(ready), (HOST, ready.media_port))) for _ in range(200)]
        refused = [one.get(stun.ERROR_CODE) for one in answers if one.message_class is MessageClass.ERROR]
        assert {one.code for one in refused if one is not None} == {ice.INSUFFICIENT_CAPACITY}
        assert len(answers) == 200 and len(refused) >= 200 - SESSIONS_MAX


async def test_a_source_address_has_a_limit_of_new_sessions() -> None:
    async with running() as (_, sfu, ready), PlainUdp() as udp:
        for _ in range(2 * round(ANSWERS_BURST)):  # some come back while they are asked for
            answer = stun.parse(await udp.ask(check(ready), (HOST, ready.media_port)))
            for session in list(sfu._sessions.values()):  # so that room is never what lacks
                sfu._forget(session, 0.0)
            if answer.message_class is MessageClass.ERROR:
                break
        else:
            raise AssertionError("no limit was met")


@pytest.mark.parametrize("forgotten", [False, True], ids=["open", "forgotten"])
async def test_a_captured_check_opens_nothing_from_another_address(forgotten: bool) -> None:
    async with running() as (_, sfu, ready), PlainUdp() as udp, PlainUdp() as thief:
        captured = check(ready)
        await udp.ask(captured, (HOST, ready.media_port))
        if forgotten:
            sfu._forget(next(iter(sfu._sessions.values())), 0.0)
        paths = set(sfu._by_path)
        await thief.send(captured, (HOST, ready.media_port))
        await udp.ask(check(ready), (HOST, ready.media_port))  # what came before it has been seen by then
        assert {path.remote for path in set(sfu._by_path) - paths} <= {udp.address}
        assert sfu.sessions == (1 if forgotten else 2)


async def test_one_session_too_many_is_told_so() -> None:
    async with running() as (_, sfu, ready), PlainUdp() as udp:
        classes = []
        for n in range(SESSIONS_MAX + 1):
            classes.append(stun.parse(await udp.ask(check(ready), (HOST, ready.media_port))))
            if n % 30 == 0:
                await asyncio.sleep(0.3)  # below the limit for one source
        assert {message.message_class for message in classes[:-1]} == {MessageClass.SUCCESS}
        refused = classes[-1].get(stun.ERROR_CODE)
        assert refused is not None and refused.code == ice.INSUFFICIENT_CAPACITY
        assert sfu.sessions == SESSIONS_MAX <= BOOKS_MAX


async def test_a_session_that_is_silent_is_forgotten_with_its_connection_and_its_books_stay() -> None:
    async with running() as (_, sfu, ready), PlainUdp() as udp:
        sfu._consent_expiry_s = 0.2
        await udp.ask(check(ready), (HOST, ready.media_port))
        heard = Heard()
        channel = await open_tcp((HOST, ready.media_port), heard, 2.0)
        in_a_call = compose(ready.pairing.keys.run, "T", nonce(secrets.token_bytes(6)), NO_CERTIFICATE)
        channel.send(check(ready, fragment=str(in_a_call)))
        await eventually(lambda: len(sfu._by_path) == sfu.sessions == 2)
        assert len(sfu._forwarder._calls) == 1
        await eventually(lambda: not sfu.sessions)
        assert sfu._sessions == {} and sfu._by_path == {} and sfu._timer is None
        assert sfu._forwarder._calls == {}, "nothing is forwarded to who is gone"
        assert len(sfu.books()) == 2
        await eventually(lambda: bool(heard.troubles))
        assert not sfu._mux.streams, "who was admitted once would hold its connection for ever"
        await channel.close()


async def test_a_check_that_comes_late_does_not_open_the_session_anew_with_empty_books() -> None:
    async with running() as (_, sfu, ready), PlainUdp() as udp:
        host = paired(ready)
        settings = host.session_settings("u")
        peer = Peer(settings, secrets.token_bytes)
        await peer.connect(await host.opener(Transport.UDP)(peer), 3.0)
        await peer.talk(0.1, 50)
        await peer.heard(5, 1.0)
        await peer.close()
        await eventually(lambda: not sfu.sessions)
        late = stun.parse(await udp.ask(check_of(settings), (HOST, ready.media_port)))
        assert late.message_class is MessageClass.SUCCESS
        (books,) = sfu.books()
        assert [stream.received for stream in books.streams] == [5] and sfu.sessions == 0


async def test_why_a_session_failed_outlasts_the_checks_that_its_client_goes_on_sending() -> None:
    async with running() as (_, sfu, ready), PlainUdp() as udp:
        host = paired(ready)
        settings = dataclasses.replace(host.session_settings("u"), certificate=Certificate.generate())
        peer = Peer(settings, secrets.token_bytes)
        with pytest.raises(CallFailed):
            await peer.connect(await host.opener(Transport.UDP)(peer), 3.0)
            await peer.talk(1.0, 50)  # a client may be done with DTLS before the far end has judged
        await udp.ask(check_of(settings), (HOST, ready.media_port))
        (books,) = sfu.books()
        assert "fingerprint" in books.failure and books.sent_rtp == 0
        await peer.close()


async def test_a_session_that_has_ended_gives_way_to_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sfu_module, "SESSIONS_MAX", 1)
    async with running() as (_, sfu, ready), PlainUdp() as udp:
        host = paired(ready)
        peer = Peer(host.session_settings("t"), secrets.token_bytes)
        await peer.connect(await host.opener(Transport.TCP)(peer), 3.0)
        refused = stun.parse(await udp.ask(check(ready), (HOST, ready.media_port)))
        assert refused.message_class is MessageClass.ERROR
        await peer.close()
        await eventually(lambda: not sfu.sessions)
        taken = stun.parse(await udp.ask(check(ready), (HOST, ready.media_port)))
        assert taken.message_class is MessageClass.SUCCESS
        assert sfu.sessions == len(sfu._sessions) == 1 and len(sfu.books()) == 2


async def test_sessions_under_one_name_that_came_no_further_than_ice_leave_one_entry_and_calls_all_of_them() -> None:
    async with running() as (_, sfu, _ready):
        for timeline, failure in (
            ({}, ""),
            ({"ice": 0.1}, ""),
            ({"ice": 0.1, "dtls": 0.2}, ""),
            ({}, "dtls: no"),
            ({}, ""),
        ):
            sfu._keep(SessionBooks(session="name", timeline=timeline, failure=failure))
        assert [(books.timeline, books.failure) for books in sfu.books()] == [
            ({"ice": 0.1, "dtls": 0.2}, ""), ({}, "dtls: no"), ({}, ""),
        ]  # fmt: skip
        for number in range(BOOKS_MAX):
            sfu._keep(SessionBooks(session=str(number)))
        assert [books.session for books in sfu.books()] == [str(number) for number in range(BOOKS_MAX)]


async def test_whatever_is_refused_is_counted_as_what_it_was() -> None:
    async with running() as (stand_in, sfu, ready), PlainUdp() as client, PlainUdp() as stranger_:
        address = (HOST, ready.media_port)
        own = check(ready)
        await client.ask(own, address)
        keepalive = Message(Method.BINDING, MessageClass.INDICATION, bytes(12)).encode()
        await client.send(keepalive, address)  # RFC 8445 section 11: of a session's own path, no stranger
        await stranger_.send(keepalive, address)
        await stranger_.send(own[:-28] + bytes(20) + own[-8:], address)  # spoilt: its FINGERPRINT does not fit
        await stranger_.send(check(ready, fragment="another program's"), address)
        name = (stun.parse(own).get(stun.USERNAME) or "").split(":")[0]
        await stranger_.send(check(ready, fragment=name, password="wrong" * 6), address)  # a session that is open
        await client.ask(own, address)
        books = stand_in.books()
        assert (books.foreign_runs, books.bad_integrity, books.unauthenticated) == (0, 1, 3)
        assert [path.remote for path in sfu._by_path] == [client.address]


async def test_a_replay_from_another_address_moves_nothing() -> None:
    async with running() as (_, sfu, ready), PlainUdp() as owner, PlainUdp() as thief:
        request = check(ready)
        await owner.ask(request, (HOST, ready.media_port))
        await thief.send(request, (HOST, ready.media_port))
        assert await owner.ask(request, (HOST, ready.media_port))  # a retransmission is answered, after the replay came
        assert [path.remote for path in sfu._by_path] == [owner.address]


async def test_five_hundred_idle_connections_are_bounded_and_do_not_shut_others_out() -> None:
    async with running() as (_, sfu, ready):
        idle = [await asyncio.open_connection(HOST, ready.media_port) for _ in range(500)]
        await eventually(lambda: not (len(sfu._mux.streams) > 32))
        heard = Heard()
        channel = await open_tcp((HOST, ready.media_port), heard, 2.0)
        channel.send(check(ready))
        async with asyncio.timeout(2):
            await heard.news.wait()
        assert stun.parse(heard.packets[0]).message_class is MessageClass.SUCCESS
        await channel.close()
        for _, writer in idle:
            writer.transport.abort()


async def test_a_connection_that_stays_mute_is_closed() -> None:
    async with running() as (_, sfu, ready):
        sfu._mux.unadmitted_s = 0.1
        reader, writer = await asyncio.open_connection(HOST, ready.media_port)
        assert await rest_of(reader) == b""
        writer.transport.abort()
        assert not sfu._mux.streams


async def test_the_end_of_a_tcp_connection_takes_its_path_along() -> None:
    async with running() as (_, sfu, ready):
        heard = Heard()
        channel = await open_tcp((HOST, ready.media_port), heard, 2.0)
        channel.send(check(ready))
        async with asyncio.timeout(2):
            await heard.news.wait()
        assert len(sfu._by_path) == 1
        await channel.close()
        await eventually(lambda: not (sfu._by_path))
        assert sfu.sessions == 1, "it may come back by another path"


async def test_closing_says_good_bye_to_peers_and_frees_the_port() -> None:
    async with running() as (_, _sfu, ready):
        host = paired(ready)
        peer = Peer(host.session_settings("u"), secrets.token_bytes)
        await peer.connect(await host.opener(Transport.UDP)(peer), 3.0)
    heard = Heard()
    channel = await open_udp((HOST, ready.media_port), heard)
    channel.send(check(ready))
    async with asyncio.timeout(2):
        await heard.news.wait()
    assert heard.troubles and not heard.packets
    await channel.close()
    with pytest.raises(Exception, match="far end ended the session"):
        await peer.talk(1.0, 50)
    await peer.close()


def check_to_hold(ready: Ready, fragment: str, hold_ms: int) -> bytes:
    """A check whose answer is to be held."""
    request = Message(Method.BINDING, MessageClass.REQUEST, secrets.token_bytes(12), [
        (stun.USERNAME, f"{fragment}:near"), (stun.PRIORITY, 1), (stun.ICE_CONTROLLING, 1), (stun.HOLD_ANSWER, hold_ms),
    ])  # fmt: skip
    return request.encode(ready.pairing.keys.password(fragment).encode(), fingerprint=True)


def echo_fragment(ready: Ready) -> str:
    return str(compose(ready.pairing.keys.run, "u", nonce(secrets.token_bytes(6)), NO_CERTIFICATE))


async def test_an_answer_is_held_for_as_long_as_was_asked_and_others_are_not() -> None:
    loop = asyncio.get_running_loop()
    async with running() as (_, sfu, ready):
        heard, fragment = Heard(), echo_fragment(ready)
        channel = await open_udp((HOST, ready.media_port), heard)
        began = loop.time()
        held, now = check_to_hold(ready, fragment, 300), check(ready, fragment=fragment)
        channel.send(held)
        channel.send(now)
        await eventually(lambda: len(heard.packets) == 1)
        assert loop.time() - began < 0.25
        assert [len(session.held) for session in sfu._sessions.values()] == [1]
        await eventually(lambda: len(heard.packets) == 2)
        assert loop.time() - began >= 0.3
        assert [data[8:20] for data in heard.packets] == [now[8:20], held[8:20]]
        await channel.close()


@pytest.mark.parametrize(
    ("transport", "hold_ms"), [(Transport.TCP, 60_000), (Transport.TCP, 5000), (Transport.UDP, 26_001)]
)
async def test_over_tcp_and_beyond_the_limit_it_is_answered_at_once(transport: Transport, hold_ms: int) -> None:
    async with running() as (_, sfu, ready):
        heard = Heard()
        channel = await paired(ready).opener(transport)(heard)
        channel.send(check_to_hold(ready, echo_fragment(ready), hold_ms))
        await eventually(lambda: len(heard.packets) == 1)
        assert not any(session.held for session in sfu._sessions.values())
        await channel.close()


async def test_what_else_a_check_sets_off_is_not_held() -> None:
    """Where the SFU is the DTLS client its first flight leaves at once."""
    fragment, password = "f" * 8, "p" * 43
    grant = Grant(
        session="s", password=password, peer_fingerprint=bytes(32), call=None, publishes_as=1, leg="u",
        dtls_role=DtlsRole.CLIENT,
    )  # fmt: skip
    sfu, heard = Sfu(lambda _fragment: grant, Certificate.generate(), EmptyDesk()), Heard()
    await sfu.start([HOST])
    channel = await open_udp((HOST, sfu.port), heard)
    request = Message(Method.BINDING, MessageClass.REQUEST, secrets.token_bytes(12), [
        (stun.USERNAME, f"{fragment}:near"), (stun.PRIORITY, 1), (stun.ICE_CONTROLLING, 1), (stun.HOLD_ANSWER, 25_000),
    ])  # fmt: skip
    channel.send(request.encode(password.encode(), fingerprint=True))
    await eventually(lambda: bool(heard.packets))
    assert {packet_kind(data) for data in heard.packets} == {PacketKind.DTLS}
    assert [len(session.held) for session in sfu._sessions.values()] == [1]
    await channel.close()
    await sfu.close()


async def test_what_is_held_ends_with_the_port() -> None:
    async with running() as (_, sfu, ready):
        heard = Heard()
        channel = await open_udp((HOST, ready.media_port), heard)
        channel.send(check_to_hold(ready, echo_fragment(ready), 300))
        await eventually(lambda: any(session.held for session in sfu._sessions.values()))
    await asyncio.sleep(0.4)
    assert heard.packets == []
    await channel.close()


class Recorded:
    """An association that says everything back."""

    def __init__(self, send: Callable[[bytes], None], _desk: Desk) -> None:
        self.send, self.packets, self.closed = send, list[bytes](), 0

    def receive(self, packet: bytes) -> None:
        self.packets.append(packet)
        self.send(packet)

    def close(self) -> None:
        self.closed += 1
        self.send(b"good-bye")


class Said(Peer):
    """A peer that keeps the data that comes."""

    def __init__(self, settings: SessionSettings) -> None:
        super().__init__(settings, secrets.token_bytes)
        self.data: list[bytes] = []

    def say(self, data: bytes) -> None:
        self._connection.send_data(data, self._loop.time())
        self._go_on()

    def _take(self, event: Event) -> None:
        if isinstance(event, DataReceived):
            self.data.append(event.data)
        super()._take(event)


@asynccontextmanager
async def associated() -> AsyncIterator[tuple[Sfu, Said, list[Recorded]]]:
    """A connected peer, and the associations that were made for it."""
    made: list[Recorded] = []

    def associate(send: Callable[[bytes], None], desk: Desk) -> Recorded:
        made.append(Recorded(send, desk))
        return made[-1]

    async with StandIn(MEDIA_ONLY, associate=associate) as stand_in:
        host = paired(stand_in.ready)
        peer = Said(host.session_settings("u"))
        await peer.connect(await host.opener(Transport.UDP)(peer), 3.0)
        try:
            yield stand_in._sfu, peer, made
        finally:
            await peer.close()


async def test_data_reaches_one_association_of_the_session_and_what_it_says_goes_back() -> None:
    async with associated() as (_, peer, made):
        assert not made, "none before data comes"
        peer.say(b"one")
        peer.say(b"two")
        await eventually(lambda: peer.data == [b"one", b"two"])
        (association,) = made
        assert association.packets == [b"one", b"two"]
        association.send(b"by its own timer")
        await eventually(lambda: len(peer.data) == 3)
        await peer.close()
        await eventually(lambda: association.closed == 1)
        association.send(b"too late")


async def test_an_association_ends_before_its_session_when_the_port_is_closed() -> None:
    async with associated() as (sfu, peer, made):
        peer.say(b"one")
        await eventually(lambda: bool(peer.data))
        await sfu.close()
        await eventually(lambda: peer.data == [b"one", b"good-bye"])
        assert made[0].closed == 1


async def test_data_counts_against_what_a_session_may_cause_both_ways() -> None:
    packet = bytes(1000)
    async with associated() as (sfu, peer, made):
        loop = asyncio.get_running_loop()
        (session,) = sfu._sessions.values()
        began_s = session._filled_at
        for _ in range(2 * FORWARDED_BURST_BYTES // len(packet)):
            peer.say(packet)
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        allowed_bytes = FORWARDED_BURST_BYTES + (loop.time() - began_s) * FORWARDED_BYTES_PER_S
        assert 100 < len(made[0].packets) + len(peer.data) <= allowed_bytes / len(packet)


async def test_without_associations_data_is_met_with_silence() -> None:
    async with running() as (_, sfu, ready):
        host = paired(ready)
        peer = Said(host.session_settings("u"))
        await peer.connect(await host.opener(Transport.UDP)(peer), 3.0)
        before = sfu.books()[0].paths[0].dtls_in
        peer.say(b"one")
        await eventually(lambda: sfu.books()[0].paths[0].dtls_in > before)
        assert peer.data == []
        await peer.talk(0.1, 50)
        await peer.close()
