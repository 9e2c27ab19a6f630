"""What a firewall says with ICMP, and what a channel makes of it: each on a machine of its own."""

from __future__ import annotations

import json
import sys

import pytest

from tests.lab.namespaces import Machine, why_not

pytestmark = pytest.mark.skipif(why_not() != "", reason=f"no lab here: {why_not()}")

PORT = 18443
OUTPUT = "add chain inet filter out { type filter hook output priority 0; }"
PROGRAM = """
import asyncio, json, sys, time
from calls_doctor.errors import NetworkError
from calls_doctor.net.sockets import open_tcp, open_udp, trouble_word
from calls_doctor.net.streams import open_stream

class Collector:
    def __init__(self):
        self.heard = []
        self.news = asyncio.Event()
    def packet(self, data): ...
    def trouble(self, error):
        self.heard.append(error)
        self.news.set()

async def main(transport, host, port):
    collector = Collector()
    began = time.process_time()
    try:
        if transport == "tcp":
            await open_tcp((host, port), collector, 1.0)
        if transport == "stream":
            await open_stream((host, port), 1.0)
        channel = await open_udp((host, port), collector)
        channel.send(b"anybody?")
        await asyncio.wait_for(collector.news.wait(), 1.0)
        channel.send(b"anybody?")
        await asyncio.sleep(0.2)
        await channel.close()
        heard = collector.heard
    except NetworkError as error:
        heard = [error]
    words = [[trouble_word(error), error.detail] for error in heard]
    print(json.dumps({"heard": words, "cpu_s": time.process_time() - began}))

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def heard(machine: Machine, transport: str, host: str) -> list[tuple[str, str]]:
    """What the channel told, each kind once; and no core was burnt meanwhile."""
    done = json.loads(machine.run([sys.executable, "-c", PROGRAM, transport, host, str(PORT)]))
    assert done["cpu_s"] < 0.1
    return [(word, detail) for word, detail in done["heard"]]


@pytest.mark.parametrize(
    ("host", "reject", "word", "detail"),
    [
        ("127.0.0.1", "icmp type admin-prohibited", "unreachable", "No route to host, ICMP 3/13 from 127.0.0.1"),
        ("127.0.0.1", "icmp type host-unreachable", "unreachable", "No route to host, ICMP 3/1 from 127.0.0.1"),
        ("127.0.0.1", "icmp type net-unreachable", "unreachable", "Network is unreachable, ICMP 3/0 from 127.0.0.1"),
        ("127.0.0.1", "icmp type port-unreachable", "refused", "ICMP 3/3 from 127.0.0.1"),
        ("::1", "icmpv6 type admin-prohibited", "unreachable", "Permission denied, ICMPv6 1/1 from ::1"),
        ("::1", "icmpv6 type port-unreachable", "refused", "ICMPv6 1/4 from ::1"),
    ],
)
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_firewall_that_rejects_is_told_with_its_code_and_sender(
    transport: str, host: str, reject: str, word: str, detail: str
) -> None:
    with Machine() as machine:
        machine.rule(f"{transport} dport {PORT} reject with {reject}")
        assert heard(machine, transport, host) == [(word, detail)]


def test_a_tcp_reset_is_refused_without_a_sender() -> None:
    with Machine() as machine:
        machine.rule(f"tcp dport {PORT} reject with tcp reset")
        assert heard(machine, "tcp", "127.0.0.1") == [("refused", "")]


def test_a_tcp_port_that_is_dropped_is_silent() -> None:
    with Machine() as machine:
        machine.drop(f"tcp dport {PORT}")
        assert heard(machine, "tcp", "127.0.0.1") == [("silent", "")]


def test_a_firewall_on_this_very_machine_is_named() -> None:
    with Machine() as machine:
        machine.run(["nft", OUTPUT])
        machine.run(["nft", f"add rule inet filter out udp dport {PORT} drop"])
        assert heard(machine, "udp", "127.0.0.1") == [("forbidden", "EPERM, Operation not permitted")]


def test_one_that_rejects_is_this_machine_too_and_a_neighbour_that_is_not_there_is_not() -> None:
    with Machine() as machine:
        machine.run(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "other"])
        machine.run(["ip", "addr", "add", "192.0.2.1/24", "dev", "eth0"])
        for port in ("eth0", "other"):
            machine.run(["ip", "link", "set", port, "up"])
        machine.run(["sysctl", "-qw", "net.ipv4.neigh.eth0.retrans_time_ms=50"])
        absent = [("unreachable", "No route to host, ICMP 3/1 from 192.0.2.1")]
        assert heard(machine, "udp", "192.0.2.9") == heard(machine, "tcp", "192.0.2.9") == absent
        machine.run(["nft", OUTPUT])
        machine.run(["nft", f"add rule inet filter out meta l4proto {{ tcp, udp }} th dport {PORT} reject"])
        rejected = [("forbidden", "ICMP 3/3 from 192.0.2.1")]
        assert heard(machine, "udp", "192.0.2.9") == heard(machine, "tcp", "192.0.2.9") == rejected


@pytest.mark.parametrize("transport", ["udp", "tcp", "stream"])
def test_no_route_is_told_at_once(transport: str) -> None:
    with Machine() as machine:
        assert heard(machine, transport, "192.0.2.1") == [("no-route", "192.0.2.1")]
