"""rtcd itself, as its makers build it: the binary that RTCD_BIN names, on loopback, with ports and store of its own."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import ssl
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from random import Random

from calls_doctor.net.bound_sockets import bound_both
from calls_doctor.wire import rtcd_http

HOST = "127.0.0.1"
BINARY = "RTCD_BIN"
"""The environment variable that names rtcd's binary."""
PORTS, PORT_TRIES = range(20000, 30000), 64
"""rtcd takes none over 49151."""
START_S, POLL_S = 10.0, 0.02


def why_not() -> str:
    """Why there is no rtcd here; "" where there is."""
    return "" if os.environ.get(BINARY) else f"{BINARY} names no binary"


@dataclass(frozen=True)
class RtcdServer:
    """One that runs."""

    pid: int
    api_port: int
    media_port: int
    client_id: str
    auth_key: str
    """Of the one client that is registered."""
    host: str = HOST
    """Of its API."""
    scheme: str = "http"

    @property
    def authorization(self) -> tuple[str, str]:
        """The header that says who this client is."""
        return "Authorization", f"Basic {base64.b64encode(f'{self.client_id}:{self.auth_key}'.encode()).decode()}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.api_port}"

    @property
    def websocket_url(self) -> str:
        return f"ws://{HOST}:{self.api_port}/ws"


@asynccontextmanager
async def rtcd_server(
    settings_more: Mapping[str, str] | None = None,
    admin: str = "",
    client: tuple[str, str] = ("load", ""),
    api: tuple[str, int] = (HOST, 0),
) -> AsyncIterator[RtcdServer]:
    """Starts it, by settings beside or instead of those here, with its API at `api` (port 0 for a free one), and
    registers a client; with `admin`, the admin's secret, nobody registers himself unless the settings say so. Raises
    TimeoutError where it does not come up."""
    more = dict(settings_more or {})
    scheme = "https" if "RTCD_API_HTTP_TLS_CERTFILE" in more else "http"
    server = RtcdServer(
        0, api[1] or _free_port(), _free_port(), client[0], client[1] or secrets.token_hex(16), api[0], scheme
    )
    if admin:
        more = {"RTCD_API_SECURITY_ALLOWSELFREGISTRATION": "false"} | more
        more |= {"RTCD_API_SECURITY_ENABLEADMIN": "true", "RTCD_API_SECURITY_ADMINSECRETKEY": admin}
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "RTCD_API_HTTP_LISTENADDRESS": f"{server.host}:{server.api_port}",
            "RTCD_API_SECURITY_ALLOWSELFREGISTRATION": "true",
            "RTCD_RTC_ICEADDRESSUDP": HOST,
            "RTCD_RTC_ICEADDRESSTCP": HOST,
            "RTCD_RTC_ICEPORTUDP": str(server.media_port),
            "RTCD_RTC_ICEPORTTCP": str(server.media_port),
            "RTCD_STORE_DATASOURCE": f"{folder}/store",
            "RTCD_LOGGER_ENABLEFILE": "false",
            "RTCD_LOGGER_CONSOLELEVEL": "ERROR",
        }
        process = await asyncio.create_subprocess_exec(
            os.environ[BINARY], "-config", f"{folder}/none",
            env={**os.environ, **settings, **more}, cwd=folder,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await _register(server, admin)
            yield replace(server, pid=process.pid)
        finally:
            with suppress(ProcessLookupError):  # a test has killed it
                process.kill()  # its store goes with the folder
            await process.wait()


async def _register(server: RtcdServer, admin: str) -> None:
    """Waits for the API, too."""
    body = json.dumps({"clientID": server.client_id, "authKey": server.auth_key}).encode()
    headers = {"Authorization": rtcd_http.basic("", admin)} if admin else {}
    request = urllib.request.Request(f"{server.url}/register", body, headers, method="POST")
    async with asyncio.timeout(START_S):
        while True:
            with suppress(OSError):
                await asyncio.to_thread(lambda: urllib.request.urlopen(request, context=_any_certificate()).close())
                return
            await asyncio.sleep(POLL_S)


def _any_certificate() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _free_port() -> int:
    """A number that UDP and TCP both have free on HOST now."""
    for port in Random().sample(PORTS, PORT_TRIES):
        with suppress(OSError):
            for socks in bound_both([HOST], port):
                for sock in socks:
                    sock.close()
            return port
    raise OSError("no port is free")
