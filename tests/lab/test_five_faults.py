"""Five faults at once, each of another kind and on another's equipment: all five are named, and nothing else is."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.lab import two_hosts
from tests.lab.coturn import coturn
from tests.lab.namespaces import why_not
from tests.lab.network import Behind, Network, draw_seed, network
from tests.lab.resolvers import names
from tests.lab.standing import HTTP_PORT, standing_site
from tests.lab.test_turn import TURN_SETTINGS
from tests.lab.test_two_hosts import SERVERS, Said, said
from tests.lab.two_hosts import EVERY_SCENARIO, checking, diagnosed, merging, serving
from tests.servers import turn_servers

NO_LAB = why_not() or turn_servers.why_not()
pytestmark = [
    pytest.mark.skipif(NO_LAB != "", reason=f"no lab here: {NO_LAB}"),
    pytest.mark.skipif(not EVERY_SCENARIO, reason="minutes: only where CALLS_DOCTOR_LAB=all asks for every scenario"),
]

SEED = draw_seed()
SECRET, OLD_SECRET = "what Mattermost knows", "what it was before"
RELAY_PORTS = "50000-50999"
FIVE = said(
    ("media.udp-blocked-inbound", SERVERS), ("turn.secret-mismatch", TURN_SETTINGS), ("dns.stale-record", "dns-zone"),
    ("mattermost.websocket-blocked", SERVERS), ("turn.relay-blocked", SERVERS),
)  # fmt: skip
TURN = """
listening-ip={address}
relay-ip={address}
external-ip={public}/{address}
min-port=50000
max-port=50999
realm=lab.test
fingerprint
use-auth-secret
static-auth-secret={secret}
"""
SITE = """
mode = "rtcd"
users = "hybrid"
[mattermost]
url = "{url}"
[media]
hosts = ["{name}"]
host_override = "{public}"
nat = [{{ public = "{public}", private = "{server}" }}]
[turn]
servers = ["turn:{public}:3478?transport=udp", "turn:{other_turn}:3478?transport=udp"]
relay_ports = "{relay_ports}"
"""


@pytest.fixture(autouse=True)
def _seed(monkeypatch: pytest.MonkeyPatch) -> None:
    print(f"CALLS_DOCTOR_LAB_SEED={SEED}")  # noqa: T201 -- shown where a test fails: the lab can be drawn again
    monkeypatch.setitem(two_hosts.HERE, "CALLS_DOCTOR_TURN_SECRET", SECRET)


def spare(net: Network) -> Sequence[str]:
    """Public addresses of the servers' line that nobody has so far."""
    at = net.addresses
    every = ipaddress.IPv4Network(f"{at.firewall}/28", strict=False).hosts()
    return [one for one in map(str, every) if one not in (at.firewall, at.firewall_gateway, at.public)]


def map_another_host(net: Network, public: str) -> None:
    """A second TURN server, inside, has a public address of its own."""
    net.firewall.ip(f"addr add {public}/32 dev outside\n")
    net.firewall.rule("before", f"ip daddr {public} dnat to {net.addresses.inside}")


def break_the_network(net: Network) -> None:
    """UDP blocked inbound; the relay range of the second TURN server shut both ways."""
    inside = net.addresses.inside
    net.firewall.rule("through", 'iifname "outside" udp dport 8443 drop')
    net.firewall.rule("through", f"ip saddr {inside} udp sport {RELAY_PORTS} drop")
    net.firewall.rule("through", f"ip daddr {inside} udp dport {RELAY_PORTS} drop")


@pytest.mark.parametrize(("broken", "expected"), [(False, said()), (True, FIVE)], ids=["well", "five faults"])
def test_all_of_five_faults_at_once_are_named(broken: bool, expected: Said, tmp_path: Path) -> None:
    with network(SEED, behind=Behind.MAPPED) as net, contextlib.ExitStack() as stack:
        at = net.addresses
        other_turn, dead = spare(net)[:2]
        map_another_host(net, other_turn)
        if broken:
            break_the_network(net)
        says = {at.name: [at.public, dead] if broken else [at.public]}
        stack.enter_context(names(net, says, says, says))
        stack.enter_context(standing_site(net.server, HTTP_PORT, {"strips": broken}, tmp_path))
        url = f"http://{at.public}:{HTTP_PORT}"
        servers = ((net.server, at.server, at.public, OLD_SECRET if broken else SECRET),
                   (net.inside, at.inside, other_turn, SECRET))  # fmt: skip
        for machine, address, public, secret in servers:
            folder = tmp_path / f"turn at {machine.name}"
            folder.mkdir()
            lines = TURN.format(address=address, public=public, secret=secret)
            stack.enter_context(coturn(machine, folder, lines, [f"{address}:3478"]))
        site = SITE.format(
            url=url, name=at.name, public=at.public, server=at.server, other_turn=other_turn, relay_ports=RELAY_PORTS
        )
        stand = stack.enter_context(serving(net, tmp_path, ["--host", at.public], site))
        link, options = stand.link_to(at.public), ("--site", str(tmp_path / "site.toml"))
        checking(tmp_path, [(net.caller, link, options), (net.outside, link, options),
                            (net.server, link, (*options, "--from", "media"))])  # fmt: skip
        merged = merging(tmp_path, ["caller", "outside", "server"])
    assert diagnosed(merged) == expected
