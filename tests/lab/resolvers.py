"""Resolvers of the lab's networks: each says what a test writes."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

from tests.lab.network import ETC, Machine, Network
from tests.lab.two_hosts import HERE

Says = Mapping[str, Sequence[str] | str]
"""As tests/servers/dns_servers.py has it."""


@contextlib.contextmanager
def resolver(at: Machine, says: Says, address: str, *of: Machine) -> Iterator[None]:
    """A resolver on this machine, at this address of its, for these machines: they have no line for the name in their
    hosts files."""
    words = [sys.executable, "-m", "tests.servers.dns_servers", json.dumps(says)]
    process = subprocess.Popen(at.command(words), stdout=subprocess.PIPE, env=HERE)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        for machine in of:
            (ETC / machine.namespace / "hosts").write_text("127.0.0.1 localhost\n")
            resolves(machine, address)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=10)


def resolves(machine: Machine, *servers: str, search: str = "") -> None:
    """This machine asks these, in this order (resolv.conf(5)): commands that start from now on."""
    lines = "".join(f"nameserver {one}\n" for one in servers) + (f"search {search}\n" if search else "")
    (ETC / machine.namespace / "resolv.conf").write_text(lines)


@contextlib.contextmanager
def names(net: Network, caller: Says, outside: Says, inside: Says | None = None) -> Iterator[None]:
    """The resolvers of the caller behind NAT, of the one outside, and of the servers' network."""
    at = net.addresses
    with contextlib.ExitStack() as stack:
        stack.enter_context(resolver(net.nat, caller, at.home, net.caller))
        stack.enter_context(resolver(net.router, outside, at.outside_gateway, net.outside))
        if inside is not None:
            stack.enter_context(resolver(net.firewall, inside, at.inside_gateway, net.inside))
        yield
