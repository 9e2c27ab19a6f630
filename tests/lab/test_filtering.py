"""What a NAT lets in, found by `calls-doctor check` at coturn with two addresses (RFC 5780): every kind of the lab's
NATs, a firewall alone, none at all, and networks in which it cannot be known."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any  # a report is JSON

import pytest

from calls_doctor.net.pace import PACKETS_MAX
from tests.lab.capture import busiest, capturing
from tests.lab.coturn import coturn
from tests.lab.delay import delaying
from tests.lab.namespaces import why_not
from tests.lab.network import Machine, Nat, Network, draw_seed, network
from tests.lab.two_hosts import CHECK_S, COMMAND, EVERY_SCENARIO, HERE

pytestmark = [
    pytest.mark.skipif(why_not() != "", reason=f"no lab here: {why_not()}"),
    pytest.mark.skipif(shutil.which("turnserver") is None, reason="no lab here: coturn is not installed"),
]

SEED = draw_seed()
PORT, OTHER_PORT = 3478, 3479
COTURN = """
listening-ip={server}
listening-ip={other}
listening-port={port}
alt-listening-port={other_port}
tls-listening-port=5349
stun-only
no-auth
no-tcp
"""
SILENCE_S = 2.55
REST_S = 0.6
"""For all but round trips and the silence that proves a filter."""
DELAY_S = 0.1
ROUND_TRIPS = 5
"""Asked plainly, for an answer from elsewhere, elsewhere; and the mapping at two addresses after another."""


@pytest.fixture(autouse=True)
def _seed() -> None:
    print(f"CALLS_DOCTOR_LAB_SEED={SEED}")  # noqa: T201 -- shown where a test fails: the lab can be drawn again


@contextlib.contextmanager
def two_addresses(net: Network, directory: Path) -> Iterator[None]:
    """The server gets a second address, and coturn on both."""
    at = net.addresses
    net.server.ip(f"addr add {at.other}/28 dev eth0\n")
    net.router.ip(f"route add {at.other}/32 via {at.firewall}\n")
    lines = COTURN.format(server=at.server, other=at.other, port=PORT, other_port=OTHER_PORT)
    listeners = [f"{host}:{port}" for host in (at.server, at.other) for port in (PORT, OTHER_PORT)]
    with coturn(net.server, directory, lines, listeners):
        yield


def nat_type(net: Network, machine: Machine, directory: Path) -> dict[str, Any]:
    """What the check says on this machine."""
    words = ["check", "--stun", f"stun:{net.addresses.server}:{PORT}", "--only", "nat.type", "--phase", "pre"]
    target = directory / f"{machine.name}.json"
    done = subprocess.run(
        machine.command([*COMMAND, *words, "-o", str(target)]),
        capture_output=True, text=True, check=False, timeout=CHECK_S, cwd=directory, env=HERE,
    )  # fmt: skip
    assert target.exists(), done.stdout + done.stderr
    report = json.loads(target.read_text())
    found: dict[str, Any] = next(one for one in report["checks"] if one["id"] == "nat.type")
    return found


def told(check: dict[str, Any]) -> tuple[str, str]:
    """Mapping and filtering."""
    return check["evidence"]["mapping"], check["evidence"]["filtering"]


BY_PORT = "address-and-port-dependent"


KINDS = [
    (Nat.ADDRESS_RESTRICTED, "endpoint-independent", "address-dependent"),
    (Nat.FULL_CONE, "endpoint-independent", "endpoint-independent"),
    (Nat.PORT_RESTRICTED, "endpoint-independent", BY_PORT),
    (Nat.SYMMETRIC, "address-dependent", BY_PORT),
    (Nat.DOUBLE, "address-dependent", BY_PORT),
]
BLOCKED = {
    "the other port is silent": (Nat.PORT_RESTRICTED, "udp sport {other_port} drop"),
    "the other address is silent": (Nat.FULL_CONE, "ip saddr {other} drop"),
    "the other port is not reached": (Nat.PORT_RESTRICTED, "udp dport {other_port} drop"),
}


@pytest.mark.parametrize(
    ("nat", "mapping", "filtering"),
    KINDS if EVERY_SCENARIO else KINDS[:1],
    ids=lambda value: value.name.lower() if isinstance(value, Nat) else "",
)
def test_each_kind_of_nat_is_known(nat: Nat, mapping: str, filtering: str, tmp_path: Path) -> None:
    with (
        network(SEED, nat) as net,
        two_addresses(net, tmp_path),
        capturing(net.caller, tmp_path) as packets,
    ):
        check = nat_type(net, net.caller, tmp_path)
    assert (told(check), check["status"]) == ((mapping, filtering), "pass"), check
    assert check["duration_s"] < SILENCE_S + REST_S
    assert all(len(sent) <= PACKETS_MAX for sent in busiest(packets).values())


@pytest.mark.skipif(not EVERY_SCENARIO, reason="minutes: only where CALLS_DOCTOR_LAB=all asks for every scenario")
def test_a_slow_path_takes_round_trips_and_one_silence(tmp_path: Path) -> None:
    with (
        network(SEED, Nat.ADDRESS_RESTRICTED) as net,
        two_addresses(net, tmp_path),
        delaying(net.router, DELAY_S, ("access", "servers")),
    ):
        check = nat_type(net, net.caller, tmp_path)
    assert told(check) == ("endpoint-independent", "address-dependent"), check
    assert check["duration_s"] < ROUND_TRIPS * 2 * DELAY_S + SILENCE_S + REST_S


@pytest.mark.skipif(not EVERY_SCENARIO, reason="minutes: only where CALLS_DOCTOR_LAB=all asks for every scenario")
def test_a_firewall_without_a_nat_filters_too(tmp_path: Path) -> None:
    with network(SEED) as net, two_addresses(net, tmp_path):
        assert told(nat_type(net, net.outside, tmp_path)) == ("none", "endpoint-independent")
        net.outside.rule("in", "ct state established accept")
        net.outside.rule("in", "meta l4proto udp drop")
        assert told(nat_type(net, net.outside, tmp_path)) == ("none", BY_PORT)


@pytest.mark.parametrize("case", list(BLOCKED) if EVERY_SCENARIO else list(BLOCKED)[:1])
def test_a_blocked_path_is_not_taken_for_a_filter(case: str, tmp_path: Path) -> None:
    nat, rule = BLOCKED[case]
    with network(SEED, nat) as net, two_addresses(net, tmp_path):
        net.firewall.rule("through", rule.format(other=net.addresses.other, other_port=OTHER_PORT))
        evidence = nat_type(net, net.caller, tmp_path)["evidence"]
    assert evidence["filtering"] == "unknown" and "silent" in evidence["filtering_unknown"], evidence
