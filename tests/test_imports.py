"""What the quick commands load: `--version` and `--help` click alone, `explain` and `--list` no network stack.

Counted in a process of its own, since a test session has long loaded everything.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

HEAVY = {
    "OpenSSL",
    "aioice",
    "aiortc",
    "av",
    "cryptography",
    "dns",
    "h11",
    "msgpack",
    "pylibsrtp",
    "rich",
    "websockets",
}
OURS_ALWAYS = {"calls_doctor", "calls_doctor.cli", "calls_doctor.errors"}
TOLD = "modules: "
PROBE = f"""
import atexit, json, sys
atexit.register(lambda: sys.stderr.write({TOLD!r} + json.dumps(sorted(sys.modules))))
from calls_doctor.cli import main
main(sys.argv[1:])
"""


def loaded_by(*arguments: str) -> set[str]:
    """Every module that the command has loaded when it ends well."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr
    modules: list[str] = json.loads(done.stderr.rpartition(TOLD)[2])
    return set(modules)


def packages(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def click_alone() -> set[str]:
    """What `import click` loads, and what click itself loads to print help."""
    program = (
        "import click, sys, json\nclick.echo(click.Command('c', params=[]).get_help(click.Context(click.Command('c'))))"
    )
    program += "\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("option", ["--version", "--help", "-h"])
def test_version_and_help_load_click_and_nothing_of_ours_but_the_table(option: str) -> None:
    loaded = loaded_by(option)
    assert {module for module in loaded if module.startswith(("calls_doctor", "checks", "reports"))} == OURS_ALWAYS
    assert packages(loaded) & {"asyncio", "msgspec", "ssl", *HEAVY} == set()


def test_help_costs_no_module_of_the_standard_library_beyond_clicks_own() -> None:
    """Nobody notices one import more; this is where it shows."""
    more = packages(loaded_by("--help")) - packages(click_alone())
    assert more <= {"calls_doctor", "atexit", "json", "signal"}, more  # signal: for Ctrl-C at the very end


@pytest.mark.parametrize("command", ["check", "explain", "turn-credential"])
def test_a_commands_help_loads_no_check(command: str) -> None:
    loaded = packages(loaded_by(command, "--help"))
    assert loaded & {"checks", "reports", "asyncio", "msgspec", *HEAVY} == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain", "port.rtc-udp-echo"),
        ("explain", "media.udp-blocked-inbound"),
        ("explain", "1.6.3"),
        ("explain", "FW-12"),
        ("check", "--list"),
        ("check", "--list", "--format", "json"),
        ("check", "--mode", "rtcd", "--list"),
        ("check", "--turn", "turn:turn.example.com", "--list"),
    ],
    ids=" ".join,
)
def test_what_touches_no_network_loads_no_network_stack(arguments: tuple[str, ...]) -> None:
    assert packages(loaded_by(*arguments)) & HEAVY == set()


@pytest.mark.parametrize("name", sorted(HEAVY))
def test_the_heavy_ones_are_there_to_be_loaded(name: str) -> None:
    """A misspelt one would never be missed."""
    assert importlib.util.find_spec(name) is not None
