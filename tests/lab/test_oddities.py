"""Healthy networks that look odd: calls work, so nothing may be named, at one caller or from all reports merged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.namespaces import why_not
from tests.lab.network import Nat, Network, draw_seed, lose_one_percent, network
from tests.lab.two_hosts import EVERY_SCENARIO, Vantage, checking, diagnosed, merging, serving

pytestmark = [
    pytest.mark.skipif(why_not() != "", reason=f"no lab here: {why_not()}"),
    pytest.mark.skipif(not EVERY_SCENARIO, reason="minutes: only where CALLS_DOCTOR_LAB=all asks for every scenario"),
]

SEED = draw_seed()
MEMORY_S = 30
"""For how long stateful firewalls that forget early remember UDP."""
OWN_TABLE = 100


def no_icmp(net: Network) -> None:
    """Nobody lets any through, or says anything by it."""
    for machine in (net.nat, net.router, net.firewall):
        for chain in ("through", "in", "out"):
            machine.rule(chain, "meta l4proto icmp drop")


def firewalls_that_forget(net: Network) -> None:
    """On both sides; and nothing leaves the servers that was not asked for."""
    for machine in (net.nat, net.firewall):
        names = ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream")
        machine.sysctl(*(f"net.netfilter.{name}={MEMORY_S}" for name in names))
        machine.rule("through", "ct state invalid drop")
    net.firewall.rule("through", 'iifname "dmz" oifname "outside" ct state new drop')


def marks_taken_off(net: Network) -> None:
    """DSCP and ECN, both ways, as carriers do."""
    net.router.rule("through", "ip dscp set cs0")
    net.router.rule("through", "ip ecn set not-ect")


def a_second_address(net: Network) -> None:
    """Of the media host, on the same link."""
    net.server.ip(f"addr add {net.addresses.other}/28 dev eth0\n")
    net.router.ip(f"route add {net.addresses.other}/32 via {net.addresses.firewall}\n")


def a_second_interface(net: Network) -> None:
    """Of the media host, with an address and a way out of its own."""
    at = net.addresses
    net.server.ip(
        f"link add eth1 type veth peer name dmz2 netns {net.firewall.namespace}\n"
        f"addr add {at.other}/32 dev eth1\nlink set eth1 up\n"
        f"route add default via {at.server_gateway} dev eth1 onlink table {OWN_TABLE}\n"
        f"rule add from {at.other} lookup {OWN_TABLE}\n"
    )
    net.firewall.ip(f"link set dmz2 up\nroute add {at.other}/32 dev dmz2\n")
    net.router.ip(f"route add {at.other}/32 via {at.firewall}\n")


@dataclass(frozen=True)
class Oddity:
    """What is odd."""

    makes: Callable[[Network], None]
    nat: Nat = Nat.PORT_RESTRICTED
    two_addresses: bool = False
    """Callers have a link to each."""


ODDITIES = {
    "no ICMP at all": Oddity(no_icmp),
    "no ICMP at all, behind symmetric NAT": Oddity(no_icmp, Nat.SYMMETRIC),
    "stateful firewalls that forget after 30 s": Oddity(firewalls_that_forget),
    "1 % lost behind two NATs": Oddity(lose_one_percent, Nat.DOUBLE),
    "1 % lost behind two symmetric NATs": Oddity(lose_one_percent, Nat.SYMMETRIC_TWICE),
    "DSCP and ECN taken off": Oddity(marks_taken_off),
    "a media host with two addresses": Oddity(a_second_address, two_addresses=True),
    "a media host with two interfaces": Oddity(a_second_interface, two_addresses=True),
}


@pytest.mark.parametrize("name", ODDITIES)
def test_nothing_is_named_where_calls_work(name: str, tmp_path: Path) -> None:
    print(f"CALLS_DOCTOR_LAB_SEED={SEED}")  # noqa: T201 -- shown where a test fails: the lab can be drawn again
    odd = ODDITIES[name]
    with network(SEED, odd.nat) as net:
        odd.makes(net)
        at = net.addresses
        hosts = [at.public, at.other] if odd.two_addresses else [at.public]
        with serving(net, tmp_path, [word for host in hosts for word in ("--host", host)]) as stand:
            more = [word for link in stand.links[1:] for word in ("--peer", link)]
            callers: list[Vantage] = [(one, stand.links[0], more) for one in (net.caller, net.outside)]
            reports = checking(tmp_path, callers)
        reports.append(merging(tmp_path, ["caller", "outside"]))
    assert len(stand.links) == len(hosts)
    assert [diagnosed(report) for report in reports] == [frozenset()] * 3
    assert {report["verdict"] for report in reports} <= {"ok", "warnings"}, "nothing is left undecided"
