"""env.* on this machine: what it says of itself, and ports that this test takes."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator

import pytest

from calls_doctor.model.check import Status
from calls_doctor.model.flow import Role, Transport
from calls_doctor.model.site import Phase, Site
from checks import environment
from tests.servers.media_host import context


@pytest.fixture
def standard_ports(monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]) -> tuple[int, int, int]:
    """Other numbers for 8443, 8045 and 3478, so that what runs on this machine decides nothing."""
    media, api, stun = free_port(), free_port(), free_port()
    numbers = {8443: media, 8045: api, 3478: stun}
    rows = tuple((transport, numbers[port], use) for transport, port, use in environment.STANDARD_PORTS)
    monkeypatch.setattr(environment, "STANDARD_PORTS", rows)
    return media, api, stun


@pytest.fixture
def taken(standard_ports: tuple[int, int, int]) -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", standard_ports[0]))
        yield standard_ports[0]


async def test_this_machine_can_probe() -> None:
    finding = await environment.platform_probe(context(None))
    evidence = finding.evidence
    assert finding.status is Status.PASS and "Python 3." in finding.summary
    assert "loopback" in evidence["address_classes"] and evidence["icmp_detail"] is True
    assert evidence["root"] is (os.geteuid() == 0) and evidence["uid"] == os.getuid()


@pytest.mark.parametrize("forbidden", [{Transport.UDP}, {Transport.UDP, Transport.TCP}], ids=["udp", "both"])
async def test_a_machine_that_gives_no_sockets_fails(
    forbidden: set[Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(transport: Transport, _host: str, _port: int) -> OSError | None:
        """What a sandbox does; there is no other way to have it in a test that may open sockets itself."""
        return OSError(errno.EPERM, "forbidden") if transport in forbidden else None

    monkeypatch.setattr(environment, "can_bind", refuse)
    finding = await environment.platform_probe(context(None))
    assert finding.status is Status.FAIL
    assert finding.evidence["errors"] == {str(one): "Operation not permitted" for one in forbidden}
    assert finding.summary.endswith("no UDP socket" if len(forbidden) == 1 else "no UDP and TCP socket")


@pytest.mark.usefixtures("standard_ports")
async def test_free_ports_pass() -> None:
    finding = await environment.port_free_probe(context(None))
    assert finding.status is Status.PASS and finding.evidence["taken"] == []


@pytest.mark.parametrize(("phase", "status"), [(Phase.SELF_TEST, Status.WARN), (Phase.PRE, Status.FAIL)])
async def test_a_taken_port_names_its_owner_and_matters_before_the_install_only(
    phase: Phase, status: Status, taken: int
) -> None:
    finding = await environment.port_free_probe(context(None, phase=phase))
    (row,) = finding.evidence["taken"]
    assert finding.status is status
    assert (row["transport"], row["port"], row["use"]) == ("udp", taken, "media")
    assert (row["uid"], row["pid"]) == (os.getuid(), os.getpid())
    assert f"taken here: {taken}/udp by {row['owner']}" == finding.summary and f"pid {os.getpid()}" in row["owner"]


async def test_a_system_that_forbids_the_ports_leaves_it_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "can_bind", lambda *_: OSError(errno.EACCES, "a security policy"))
    finding = await environment.port_free_probe(context(None))
    assert finding.status is Status.UNKNOWN and "8443/udp: Permission denied" in finding.summary


def test_a_callers_machine_serves_none_of_these_ports() -> None:
    spec = next(one for one in environment.CHECKS if one.id == "env.port-free")
    assert spec.nothing_to_do(Site(vantage=Role.CLIENT, phase=Phase.PRE)) != ""
    assert spec.nothing_to_do(Site(vantage=Role.MEDIA, phase=Phase.PRE)) == ""
    assert spec.nothing_to_do(Site(vantage=Role.CLIENT, phase=Phase.SELF_TEST)) == ""
