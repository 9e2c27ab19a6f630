"""Each stage of the self-test is made to fail for real, by a firewall rule in a namespace or by leaving its server out,
and is seen to fail: the stage, the cause and exit code 1."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from typing import Any  # a report as JSON

import pytest

from tests.lab.namespaces import Machine, why_not

pytestmark = pytest.mark.skipif(why_not() != "", reason=f"no lab here: {why_not()}")

MEDIA, API, STUN, TURN = 18443, 18045, 13478, 13479
RELAY_FIRST, RELAY_LAST = 40000, 40999
OPTIONS: dict[str, Any] = {
    "media_port": MEDIA,
    "api_port": API,
    "stun_port": STUN,
    "turn_port": TURN,
    "relay_ports": [RELAY_FIRST, RELAY_LAST],
}
CLIENT = "20000-29999"
ONE_CALL = ("media.call-udp",)
DTLS = "@ih,0,8 >= 20 @ih,0,8 <= 63"
"""RFC 7983: the first byte of a DTLS record."""
RTP = "@ih,0,8 >= 128 @ih,0,8 <= 191"


@dataclass(frozen=True)
class Fault:
    """One thing that is broken, and what must be said of it."""

    rules: tuple[str, ...]
    failed: str
    """The check that must not pass; "id:stage" where the evidence must name the stage too."""
    causes: tuple[str, ...]
    without: tuple[str, ...] = ()
    lost: str | None = None
    passed: tuple[str, ...] = field(default=("env.platform",))


def _drop(match: str) -> tuple[str, ...]:
    return (f"{match} counter drop",)


FAULTS: dict[str, Fault] = {
    "udp requests dropped": Fault(
        _drop(f"udp dport {MEDIA} udp sport {CLIENT}"), "port.rtc-udp-echo", ("media.udp-blocked-inbound",),
        lost="request", passed=("port.rtc-tcp-echo", "media.call-tcp"),
    ),
    "udp replies dropped": Fault(
        _drop(f"udp sport {MEDIA} udp dport {CLIENT}"), "port.rtc-udp-echo", ("media.udp-blocked-return",),
        lost="reply", passed=("port.rtc-tcp-echo", "media.call-tcp"),
    ),
    "udp rejected": Fault(
        (f"udp dport {MEDIA} udp sport {CLIENT} counter reject",), "port.rtc-udp-echo", ("media.udp-rejected",),
        passed=("port.rtc-tcp-echo", "media.call-tcp"),
    ),
    "tcp dropped": Fault(
        _drop(f"tcp dport {MEDIA}"), "port.rtc-tcp-echo", ("media.tcp-blocked",),
        passed=("port.rtc-udp-echo", "media.call-udp"),
    ),
    "tcp rejected": Fault(
        (f"tcp dport {MEDIA} counter reject with tcp reset",), "port.rtc-tcp-echo", ("media.tcp-rejected",),
        passed=("port.rtc-udp-echo", "media.call-udp"),
    ),
    "tcp stalled": Fault(
        _drop(f"tcp dport {MEDIA} tcp flags & (psh|fin|rst) == psh"), "port.rtc-tcp-echo", ("media.tcp-stalled",),
        passed=("port.rtc-udp-echo", "media.call-udp"),
    ),
    "udp and tcp dropped": Fault(
        (*_drop(f"udp dport {MEDIA}"), *_drop(f"tcp dport {MEDIA}")), "port.rtc-udp-echo", ("media.blocked",),
        passed=("port.api-tcp", "stun.reach"),
    ),
    "dtls dropped": Fault(
        _drop(f"udp dport {MEDIA} {DTLS}"), "media.call-udp:dtls", ("media.dtls-blocked",),
        passed=("port.rtc-udp-echo", "media.call-tcp"),
    ),
    "media one way dropped": Fault(
        _drop(f"udp dport {MEDIA} {RTP}"), "media.call-udp:media", ("media.udp-rate-limited",),
        lost="request", passed=("port.rtc-udp-echo", "media.call-tcp"),
    ),
    "media host not running": Fault((), "port.rtc-udp-echo", ("media.not-running",), without=("media",)),
    "api dropped": Fault(_drop(f"tcp dport {API}"), "port.api-tcp", ("api.blocked",), passed=("media.call-udp",)),
    "api not running": Fault((), "port.api-tcp", ("api.refused",), without=("api",), passed=("media.call-udp",)),
    "stun dropped": Fault(_drop(f"udp dport {STUN}"), "stun.reach", ("stun.blocked-client",), passed=ONE_CALL),
    "stun not running": Fault((), "stun.reach", ("stun.blocked-client",), without=("stun",), passed=ONE_CALL),
    "turn over udp dropped": Fault(
        _drop(f"udp dport {TURN}"), "turn.challenge", ("turn.udp-blocked",), passed=("media.call-udp",)
    ),
    "turn over tcp dropped": Fault(
        _drop(f"tcp dport {TURN}"), "turn.challenge", ("turn.tcp-blocked",), passed=("media.call-udp",)
    ),
    "turn dropped": Fault(
        (*_drop(f"udp dport {TURN}"), *_drop(f"tcp dport {TURN}")), "turn.challenge", ("turn.blocked",),
        passed=("media.call-udp",),
    ),
    "turn not running": Fault((), "turn.challenge", ("turn.not-running",), without=("turn",), passed=ONE_CALL),
    "relay ports to the media host dropped": Fault(
        _drop(f"udp sport {RELAY_FIRST}-{RELAY_LAST} udp dport {MEDIA}"), "turn.relay-range", ("turn.relay-blocked",),
        lost="request", passed=("media.call-udp", "turn.allocate"),
    ),
    "relay ports from the media host dropped": Fault(
        _drop(f"udp dport {RELAY_FIRST}-{RELAY_LAST} udp sport {MEDIA}"), "turn.relay-range", ("turn.relay-blocked",),
        lost="reply", passed=("media.call-udp", "turn.allocate"),
    ),
    "media through the relay dropped": Fault(
        _drop(f"udp sport {RELAY_FIRST}-{RELAY_LAST} udp dport {MEDIA} {DTLS}"), "media.call-relay:dtls",
        ("media.dtls-blocked", "turn.relay-blocked"), passed=("media.call-udp", "turn.relay-range"),
    ),
}  # fmt: skip


def _self_test(machine: Machine, without: tuple[str, ...] = ()) -> tuple[int, dict[str, Any]]:
    options = json.dumps(OPTIONS | {"without": list(without)})
    done = machine.start([sys.executable, "-m", "tests.lab.self_test_run", options])
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


FAILED = {fault.failed: name for name, fault in reversed(FAULTS.items())}
PLAYED = tuple(FAULTS) if os.environ.get("CALLS_DOCTOR_LAB") == "all" else tuple(FAILED.values())[::2]
"""All of them for .ci/evidence; at every stop one for every other stage."""


@pytest.mark.parametrize("name", PLAYED)
def test_each_stage_that_is_broken_is_named(name: str) -> None:
    fault = FAULTS[name]
    with Machine() as machine:
        for rule in fault.rules:
            machine.rule(rule)
        code, report = _self_test(machine, fault.without)
    by_id = {result["id"]: result for result in report["checks"]}
    check, _, stage = fault.failed.partition(":")
    assert by_id[check]["status"] in ("fail", "warn"), by_id[check]
    if stage:
        assert by_id[check]["evidence"]["stage"] == stage
    causes = [one["cause"] for one in report["diagnosis"]]
    assert causes and causes[0] in fault.causes and len(causes) == 1, (causes, by_id)
    assert fault.lost is None or report["diagnosis"][0]["flow"]["lost"] == fault.lost
    assert check in report["diagnosis"][0]["because"]
    assert {one: by_id[one]["status"] for one in fault.passed} == dict.fromkeys(fault.passed, "pass")
    assert code == 1, (code, {one: result["status"] for one, result in by_id.items()})
    assert not [result for result in report["checks"] if result["status"] == "error"]


def test_a_healthy_machine_has_no_cause() -> None:
    with Machine() as machine:
        code, report = _self_test(machine)
    assert (code, report["verdict"], report["diagnosis"]) == (0, "ok", []), report["diagnosis"]
    assert {result["status"] for result in report["checks"]} == {"pass"}
