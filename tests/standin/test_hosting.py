"""By which addresses callers may come, and what rtcd would announce, over sites that are made up and addresses that
are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from msgspec import structs

from calls_doctor.model.facts import StunSeen
from calls_doctor.model.site import MediaAddress, Mode, Site
from calls_doctor.standin import hosting
from calls_doctor.standin.hosting import Reach

LOCAL = ["127.0.0.1", "10.0.0.2", "fd00::2"]
NAT = (("203.0.113.20", "10.0.0.2"), ("203.0.113.99", "10.0.0.99"))
RESOLVED = {"calls.example.com": ["198.51.100.7", "198.51.100.8"]}


def site(*hosts: str, override: str = "", nat: bool = False, port: int = 0, tcp: int = 8443) -> Site:
    return Site(
        media=tuple(MediaAddress(host=host, tcp_port=tcp) for host in hosts),
        host_override=override,
        host_port_override=port,
        nat=NAT if nat else (),
    )


@pytest.mark.parametrize(
    ("told", "resolved", "expected"),
    [
        (site(), {}, [Reach("10.0.0.2"), Reach("fd00::2")]),
        (site(nat=True), {}, [Reach("203.0.113.20")]),
        (site("192.0.2.1"), {}, [Reach("192.0.2.1")]),
        (
            site("calls.example.com"),
            RESOLVED,
            [Reach("198.51.100.7", "calls.example.com"), Reach("198.51.100.8", "calls.example.com")],
        ),
        (site("calls.example.com", nat=True), RESOLVED, [Reach("203.0.113.20", "calls.example.com")]),
        (site("calls.example.com"), {}, [Reach("10.0.0.2"), Reach("fd00::2")]),
        (site("calls.example.com", override="192.0.2.9"), {}, [Reach("192.0.2.9")]),
        (site(override="192.0.2.9"), {}, [Reach("192.0.2.9")]),
        (
            site(override="calls.example.com"),
            RESOLVED,
            [Reach("198.51.100.7", "calls.example.com"), Reach("198.51.100.8", "calls.example.com")],
        ),
        (site(override="calls.example.com"), {}, [Reach("10.0.0.2"), Reach("fd00::2")]),
        (site("192.0.2.1", "192.0.2.1", override="192.0.2.9"), {}, [Reach("192.0.2.1")]),
    ],
    ids=[
        "nothing said", "nat alone", "a literal", "a name", "a name behind nat", "a name that has no address",
        "a name that has none, and an override", "an override", "an override's name", "an override without address",
        "an address that is said twice",
    ],
)  # fmt: skip
def test_the_ways_by_which_callers_come(
    told: Site, resolved: Mapping[str, Sequence[str]], expected: list[Reach]
) -> None:
    assert hosting.reaches(told, LOCAL, resolved) == expected


def test_a_machine_without_a_network_is_reached_by_itself() -> None:
    assert hosting.reaches(site(), ["127.0.0.1"], {}) == [Reach("127.0.0.1")]


def candidates(told: Site, *stun: StunSeen, local: Sequence[str] = LOCAL) -> list[tuple[str, str, str, int]]:
    found = hosting.announced(told, local, 9000, stun, RESOLVED)
    return [(one.kind, one.protocol, one.address, one.port) for one in found]


MAPPED = StunSeen(uri="stun:a:3478", mapped=("203.0.113.20", 55000))
SILENT = StunSeen(uri="stun:b:3478", mapped=None, trouble="silent")


def test_without_an_override_the_mapped_and_every_local_address_is_announced() -> None:
    assert candidates(site(), MAPPED, SILENT, MAPPED) == [
        (kind, protocol, address, port)
        for kind, address, port in (
            ("mapped", "203.0.113.20", 55000), ("host", "10.0.0.2", 9000), ("host", "fd00::2", 9000),
        )
        for protocol in ("udp", "tcp")
    ]  # fmt: skip


def test_an_override_is_announced_instead_of_all_others_and_the_first_of_its_addresses_only() -> None:
    found = candidates(site(override="calls.example.com"), MAPPED)
    assert found == [("override", protocol, "198.51.100.7", 9000) for protocol in ("udp", "tcp")]
    assert candidates(site(override="no.such.example"), MAPPED) == []


def test_an_override_is_told_where_it_is_a_name() -> None:
    overrides = ("calls.example.com", "192.0.2.9", "2001:db8::9", "")
    assert [hosting.override_name(site(override=one)) for one in overrides] == ["calls.example.com", "", "", ""]


def test_a_port_override_goes_for_the_override_and_the_mapped_address() -> None:
    found = candidates(site(override="192.0.2.9", port=443))
    assert [(row[0], row[3]) for row in found[::2]] == [("override", 443)]
    assert candidates(site(port=443), MAPPED)[0] == ("mapped", "udp", "203.0.113.20", 443)


def test_loopback_is_never_announced_and_tcp_only_where_it_is_served() -> None:
    assert candidates(site(), local=["127.0.0.1"]) == []
    assert {row[1] for row in candidates(site("192.0.2.1", tcp=0))} == {"udp"}


def test_by_which_address_callers_reach_one_of_our_own() -> None:
    behind = hosting.Addresses(("10.0.0.2", "10.0.0.3", "fd00::2"), NAT, ("203.0.113.20", "198.51.100.7"))
    assert behind.outside("10.0.0.2") == "203.0.113.20", "as nat says"
    assert behind.outside("10.0.0.3") == "203.0.113.20", "the best there is"
    assert behind.outside("fd00::2") == "fd00::2", "no address of its kind"
    assert [behind.is_here(one) for one in ("203.0.113.20", "198.51.100.7", "203.0.113.99", "10.0.0.2")] == [
        True, True, False, False,
    ]  # fmt: skip
    plain = hosting.Addresses(("198.51.100.7", "10.0.0.3"), (), ("198.51.100.7", "10.0.0.3"))
    assert [plain.outside(one) for one in plain.local] == list(plain.local)
    assert not plain.is_here("198.51.100.7")


@pytest.mark.parametrize(("told", "expected"), [
    (site(override="203.0.113.99", nat=True), "203.0.113.20"),
    (site(override="203.0.113.20", nat=True), "203.0.113.20"),
    (site(override="192.0.2.9", nat=True), "192.0.2.9"), (site(override="203.0.113.99"), "203.0.113.99"),
    (structs.replace(site(override="203.0.113.99", nat=True), mode=Mode.KUBERNETES), "203.0.113.99"),
], ids=["another host's", "this host's", "nobody's", "no pairs are known", "one for all"])  # fmt: skip
def test_an_override_that_is_another_media_hosts_is_not_this_ones(told: Site, expected: str) -> None:
    assert [row[2] for row in candidates(told)] == [expected, expected]
