"""Connection tracking that forgets silent UDP flows for real: at the caller's NAT, and at the servers' firewall.

Linux's own timeouts, of a namespace (nf_conntrack_udp_timeout) or of single flows (nft's ct timeout).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path

import pytest

from calls_doctor.net.pace import BYTES_MAX
from tests.lab import impatient
from tests.lab.capture import busiest, capturing, most_bytes, without_media
from tests.lab.impatient import LATER_S, SHORT_S
from tests.lab.namespaces import why_not
from tests.lab.network import Machine, Nat, Network, draw_seed, network
from tests.lab.two_hosts import EVERY_SCENARIO, Vantage, checking, diagnosed, merging, serving

pytestmark = pytest.mark.skipif(why_not() != "", reason=f"no lab here: {why_not()}")

Said = Set[tuple[str, str]]
"""Causes, with whose they are."""
SEED = draw_seed()
IMPATIENT = [sys.executable, "-m", impatient.__name__]
ONLY = ("--thorough", "--only", "nat.idle")
UNDECIDED = {("nat.binding-short", "undecided")}


def forget(machine: Machine, after_s: int) -> None:
    """All that this machine tracks of UDP, streams too."""
    names = ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream")
    machine.sysctl(*(f"net.netfilter.{name}={after_s}" for name in names))


def at_the_callers_nat(net: Network) -> None:
    forget(net.nat, SHORT_S)


def at_the_callers_nat_for_the_media_port_alone(net: Network) -> None:
    """A policy of single flows; all others are remembered for as long as ever."""
    net.nat.nft(
        f"add ct timeout ip lab short {{ protocol udp; l3proto ip; policy = {{ unreplied : {SHORT_S}, "
        f"replied : {SHORT_S} }}; }}\n"
        "add chain ip lab early { type filter hook prerouting priority -190; }\n"
        f'add rule ip lab early udp dport {net.addresses.port} ct timeout set "short"\n'
    )


def at_the_servers_firewall(net: Network) -> None:
    """It lets nothing of the media port out that was not asked for."""
    forget(net.firewall, SHORT_S)
    net.firewall.rule("through", f'iifname "dmz" udp sport {net.addresses.port} ct state new drop')


def later_than_ice_refreshes(net: Network) -> None:
    forget(net.nat, LATER_S)


def nowhere(_net: Network) -> None:
    """Linux's own timeouts: 30 s, for streams 120 s."""


@dataclass(frozen=True)
class Scenario:
    """What forgets, and what the caller's check and two callers' reports are to say."""

    breaks: Callable[[Network], None]
    status: str
    merged: Said
    nat: Nat = Nat.PORT_RESTRICTED


CALLERS_OWN: Said = {("nat.binding-short", "caller-network")}
SERVERS: Said = {("nat.binding-short", "server-network")}
SCENARIOS = {
    "at the servers' firewall": Scenario(at_the_servers_firewall, "fail", SERVERS),
    "at the caller's NAT": Scenario(at_the_callers_nat, "fail", CALLERS_OWN),
    "at the caller's symmetric NAT": Scenario(at_the_callers_nat, "fail", CALLERS_OWN, Nat.SYMMETRIC),
    "at the caller's NAT, for the media port alone": Scenario(
        at_the_callers_nat_for_the_media_port_alone, "fail", CALLERS_OWN
    ),
    "later than ICE refreshes": Scenario(later_than_ice_refreshes, "warn", set()),
    "nowhere": Scenario(nowhere, "pass", set()),
    "nowhere, behind two NATs": Scenario(nowhere, "pass", set(), Nat.DOUBLE),
}


# At every stop the fault lab plays one at a caller's NAT.
@pytest.mark.parametrize("name", list(SCENARIOS) if EVERY_SCENARIO else ["at the servers' firewall"])
def test_a_silent_flow_that_is_forgotten_is_told_and_whose_timeout_it_is(name: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    with network(SEED, scenario.nat) as net:
        print(f"CALLS_DOCTOR_LAB_SEED={SEED}")  # noqa: T201 -- shown where a test fails: the lab can be drawn again
        scenario.breaks(net)
        host, port = net.addresses.public, str(net.addresses.port)
        with serving(net, tmp_path, ["--host", host, "--media-port", port]) as stand:
            link = stand.link_to(host)
            callers: list[Vantage] = [(net.caller, link, ONLY), (net.outside, link, ONLY)]
            alone, _ = checking(tmp_path, callers, doctor=IMPATIENT)
        merged = merging(tmp_path, ["caller", "outside"])
    (found,) = [check for check in alone["checks"] if check["id"] == "nat.idle"]
    assert found["status"] == scenario.status, found["summary"]
    assert diagnosed(alone) == (UNDECIDED if scenario.merged else set())
    assert diagnosed(merged) == scenario.merged


@pytest.mark.skipif(not EVERY_SCENARIO, reason="minutes: only where CALLS_DOCTOR_LAB=all asks for every scenario")
def test_a_thorough_look_too_sends_no_host_more_than_a_hundred_packets_in_a_second(tmp_path: Path) -> None:
    with network(SEED) as net:
        stands = ("--host", net.addresses.public, "--as", "media", "--as", "api", "--as", "turn")
        with serving(net, tmp_path, stands) as stand, capturing(net.caller, tmp_path) as packets:
            link = stand.link_to(net.addresses.public)
            (report,) = checking(tmp_path, [(net.caller, link, ("--thorough",))], doctor=IMPATIENT)
    assert {one["status"] for one in report["checks"] if one["id"] == "nat.idle"} == {"pass"}
    assert max(most_bytes(packets).values()) <= BYTES_MAX
    assert max(len(sent) for sent in busiest(without_media(packets)).values()) <= 100
