"""Chromium, unmodified, calls the stand-in from a page: an implementation of ICE over UDP and TCP, DTLS, SRTP and RTCP
that nobody here wrote, on a network that a test breaks. What it says of a call is what its own statistics say.

Nothing travels between the two but the pairing link: the page composes the stand-in's answer by itself.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any  # what a page says is JSON

import pytest

from calls_doctor.wire import direct, envelope
from calls_doctor.wire.pages import PageReader
from tests.browser import chromium
from tests.lab import namespaces
from tests.lab.network import Machine, network
from tests.lab.two_hosts import HERE, serving

WHY_NOT = namespaces.why_not() or chromium.why_not()
pytestmark = pytest.mark.skipif(WHY_NOT != "", reason=f"no browser here: {WHY_NOT}")

LIMIT_S = 20.0
SEED = secrets.randbelow(10_000)
PACKETS_LEAST = 40
"""Of a second of Opus, 20 ms each."""


def calls(machine: Machine, *links: str) -> list[dict[str, Any]]:
    """What the page of each link says on this machine, by leg: u (UDP) and t (TCP)."""
    command = machine.command([sys.executable, "-m", "tests.browser.chromium", *links])
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S, env=HERE)
    assert done.returncode == 0, done.stderr
    said: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [set(one) for one in said] == [{"u", "t"}] * len(links), said
    return said


def assert_complete(call: dict[str, Any], protocol: str, link: str) -> None:
    """It connected, every packet came back, it went over this protocol, and its data channel gave out the documents."""
    assert (call["state"], call["protocol"]) == ("connected", protocol)
    assert call["sent"] == call["received"] >= PACKETS_LEAST
    assert call["lost"] == 0
    keys = direct.parse_link(link).keys
    assert call["channel"]["ping"] == "pong"
    books = {one["session"]: one["paths"] for one in json.loads(call["channel"]["books"])["sessions"]}
    assert [path["transport"] for path in books[call["session"]]] == [protocol]
    facts = PageReader()
    facts.feed(bytes.fromhex(call["channel"]["facts"])[1:])
    assert envelope.open_facts(facts.whole(), keys).media_port == 8443


def test_it_completes_a_call_over_udp_and_one_over_tcp_and_has_none_with_another_key(tmp_path: Path) -> None:
    with network(SEED) as net, serving(net, tmp_path, ["--host", net.addresses.public]) as stand:
        link = direct.parse_link(stand.links[0])
        other = replace(link, keys=direct.Keys(secrets.token_bytes(direct.KEY_BYTES)))
        said, foreign = calls(net.caller, stand.links[0], str(other))
    for leg, protocol in (("u", "udp"), ("t", "tcp")):
        assert_complete(said[leg], protocol, stand.links[0])
    assert [(one["state"] == "connected", one["received"]) for one in foreign.values()] == [(False, 0)] * 2


def test_where_udp_is_dropped_it_has_no_call_over_udp_and_one_over_tcp(tmp_path: Path) -> None:
    with network(SEED) as net, serving(net, tmp_path, ["--host", net.addresses.public]) as stand:
        net.firewall.rule("through", "udp dport 8443 drop")
        (said,) = calls(net.caller, stand.links[0])
    assert said["u"]["state"] != "connected" and said["u"]["received"] == 0
    assert_complete(said["t"], "tcp", stand.links[0])
