"""How a port takes checks of strangers: as rtcd's, and as others do; one connection at a time, one packet on each."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

import pytest

from calls_doctor.errors import Refused
from calls_doctor.net import mux_reaction
from calls_doctor.net.mux_reaction import Reaction, reactions
from calls_doctor.wire import stun
from calls_doctor.wire.framing import Deframer
from tests.servers.scripted_tcp import HOST, served

CLOSED, HELD, ANSWERED = Reaction.CLOSED, Reaction.HELD, Reaction.ANSWERED


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mux_reaction, "CLOSE_S", 0.2)
    monkeypatch.setattr(mux_reaction, "HOLD_S", 0.2)


class Port:
    """Takes one frame of a connection, and does with it what it is told for a check with, and one without USERNAME."""

    def __init__(self, bare: Reaction, unknown: Reaction, says: bytes = b"HTTP/1.1 400 Bad Request\r\n") -> None:
        self._does = {False: bare, True: unknown}
        self._says = says
        self.usernames: list[str | None] = []
        self.most_at_once = self._now = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            (packet,) = Deframer().feed(await reader.read(1024))
            username = stun.parse(packet).get(stun.USERNAME)
            self.usernames.append(username)
            match self._does[username is not None]:
                case Reaction.HELD:
                    await reader.read()
                case Reaction.ANSWERED:
                    writer.write(self._says)
        finally:
            self._now -= 1


@pytest.mark.parametrize(
    ("bare", "unknown", "sees", "as_rtcds"),
    [
        (CLOSED, HELD, (CLOSED, HELD), True),
        (CLOSED, CLOSED, (CLOSED, CLOSED), False),
        (HELD, HELD, (HELD, None), False),
        (ANSWERED, HELD, (ANSWERED, None), False),
        (CLOSED, ANSWERED, (CLOSED, ANSWERED), False),
    ],
    ids=str,
)
async def test_each_reaction(
    bare: Reaction, unknown: Reaction, sees: tuple[Reaction, Reaction | None], as_rtcds: bool
) -> None:
    port = Port(bare, unknown)
    async with served(port.serve) as server:
        found = await reactions((HOST, server.port), secrets.token_bytes)
    assert ((found.bare, found.unknown), found.as_rtcds) == (sees, as_rtcds)
    assert found.head.startswith(b"HTTP/") is (ANSWERED in sees)
    assert len(port.usernames) == 1 + (found.unknown is not None) and port.usernames[0] is None
    assert port.most_at_once == 1


async def test_a_closed_port_is_said_to_be(free_port: Callable[[], int]) -> None:
    with pytest.raises(Refused):
        await reactions((HOST, free_port()), secrets.token_bytes)
