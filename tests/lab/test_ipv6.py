"""IPv6 beside IPv4, in its place, missing, and broken: what callers say of a media host that has both.

Every machine knows the media host's name by both addresses, and callers have the links to both.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.ipv6 import Ipv6, deny, give_ipv6, without_ipv4, without_ipv6
from tests.lab.namespaces import why_not
from tests.lab.network import ETC, Network, draw_seed, network
from tests.lab.resolvers import names
from tests.lab.two_hosts import EVERY_SCENARIO, Vantage, checking, diagnosed, merging, serving

pytestmark = [
    pytest.mark.skipif(why_not() != "", reason=f"no lab here: {why_not()}"),
    pytest.mark.skipif(not EVERY_SCENARIO, reason="minutes: only where CALLS_DOCTOR_LAB=all asks for every scenario"),
]

Said = Set[tuple[str, str]]
SEED = draw_seed()
ALL, UDP = "th dport 8443", "udp dport 8443"
WELL: Said = set()


def well(_net: Network) -> None:
    """Both work, everywhere."""


def ipv6_alone(net: Network) -> None:
    without_ipv4(net.caller, net.addresses.caller)


def ipv4_alone(net: Network) -> None:
    without_ipv6(net.caller)


def dropped_at_the_servers(what: str) -> Callable[[Network], None]:
    return lambda net: deny(net.firewall, what)


def dropped_at_the_caller(what: str) -> Callable[[Network], None]:
    return lambda net: deny(net.nat, what)


@dataclass(frozen=True)
class Scenario:
    """What is odd or broken over IPv6, and what the caller and both callers' reports are to say."""

    breaks: Callable[[Network], None]
    alone: Said = frozenset()
    merged: Said = frozenset()
    by_dns: bool = False
    """The name comes from resolvers, and not from hosts files."""


def one(cause: str, party: str) -> Said:
    return {(cause, party)}


INBOUND, DEAD, UNDECIDED = "media.udp-blocked-inbound", "dns.ipv6-dead", "undecided"
SCENARIOS = {
    "dual stack": Scenario(well),
    "a caller with IPv6 alone": Scenario(ipv6_alone),
    "a caller with IPv4 alone": Scenario(ipv4_alone),
    "UDP is dropped at the servers": Scenario(
        dropped_at_the_servers(UDP), one(INBOUND, UNDECIDED), one(INBOUND, "server-network")
    ),
    "UDP is dropped at the caller": Scenario(
        dropped_at_the_caller(UDP), one(INBOUND, UNDECIDED), one("client.port-blocked", "caller-network")
    ),
    "all is dropped at the servers": Scenario(
        dropped_at_the_servers(ALL), one(DEAD, UNDECIDED), one(DEAD, "dns-zone"), by_dns=True
    ),
    "all is dropped at the caller": Scenario(
        dropped_at_the_caller(ALL), one(DEAD, UNDECIDED), one(DEAD, "caller-network"), by_dns=True
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_ipv6_is_judged_by_itself_and_is_needed_by_nobody_who_has_none(name: str, tmp_path: Path) -> None:
    print(f"CALLS_DOCTOR_LAB_SEED={SEED}")  # noqa: T201 -- shown where a test fails: the lab can be drawn again
    scenario = SCENARIOS[name]
    with network(SEED) as net:
        v6 = give_ipv6(net, SEED)
        both = _known_by_both(net, v6)
        scenario.breaks(net)
        with serving(net, tmp_path, ["--host", net.addresses.name]) as stand:
            more = [word for link in stand.links[1:] for word in ("--peer", link)]
            callers: list[Vantage] = [(one, stand.links[0], more) for one in (net.caller, net.outside)]
            if scenario.by_dns:
                with names(net, both, both):
                    alone, _ = checking(tmp_path, callers)
            else:
                alone, _ = checking(tmp_path, callers)
        merged = merging(tmp_path, ["caller", "outside"])
    assert len(stand.links) == 2
    assert (diagnosed(alone), diagnosed(merged)) == (scenario.alone, scenario.merged)
    assert {alone["verdict"], merged["verdict"]} == ({"failed"} if scenario.merged else {"ok"})
    flows = [found["flow"]["to"]["address"] for found in merged["diagnosis"]]
    assert flows in ([], [v6.server], [net.addresses.name]), "nothing is said of IPv4"
    assert {found["impact"] for found in merged["diagnosis"]} <= {"some callers", "degraded"}, "IPv4 is left"


def _known_by_both(net: Network, v6: Ipv6) -> dict[str, list[str]]:
    at = net.addresses
    for machine in net.machines:
        lines = "".join(f"{address} {at.name}\n" for address in (at.public, v6.server))
        (ETC / machine.namespace / "hosts").write_text(f"127.0.0.1 localhost\n{lines}")
    return {at.name: [at.public, v6.server]}
