"""Names between machines: split DNS that is well, a stale second address, IPv6 that is dead where IPv4 works, and a
resolver that alone does not know the name. Every network has a resolver of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any  # a report is JSON

import pytest

from tests.lab.namespaces import why_not
from tests.lab.network import ETC, Behind, Machine, Network, draw_seed, network
from tests.lab.two_hosts import HERE, checking, diagnosed, merging, serving

pytestmark = pytest.mark.skipif(why_not() != "", reason=f"no lab here: {why_not()}")

SEED = draw_seed()
IPV6 = "2001:db8::20"
ZONE, RESOLVER, UNDECIDED = "dns-zone", "dns-resolver", "undecided"
Says = Mapping[str, Sequence[str] | str]


@pytest.fixture(autouse=True)
def _seed() -> None:
    print(f"CALLS_DOCTOR_LAB_SEED={SEED}")  # noqa: T201 -- shown where a test fails: the lab can be drawn again


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
            (ETC / machine.namespace / "resolv.conf").write_text(f"nameserver {address}\n")
        yield
    finally:
        process.terminate()
        process.communicate(timeout=10)


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


def site(net: Network) -> str:
    at = net.addresses
    nat = f'nat = [{{ public = "{at.public}", private = "{at.server}" }}]\n' if at.public != at.server else ""
    return f'mode = "rtcd"\nusers = "hybrid"\n[media]\nhosts = ["{at.name}"]\nhost_override = "{at.public}"\n{nat}'


def checked(net: Network, directory: Path, *machines: Machine) -> list[dict[str, Any]]:
    """Their reports, and that of all of them merged."""
    with serving(net, directory, ["--host", net.addresses.public], site(net)) as stand:
        options = ("--site", str(directory / "site.toml"))
        link = stand.link_to(net.addresses.public)
        reports = checking(directory, [(machine, link, options) for machine in machines])
    return [*reports, merging(directory, [machine.name for machine in machines])]


def found(report: dict[str, Any]) -> list[str]:
    """What dns.media-names came to, at each vantage."""
    return [check["status"] for check in report["checks"] if check["id"] == "dns.media-names"]


def split_dns_is_well_on_both_sides(tmp_path: Path) -> None:
    with network(SEED, behind=Behind.MAPPED_NO_HAIRPIN) as net:
        at = net.addresses
        public, private = {at.name: [at.public]}, {at.name: [at.server]}
        with names(net, public, public, private):
            *_, inside, merged = checked(net, tmp_path, net.caller, net.outside, net.inside)
    assert found(merged) == ["pass"] * 3 and found(inside) == ["pass"]
    assert not {cause for cause, _ in diagnosed(merged) if cause.startswith("dns.")}
    (names_seen,) = [check for check in inside["checks"] if check["id"] == "dns.media-names"]
    assert [one["private"] for one in names_seen["evidence"]["names"][0]["addresses"]] == [True]


def a_second_address_that_is_dead_is_the_zones_where_all_have_it(tmp_path: Path) -> None:
    with network(SEED) as net:
        both = {net.addresses.name: [net.addresses.public, net.addresses.other]}
        with names(net, both, both):
            alone, _, merged = checked(net, tmp_path, net.caller, net.outside)
    assert diagnosed(alone) == {("dns.stale-record", UNDECIDED)}
    assert diagnosed(merged) == {("dns.stale-record", ZONE)}


def a_second_address_that_one_resolver_has_kept_is_that_resolvers(tmp_path: Path) -> None:
    with network(SEED) as net:
        at = net.addresses
        with names(net, {at.name: [at.public, at.other]}, {at.name: [at.public]}):
            *_, merged = checked(net, tmp_path, net.caller, net.outside)
    assert diagnosed(merged) == {("dns.stale-record", RESOLVER)}


def ipv6_that_is_dead_where_ipv4_works(tmp_path: Path) -> None:
    with network(SEED) as net:
        says = {net.addresses.name: [net.addresses.public, IPV6]}
        net.outside.ip("addr add 2001:db8:1::2/64 dev eth0 nodad\nroute add default via 2001:db8:1::1 dev eth0\n")
        with names(net, says, says):
            without, with_ipv6, merged = checked(net, tmp_path, net.caller, net.outside)
    assert diagnosed(without) == set(), "who has no IPv6 has no trouble with it"
    assert diagnosed(with_ipv6) == {("dns.ipv6-dead", UNDECIDED)} == diagnosed(merged)


def _known_elsewhere(says: str, cause: str, tmp_path: Path) -> None:
    with network(SEED) as net:
        at = net.addresses
        with names(net, {"*": says}, {at.name: [at.public]}):
            alone, _, merged = checked(net, tmp_path, net.caller, net.outside)
    assert {one for one, _ in diagnosed(alone)} == {cause}
    assert diagnosed(merged) == {(cause, RESOLVER)}


def a_name_that_one_resolver_does_not_know(tmp_path: Path) -> None:
    _known_elsewhere("nxdomain", "dns.nxdomain", tmp_path)


def a_name_on_which_one_resolver_fails(tmp_path: Path) -> None:
    _known_elsewhere("servfail", "dns.servfail", tmp_path)


def a_resolver_that_is_silent(tmp_path: Path) -> None:
    _known_elsewhere("silent", "dns.timeout", tmp_path)


AT_EVERY_STOP = (split_dns_is_well_on_both_sides, a_second_address_that_is_dead_is_the_zones_where_all_have_it)
EVERY = (
    *AT_EVERY_STOP, a_second_address_that_one_resolver_has_kept_is_that_resolvers, ipv6_that_is_dead_where_ipv4_works,
    a_name_that_one_resolver_does_not_know, a_name_on_which_one_resolver_fails, a_resolver_that_is_silent,
)  # fmt: skip
"""They take most of a minute: see test_two_hosts.py."""


@pytest.mark.parametrize("play", EVERY if os.environ.get("CALLS_DOCTOR_LAB") == "all" else AT_EVERY_STOP)
def test_what_names_say_between_machines(play: Callable[[Path], None], tmp_path: Path) -> None:
    play(tmp_path)
