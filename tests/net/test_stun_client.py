"""STUN Binding over UDP, TCP and TLS, and what else may answer."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from calls_doctor.errors import Cut, FarEndError, ProtocolError, Refused, Silence, TlsError
from calls_doctor.net.stun_client import binding
from calls_doctor.standin.stun_server import StunServer
from calls_doctor.wire import stun
from calls_doctor.wire.stun import ErrorCode, Message, MessageClass, Method
from tests.servers.middlebox import HOST
from tests.servers.plain_sockets import PlainUdp
from tests.servers.turn_servers import tcp_listener
from tests.servers.two_addresses import two_addresses


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_the_mapped_address_and_the_round_trip(transport: str) -> None:
    async with StunServer([HOST]) as server:
        answer = await binding((HOST, server.port), transport=transport)
        assert answer.mapped[0] == HOST and answer.mapped[1] > 1024
        assert 0 < answer.rtt_s < 1 and (answer.software or "").startswith("calls-doctor")


async def test_ipv6() -> None:
    async with StunServer(["::1"]) as server:
        assert (await binding(("::1", server.port))).mapped[0] == "::1"


async def test_the_other_address_of_a_server_that_has_one(free_port: Callable[[], int]) -> None:
    async with two_addresses(free_port) as server, StunServer([HOST]) as plain:
        assert (await binding(server.server)).other == server.other
        assert (await binding((HOST, plain.port))).other is None


async def test_it_asks_again_on_the_schedule_and_silence_is_decided_in_time() -> None:
    async with PlainUdp() as mute:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(Silence):
            await binding(mute.address, schedule_s=(0.0, 0.05, 0.15), decided_s=0.3)
        assert 0.29 < loop.time() - began < 0.6
        requests = [(await mute.receive())[0] for _ in range(3)]
        assert len(set(requests)) == 1, "one transaction, sent again"
        assert stun.parse(requests[0]).method == Method.BINDING


async def test_the_second_request_is_answered() -> None:
    async with PlainUdp() as lossy:
        asking = asyncio.create_task(binding(lossy.address))
        await lossy.receive()
        request, client = await lossy.receive()
        message = stun.parse(request)
        mapped = [(stun.XOR_MAPPED_ADDRESS, ("192.0.2.7", 4711))]
        elses: stun.Attributes = [(stun.XOR_MAPPED_ADDRESS, ("192.0.2.99", 1))]
        await lossy.send(Message(1, MessageClass.SUCCESS, bytes(12), elses).encode(), client)
        await lossy.send(Message(3, MessageClass.SUCCESS, message.transaction_id, elses).encode(), client)
        await lossy.send(b"noise", client)
        await lossy.send(Message(1, MessageClass.SUCCESS, message.transaction_id, mapped).encode(), client)
        assert (await asking).mapped == ("192.0.2.7", 4711)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Message(1, MessageClass.ERROR, bytes(12), [(stun.ERROR_CODE, ErrorCode(420, "no"))]), FarEndError),
        (Message(1, MessageClass.SUCCESS, bytes(12)), ProtocolError),
    ],
)
async def test_answers_that_are_none(answer: Message, error: type[Exception]) -> None:
    async with PlainUdp() as server:
        asking = asyncio.create_task(binding(server.address))
        request, client = await server.receive()
        told = Message(1, answer.message_class, stun.parse(request).transaction_id, answer.attributes)
        await server.send(told.encode(), client)
        with pytest.raises(error):
            await asking


async def test_a_closed_port_and_what_is_no_stun_server(free_port: Callable[[], int]) -> None:
    closed, loop = free_port(), asyncio.get_running_loop()
    for transport in ("udp", "tcp", "tls"):
        began = loop.time()
        with pytest.raises(Refused):
            await binding((HOST, closed), transport=transport)
        assert loop.time() - began < 0.5, "a refusal is not waited out"
    async with PlainUdp() as other:
        asking = asyncio.create_task(binding(other.address, schedule_s=(0.0,), decided_s=0.2))
        _, client = await other.receive()
        await other.send(b"HTTP/1.1 400", client)
        with pytest.raises(ProtocolError, match="no STUN server"):
            await asking
    async with tcp_listener(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        with pytest.raises(ProtocolError, match="no STUN server"):
            await binding((HOST, port), transport="tcp")
    async with tcp_listener(b"\x01\x01") as port:
        with pytest.raises(Cut):
            await binding((HOST, port), transport="tcp")
    async with tcp_listener(b"220", hangs=True) as port:  # less than a header, and no more comes
        with pytest.raises(ProtocolError, match="no STUN server"):
            await binding((HOST, port), transport="tcp")


async def test_silence_on_a_stream_is_decided_in_time_and_an_answer_to_somebody_else_is_none() -> None:
    loop = asyncio.get_running_loop()
    async with tcp_listener(hangs=True) as port:
        began = loop.time()
        with pytest.raises(Silence, match=f"STUN to {HOST}:{port}"):
            await binding((HOST, port), transport="tcp", decided_s=0.2)
        assert 0.19 < loop.time() - began < 1.0
    mapped: stun.Attributes = [(stun.XOR_MAPPED_ADDRESS, ("192.0.2.7", 4711))]
    foreign = Message(1, MessageClass.SUCCESS, bytes(12), mapped).encode()
    async with tcp_listener(foreign, hangs=True) as port:
        with pytest.raises(ProtocolError, match="another request"):
            await binding((HOST, port), transport="tcp")


async def test_a_name_for_tls_does_not_make_tcp_tls() -> None:
    async with StunServer([HOST]) as server:
        assert (await binding((HOST, server.port), transport="tcp", tls_name="localhost")).mapped[0] == HOST


async def test_tls_that_is_none_and_a_certificate_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with StunServer([HOST]) as server:
        with pytest.raises(TlsError):
            await binding((HOST, server.port), transport="tls", tls_name="localhost", decided_s=1.0)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("stun.example.com").configure_cert(context)
    async with tcp_listener(tls=context, hangs=True) as port:
        with pytest.raises(TlsError, match=r"[Hh]ostname mismatch"):
            await binding((HOST, port), transport="tls", tls_name="localhost")


async def test_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = stun.parse(await reader.readexactly(20))
        mapped = [(stun.XOR_MAPPED_ADDRESS, writer.get_extra_info("peername")[:2])]
        writer.write(Message(1, MessageClass.SUCCESS, request.transaction_id, mapped).encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    assert (await binding((HOST, port), transport="tls", tls_name="localhost")).mapped[0] == HOST
    server.close()
    await server.wait_closed()
