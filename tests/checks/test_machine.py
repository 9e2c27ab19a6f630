"""env.limits and env.proxy-vars on this machine, against sockets and processes that these tests make."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from calls_doctor.model.check import Status
from calls_doctor.model.flow import Role
from calls_doctor.model.site import MediaAddress, Mode, Phase, Site
from calls_doctor.net import local_firewall
from calls_doctor.wire.proxy_rules import VARIABLES
from checks import machine
from tests.servers.media_host import context

RTCD = "http://rtcd.internal.example.com:8045"


def at_media(port: int, phase: Phase = Phase.PRE) -> Site:
    return Site(phase=phase, vantage=Role.MEDIA, media=(MediaAddress(host="127.0.0.1", udp_port=port),))


async def test_limits_are_told_and_are_no_fault_by_themselves(free_port: Callable[[], int]) -> None:
    finding = await machine.limits_probe(context(None, site=at_media(free_port())))
    evidence = finding.evidence
    assert finding.status is Status.PASS
    assert evidence["media_socket_drops"] is None and evidence["open_files_of"] == ""
    assert evidence["open_files_wanted"] == 100 * evidence["cpus"] * evidence["addresses"] + 1024
    assert f"UDP buffers up to {evidence['receive_buffer_max_bytes'] // 1024} KiB" in finding.summary


async def test_what_the_media_socket_has_dropped_is_a_warning_with_the_count() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as full, socket.socket(type=socket.SOCK_DGRAM) as sender:
        full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        full.bind(("127.0.0.1", 0))
        port = full.getsockname()[1]
        for _ in range(100):
            sender.sendto(bytes(1000), ("127.0.0.1", port))
        finding = await machine.limits_probe(context(None, site=at_media(port)))
    assert finding.status is Status.WARN and finding.evidence["media_socket_drops"] > 50
    assert f"the sockets on {port} have dropped" in finding.summary


@pytest.mark.parametrize(("phase", "status"), [(Phase.POST, Status.WARN), (Phase.PRE, Status.PASS)])
async def test_the_limit_of_a_running_service_is_judged_and_that_of_a_stand_in_is_not(
    phase: Phase, status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "FILES_BESIDE", 10**9)  # more than any process here may open
    with socket.socket(type=socket.SOCK_DGRAM) as service:
        service.bind(("127.0.0.1", 0))
        finding = await machine.limits_probe(context(None, site=at_media(service.getsockname()[1], phase)))
    assert finding.status is status
    assert bool(finding.evidence["open_files_of"]) is finding.evidence["open_files_short"] is (phase is Phase.POST)


def test_limits_are_looked_at_where_media_ends() -> None:
    spec = next(one for one in machine.CHECKS if one.id == "env.limits")
    assert spec.vantages == {Role.MEDIA, Role.MATTERMOST}
    assert spec.nothing_to_do(Site(vantage=Role.MEDIA)) == ""
    assert spec.nothing_to_do(Site(vantage=Role.MATTERMOST, mode=Mode.INTEGRATED)) == ""
    assert spec.nothing_to_do(Site(vantage=Role.MATTERMOST, mode=Mode.RTCD)) != ""


@pytest.fixture
def mattermost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Starts a program that stands for Mattermost, with this environment."""
    monkeypatch.setattr(machine, "SERVICE", "cd-test-matterm")
    program, started = tmp_path / "cd-test-matterm", []
    program.symlink_to("/bin/sleep")

    def start(**environment: str) -> None:
        started.append(subprocess.Popen([program, "30"], env=environment))

    yield start
    for process in started:
        process.kill()
        process.wait()


def at_mattermost() -> Site:
    return Site(phase=Phase.PRE, vantage=Role.MATTERMOST, mode=Mode.RTCD, rtcd_url=RTCD)


async def test_a_proxy_of_the_service_that_catches_rtcd_fails_and_tells_no_password(
    mattermost: Callable[..., None],
) -> None:
    mattermost(HTTP_PROXY="http://user:s3cr3t@proxy:3128", NO_PROXY="10.0.0.0/8", MM_SECRET="s3cr3t")
    finding = await machine.proxy_probe(context(None, site=at_mattermost()))
    assert finding.status is Status.FAIL
    assert finding.evidence["proxy"] == "http://proxy:3128"
    assert finding.evidence["variables"] == ["HTTP_PROXY", "NO_PROXY"]
    assert "HTTP_PROXY of Mattermost (pid " in finding.summary
    assert "s3cr3t" not in repr(finding)


async def test_a_host_that_no_proxy_names_is_spared(mattermost: Callable[..., None]) -> None:
    mattermost(HTTP_PROXY="http://proxy:3128", NO_PROXY=".internal.example.com")
    finding = await machine.proxy_probe(context(None, site=at_mattermost()))
    assert (finding.status, finding.evidence["exempt_by"]) == (Status.PASS, ".internal.example.com")


