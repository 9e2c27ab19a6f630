"""Calls through rtcd itself between machines: behind NAT, from a public address and from the servers' own network, with
the media host's firewall as it should be, and with one that lets nothing in unasked. RTCD_BIN names rtcd's binary."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any  # a report is JSON

import pytest

from tests.lab.namespaces import why_not
from tests.lab.network import Behind, Machine, Network, draw_seed, network
from tests.lab.two_hosts import CHECK_S, HERE, READY_S
from tests.servers import rtcd_server

pytestmark = [
    pytest.mark.skipif(why_not() != "", reason=f"no lab here: {why_not()}"),
    pytest.mark.skipif(rtcd_server.why_not() != "", reason=f"no rtcd here: {rtcd_server.why_not()}"),
]

SEED = draw_seed()
API_PORT = 18045
"""To 8045 the lab's firewall lets nobody from outside, as the guide asks."""
ASKED_FOR = "ct state established accept; udp dport 8443 drop"
UDP, TCP = "media.call-udp", "media.call-tcp"


@pytest.fixture(autouse=True)
def _seed() -> None:
    print(f"CALLS_DOCTOR_LAB_SEED={SEED}")  # noqa: T201 -- shown where a test fails: the lab can be drawn again


@contextlib.contextmanager
def rtcd(net: Network, directory: Path) -> Iterator[None]:
    """It runs on the media host, and registers whoever asks."""
    settings = {
        "RTCD_API_HTTP_LISTENADDRESS": f":{API_PORT}",
        "RTCD_API_SECURITY_ALLOWSELFREGISTRATION": "true",
        "RTCD_STORE_DATASOURCE": str(directory / "store"),
        "RTCD_RTC_ICEHOSTOVERRIDE": net.addresses.public,
        "RTCD_RTC_UDPSOCKETSCOUNT": "2",
        "RTCD_LOGGER_ENABLEFILE": "false",
        "RTCD_LOGGER_CONSOLELEVEL": "ERROR",
    }
    process = subprocess.Popen(
        net.server.command([os.environ[rtcd_server.BINARY], "-config", str(directory / "none")]),
        env={**os.environ, **settings}, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for(net.server)
        yield
    finally:
        process.kill()
        process.wait(READY_S)


def _wait_for(machine: Machine) -> None:
    until = time.monotonic() + READY_S
    while True:
        shown = subprocess.run(machine.command(["ss", "-ltnH"]), capture_output=True, text=True, check=True).stdout
        if f":{API_PORT} " in shown and ":8443 " in shown:
            return
        assert time.monotonic() < until, shown
        time.sleep(0.02)


def checked(net: Network, directory: Path, *vantages: tuple[Machine, str]) -> list[dict[str, Any]]:
    """Their reports; each registers a client of its own for its run."""
    url = f"http://{net.addresses.public}:{API_PORT}"
    started = []
    for machine, role in vantages:
        target = directory / f"{secrets.token_hex(4)}.json"
        words = ["check", "--from", role, "--rtcd-url", url, "--only", "media", "--media-time", "1s", "-o", str(target)]
        process = subprocess.Popen(
            machine.command([sys.executable, "-m", "calls_doctor", *words]), cwd=directory,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=HERE | {"XDG_STATE_HOME": str(directory)},
        )  # fmt: skip
        started.append((process, target))
    reports = []
    for process, target in started:
        said, _ = process.communicate(timeout=CHECK_S)
        assert process.returncode in (0, 1, 3, 4), said.decode()
        reports.append(json.loads(target.read_text()))
    return reports


def statuses(report: dict[str, Any]) -> dict[str, str]:
    return {check["id"]: check["status"] for check in report["checks"] if check["id"] in (UDP, TCP)}


def causes(report: dict[str, Any]) -> list[str]:
    return [found["cause"] for found in report["diagnosis"]]


def test_calls_pass_from_everywhere_and_what_is_let_in_only_when_asked_for_is_seen(tmp_path: Path) -> None:
    with network(SEED, behind=Behind.ROUTED) as net, rtcd(net, tmp_path):
        everywhere = [(net.caller, "client"), (net.outside, "client"), (net.inside, "mattermost")]
        for report in checked(net, tmp_path, *everywhere):
            assert statuses(report) == {UDP: "pass", TCP: "pass"} and causes(report) == [], [
                c["summary"] for c in report["checks"]
            ]
        for rule in ASKED_FOR.split("; "):
            net.server.rule("in", rule)
        behind_nat, public, inside = checked(net, tmp_path, *everywhere)
    assert statuses(behind_nat) == {UDP: "fail", TCP: "pass"}, "rtcd cannot open a NAT"
    for report in (public, inside):
        assert statuses(report) == {UDP: "warn", TCP: "pass"}
        assert causes(report) == ["media.udp-blocked-inbound"]
