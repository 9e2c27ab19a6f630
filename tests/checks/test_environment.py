"""env.* on this machine: what it says of itself, and ports that this test takes."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator

import pytest

from calls_doctor.model.check import Status
from calls_doctor.model.facts import Facts
from calls_doctor.model.flow import Role, Transport
from calls_doctor.model.site import Mode, Phase, Setting, Site
from checks import environment
from tests.servers.media_host import context


@pytest.fixture
def standard_ports(monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]) -> tuple[int, int, int]:
    """Other numbers for 8443, 8045 and 3478, so that what runs on this machine decides nothing."""
    media, api, stun = free_port(), free_port(), free_port()
    for name, number in (("MEDIA_PORT", media), ("API_PORT", api), ("STUN_PORT", stun)):
        monkeypatch.setattr(environment, name, number)
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
    finding = await environment.port_free_probe(context(None, site=Site(phase=phase, vantage=Role.MEDIA)))
    (row,) = finding.evidence["taken"]
    assert finding.status is status
    assert (row["transport"], row["port"], row["use"]) == ("udp", taken, "media")
    assert (row["uid"], row["pid"]) == (os.getuid(), os.getpid())
    assert f"taken here: {taken}/udp by {row['owner']}" == finding.summary and f"pid {os.getpid()}" in row["owner"]


async def test_a_port_that_the_site_file_names_is_the_one_that_must_be_free(taken: int) -> None:
    """The standard one is free."""
    named = {
        "media.udp_port": Setting(value=taken, origin="site.toml:1"),
        "media.tcp_port": Setting(value=0, origin=""),
    }
    site = Site(phase=Phase.PRE, vantage=Role.MATTERMOST, mode=Mode.INTEGRATED, settings=named)
    finding = await environment.port_free_probe(context(None, site=site))
    assert finding.evidence["ports"] == [f"{taken}/udp"] and finding.status is Status.FAIL


async def test_a_system_that_forbids_the_ports_leaves_it_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "can_bind", lambda *_: OSError(errno.EACCES, "a security policy"))
    finding = await environment.port_free_probe(context(None))
    assert finding.status is Status.UNKNOWN and "8443/udp: Permission denied" in finding.summary


def test_a_callers_machine_serves_none_of_these_ports() -> None:
    spec = next(one for one in environment.CHECKS if one.id == "env.port-free")
    assert spec.nothing_to_do(Site(vantage=Role.CLIENT, phase=Phase.PRE)) != ""
    assert spec.nothing_to_do(Site(vantage=Role.MEDIA, phase=Phase.PRE)) == ""
    assert spec.nothing_to_do(Site(vantage=Role.CLIENT, phase=Phase.SELF_TEST)) == ""


@pytest.mark.parametrize(
    ("vantage", "mode", "ports"),
    [
        (Role.MEDIA, None, (8443, 8045)),
        (Role.MEDIA, Mode.RTCD, (8443, 8045)),
        (Role.MEDIA, Mode.INTEGRATED, (8443,)),
        (Role.MATTERMOST, Mode.INTEGRATED, (8443,)),
        (Role.MATTERMOST, Mode.HA_CLUSTERED, (8443,)),
        (Role.MATTERMOST, Mode.RTCD, ()),
        (Role.TURN, Mode.RTCD, (3478,)),
        (Role.CLIENT, Mode.RTCD, ()),
        (Role.OFFLOADER, Mode.RTCD, ()),
    ],
)
async def test_only_what_this_machine_will_serve_must_be_free(
    vantage: Role, mode: Mode | None, ports: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[int] = set()

    def bind(_transport: Transport, _host: str, port: int) -> None:
        asked.add(port)

    monkeypatch.setattr(environment, "can_bind", bind)
    spec = next(one for one in environment.CHECKS if one.id == "env.port-free")
    site = Site(phase=Phase.PRE, vantage=vantage, mode=mode)
    assert bool(spec.nothing_to_do(site)) is not bool(ports)
    await environment.port_free_probe(context(None, site=site))
    assert asked == set(ports)


async def test_a_port_that_the_stand_in_here_holds_is_in_nobodys_way(taken: int) -> None:
    """On the very machine on which `serve` runs; the stand-in of another machine excuses nothing here."""
    site = Site(phase=Phase.PRE, vantage=Role.MEDIA)
    here, elsewhere = (
        Facts(local_addresses=[address], public_addresses=[], media_port=taken, announced=[], needs_stun=False,
              stun=[], control_port=0)
        for address in ("127.0.0.1", "192.0.2.77")
    )  # fmt: skip
    finding = await environment.port_free_probe(context(None, site=site, facts=here))
    assert (finding.status, finding.evidence["stand_in"]) == (Status.PASS, True)
    finding = await environment.port_free_probe(context(None, site=site, facts=elsewhere))
    assert finding.status is Status.FAIL
