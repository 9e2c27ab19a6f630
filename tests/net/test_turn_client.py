"""The TURN client against the stand-in's server, with each of its refusals, and against what is no TURN server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from calls_doctor.errors import Cut, FarEndError, ProtocolError, Refused, Silence, TlsError
from calls_doctor.model.credentials import Secret, TurnCredentials
from calls_doctor.model.flow import Transport
from calls_doctor.model.site import ServerUri
from calls_doctor.net import sockets, turn_client
from calls_doctor.net.turn_client import allocate, challenge
from calls_doctor.standin.turn_server import TurnServer
from calls_doctor.wire import stun
from calls_doctor.wire.stun import Message, MessageClass, Method
from calls_doctor.wire.turn_requests import Limits
from calls_doctor.wire.turn_server import Faults
from tests.servers.middlebox import HOST
from tests.servers.plain_sockets import PlainUdp, eventually
from tests.servers.scripted_tcp import http_answer, served
from tests.servers.turn_servers import server_tls, tcp_listener

GOOD = TurnCredentials("alice", Secret("wonderland"))
BAD = TurnCredentials("alice", Secret("queen"))
TRANSPORTS = ["udp", "tcp"]
TIMEOUT_S = 2.0


@asynccontextmanager
async def server(*, limits: Limits | None = None) -> AsyncIterator[TurnServer]:
    async with TurnServer(
        [HOST], users={"alice": Secret("wonderland")}, may_relay={HOST}.__contains__, limits=limits
    ) as running:
        yield running


def uri(port: int, transport: str = "udp") -> ServerUri:
    scheme = "turns" if transport == "tls" else "turn"
    return ServerUri(scheme=scheme, host="localhost" if transport == "tls" else HOST, port=port, transport=transport)


class Heard:
    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.troubles: list[Exception] = []

    def packet(self, data: bytes) -> None:
        self.packets.append(data)

    def trouble(self, error: Exception) -> None:
        self.troubles.append(error)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_challenge_names_realm_and_nonce(transport: str) -> None:
    async with server() as turn:
        answer = await challenge(uri(turn.port, transport), (HOST, turn.port), timeout_s=TIMEOUT_S)
        assert (answer.code, answer.realm, answer.has_nonce) == (401, "calls-doctor", True)
        assert (answer.software or "").startswith("calls-doctor") and answer.rtt_s < 1
        assert turn.allocations == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_data_goes_both_ways_through_an_allocation_that_is_given_back(transport: str) -> None:
    async with server() as turn, PlainUdp() as peer:
        async with await allocate(
            uri(turn.port, transport), (HOST, turn.port), GOOD, timeout_s=TIMEOUT_S
        ) as allocation:
            assert turn.allocations == 1 and allocation.relayed[0] == HOST and allocation.lifetime_s >= 600
            heard = Heard()
            channel = await allocation.channel(peer.address, heard)
            assert channel.path == (Transport.RELAY, allocation.relayed, peer.address)
            for size in (1, 3, 1200):
                data = secrets.token_bytes(size)
                channel.send(data)
                assert await peer.receive() == (data, allocation.relayed)
                await peer.send(data, allocation.relayed)
                await eventually(lambda data=data: heard.packets[-1:] == [data])  # type: ignore[misc]  # mypy on defaults
            await channel.close()
            await peer.send(b"after", allocation.relayed)
            await allocation.permit([HOST])
            assert len(heard.packets) == 3
        assert turn.allocations == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_wrong_credentials_and_a_denied_peer_are_refusals_with_their_codes(transport: str) -> None:
    async with server() as turn:
        where = uri(turn.port, transport)
        with pytest.raises(FarEndError) as refused:
            await allocate(where, (HOST, turn.port), BAD, timeout_s=TIMEOUT_S)
        assert refused.value.code == 401
        async with await allocate(where, (HOST, turn.port), GOOD, timeout_s=TIMEOUT_S) as allocation:
            with pytest.raises(FarEndError) as denied:
                await allocation.permit(["192.0.2.1"])
            assert denied.value.code == 403 and "Create Permission" in str(denied.value)
            with pytest.raises(FarEndError, match="Channel Bind"):
                await allocation.channel(("192.0.2.1", 8443), Heard())
            assert allocation._driver.receivers == {}
        assert "wonderland" not in str(refused.value) + repr(refused.value)


async def test_a_quota_is_a_refusal_and_what_was_given_back_does_not_count() -> None:
    async with server(limits=Limits(allocations_per_user=1)) as turn:
        for _ in range(3):
            async with await allocate(uri(turn.port), (HOST, turn.port), GOOD, timeout_s=TIMEOUT_S):
                with pytest.raises(FarEndError) as refused:
                    await allocate(uri(turn.port), (HOST, turn.port), GOOD, timeout_s=TIMEOUT_S)
                assert refused.value.code == 486


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_cancelling_gives_the_allocation_back(transport: str) -> None:
    async with server() as turn:
        opened = asyncio.Event()

        async def hold() -> None:
            async with await allocate(uri(turn.port, transport), (HOST, turn.port), GOOD, timeout_s=TIMEOUT_S):
                opened.set()
                await asyncio.Event().wait()

        holding = asyncio.create_task(hold())
        await opened.wait()
        assert turn.allocations == 1
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holding
        assert turn.allocations == 0


async def test_an_impatient_cancellation_still_gives_the_allocation_back() -> None:
    async with server() as turn:
        opened = asyncio.Event()

        async def hold() -> None:
            async with await allocate(uri(turn.port), (HOST, turn.port), GOOD, timeout_s=TIMEOUT_S):
                opened.set()
                await asyncio.Event().wait()

        holding = asyncio.create_task(hold())
        await opened.wait()
        holding.cancel()
        await asyncio.sleep(0)  # it is giving back by now
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holding
        assert turn.allocations == 0


async def test_what_may_have_been_granted_meanwhile_is_given_back_over_udp() -> None:
    async with PlainUdp() as plain:
        asking = asyncio.create_task(allocate(uri(plain.address[1]), plain.address, GOOD, timeout_s=TIMEOUT_S))
        packet, client = await plain.receive()
        challenge_: stun.Attributes = [
            (stun.ERROR_CODE, stun.ErrorCode(401, "")), (stun.REALM, "r"), (stun.NONCE, b"n"),
        ]  # fmt: skip
        await plain.send(Message(3, MessageClass.ERROR, packet[8:20], challenge_).encode(), client)
        while stun.parse((await plain.receive())[0]).get(stun.USERNAME) is None:
            pass  # the first request again
        asking.cancel()
        while (request := stun.parse((await plain.receive())[0])).method != Method.REFRESH:
            pass
        assert request.get(stun.LIFETIME) == 0
        await plain.send(
            Message(
                4, MessageClass.ERROR, request.transaction_id, [(stun.ERROR_CODE, stun.ErrorCode(437, ""))]
            ).encode(),
            client,
        )
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_giving_back_waits_for_the_answer_and_no_longer() -> None:
    loop = asyncio.get_running_loop()
    async with server() as turn:
        allocation = await allocate(uri(turn.port), (HOST, turn.port), GOOD, timeout_s=TIMEOUT_S)
        assert 0 < allocation.rtt_s < 1
        began = loop.time()
        async with allocation:
            pass
        assert loop.time() - began < turn_client.RELEASE_S / 2 and turn.allocations == 0
        allocation = await allocate(uri(turn.port), (HOST, turn.port), GOOD, timeout_s=TIMEOUT_S)
        turn.faults = Faults(mute=True)
        began = loop.time()
        async with allocation:
            pass
        assert turn_client.RELEASE_S <= loop.time() - began + 0.01 < turn_client.RELEASE_S + 0.2


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_allocation_that_is_not_answered_takes_no_longer_than_was_given(transport: str) -> None:
    loop = asyncio.get_running_loop()
    async with PlainUdp() as mute, tcp_listener(hangs=True) as hanging:
        port = mute.address[1] if transport == "udp" else hanging
        began = loop.time()
        with pytest.raises(Silence):
            await allocate(uri(port, transport), (HOST, port), GOOD, timeout_s=0.2)
        assert 0.19 < loop.time() - began < 0.2 + turn_client.RELEASE_S + 0.2


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_cancelling_while_the_answer_is_on_its_way_leaves_nothing_either(transport: str) -> None:
    async with server() as turn:
        for delay_s in (0.0, 0.001, 0.002, 0.004):
            task = asyncio.create_task(
                allocate(uri(turn.port, transport), (HOST, turn.port), GOOD, timeout_s=TIMEOUT_S)
            )
            await asyncio.sleep(delay_s)
            task.cancel()
            try:
                allocation = await task
            except asyncio.CancelledError:
                pass
            else:
                async with allocation:
                    pass
            await eventually(lambda: turn.allocations == 0)


async def test_437_is_tried_once_more_on_a_new_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    async with server() as turn:
        turn.faults = Faults(refuse={Method.ALLOCATE: 437})
        opened: list[object] = []
        really = sockets.open_udp

        async def counted(*arguments: object, **more: object) -> object:
            opened.append(arguments)
            return await really(*arguments, **more)  # type: ignore[arg-type]  # passed on as it came

        monkeypatch.setattr(turn_client, "open_udp", counted)
        with pytest.raises(FarEndError) as refused:
            await allocate(uri(turn.port), (HOST, turn.port), GOOD, timeout_s=TIMEOUT_S)
        assert refused.value.code == 437 and len(opened) == 2


async def test_a_server_that_is_down_or_mute_is_told_apart(free_port: Callable[[], int]) -> None:
    async with PlainUdp() as mute:
        with pytest.raises(Silence):
            await challenge(uri(mute.address[1]), mute.address, timeout_s=0.3)
    closed = free_port()
    for transport in TRANSPORTS:
        with pytest.raises(Refused):
            await challenge(uri(closed, transport), (HOST, closed), timeout_s=TIMEOUT_S)
    async with tcp_listener(hangs=True) as port:
        with pytest.raises(Silence):
            await challenge(uri(port, "tcp"), (HOST, port), timeout_s=0.3)


async def test_what_is_no_turn_server_is_said() -> None:
    async with PlainUdp() as echo:
        where = echo.echo()
        with pytest.raises((ProtocolError, Silence)):
            await challenge(uri(where[1]), where, timeout_s=0.3)
    async with tcp_listener(b"SSH-2.0-OpenSSH_9.2\r\n") as port:
        with pytest.raises(ProtocolError, match="not TURN"):
            await challenge(uri(port, "tcp"), (HOST, port), timeout_s=TIMEOUT_S)
    async with tcp_listener() as port:
        with pytest.raises(Cut):
            await challenge(uri(port, "tcp"), (HOST, port), timeout_s=TIMEOUT_S)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


async def test_tls_on_the_plain_port_and_plain_on_the_tls_port_are_both_said(authority: trustme.CA) -> None:
    async with tcp_listener(tls=server_tls(authority, "localhost")) as port:
        with pytest.raises(TlsError, match="the port speaks TLS"):
            await challenge(uri(port, "tcp"), (HOST, port), timeout_s=0.3)
    async with tcp_listener(b"SSH-2.0-OpenSSH_9.2\r\n") as port:
        with pytest.raises(TlsError, match="does not speak TLS"):
            await challenge(uri(port, "tls"), (HOST, port), timeout_s=TIMEOUT_S)
    async with server() as turn:  # it ends a connection that does not begin like TURN, and answers one that does
        with pytest.raises(TlsError, match="speaks TURN without TLS"):
            await challenge(uri(turn.port, "tls"), (HOST, turn.port), timeout_s=TIMEOUT_S)


async def test_a_plain_server_that_is_silent_to_tls_is_asked_the_other_way() -> None:
    """As coturn is, which takes the handshake for the head of a long message."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readexactly(28)
        if request[0] < 4:
            error: stun.Attributes = [(stun.ERROR_CODE, stun.ErrorCode(401, ""))]
            writer.write(Message(3, MessageClass.ERROR, request[8:20], error).encode())
        await reader.read()

    async with served(serve) as plain:
        with pytest.raises(TlsError, match="speaks TURN without TLS"):
            await challenge(uri(plain.port, "tls"), (HOST, plain.port), timeout_s=0.4)


