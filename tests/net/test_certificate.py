"""Handshakes with real servers: each fault of a certificate is told by its own word, with what the certificate says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from calls_doctor.errors import Refused, Silence, TlsError
from calls_doctor.model.certificate import TlsFault
from calls_doctor.net import certificate
from tests.servers import certificates
from tests.servers.certificates import NAME, Authority
from tests.servers.plain_sockets import rest_of
from tests.servers.scripted_tcp import HOST, answering, http_answer, served

TIMEOUT_S = 2.0
DAY_S = 86400.0
FAULTS = [one for one in TlsFault if one is not TlsFault.UNTRUSTED]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    return certificates.authority(tmp_path).trusted(monkeypatch)


async def test_a_trusted_certificate(own: Authority) -> None:
    async with answering(http_answer(200), tls=own.context(days=90)) as server:
        found = await certificate.handshake((HOST, server.port), NAME, TIMEOUT_S)
    assert (found.fault, found.detail, found.protocol) == ("", "", "TLSv1.3")
    assert 0 < found.handshake_s < TIMEOUT_S
    assert found.certificate is not None and found.certificate.names == [NAME]
    assert found.certificate.not_after_unix_s - time.time() == pytest.approx(90 * DAY_S, abs=60)
    assert found.certificate.not_before_unix_s - time.time() == pytest.approx(-30 * DAY_S, abs=60)
    assert server.requests == [], "nothing is sent over it"


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_is_told_by_its_own_word(fault: TlsFault, own: Authority, tmp_path: Path) -> None:
    async with answering(http_answer(200), tls=certificates.faulty(fault, own, tmp_path)) as server:
        found = await certificate.handshake((HOST, server.port), NAME, TIMEOUT_S)
    assert found.fault == fault
    assert found.protocol == "TLSv1.3" and "not to be trusted" in found.detail
    assert found.certificate is not None
    assert (NAME in found.certificate.names) is (fault is not TlsFault.WRONG_NAME)
    assert (found.certificate.issuer == found.certificate.subject) is (fault is TlsFault.SELF_SIGNED)
    assert found.certificate.chain_length == (2 if fault is TlsFault.UNKNOWN_AUTHORITY else 1)
    assert (found.certificate.not_after_unix_s < time.time()) is (fault is TlsFault.EXPIRED)
    assert (found.certificate.not_before_unix_s > time.time()) is (fault is TlsFault.NOT_YET_VALID)


async def test_an_address_is_a_name_too(own: Authority) -> None:
    async with answering(http_answer(200), tls=own.context(HOST)) as server:
        assert (await certificate.handshake((HOST, server.port), HOST, TIMEOUT_S)).fault == ""
    async with answering(http_answer(200), tls=own.context(NAME)) as server:
        found = await certificate.handshake((HOST, server.port), HOST, TIMEOUT_S)
    assert found.fault == TlsFault.WRONG_NAME and found.certificate is not None


async def test_a_server_that_cannot_be_looked_at_again(own: Authority, tmp_path: Path) -> None:
    """The fault is known by then, and what the certificate says is not."""
    expired = certificates.faulty(TlsFault.EXPIRED, own, tmp_path)
    async with once(expired) as port:
        found = await certificate.handshake((HOST, port), NAME, TIMEOUT_S)
    assert (found.fault, found.certificate, found.protocol) == (TlsFault.EXPIRED, None, "")


@asynccontextmanager
async def once(tls: ssl.SSLContext) -> AsyncIterator[int]:
    """A server that takes one connection, and refuses what comes after it."""
    loop = asyncio.get_running_loop()
    with socket.create_server((HOST, 0)) as listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]

        async def serve() -> None:
            connection, _ = await loop.sock_accept(listener)
            listener.close()
            with contextlib.suppress(OSError):  # the client says no, and goes
                await loop.connect_accepted_socket(asyncio.Protocol, connection, ssl=tls)

        task = asyncio.create_task(serve())
        yield port
        await task


async def test_what_is_no_certificates_fault_is_raised(own: Authority, free_port: Callable[[], int]) -> None:
    assert own
    async with served(speaks_first) as other:
        with pytest.raises(TlsError) as told:
            await certificate.handshake((HOST, other.port), NAME, TIMEOUT_S)
    assert told.value.fault == ""
    async with served(says_nothing) as silent:
        with pytest.raises(Silence):
            await certificate.handshake((HOST, silent.port), NAME, 0.2)
    with pytest.raises(Refused):
        await certificate.handshake((HOST, free_port()), NAME, TIMEOUT_S)


async def speaks_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    await rest_of(reader)


async def says_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await rest_of(reader)
