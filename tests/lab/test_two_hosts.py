"""Two hosts with a network between them that a test breaks: what is said from one vantage, and from two merged.

A diagnosis that is not decided is right where one vantage cannot know; a wrong one never is. Each scenario says what
is broken and where; addresses, names and the media port are drawn from a seed (CALLS_DOCTOR_LAB_SEED, else a fresh
one), which is printed.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.namespaces import why_not
from tests.lab.network import Behind, Nat, Network, draw_seed, network
from tests.lab.two_hosts import EVERY_SCENARIO, Vantage, checking, diagnosed, merging, serving

pytestmark = pytest.mark.skipif(why_not() != "", reason=f"no lab here: {why_not()}")

SEED = draw_seed()
TCP_DATA = "tcp dport {port} tcp flags & psh == psh"
UNDECIDED = "undecided"
SERVERS, CALLERS, PATH, MEDIA_HOST = "server-network", "caller-network", "path", "media-host"
SETTINGS = "rtcd-settings"

Said = frozenset[tuple[str, str]]


def said(*pairs: tuple[str, str]) -> Said:
    """What a diagnosis names: causes with their parties."""
    return frozenset(pairs)


@dataclass(frozen=True)
class Scenario:
    """What is broken, where, and what is to be said of it."""

    rules: tuple[tuple[str, str, str], ...] = ()
    """(machine, chain, nft rule), or (machine, "ip", a line for ip); {public} and the like are addresses, {port} is the
    media port."""
    alone: tuple[Said, ...] = ()
    """What the caller behind NAT may say by itself: one of these."""
    merged: Said = frozenset()
    """What is said with the outside caller's report too."""
    nat: Nat = Nat.PORT_RESTRICTED
    behind: Behind = Behind.ROUTED
    node_inside: bool = False
    """A Mattermost node in the servers' network reports too."""
    by_name: bool = False
    """Callers are given the media host's name."""
    lost: str = ""
    """The way that is named too, where it matters."""


def at_the_servers(rule: str, *alone: Said, merged: Said, lost: str = "", by_name: bool = False) -> Scenario:
    """Broken at the servers' firewall."""
    return Scenario((("firewall", "through", rule),), alone, merged, lost=lost, by_name=by_name)


def at_the_caller(rule: str, *alone: Said, merged: Said) -> Scenario:
    """Broken at the caller's own NAT."""
    return Scenario((("nat", "through", rule),), alone, merged)


def one(cause: str, party: str) -> Said:
    """One cause."""
    return said((cause, party))


def by_the_callers_machine(rule: str) -> Scenario:
    """Forbidden by a firewall on the very machine that asks: one vantage knows it."""
    own = one("host.firewall", "caller-machine")
    return Scenario((("caller", "out", rule),), (own,), own)


