"""The rules of this machine's own firewall, read by the system's tools and never changed.

A tool is given no secret, nothing on its input and two seconds; without root it may not read the rules, which is told.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from calls_doctor.wire import iptables, nftables
from calls_doctor.wire.ruleset import Packet, Ruleset

WHERE = "/usr/sbin:/sbin:/usr/bin:/bin"
"""An ordinary user's PATH leaves out where they are."""
READ_S = 2.0
OUTPUT_MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Unread:
    """The rules are not known."""

    why: str


@dataclass(frozen=True)
class LocalFirewall:
    """What the machine's rules are, whoever keeps them."""

    backend: str
    """"nft" or "iptables"."""
    managers: list[str]
    """ufw, firewalld, docker: who keeps rules there."""
    rules_for: Callable[[Packet], Ruleset]


async def read() -> LocalFirewall | Unread:
    """Asks nft, and iptables-save where there is no nft."""
    nft, save = await asyncio.to_thread(lambda: [shutil.which(tool, path=WHERE) for tool in ("nft", "iptables-save")])
    if nft:
        return _of_nft(await _output(nft, "-j", "list", "ruleset"))
    return _of_iptables(await _output(save)) if save else Unread("neither nft nor iptables-save is installed here")


def _of_nft(output: bytes | Unread) -> LocalFirewall | Unread:
    if isinstance(output, Unread):
        return output
    try:
        document = json.loads(output)
    except ValueError:
        return Unread("nft printed something that is no ruleset")
    return LocalFirewall("nft", nftables.managers(document), lambda packet: nftables.rules_for(document, packet))


def _of_iptables(output: bytes | Unread) -> LocalFirewall | Unread:
    if isinstance(output, Unread):
        return output
    text = output.decode(errors="replace")
    return LocalFirewall("iptables", iptables.managers(text), lambda packet: iptables.rules_for(text, packet))


async def _output(*command: str) -> bytes | Unread:
    name = command[0].rpartition("/")[2]
    try:
        process = await asyncio.create_subprocess_exec(
            *command, env={"PATH": WHERE, "LC_ALL": "C"}, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError as error:
        return Unread(f"{name} cannot be run: {os.strerror(error.errno or 0)}")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READ_S):
            data = await _all(process.stdout)
            code = await process.wait() if len(data) <= OUTPUT_MAX_BYTES else None
    except TimeoutError:
        return Unread(f"{name} gave no answer within {READ_S:.0f} s")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code is None:
        return Unread(f"{name} printed more than {OUTPUT_MAX_BYTES >> 20} MiB of rules")
    return Unread(f"{name} may not read them without root" if os.geteuid() else f"{name} failed") if code else data


async def _all(stream: asyncio.StreamReader) -> bytes:
    """To its end, or to just more than is read."""
    data = b""
    while len(data) <= OUTPUT_MAX_BYTES and (some := await stream.read(1 << 16)):
        data += some
    return data
