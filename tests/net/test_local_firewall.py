"""The system's tools are asked for the rules: with nothing secret, for a bounded time and amount."""

from __future__ import annotations

from pathlib import Path

import pytest

from calls_doctor.net import local_firewall
from calls_doctor.net.local_firewall import LocalFirewall, Unread
from calls_doctor.wire.ruleset import Packet, Verdict, ruling

UDP = Packet("udp", 8443)
RULES = (
    '{"nftables": [{"chain": {"family": "inet", "table": "t", "name": "in", "hook": "input", "prio": 0, '
    '"policy": "drop"}}]}'
)
SAVED = "*filter\n:INPUT DROP [0:0]\n:ufw-user-input - [0:0]\nCOMMIT"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where tools are looked for; the shell is found beside them."""
    monkeypatch.setattr(local_firewall, "WHERE", str(tmp_path))
    return tmp_path


def tool(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


async def rules() -> LocalFirewall:
    found = await local_firewall.read()
    assert isinstance(found, LocalFirewall)
    return found


async def why_not() -> str:
    found = await local_firewall.read()
    assert isinstance(found, Unread)
    return found.why


async def test_nft_is_asked_for_the_ruleset_as_json(tools: Path) -> None:
    tool(tools, "nft", f"""test "$*" = "-j list ruleset" && echo '{RULES}'""")
    found = await rules()
    assert (found.backend, found.managers) == ("nft", [])
    assert ruling(found.rules_for(UDP)).verdict is Verdict.DROPPED


async def test_where_there_is_no_nft_iptables_save_is_asked(tools: Path) -> None:
    tool(tools, "iptables-save", f"echo '{SAVED}'")
    found = await rules()
    assert (found.backend, found.managers) == ("iptables", ["ufw"])
    assert ruling(found.rules_for(UDP)).verdict is Verdict.DROPPED


async def test_nothing_of_this_programs_environment_goes_to_a_tool(
    tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLS_DOCTOR_TURN_SECRET", "s3cr3t")
    tool(tools, "iptables-save", "export")
    found = await local_firewall._output(str(tools / "iptables-save"))
    assert isinstance(found, bytes)
    assert b"LC_ALL" in found and b"s3cr3t" not in found


@pytest.mark.usefixtures("tools")
async def test_a_machine_without_either_says_so() -> None:
    assert await why_not() == "neither nft nor iptables-save is installed here"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 1", "nft failed"),
        ("echo nothing", "nft printed something that is no ruleset"),
        ("exec /bin/sleep 30", "nft gave no answer within 0 s"),
        ("exec /bin/cat /dev/zero", "nft printed more than 0 MiB of rules"),
    ],
)
async def test_a_tool_that_fails_is_no_ruleset(
    tools: Path, monkeypatch: pytest.MonkeyPatch, script: str, why: str
) -> None:
    monkeypatch.setattr(local_firewall, "READ_S", 0.3)
    monkeypatch.setattr(local_firewall, "OUTPUT_MAX_BYTES", 100_000)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    tool(tools, "nft", script)
    assert await why_not() == why


async def test_without_root_the_reason_is_that(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    tool(tools, "nft", "echo 'Operation not permitted' >&2; exit 1")
    assert await why_not() == "nft may not read them without root"


async def test_a_tool_that_cannot_be_run_is_told(tools: Path) -> None:
    tool(tools, "nft", "")
    (tools / "nft").write_bytes(b"no program")
    assert (await why_not()).startswith("nft cannot be run: ")
