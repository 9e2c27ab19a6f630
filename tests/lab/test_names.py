"""Names between machines: split DNS that is well, a stale second address, IPv6 that is dead where IPv4 works, and a
resolver that alone does not know the name. Every network has a resolver of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any  # a report is JSON

import pytest

from tests.lab.namespaces import why_not
from tests.lab.network import Behind, Machine, Network, draw_seed, network
from tests.lab.resolvers import names, resolves
from tests.lab.two_hosts import checking, diagnosed, merging, serving

pytestmark = pytest.mark.skipif(why_not() != "", reason=f"no lab here: {why_not()}")

SEED = draw_seed()
IPV6 = "2001:db8::20"
ZONE, RESOLVER, UNDECIDED = "dns-zone", "dns-resolver", "undecided"


@pytest.fixture(autouse=True)
def _seed() -> None:
    print(f"CALLS_DOCTOR_LAB_SEED={SEED}")  # noqa: T201 -- shown where a test fails: the lab can be drawn again


def site(net: Network) -> str:
    at = net.addresses
    nat = f'nat = [{{ public = "{at.public}", private = "{at.server}" }}]\n' if at.public != at.server else ""
    return f'mode = "rtcd"\nusers = "hybrid"\n[media]\nhosts = ["{at.name}"]\nhost_override = "{at.public}"\n{nat}'


def checked(net: Network, directory: Path, *machines: Machine, text: str = "") -> list[dict[str, Any]]:
    """Their reports, and that of all of them merged; `text` is another site file."""
    with serving(net, directory, ["--host", net.addresses.public], text or site(net)) as stand:
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


def split_dns_and_a_firewall_that_reflects_are_well(tmp_path: Path) -> None:
    with network(SEED, behind=Behind.MAPPED) as net:
        at = net.addresses
        public, private = {at.name: [at.public]}, {at.name: [at.server]}
        with names(net, public, public, private):
            reports = checked(net, tmp_path, net.caller, net.outside, net.inside)
    assert [diagnosed(report) for report in reports] == [frozenset()] * 4


def names_that_are_long_or_short_or_in_capitals_are_well(tmp_path: Path) -> None:
    """An alias of an alias; a search domain; what was typed in capitals."""
    with network(SEED) as net:
        at = net.addresses
        host, _, domain = at.name.partition(".")
        says = {at.name: [f"-> media.{domain}", f"-> edge.{domain}", at.public]}
        with names(net, says, says):
            resolves(net.caller, at.home, search=domain)
            shortened = site(net).replace(f'"{at.name}"', f'"{host}"')
            alone, _, merged = checked(net, tmp_path, net.caller, net.outside, text=site(net).replace("rtc-", "RTC-"))
            (short,) = checked(net, tmp_path, net.caller, text=shortened)[:1]
    assert found(merged) == ["pass"] * 2 and found(short) == ["pass"]
    assert [diagnosed(report) for report in (alone, short, merged)] == [frozenset()] * 3


def a_second_resolver_that_is_silent_is_asked_by_nobody(tmp_path: Path) -> None:
    with network(SEED) as net:
        at = net.addresses
        says = {at.name: [at.public]}
        with names(net, says, says):
            resolves(net.caller, at.home, at.other)
            alone, _, merged = checked(net, tmp_path, net.caller, net.outside)
    assert diagnosed(alone) == diagnosed(merged) == set()


def a_first_resolver_that_is_silent_keeps_the_caller_waiting(tmp_path: Path) -> None:
    with network(SEED) as net:
        at = net.addresses
        says = {at.name: [at.public]}
        with names(net, says, says):
            net.nat.rule("through", f"ip daddr {at.other} drop")
            resolves(net.caller, at.other, at.home)
            alone, _, merged = checked(net, tmp_path, net.caller, net.outside)
    assert {cause for cause, _ in diagnosed(alone)} == {"dns.timeout"}
    assert diagnosed(merged) == {("dns.timeout", RESOLVER)}


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
    *AT_EVERY_STOP,
    split_dns_and_a_firewall_that_reflects_are_well,
    names_that_are_long_or_short_or_in_capitals_are_well,
    a_second_resolver_that_is_silent_is_asked_by_nobody,
    a_first_resolver_that_is_silent_keeps_the_caller_waiting,
    a_second_address_that_one_resolver_has_kept_is_that_resolvers,
    ipv6_that_is_dead_where_ipv4_works,
    a_name_that_one_resolver_does_not_know,
    a_name_on_which_one_resolver_fails,
    a_resolver_that_is_silent,
)
"""They take most of a minute: see test_two_hosts.py."""


@pytest.mark.parametrize("play", EVERY if os.environ.get("CALLS_DOCTOR_LAB") == "all" else AT_EVERY_STOP)
def test_what_names_say_between_machines(play: Callable[[Path], None], tmp_path: Path) -> None:
    play(tmp_path)