async def _web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Silent until it has a whole request."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(http_answer(404))
    await reader.read()


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_a_web_server_in_its_place_is_asked_for_http_where_it_is_silent(
    transport: str, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with served(_web, server_tls(authority, "localhost") if transport == "tls" else None) as web:
        with pytest.raises(ProtocolError, match="a web server answers there") as found:
            await challenge(uri(web.port, transport), (HOST, web.port), timeout_s=0.4)
    assert not isinstance(found.value, TlsError)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_silence_is_told_within_the_time_given_whichever_way_it_was_asked(transport: str) -> None:
    loop = asyncio.get_running_loop()
    async with PlainUdp() as mute, tcp_listener(hangs=True) as hanging:
        port = mute.address[1] if transport == "udp" else hanging
        began = loop.time()
        with pytest.raises(Silence) as silence:
            await challenge(uri(port, transport), (HOST, port), timeout_s=0.4)
        assert 0.39 < loop.time() - began < 0.4 + turn_client.RELEASE_S + 0.2
        assert silence.value.after_s == 0.4
        assert ("was accepted" in str(silence.value)) is (transport == "tcp"), "an open port is no blocked one"


async def test_a_certificate_is_judged_by_chain_and_name(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tcp_listener(tls=server_tls(authority, "localhost")) as port:
        with pytest.raises(TlsError, match="not to be trusted"):
            await challenge(uri(port, "tls"), (HOST, port), timeout_s=TIMEOUT_S)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with tcp_listener(tls=server_tls(authority, "turn.example.com")) as port:
        with pytest.raises(TlsError, match=r"[Hh]ostname mismatch"):
            await challenge(uri(port, "tls"), (HOST, port), timeout_s=TIMEOUT_S)
    async with tcp_listener(tls=server_tls(authority, "localhost"), hangs=True) as port:
        with pytest.raises(Silence):  # TLS is well, and nothing more comes
            await challenge(uri(port, "tls"), (HOST, port), timeout_s=0.5)


async def test_a_connection_that_is_cut_tells_those_that_talk_through_it() -> None:
    heard = Heard()
    async with server() as turn, PlainUdp() as peer:
        allocation = await allocate(uri(turn.port, "tcp"), (HOST, turn.port), GOOD, timeout_s=TIMEOUT_S)
        await allocation.channel(peer.address, heard)
        await turn.close()
        await eventually(lambda: bool(heard.troubles))
        assert isinstance(heard.troubles[0], Cut)
        with pytest.raises(Cut):
            await allocation.permit([HOST])
        async with allocation:
            pass
