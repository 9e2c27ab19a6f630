"""rtcd itself, where RTCD_BIN names its binary, and our stand-in, in one shape: a client sees no difference."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from calls_doctor.net import sctp
from calls_doctor.standin.launch import Options
from calls_doctor.standin.server import StandIn
from tests.servers.rtcd_server import HOST, RtcdServer, rtcd_server, why_not

SERVERS = [
    "stand-in",
    pytest.param("rtcd", marks=pytest.mark.skipif(why_not() != "", reason=f"no rtcd here: {why_not()}")),
]
"""For `served`, as parameters of a test."""
PARTS = Options(addresses=(HOST,), without=frozenset({"stun", "turn"}))


@asynccontextmanager
async def served(of: str, parts: Options = PARTS) -> AsyncIterator[RtcdServer]:
    """rtcd, or who stands in for it."""
    if of == "rtcd":
        async with rtcd_server() as server:
            yield server
        return
    async with StandIn(parts, open_channel=sctp.open_channel) as stand_in:
        assert stand_in.ready is not None
        keys = stand_in.ready.pairing.keys
        ports = stand_in.ready.api_port, stand_in.ready.media_port
        yield RtcdServer(os.getpid(), *ports, keys.api_client_id, keys.api_auth_key.reveal())
