"""coturn's own client through our TURN server: a third implementation, which nobody here wrote.

Send indications only: turnutils_uclient draws channel numbers up to 0x7FFF (RFC 5766), of which RFC 8656 leaves 0x4FFF.
"""

from __future__ import annotations

import asyncio
import re
import shutil

import pytest

from calls_doctor.model.credentials import Secret
from calls_doctor.standin.turn_server import TurnServer

HOST = "127.0.0.1"
CLIENT = "turnutils_uclient"
MESSAGES = 2
LIMIT_S = 20.0


async def run(server: TurnServer, *options: str) -> str:
    """What the client says; it sends between two allocations of its own, in rounds of a second each."""
    process = await asyncio.create_subprocess_exec(
        CLIENT, "-y", "-c", "-s", "-m", "1", "-n", str(MESSAGES), "-p", str(server.port), *options, HOST,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(LIMIT_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def test_coturns_client_loses_nothing() -> None:
    if shutil.which(CLIENT) is None:
        pytest.skip(f"no coturn here: {CLIENT} is not installed")
    async with TurnServer(
        [HOST], users={"user": Secret("password")}, secret=Secret("shared"), may_relay={HOST}.__contains__
    ) as server:
        for said in await asyncio.gather(
            run(server, "-u", "user", "-w", "password"),
            run(server, "-t", "-u", "calls", "-W", "shared"),
        ):
            assert f"tot_send_msgs={2 * MESSAGES}, tot_recv_msgs={2 * MESSAGES}" in said
            assert re.search(r"Total lost packets 0 \(0\.0+%\)", said)
