"""The self-test's stand-in as a process of its own, so that both ends share no memory and books come over the wire.

What it is to do goes in by its standard input, where it listens comes out by its standard output: nothing secret
stands in a command line, an environment or a file. It ends when its standard input does, so it never outlives us.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import msgspec

from calls_doctor.errors import CallsDoctorError
from calls_doctor.wire.direct import Link, parse_link

START_S = 10.0
"""A stand-in that is not ready by then has failed to start; 0.3 s are usual."""
STOP_S = 1.0
"""How long it may take to leave before it is killed."""
LINE_BYTES_MAX = 65536
SAID_BYTES_MAX = 4096
_PACKAGE_HOME = str(Path(__file__).parents[2])
_BOOT = (
    "import sys; home = sys.argv.pop(); home in sys.path or sys.path.insert(0, home); "
    "from calls_doctor.standin.__main__ import main; main()"
)
"""An installed package is found as ever; a bare checkout runs itself, and no other copy that is installed."""
_OURS = "CALLS_DOCTOR_"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to stand in; tests leave parts of it out or fix its ports."""

    addresses: tuple[str, ...] = ("127.0.0.1",)
    """Of this machine; one socket on each."""
    media_port: int = 0
    """0: any free one; so for all four."""
    api_port: int = 0
    stun_port: int = 0
    turn_port: int = 0
    relay_ports: tuple[int, int] = (49152, 65535)
    """First and last of TURN's relay ports."""
    without: frozenset[str] = frozenset()
    """Parts that are not started: "media", "api", "stun", "turn"; their ports are told all the same."""
    consent_expiry_s: float = 10.0
    """A session that is silent for so long is forgotten."""


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Where the stand-in listens, and what opens it. Secret as the link in it; it travels by a pipe only."""

    link: str
    media_port: int
    api_port: int
    stun_port: int
    turn_port: int
    turn_username: str
    turn_password: str

    def __repr__(self) -> str:
        return f"Ready(media_port={self.media_port}, api_port={self.api_port})"

    @property
    def pairing(self) -> Link:
        """The link, read."""
        return parse_link(self.link)


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Why the stand-in could not start, as its process says it."""

    trouble: str


class StandInFailed(CallsDoctorError):
    """The stand-in's process did not come up; the sentence says why."""


class StandInProcess:
    """`async with StandInProcess(Options()) as ready: ...`"""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self.said = ""
        """The last that its process wrote to standard error; "" where all is well."""

    @property
    def pid(self) -> int:
        """Of the process, while it runs."""
        assert self._process is not None, "asked for inside `async with` only"
        return self._process.pid

    async def __aenter__(self) -> Ready:
        """Raises StandInFailed where it does not come up."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        pipe = asyncio.subprocess.PIPE
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-c", _BOOT, _PACKAGE_HOME,  # -P: no code of the directory that we stand in
            stdin=pipe, stdout=pipe, stderr=pipe, env=environment, limit=LINE_BYTES_MAX,
            start_new_session=True,  # Ctrl-C is for us: it goes when we have written our report
        )  # fmt: skip
        self._listening = asyncio.create_task(self._listen(process))
        try:
            return await self._ready(process)
        except BaseException:
            await self._end()
            raise

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _ready(self, process: asyncio.subprocess.Process) -> Ready:
        assert process.stdin and process.stdout and self._listening, "both are pipes"
        process.stdin.write(msgspec.json.encode(self._options) + b"\n")
        try:
            async with asyncio.timeout(START_S):
                line = await process.stdout.readline()
                if not line:
                    await asyncio.shield(self._listening)
                    last = (self.said.splitlines() or ["without a word"])[-1]
                    raise StandInFailed(f"the stand-in's process ended at once: {last}")
        except TimeoutError:
            raise StandInFailed(f"the stand-in's process was not ready after {START_S:g} s") from None
        told = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        if "trouble" in told:
            raise StandInFailed(f"the stand-in could not start: {msgspec.json.decode(line, type=Trouble).trouble}")
        return msgspec.json.decode(line, type=Ready)

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Keeps its standard error empty: a full pipe would stop it in the middle of a call."""
        assert process.stderr, "it is a pipe"
        said = b""
        while data := await process.stderr.read(SAID_BYTES_MAX):
            said = (said + data)[-SAID_BYTES_MAX:]
            self.said = said.decode(errors="replace")

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or self._listening is None:
            return
        if process.stdin:
            process.stdin.close()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await self._listening
