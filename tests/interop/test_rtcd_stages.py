"""Something between a Mattermost node and rtcd itself that ends, or swallows, one exchange with its API and carries the
others: the stage and its cause are named within five seconds, and what calls can do without is no cause at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from calls_doctor.model.check import Status
from calls_doctor.model.credentials import Secret
from calls_doctor.net.rtcd_client import basic
from tests.interop.test_rtcd_run import checked, credentials, statuses
from tests.servers.plain_sockets import rest_of
from tests.servers.rtcd_server import RtcdServer, rtcd_server, why_not
from tests.servers.scripted_tcp import served

pytestmark = pytest.mark.skipif(why_not() != "", reason=f"no rtcd here: {why_not()}")
NAMED_S = 5.0
ANSWER_LINE = b"\r\n\r\n"


@asynccontextmanager
async def before(server: RtcdServer, exchange: bytes, *, answered: bool, cuts: bool) -> AsyncIterator[str]:
    """Carries what does not hold `exchange`. That which does ends, or is heard of no more: as soon as it is asked, or
    (`answered`) when the headers of the answer have come through."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(ANSWER_LINE)
        if exchange in asked and not answered:
            await (asyncio.sleep(0) if cuts else rest_of(reader))
            return
        far_reader, far_writer = await asyncio.open_connection(server.host, server.api_port)
        try:
            far_writer.write(asked)
            if exchange in asked:
                head = await far_reader.readuntil(ANSWER_LINE)
                writer.write(head)
                await (writer.drain() if cuts else rest_of(reader))
                return
            await asyncio.wait(
                [asyncio.create_task(_copy(reader, far_writer)), asyncio.create_task(_copy(far_reader, writer))],
                return_when=asyncio.ALL_COMPLETED,
            )
        finally:
            far_writer.close()

    async with served(serve) as scripted:
        yield scripted.url("")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # one of them has gone
    finally:
        writer.close()


def exchanges(server: RtcdServer) -> dict[str, bytes]:
    """By name, what its request holds."""
    ours = basic(server.client_id, Secret(server.auth_key)).reveal()
    return {
        "version": b"GET /version ",
        "websocket": f"Authorization: {ours}".encode(),
        "login": b"POST /login ",
        "register": b"POST /register ",
        "system": b"GET /system ",
    }


@pytest.mark.parametrize("cuts", [True, False], ids=["cut", "silent"])
@pytest.mark.parametrize(
    ("exchange", "answered", "cause"),
    [
        ("version", False, "api.no-answer"),
        ("version", True, "api.no-answer"),
        ("websocket", False, "api.websocket-blocked"),
        ("websocket", True, "api.websocket-blocked"),
        ("login", False, ""),
        ("register", False, ""),
        ("system", False, ""),
    ],
)
async def test_an_exchange_that_ends_is_named_or_is_none_of_a_calls(
    exchange: str, answered: bool, cause: str, cuts: bool, tmp_path: Path
) -> None:
    loop = asyncio.get_running_loop()
    async with (
        rtcd_server(admin="admins-own-secret") as server,
        before(server, exchanges(server)[exchange], answered=answered, cuts=cuts) as url,
    ):
        began_s = loop.time()
        report = await checked(url, tmp_path, environment=credentials(server))
        assert loop.time() - began_s < NAMED_S
    assert [one.cause for one in report.diagnosis] == [cause] * bool(cause)
    found = statuses(report)
    if cause == "api.websocket-blocked":
        assert (found["port.api-tcp"], found["api.rtcd-auth"]) == (Status.PASS, Status.FAIL)
    if not cause:
        assert found["api.rtcd-auth"] is Status.PASS
        assert (found["api.rtcd-open-registration"] is Status.UNKNOWN) is (exchange == "register")
