"""What holds for every test: a coroutine of ours never blocks the loop, and no test leaves a task behind.

Warnings are errors (pyproject.toml), so a socket, transport or coroutine that is not closed fails as well. The rule
about skips lives in tests/skips.py, and what runs beside what is told by tests/side_by_side.py.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType

import blockbuster
import pytest
from hypothesis import settings

pytest_plugins = ("tests.side_by_side", "tests.skips")

# An example has no deadline by the wall clock, which other processes move: pytest-timeout's holds for the whole test.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

WATCHED = ("calls_doctor", "checks", "reports")
"""Where blocking counts. Tests may read a file or run a command while a loop waits."""
ALLOWED = (
    # The site is gathered before the loop starts; a test that has a loop already gathers in it.
    ("calls_doctor/site/gather.py", {"_site_path"}),
    ("calls_doctor/site/file.py", {"read"}),
    # Checks import what is heavy inside their functions, once, so that `--help` need not: reading code is no wait.
    ("<frozen importlib._bootstrap>", {"_find_and_load"}),
    # aiortc joins its decoder's thread, which it has told to end: once a call, after the media.
    ("aiortc/rtcrtpreceiver.py", {"__stop_decoder"}),
    # /proc is memory: the kernel answers at once, and a thread would cost more than the look.
    ("calls_doctor/net/local_ports.py", {"port_owner", "local_addresses"}),
)


@pytest.fixture(scope="session", autouse=True)
def _a_blocked_loop_fails() -> Iterator[None]:
    """Any call of ours that blocks while a loop runs raises BlockingError."""
    with blockbuster.blockbuster_ctx([_folder(name) for name in WATCHED]) as watch:
        for function in watch.functions.values():
            for file, names in ALLOWED:
                function.can_block_in(file, names)
        yield


def _folder(name: str) -> ModuleType:
    """The package as blockbuster wants to see it, without importing it: a test of `wire` loads nothing above it."""
    package = ModuleType(name)
    package.__path__ = [str(Path(__file__).parent.parent / name)]
    return package


@pytest.fixture(autouse=True)
def _an_abandoned_task_fails(request: pytest.FixtureRequest) -> None:
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_tasks_at_the_end")


@pytest.fixture
async def _tasks_at_the_end() -> AsyncIterator[None]:
    """Set up before a test's other fixtures, so that it looks after they have cleaned up."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if ending := [task for task in left if task.cancelling()]:
        await asyncio.wait(ending, timeout=1.0)  # what was cancelled may clean up after itself
    running = [task for task in left if not task.done()]
    assert not running, f"the test ended and left tasks running: {running}"


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives port numbers of 127.0.0.1 that are free over UDP and TCP, each another one."""
    given: set[int] = set()

    def pick() -> int:
        while True:
            with (
                socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
            ):
                stream.bind(("127.0.0.1", 0))
                port = int(stream.getsockname()[1])
                try:
                    datagram.bind(("127.0.0.1", port))
                except OSError:
                    continue
            if port not in given:
                given.add(port)
                return port

    return pick


@pytest.fixture
def short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the silence that is waited out before nobody is said to answer. A test that holds the real time goes
    without."""
    from calls_doctor.net.stun_client import binding
    from calls_doctor.wire import stun

    schedule_s = tuple(at / 10 for at in stun.PROBE_SCHEDULE_S)
    monkeypatch.setattr(stun, "PROBE_SCHEDULE_S", schedule_s)
    monkeypatch.setattr(stun, "PROBE_DECIDED_S", decided_s := stun.PROBE_DECIDED_S / 10)
    defaults = binding.__kwdefaults__  # bound when it was defined
    assert defaults is not None
    monkeypatch.setitem(defaults, "schedule_s", schedule_s)
    monkeypatch.setitem(defaults, "decided_s", decided_s)
