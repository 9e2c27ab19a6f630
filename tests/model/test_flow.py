"""How far an address reaches (contract section 6), and flows as JSON carries them."""

from __future__ import annotations

import msgspec
import pytest

from calls_doctor.model.flow import (
    AddressClass,
    Endpoint,
    Flow,
    Lost,
    Path,
    Role,
    Transport,
    address_class,
    is_literal,
    reachable_by_address,
    shown,
)


@pytest.mark.parametrize(("address", "expected"), [
    ("127.0.0.1", AddressClass.LOOPBACK), ("127.255.255.254", AddressClass.LOOPBACK), ("::1", AddressClass.LOOPBACK),
    ("10.0.0.1", AddressClass.PRIVATE), ("172.16.0.0", AddressClass.PRIVATE), ("172.31.255.255", AddressClass.PRIVATE),
    ("172.15.255.255", AddressClass.PUBLIC), ("172.32.0.0", AddressClass.PUBLIC),
    ("192.168.255.1", AddressClass.PRIVATE), ("192.169.0.1", AddressClass.PUBLIC),
    ("100.64.0.1", AddressClass.SHARED), ("100.127.255.255", AddressClass.SHARED),
    ("100.63.255.255", AddressClass.PUBLIC), ("100.128.0.0", AddressClass.PUBLIC),
    ("169.254.1.1", AddressClass.LINK_LOCAL), ("fe80::1", AddressClass.LINK_LOCAL),
    ("fe80::1%eth0", AddressClass.LINK_LOCAL), ("febf::1", AddressClass.LINK_LOCAL),
    ("fc00::1", AddressClass.UNIQUE_LOCAL), ("fdff::1", AddressClass.UNIQUE_LOCAL), ("fe00::1", AddressClass.PUBLIC),
    ("::ffff:10.0.0.1", AddressClass.PRIVATE), ("::ffff:192.0.2.1", AddressClass.PUBLIC),
    ("192.0.2.1", AddressClass.PUBLIC), ("203.0.113.20", AddressClass.PUBLIC), ("2001:db8::1", AddressClass.PUBLIC),
])  # fmt: skip
def test_the_class_of_an_address(address: str, expected: AddressClass) -> None:
    assert address_class(address) is expected
    assert address_class(address).is_private is (expected is not AddressClass.PUBLIC)


@pytest.mark.parametrize("text", ["", "calls.example.com", "10.0.0", "10.0.0.1/8", "1.2.3.4:80"])
def test_a_name_has_no_class(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        address_class(text)


@pytest.mark.parametrize(
    ("address", "local", "reachable"),
    [
        ("203.0.113.20", ["192.168.1.2"], True),
        ("10.1.0.20", ["10.2.0.5"], True),
        ("10.1.0.20", ["192.168.1.2", "203.0.113.9"], False),
        ("192.168.7.2", ["192.168.1.2"], True),
        ("172.16.0.2", ["10.0.0.1"], False),
        ("fd00::2", ["fe80::1%eth0", "10.0.0.1"], False),
    ],
)
def test_a_private_address_is_reached_from_its_own_range_alone(address: str, local: list[str], reachable: bool) -> None:
    assert reachable_by_address(address, local) is reachable


def test_a_flow_says_from_in_json() -> None:
    flow = Flow(
        from_=Endpoint(role=Role.CLIENT), to=Endpoint(role=Role.MEDIA, address="192.0.2.1"), protocol="udp", port=8443,
        lost=Lost.REPLY,
    )  # fmt: skip
    data = msgspec.json.encode(flow)
    assert msgspec.json.decode(data) == {
        "from": {"role": "client", "address": ""},
        "to": {"role": "media", "address": "192.0.2.1"},
        "protocol": "udp",
        "port": 8443,
        "lost": "reply",
    }
    assert msgspec.json.decode(data, type=Flow) == flow


def test_paths_of_two_transports_are_two_paths() -> None:
    local, remote = ("192.0.2.1", 1), ("192.0.2.2", 2)
    assert len({Path(transport, local, remote) for transport in Transport}) == 3


@pytest.mark.parametrize(("host", "port", "said"), [
    ("192.0.2.1", 8443, "192.0.2.1:8443"), ("2001:db8::1", 8443, "[2001:db8::1]:8443"), ("a.example", 1, "a.example:1"),
])  # fmt: skip
def test_an_ipv6_address_is_bracketed_before_its_port(host: str, port: int, said: str) -> None:
    assert shown((host, port)) == said


@pytest.mark.parametrize(
    ("host", "literal"), [("192.0.2.1", True), ("fe80::1%eth0", True), ("::", True), ("rtc.example.com", False)]
)
def test_an_address_is_told_from_a_name(host: str, literal: bool) -> None:
    assert is_literal(host) is literal