HAIRPIN = "nat.hairpin-missing"
INBOUND, RETURN = "media.udp-blocked-inbound", "media.udp-blocked-return"
ALL_SHUT = one("media.blocked", UNDECIDED)
PORT_BLOCKED = one("client.port-blocked", CALLERS)
SMALL_LINK = (("router", "ip", "link set servers mtu 1280"), ("firewall", "ip", "link set outside mtu 1280"))
"""As a tunnel's."""
SCENARIOS = {
    "udp dropped on the way in": at_the_servers(
        "udp dport {port} drop", one(INBOUND, UNDECIDED), merged=one(INBOUND, SERVERS)
    ),
    "udp dropped on the way back": at_the_servers(
        "udp sport {port} drop", one(RETURN, UNDECIDED), merged=one(RETURN, SERVERS)
    ),
    "udp dropped on the way in to a host with a name": at_the_servers(
        "udp dport {port} drop", one(INBOUND, UNDECIDED), merged=one(INBOUND, SERVERS), by_name=True
    ),
    "udp dropped by the server's own firewall": Scenario(
        (("server", "in", "udp dport {port} drop"),), (one(INBOUND, UNDECIDED),), one(INBOUND, SERVERS)
    ),
    "udp dropped at the caller, outward": at_the_caller(
        "udp dport {port} drop", one(INBOUND, UNDECIDED), PORT_BLOCKED, merged=PORT_BLOCKED
    ),
    "udp dropped at the caller, inward": at_the_caller(
        "udp sport {port} drop", one(RETURN, UNDECIDED), PORT_BLOCKED, merged=PORT_BLOCKED
    ),
    "udp dropped by the caller's own machine": by_the_callers_machine("udp dport {port} drop"),
    "udp rejected by the caller's own machine": by_the_callers_machine("udp dport {port} reject"),
    "all to the media port dropped by the caller's own machine": by_the_callers_machine("th dport {port} drop"),
    "udp rejected, port unreachable": at_the_servers(
        "udp dport {port} reject with icmp type port-unreachable",
        one("media.udp-rejected", UNDECIDED),
        one("media.udp-rejected", SERVERS),
        merged=one("media.udp-rejected", SERVERS),
    ),
    "udp rejected, prohibited": at_the_servers(
        "udp dport {port} reject with icmp type admin-prohibited",
        one("media.udp-rejected", UNDECIDED),
        one("media.udp-rejected", SERVERS),
        merged=one("media.udp-rejected", SERVERS),
    ),
    "udp rejected at the caller": at_the_caller(
        "udp dport {port} reject with icmp type admin-prohibited",
        one("media.udp-rejected", UNDECIDED),
        PORT_BLOCKED,
        merged=PORT_BLOCKED,
    ),
    "tcp dropped": at_the_servers(
        "tcp dport {port} drop", one("media.tcp-blocked", UNDECIDED), merged=one("media.tcp-blocked", SERVERS)
    ),
    "tcp dropped at the caller": at_the_caller(
        "tcp dport {port} drop", one("media.tcp-blocked", UNDECIDED), PORT_BLOCKED, merged=PORT_BLOCKED
    ),
    "tcp rejected": at_the_servers(
        "tcp dport {port} reject with tcp reset",
        one("media.tcp-rejected", UNDECIDED),
        one("media.tcp-rejected", SERVERS),
        merged=one("media.tcp-rejected", SERVERS),
    ),
    "tcp stalled": at_the_servers(
        f"{TCP_DATA} drop",
        one("media.tcp-stalled", UNDECIDED),
        one("media.tcp-stalled", SERVERS),
        merged=one("media.tcp-stalled", SERVERS),
    ),
    # Two callers cannot tell a host that is shut off from one that is switched off.
    "all dropped": at_the_servers("ip daddr {server} drop", ALL_SHUT, merged=ALL_SHUT),
    "the media port dropped": at_the_servers("th dport {port} drop", ALL_SHUT, merged=ALL_SHUT),
    "the media port dropped from outside, a Mattermost node reaches it": Scenario(
        (("firewall", "through", 'iifname "outside" th dport {port} drop'),),
        (ALL_SHUT,),
        one("media.blocked", SERVERS),
        node_inside=True,
    ),
    "all dropped at the caller": at_the_caller(
        "ip daddr {public} drop",
        one("media.blocked", UNDECIDED),
        PORT_BLOCKED,
        one("client.udp-blocked", CALLERS),
        merged=PORT_BLOCKED,
    ),
    "answers leave from another address": Scenario(
        (("server", "out", "udp sport {port} ip saddr set {other}"),),
        (one(RETURN, UNDECIDED), one("media.reply-address-changed", MEDIA_HOST)),
        one("media.reply-address-changed", MEDIA_HOST),
    ),
    "large packets vanish on the way in": Scenario(
        (("router", "through", 'oifname "servers" meta length > 1270 drop'),),
        (one("path.mtu-blackhole", PATH), one("path.mtu-blackhole", UNDECIDED)),
        one("path.mtu-blackhole", PATH),
    ),
    "large packets vanish on the way back": Scenario(
        (("router", "through", 'iifname "servers" meta length > 1210 drop'),),
        (one("path.mtu-blackhole", PATH), one("path.mtu-blackhole", UNDECIDED)),
        one("path.mtu-blackhole", PATH),
    ),
    "large packets vanish, the link is small and ICMP is dropped": Scenario(
        (
            *SMALL_LINK,
            *(("router", chain, "icmp type destination-unreachable drop") for chain in ("out", "through")),
            ("firewall", "out", "icmp type destination-unreachable drop"),
        ),
        (one("path.mtu-blackhole", PATH),),
        one("path.mtu-blackhole", PATH),
    ),
    "the link is small, and ICMP says so": Scenario(SMALL_LINK, (said(),), said()),
    "the way back is small, and ICMP says so": Scenario(
        (("firewall", "ip", "route change default via {gateway} mtu 1280"),), (said(),), said()
    ),
    "udp is limited to so many packets a second on the way in": at_the_servers(
        "udp dport {port} limit rate over 40/second drop",
        one("media.udp-rate-limited", UNDECIDED),
        merged=one("media.udp-rate-limited", SERVERS),
        lost="request",
    ),
    "udp is limited to so many packets a second on the way back": at_the_servers(
        "udp sport {port} limit rate over 40/second drop",
        one("media.udp-rate-limited", UNDECIDED),
        merged=one("media.udp-rate-limited", SERVERS),
        lost="reply",
    ),
    "a fifth is lost on the way in": at_the_servers(
        "udp dport {port} numgen inc mod 5 == 0 drop",
        one("path.loss", PATH),
        merged=one("path.loss", PATH),
        lost="request",
    ),
    "a fifth is lost on the way back": at_the_servers(
        "udp sport {port} numgen inc mod 5 == 0 drop",
        one("path.loss", PATH),
        merged=one("path.loss", PATH),
        lost="reply",
    ),
}
AT_EVERY_STOP = (
    "udp rejected at the caller",
    "udp dropped by the caller's own machine",
    "tcp stalled",
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    print(f"CALLS_DOCTOR_LAB_SEED={SEED}")  # noqa: T201 -- shown where a test fails: the lab can be drawn again


def _break(net: Network, scenario: Scenario) -> None:
    at = net.addresses
    for machine, chain, rule in scenario.rules:
        filled = rule.format(
            public=at.public, server=at.server, other=at.other, gateway=at.firewall_gateway, port=at.port
        )
        if chain == "ip":
            getattr(net, machine).ip(f"{filled}\n")
        else:
            getattr(net, machine).rule(chain, filled)


def _at_its_port(net: Network) -> tuple[str, str]:
    """Options of `serve`."""
    return "--media-port", str(net.addresses.port)


@pytest.mark.parametrize(
    "name",
    list(SCENARIOS) if EVERY_SCENARIO else AT_EVERY_STOP,
)
def test_what_is_broken_is_named_and_nothing_else(name: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    with network(SEED, scenario.nat, scenario.behind) as net:
        _break(net, scenario)
        host = net.addresses.name if scenario.by_name else net.addresses.public
        with serving(net, tmp_path, ["--host", host, *_at_its_port(net)]) as stand:
            link = stand.link_to(host)
            vantages: list[Vantage] = [(net.caller, link, ()), (net.outside, link, ())]
            vantages += [(net.inside, link, ("--from", "mattermost"))] if scenario.node_inside else []
            alone, *_ = checking(tmp_path, vantages)
        merged = merging(tmp_path, [machine.name for machine, *_ in vantages])
    assert diagnosed(alone) in scenario.alone
    assert diagnosed(merged) == scenario.merged
    if scenario.lost:
        flows = [each["flow"] for report in (alone, merged) for each in report["diagnosis"]]
        assert {(flow["lost"], flow["port"]) for flow in flows} == {(scenario.lost, net.addresses.port)}


@pytest.mark.parametrize("nat", list(Nat) if EVERY_SCENARIO else [Nat.SYMMETRIC], ids=lambda nat: nat.name.lower())
def test_a_healthy_network_has_no_cause_behind_any_nat(nat: Nat, tmp_path: Path) -> None:
    with (
        network(SEED, nat) as net,
        serving(net, tmp_path, ["--host", net.addresses.public, *_at_its_port(net)]) as stand,
    ):
        (report,) = checking(tmp_path, [(net.caller, stand.link_to(net.addresses.public), ())])
    assert diagnosed(report) == set()
    assert report["verdict"] == "ok"


MAPPED_SITE = """
mode = "rtcd"
users = "hybrid"
[media]
hosts = ["{public}"]
host_override = "{public}"
"""


def test_one_to_one_nat_without_an_override_hands_out_a_private_address(tmp_path: Path) -> None:
    with network(SEED, behind=Behind.MAPPED) as net:
        with serving(net, tmp_path, ["--host", net.addresses.public]) as stand:
            link = stand.link_to(net.addresses.public)
            alone, _ = checking(tmp_path, [(net.caller, link, ()), (net.outside, link, ())])
        merged = merging(tmp_path, ["caller", "outside"])
    assert diagnosed(alone) == diagnosed(merged) == one("advertise.private-address", SETTINGS)


def _from_outside_and_inside(behind: Behind, directory: Path) -> tuple[Said, Said, Said]:
    """What is said outside, inside (by the media host's private address), and by both."""
    with network(SEED, behind=behind) as net:
        public, private = net.addresses.public, net.addresses.server
        hosts = ["--host", public, "--host", private]
        with serving(net, directory, hosts, MAPPED_SITE.format(public=public)) as stand:
            outside = (net.outside, stand.link_to(public), ())
            inside = (net.inside, stand.link_to(private), ("--site", str(directory / "site.toml")))
            out, within = checking(directory, [outside, inside])
        merged = merging(directory, ["outside", "inside"])
    return diagnosed(out), diagnosed(within), diagnosed(merged)


def test_a_firewall_that_reflects_has_no_cause(tmp_path: Path) -> None:
    assert _from_outside_and_inside(Behind.MAPPED, tmp_path) == (said(), said(), said())


def test_a_firewall_that_does_not_reflect_is_told_by_who_is_inside(tmp_path: Path) -> None:
    out, within, merged = _from_outside_and_inside(Behind.MAPPED_NO_HAIRPIN, tmp_path)
    assert out == said()
    assert within == one(HAIRPIN, UNDECIDED)
    assert merged == one(HAIRPIN, SERVERS)


def test_one_caller_alone_tells_whose_the_block_is_where_the_last_hop_is_known(tmp_path: Path) -> None:
    """The site names the servers' networks, and the router before the block lies in one of them."""
    with network(SEED) as net:
        at = net.addresses
        net.firewall.rule("through", "udp dport 8443 ct state new drop")
        networks = f'[networks]\nmattermost = ["{ipaddress.ip_network(f"{at.firewall}/28", strict=False)}"]\n'
        site = MAPPED_SITE.format(public=at.public) + networks
        with serving(net, tmp_path, ["--host", at.public], site) as stand:
            options = ("--site", str(tmp_path / "site.toml"))
            (report,) = checking(tmp_path, [(net.caller, stand.link_to(at.public), options)])
    assert diagnosed(report) == one(INBOUND, SERVERS)
    (echo,) = [check for check in report["checks"] if check["id"] == "port.rtc-udp-echo"]
    assert echo["evidence"]["last_hop"] == {"address": at.firewall, "ttl": 3, "side": "servers"}
    assert echo["evidence"]["opens_from_inside"] is True, "what the media host begins is let through both ways"


@pytest.mark.parametrize("only", ["tcp", "udp"])
def test_a_report_comes_home_by_the_one_port_that_is_open(only: str, tmp_path: Path) -> None:
    """A laptop behind a firewall that lets nothing else out."""
    with network(SEED) as net:
        net.nat.rule("through", f'oifname "outside" {only} dport {net.addresses.port} accept')
        net.nat.rule("through", 'oifname "outside" drop')
        with serving(net, tmp_path, ["--host", net.addresses.public, *_at_its_port(net)]) as stand:
            (report,) = checking(tmp_path, [(net.caller, stand.link_to(net.addresses.public), ())])
    served = json.loads((tmp_path / "served.json").read_text())
    assert [one["label"] for one in served["vantages"] if one["role"] == "client"] == ["caller"]
    assert {one["cause"] for one in served["diagnosis"]} == {one["cause"] for one in report["diagnosis"]} != set()


def test_a_caller_whose_own_machine_has_no_route_is_told_so_and_nobody_is_blamed(tmp_path: Path) -> None:
    with network(SEED) as net, serving(net, tmp_path, ["--host", net.addresses.public]) as stand:
        net.caller.ip("route delete default\n")
        (report,) = checking(tmp_path, [(net.caller, stand.link_to(net.addresses.public), ())])
    said = {check["id"]: check["summary"] for check in report["checks"]}
    assert said["port.rtc-udp-echo"] == f"this machine has no route to {net.addresses.public}"
    assert diagnosed(report) == set()


def test_a_caller_whose_calls_work_is_warned_of_a_silent_stun_server_and_no_more(tmp_path: Path) -> None:
    with network(SEED) as net, serving(net, tmp_path, ["--host", net.addresses.public]) as stand:
        net.outside.rule("in", "udp dport 3478 drop")
        stun = ("--stun", f"stun:{net.addresses.outside}:3478")
        (report,) = checking(tmp_path, [(net.caller, stand.link_to(net.addresses.public), stun)])
    status = {check["id"]: check["status"] for check in report["checks"]}
    assert (status["stun.reach"], status["media.call-udp"], report["verdict"]) == ("warn", "pass", "warnings")
    assert diagnosed(report) == one("stun.blocked-client", UNDECIDED)


WHERE = ["a link behind a router", "a link of the caller's own"]


@pytest.mark.parametrize("where", WHERE if EVERY_SCENARIO else WHERE[:1])
def test_who_says_how_large_a_packet_may_be_is_heard(where: str, tmp_path: Path) -> None:
    with network(SEED) as net:
        if where == "a link behind a router":
            _break(net, Scenario(SMALL_LINK))
        else:
            net.caller.ip("link set eth0 mtu 1280\n")
            net.nat.ip("link set inside mtu 1280\n")
        with serving(net, tmp_path, ["--host", net.addresses.public]) as stand:
            link = stand.link_to(net.addresses.public)
            (report,) = checking(tmp_path, [(net.caller, link, ("--only", "quality.mtu"))])
    (found,) = [check for check in report["checks"] if check["id"] == "quality.mtu"]
    evidence = found["evidence"]
    assert (found["status"], evidence["icmp"], evidence["mtu_bytes"]) == ("pass", True, 1280)
    assert evidence["payload_max_bytes"] == evidence["payload_max_to_far_bytes"] == 1252


TURN_SERVED = ("--as", "media", "--as", "turn")
RELAYED = ("turn.challenge", "turn.allocate", "turn.relay-range", "port.turn-listener", "media.call-relay")


@pytest.mark.parametrize(
    "behind",
    [Behind.MAPPED_NO_HAIRPIN, *([Behind.ROUTED] if EVERY_SCENARIO else [])],
    ids=lambda one: one.name.lower(),
)
def test_a_stand_in_that_serves_turn_lets_a_caller_call_through_it(behind: Behind, tmp_path: Path) -> None:
    """Its relay has the public address, also where the firewall does not reflect."""
    with network(SEED, Nat.SYMMETRIC, behind) as net:
        public = net.addresses.public
        arguments = ["--host", public, *TURN_SERVED]
        with serving(net, tmp_path, arguments, f'[media]\nhost_override = "{public}"') as stand:
            (report,) = checking(tmp_path, [(net.caller, stand.link_to(public), ())])
    found = {check["id"]: check for check in report["checks"]}
    assert {name: found[name]["status"] for name in RELAYED} == dict.fromkeys(RELAYED, "pass")
    assert {row["relayed"][0] for row in found["turn.allocate"]["evidence"]["servers"]} == {public}
    assert diagnosed(report) == said() and report["verdict"] == "ok"


TURN_SHUT = {
    "udp 3478 dropped": ("udp dport 3478 drop", "turn.udp-blocked"),
    "udp 3478 rejected": ("udp dport 3478 reject", "turn.udp-blocked"),
    "tcp 3478 rejected": ("tcp dport 3478 reject with tcp reset", "turn.tcp-blocked"),
    "3478 rejected": ("th dport 3478 reject", "turn.blocked"),
    "3478 dropped": ("th dport 3478 drop", "turn.blocked"),
}


@pytest.mark.parametrize("name", TURN_SHUT if EVERY_SCENARIO else ["udp 3478 dropped"])
def test_a_turn_port_that_is_shut_is_named_and_nothing_else(name: str, tmp_path: Path) -> None:
    rule, cause = TURN_SHUT[name]
    with network(SEED) as net:
        net.firewall.rule("through", rule)
        with serving(net, tmp_path, ["--host", net.addresses.public, *TURN_SERVED]) as stand:
            link = stand.link_to(net.addresses.public)
            alone, _ = checking(tmp_path, [(net.caller, link, ()), (net.outside, link, ())])
        merged = merging(tmp_path, ["caller", "outside"])
    assert diagnosed(alone) == one(cause, UNDECIDED)
    assert diagnosed(merged) == one(cause, SERVERS)
