"""IPv6 beside the IPv4 of the lab's network, or in its place: every cable has a /64, and nothing is translated.

Addresses are drawn from RFC 3849's documentation range.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.lab.network import Machine, Network

DOCUMENTATION = "2001:db8"
CHAINS = """
table ip6 lab {
    chain through { type filter hook forward priority 0; policy accept; }
}
"""


@dataclass(frozen=True)
class Ipv6:
    """Every end's address."""

    caller: str
    outside: str
    inside: str
    server: str
    nobody: str
    """Beside the media host; nobody has it."""


def give_ipv6(net: Network, seed: int) -> Ipv6:
    """To every machine, with routes between them all. Wants a network without a carrier's NAT."""
    chance = random.Random(seed)
    site = f"{DOCUMENTATION}:{chance.randrange(1, 0x10000):x}"
    links = {place: f"{site}:{n}" for n, place in enumerate(("home", "callers", "office", "dmz", "access", "servers"))}
    ends = {
        place: f"{links[place]}::{chance.randrange(2, 0x10000):x}" for place in ("home", "callers", "office", "dmz")
    }
    for machine in (net.nat, net.router, net.firewall):
        machine.sysctl("net.ipv6.conf.all.forwarding=1")
        machine.nft(CHAINS)
    # As over IPv4: rtcd's API is for Mattermost nodes.
    deny(net.firewall, 'iifname "outside" tcp dport 8045')
    _cable(net.caller, ends["home"], net.nat, "inside")
    _cable(net.outside, ends["callers"], net.router, "callers")
    _cable(net.inside, ends["office"], net.firewall, "office")
    _cable(net.server, ends["dmz"], net.firewall, "dmz")
    _cable(net.nat, f"{links['access']}::2", net.router, "access", near="outside")
    _cable(net.firewall, f"{links['servers']}::2", net.router, "servers", near="outside")
    net.router.ip(f"route add {links['home']}::/64 via {links['access']}::2\n")
    for place in ("office", "dmz"):
        net.router.ip(f"route add {links[place]}::/64 via {links['servers']}::2\n")
    return Ipv6(ends["home"], ends["callers"], ends["office"], ends["dmz"], f"{links['dmz']}::1:1")


def deny(machine: Machine, what: str) -> None:
    """Drops what is forwarded over IPv6 and matches."""
    machine.nft(f"add rule ip6 lab through {what} drop\n")


def without_ipv6(machine: Machine) -> None:
    """It has none at all, link-local addresses included."""
    machine.sysctl("net.ipv6.conf.all.disable_ipv6=1")


def without_ipv4(machine: Machine, address: str) -> None:
    """Takes its IPv4 address, and with it every route; loopback keeps its own."""
    machine.ip(f"addr del {address}/24 dev eth0\n")


def _cable(one: Machine, address: str, other: Machine, port: str, *, near: str = "eth0") -> None:
    """Addresses for a cable that is there, and the way out of the first by the other, which is the /64's first."""
    gateway = f"{address.rpartition('::')[0]}::1"
    one.ip(f"addr add {address}/64 dev {near} nodad\n")
    other.ip(f"addr add {gateway}/64 dev {port} nodad\n")
    one.ip(f"route add default via {gateway}\n")