@pytest.mark.usefixtures("mattermost")
async def test_a_proxy_of_this_shell_is_told_and_judges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    finding = await machine.proxy_probe(context(None, site=at_mattermost()))
    assert finding.status is Status.PASS and "no process named cd-test-matterm runs here" in finding.summary
    monkeypatch.setenv("http_proxy", "http://user:s3cr3t@proxy:3128")
    finding = await machine.proxy_probe(context(None, site=at_mattermost()))
    assert finding.status is Status.PASS and finding.evidence["of"] == "this shell"
    assert "http_proxy of this shell names a proxy" in finding.summary
    assert "s3cr3t" not in repr(finding)


def test_without_rtcd_no_proxy_matters() -> None:
    spec = next(one for one in machine.CHECKS if one.id == "env.proxy-vars")
    assert spec.nothing_to_do(Site(vantage=Role.MATTERMOST, mode=Mode.INTEGRATED)) != ""
    assert spec.nothing_to_do(Site(vantage=Role.MATTERMOST)) != ""
    assert spec.nothing_to_do(at_mattermost()) == ""


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes iptables-save print these rules of the filter table, the policy first; no nft is there."""
    monkeypatch.setattr(local_firewall, "WHERE", str(tmp_path))

    def saved(text: str) -> None:
        (tmp_path / "iptables-save").write_text(f"#!/bin/sh\necho '*filter\n{text}\nCOMMIT'\n")
        (tmp_path / "iptables-save").chmod(0o755)

    return saved


async def test_a_rule_that_shuts_a_port_of_calls_is_a_warning_that_names_it(rules: Callable[[str], None]) -> None:
    rules(":INPUT DROP [0:0]\n-A INPUT -p udp --dport 8443 -j ACCEPT\n-A INPUT -s 10.0.0.0/8 -p tcp -j ACCEPT")
    site = Site(phase=Phase.PRE, vantage=Role.MEDIA, media=(MediaAddress(host="127.0.0.1", tcp_port=0),))
    finding = await machine.firewall_probe(context(None, site=site))
    verdicts = {(row["protocol"], row["port"]): row["verdict"] for row in finding.evidence["ports"]}
    assert verdicts == {("udp", 8443): "accepted", ("tcp", 8045): "depends"}
    assert finding.status is Status.PASS
    assert "8045/tcp depends on filter: -A INPUT -s 10.0.0.0/8 -p tcp -j ACCEPT" in finding.summary
    rules(":INPUT DROP [0:0]\n:ufw-user-input - [0:0]")
    finding = await machine.firewall_probe(context(None, site=site))
    assert finding.status is Status.WARN
    assert "own rules (ufw): 8443/udp dropped by the policy of filter INPUT" in finding.summary


async def test_a_rule_that_lets_no_answer_out_is_a_warning_too(rules: Callable[[str], None]) -> None:
    rules(":INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p udp --sport 8443 -j DROP")
    finding = await machine.firewall_probe(context(None, site=at_media(8443)))
    assert finding.status is Status.WARN
    assert finding.summary.endswith("answers from 8443/udp dropped by filter: -A OUTPUT -p udp --sport 8443 -j DROP")
    assert [row["verdict"] for row in finding.evidence["ports"]] == ["accepted"] * len(finding.evidence["ports"])


@pytest.mark.usefixtures("rules")
async def test_rules_that_cannot_be_read_are_a_skip_with_the_reason() -> None:
    finding = await machine.firewall_probe(context(None, site=at_media(8443)))
    assert finding.status is Status.SKIP
    assert finding.summary.endswith("is not known: neither nft nor iptables-save is installed here")


@pytest.mark.parametrize(
    ("vantage", "mode", "ports"),
    [
        (Role.MEDIA, Mode.RTCD, ["8443/udp", "8443/tcp", "8045/tcp"]),
        (Role.MEDIA, Mode.INTEGRATED, ["8443/udp", "8443/tcp"]),
        (Role.MATTERMOST, Mode.INTEGRATED, ["8443/udp", "8443/tcp"]),
        (Role.MATTERMOST, Mode.RTCD, []),
        (Role.TURN, Mode.RTCD, ["3478/udp", "3478/tcp"]),
    ],
)
async def test_only_what_this_machine_serves_is_held_against_its_rules(
    vantage: Role, mode: Mode, ports: list[str], rules: Callable[[str], None]
) -> None:
    rules(":INPUT ACCEPT [0:0]")
    site = Site(phase=Phase.PRE, vantage=vantage, mode=mode)
    spec = next(one for one in machine.CHECKS if one.id == "env.hostfw")
    assert bool(spec.nothing_to_do(site)) is not bool(ports)
    finding = await machine.firewall_probe(context(None, site=site))
    assert [f"{row['port']}/{row['protocol']}" for row in finding.evidence["ports"]] == ports
