"""The stand-in's process: it comes up, tells where it listens by its pipe alone, and never outlives who started it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from calls_doctor.net import http, rtcd_client
from calls_doctor.standin import launch
from calls_doctor.standin.launch import Options, StandInFailed, StandInProcess
from tests.servers.plain_sockets import eventually


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def told_by_the_kernel(pid: int) -> bytes:
    return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))


async def gone(pid: int) -> bool:
    await eventually(lambda: not alive(pid))
    return True


async def test_it_is_a_process_of_its_own_that_ends_with_its_context() -> None:
    process = StandInProcess(Options())
    async with process as ready:
        pid = process.pid
        assert pid != os.getpid() and alive(pid)
        answer = await http.get(f"http://127.0.0.1:{ready.api_port}/version", timeout_s=3)
        assert (rtcd_client.version_of(answer) or "").startswith("dev-calls-doctor-")
        assert ready.pairing.port == ready.media_port
    assert await gone(pid)
    assert process.said == ""


async def test_its_secrets_stand_in_no_command_line_environment_or_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLS_DOCTOR_TURN_SECRET", "canary-in-the-environment")
    process = StandInProcess(Options())
    async with process as ready:
        seen = told_by_the_kernel(process.pid)
        key = ready.link.split("#")[1].split(".")[0]
        for secret in (ready.turn_password, key, "canary-in-the-environment"):
            assert secret.encode() not in seen
            assert secret not in repr(ready)


async def test_it_ends_when_who_started_it_is_killed() -> None:
    script = (
        "import asyncio\nfrom calls_doctor.standin.launch import *\n"
        "async def main():\n    process = StandInProcess(Options())\n    async with process:\n"
        "        print(process.pid, flush=True)\n        await asyncio.sleep(60)\nasyncio.run(main())"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert alive(pid)
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    assert await gone(pid)


async def test_ctrl_c_in_the_terminal_does_not_reach_it() -> None:
    process = StandInProcess(Options(without=frozenset({"api", "stun", "turn"})))
    async with process:
        assert os.getpgid(process.pid) != os.getpgid(0)
        os.kill(process.pid, signal.SIGINT)
        await asyncio.sleep(0.1)
        assert alive(process.pid)


async def test_a_port_that_is_taken_is_said() -> None:
    async with StandInProcess(Options()) as first:
        taken = first.media_port
        with pytest.raises(
            StandInFailed, match=rf"could not start: its media server cannot have port {taken} .*in use"
        ):
            async with StandInProcess(Options(media_port=taken)):
                pass


async def test_parts_may_be_left_out_and_ports_fixed() -> None:
    async with StandInProcess(Options(without=frozenset({"media", "api", "stun"}), media_port=1, api_port=2)) as ready:
        assert (ready.media_port, ready.api_port) == (1, 2) and ready.turn_port > 1024


async def test_a_process_that_dies_at_once_is_said_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_BOOT", "raise SystemExit('its last words')")
    with pytest.raises(StandInFailed, match="its last words"):
        async with StandInProcess(Options()):
            pass


async def test_code_of_the_directory_that_we_stand_in_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("msgspec", "asyncio", "calls_doctor"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('code of the directory was run')")
    monkeypatch.chdir(tmp_path)
    process = StandInProcess(Options(without=frozenset({"api", "stun", "turn"})))
    async with process as ready:
        assert ready.media_port
    assert process.said == ""


def test_it_runs_the_code_of_who_started_it_and_no_other_copy(tmp_path: Path) -> None:
    (tmp_path / "calls_doctor").symlink_to(Path(launch.__file__).parents[1])
    script = (
        "import sys\nsys.path.insert(0, sys.argv.pop())\nimport asyncio\nfrom calls_doctor.standin import launch\n"
        "start = 'from calls_doctor.standin.__main__ import main; main()'\nassert start in launch._BOOT\n"
        "launch._BOOT = launch._BOOT.replace(start, 'import calls_doctor.standin as m; raise SystemExit(m.__file__)')\n"
        "asyncio.run(launch.StandInProcess(launch.Options()).__aenter__())"
    )
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert run.stderr.strip().endswith(str(tmp_path / "calls_doctor" / "standin" / "__init__.py"))


async def test_one_that_says_much_is_not_stopped_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    loud = "import sys; sys.stderr.write('x' * 1000000 + ' its last words'); sys.stderr.flush(); "
    monkeypatch.setattr(launch, "_BOOT", loud + launch._BOOT)
    process = StandInProcess(Options(without=frozenset({"api", "stun", "turn"})))
    async with process:
        pass
    assert process.said.endswith("x its last words") and len(process.said) <= launch.SAID_BYTES_MAX


def test_one_whose_starter_is_gone_before_its_first_word_ends_without_a_word() -> None:
    command = [sys.executable, "-m", "calls_doctor.standin"]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")


async def test_one_that_never_gets_ready_is_given_up_and_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_BOOT", "import time; time.sleep(60)")
    monkeypatch.setattr(launch, "START_S", 0.3)
    monkeypatch.setattr(launch, "STOP_S", 0.2)
    process = StandInProcess(Options())
    began = time.monotonic()
    with pytest.raises(StandInFailed, match="not ready"):
        await process.__aenter__()
    assert time.monotonic() - began < 2.0


async def test_cancelling_the_start_leaves_no_process() -> None:
    process = StandInProcess(Options())
    starting = asyncio.create_task(process.__aenter__())
    await eventually(lambda: process._process is not None)
    pid = process.pid
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert await gone(pid)


def test_it_starts_without_what_it_does_not_need() -> None:
    script = "import sys, calls_doctor.standin.__main__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"av", "aiortc", "aioice", "dns", "rich", "click"} & set(loaded)
