"""Streams over TCP and TLS: what becomes of each way in which a connection can fail to come up."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from calls_doctor.errors import Refused, Silence, TlsError, Unreachable
from calls_doctor.net.streams import open_stream, reason_of, speaks_http, speaks_tls
from tests.servers.middlebox import HOST
from tests.servers.plain_sockets import rest_of
from tests.servers.turn_servers import server_tls, tcp_listener

TIMEOUT_S = 2.0


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, HOST, 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read(100))
    await writer.drain()
    writer.close()


async def test_bytes_go_both_ways_over_tcp() -> None:
    async with listening(echo) as port:
        stream = await open_stream((HOST, port), TIMEOUT_S)
        stream.writer.write(b"hello")
        assert await rest_of(stream.reader) == b"hello"
        assert 0 < stream.connect_s < 1
        await stream.close()
        await stream.close()


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("name", ["localhost", HOST])
async def test_bytes_go_both_ways_over_tls_for_a_name_and_for_an_address(authority: trustme.CA, name: str) -> None:
    async with listening(echo, server_tls(authority, "localhost", HOST)) as port:
        stream = await open_stream((HOST, port), TIMEOUT_S, tls_name=name)
        stream.writer.write(b"hello")
        assert await rest_of(stream.reader) == b"hello"
        await stream.close()


@pytest.mark.parametrize("tls_name", ["", "localhost"])
async def test_a_closed_port_is_refused(free_port: Callable[[], int], tls_name: str) -> None:
    port = free_port()
    with pytest.raises(Refused, match=f"{HOST}:{port} was refused"):
        await open_stream((HOST, port), TIMEOUT_S, tls_name=tls_name)
    assert not await speaks_tls((HOST, port), TIMEOUT_S)


async def test_a_handshake_that_nobody_answers_is_silence() -> None:
    with socket.socket() as listener, socket.socket() as one, socket.socket() as other:
        listener.bind((HOST, 0))
        listener.listen(0)
        for waiting in (one, other):  # Linux drops a SYN for which the queue has no room
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        with pytest.raises(Silence, match="TCP to"):
            await open_stream(listener.getsockname(), 0.1)


async def test_an_icmp_error_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine has a route there, so it was a router that said so."""

    async def rejected(*_: object, **__: object) -> None:
        raise OSError(errno.ENETUNREACH, "")

    monkeypatch.setattr(asyncio, "open_connection", rejected)
    with pytest.raises(Unreachable, match=r"TCP to 127\.0\.0\.1:443 is unreachable \(Network is unreachable\)"):
        await open_stream(("127.0.0.1", 443), TIMEOUT_S)


async def test_a_port_that_speaks_something_else_is_not_tls() -> None:
    async with tcp_listener(b"SSH-2.0-OpenSSH_9.2\r\n") as port:
        with pytest.raises(TlsError, match="does not speak TLS"):
            await open_stream((HOST, port), TIMEOUT_S, tls_name="localhost")
        assert not await speaks_tls((HOST, port), TIMEOUT_S)


async def test_a_port_that_closes_or_hangs_during_the_tls_handshake() -> None:
    async with tcp_listener() as port:
        with pytest.raises(TlsError, match="cut during the TLS handshake"):
            await open_stream((HOST, port), TIMEOUT_S, tls_name="localhost")
        assert not await speaks_tls((HOST, port), TIMEOUT_S)
    async with tcp_listener(hangs=True) as port:
        with pytest.raises(Silence, match="TLS to"):
            await open_stream((HOST, port), 0.1, tls_name="localhost")
        assert not await speaks_tls((HOST, port), 0.1)


@pytest.mark.parametrize(
    ("says", "web"), [(b"HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n", True), (b"SSH-2.0\r\n", False), (b"", False),
                      (b"HTTP/1.1 200 OK\r\nServer: Coturn-4.6\r\n\r\n", False)],
)  # fmt: skip
async def test_a_web_server_is_known_by_its_answer_and_coturns_own_page_by_its_name(says: bytes, web: bool) -> None:
    async with tcp_listener(says) as port:
        assert await speaks_http((HOST, port), TIMEOUT_S) is web
    async with tcp_listener(hangs=True) as port:
        assert not await speaks_http((HOST, port), 0.05)


async def test_a_certificate_of_an_unknown_authority_is_not_to_be_trusted(authority: trustme.CA) -> None:
    async with tcp_listener(tls=server_tls(authority, "localhost")) as port:
        with pytest.raises(TlsError, match="not to be trusted"):
            await open_stream((HOST, port), TIMEOUT_S, tls_name="localhost")
        assert await speaks_tls((HOST, port), TIMEOUT_S)


@pytest.mark.usefixtures("trusted")
async def test_a_certificate_for_another_name_is_not_to_be_trusted(authority: trustme.CA) -> None:
    async with tcp_listener(tls=server_tls(authority, "turn.example.com")) as port:
        with pytest.raises(TlsError, match=r"not to be trusted: .*ostname mismatch"):
            await open_stream((HOST, port), TIMEOUT_S, tls_name="localhost")


async def test_a_handshake_that_the_server_refuses_is_said_in_its_words() -> None:
    handshake_failure = b"\x15\x03\x03\x00\x02\x02\x28"
    async with tcp_listener(handshake_failure) as port:
        with pytest.raises(TlsError, match=r"TLS says .*ALERT_HANDSHAKE_FAILURE"):
            await open_stream((HOST, port), TIMEOUT_S, tls_name="localhost")


async def test_cancelling_leaves_no_connection_behind() -> None:
    async with tcp_listener(hangs=True) as port:
        opening = asyncio.create_task(open_stream((HOST, port), TIMEOUT_S, tls_name="localhost"))
        await asyncio.sleep(0.02)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionResetError(errno.ECONNRESET, "x"), os.strerror(errno.ECONNRESET)),
        (ConnectionResetError("Connection lost"), "the connection was lost"),
        (ssl.SSLError(1, "[SSL: TLSV1_ALERT_INTERNAL_ERROR] x"), "TLS ended"),
    ],
)
def test_why_a_connection_broke(error: OSError, said: str) -> None:
    assert reason_of(error) == said


@pytest.mark.usefixtures("trusted")
async def test_garbage_in_the_middle_of_a_tls_connection_is_told_in_words(authority: trustme.CA) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        sock = socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno()))
        sock.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        sock.close()
        await reader.read()

    async with listening(serve, server_tls(authority, "localhost")) as port:
        stream = await open_stream((HOST, port), TIMEOUT_S, tls_name="localhost")
        stream.writer.write(b"x")
        with pytest.raises(OSError) as broken:
            await stream.reader.read(100)
        assert reason_of(broken.value).startswith("TLS says ")
        await stream.close()
