"""TURN servers for tests: coturn as Debian ships it, on loopback, and listeners that are no TURN server."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from calls_doctor.errors import NetworkError
from calls_doctor.model.site import ServerUri
from calls_doctor.net import stun_client

HOST = "127.0.0.1"
USER, PASSWORD = "alice", "wonderland"
SECRET = "coturn-shared-secret"
UP_S = 10.0


def why_not() -> str:
    """Why coturn cannot be started here; "" where it can."""
    return "" if shutil.which("turnserver") else "coturn is not installed"


@dataclass(frozen=True)
class Coturn:
    """One running coturn."""

    port: int
    tls_port: int
    pid: int

    def uri(self, transport: str = "udp") -> ServerUri:
        """Its URI over this transport; "tls" needs a certificate."""
        if transport == "tls":
            return ServerUri(scheme="turns", host="localhost", port=self.tls_port, transport="tls")
        return ServerUri(scheme="turn", host=HOST, port=self.port, transport=transport)

    def stop(self) -> None:
        """Makes it silent: it holds its ports and answers nothing. The signal alone returns before its threads stop."""
        os.kill(self.pid, signal.SIGSTOP)
        while any(_state(task) != "T" for task in Path(f"/proc/{self.pid}/task").iterdir()):
            time.sleep(0.001)


def _state(task: Path) -> str:
    """The letter of a thread's state in proc(5)'s stat: the first word after the name's bracket."""
    return (task / "stat").read_text().rpartition(")")[2].split()[0]


@asynccontextmanager
async def coturn(
    folder: Path,
    ports: Sequence[int],
    *lines: str,
    secret: bool = False,
    auth: bool = True,
    certificate: tuple[Path, Path] | None = None,
    second_ip: str = "",
) -> AsyncIterator[Coturn]:
    """coturn with a user (or the REST secret) and what else `lines` of its configuration say; `ports` are two free
    ones. With a second address it answers from elsewhere on request (RFC 5780), by the second port too."""
    config = [
        f"listening-ip={HOST}", f"relay-ip={HOST}", f"listening-port={ports[0]}", f"tls-listening-port={ports[1]}",
        "min-port=50000", "max-port=50999", "realm=lab.test", "allow-loopback-peers", "no-cli", "no-dtls",
        "fingerprint", "no-multicast-peers", f"userdb={folder}/turndb", f"pidfile={folder}/pid",
        "verbose", "log-file=stdout",
        *lines,
    ]  # fmt: skip
    config += [f"listening-ip={second_ip}", f"alt-listening-port={ports[1]}"] if second_ip else ["no-rfc5780"]
    if auth:
        config += (
            [f"static-auth-secret={SECRET}", "use-auth-secret"]
            if secret
            else ["lt-cred-mech", f"user={USER}:{PASSWORD}"]
        )
    else:
        config.append("no-auth")
    if certificate:
        config += [f"cert={certificate[0]}", f"pkey={certificate[1]}"]
    else:
        config.append("no-tls")
    (folder / "turnserver.conf").write_text("\n".join(config) + "\n")
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "turnserver", "-c", str(folder / "turnserver.conf"), stdout=log, stderr=log
        )
    try:
        await _up(ports[0])
        yield Coturn(ports[0], ports[1], process.pid)
    finally:
        process.kill()  # one that was stopped hears nothing else
        await process.wait()


async def _up(port: int) -> None:
    async with asyncio.timeout(UP_S):
        while True:
            try:
                await stun_client.binding((HOST, port), schedule_s=(0.0,), decided_s=0.2)
                return
            except NetworkError:
                await asyncio.sleep(0.02)


def server_tls(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """TLS as a server with a certificate for these names."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    return context


@asynccontextmanager
async def tcp_listener(
    says: bytes = b"", tls: ssl.SSLContext | None = None, *, hangs: bool = False
) -> AsyncIterator[int]:
    """A TCP listener that is no TURN server: says something and, unless it hangs, closes at the first byte that comes.
    Gives its port."""
    talk = _Talk(says, hangs)
    server = await asyncio.get_running_loop().create_server(lambda: _Talker(talk), HOST, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        talk.over = True
        for transport in list(talk.transports):
            transport.abort()
        await server.wait_closed()


@dataclass
class _Talk:
    """What one listener says, and to whom."""

    says: bytes
    hangs: bool
    transports: set[asyncio.Transport] = field(default_factory=set)
    over: bool = False


class _Talker(asyncio.Protocol):
    """One connection. No task, so that none is left where a TLS handshake ends after the listener."""

    def __init__(self, talk: _Talk) -> None:
        self._talk = talk
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._talk.over:
            transport.abort()
            return
        self._talk.transports.add(transport)
        if self._talk.says:
            transport.write(self._talk.says)

    def data_received(self, _data: bytes) -> None:
        if not self._talk.hangs and self._transport is not None:
            self._transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        if self._transport is not None:
            self._talk.transports.discard(self._transport)
