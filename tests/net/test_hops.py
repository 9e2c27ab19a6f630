"""How far packets come: on loopback nobody is asked; through routers of a lab, those who answer are named."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from calls_doctor.model.flow import Transport
from calls_doctor.net import echo, hops
from calls_doctor.wire import stun
from calls_doctor.wire.framing import PacketKind
from checks import ports
from tests.lab.namespaces import why_not
from tests.lab.network import Machine, network
from tests.servers.media_host import box_before, media_host, paired
from tests.servers.middlebox import Way, drop

HERE = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
PROGRAM = """
import asyncio, sys, time
from calls_doctor.net import hops
from calls_doctor.net.hops import HopWatch
from calls_doctor.wire.ice import IceCredentials

hops.TTL_MAX = 8  # the lab has five hops

async def remote():
    return sys.argv[1], 8443

async def main():
    watch = HopWatch(remote, IceCredentials(local_fragment="near", local_password="one", remote_fragment="far",
                                            remote_password="other"))
    began = time.process_time()
    await watch.watch()
    assert time.process_time() - began < 0.3, "a core burns"
    print(f'["{watch.last.address}", {watch.last.ttl}]' if watch.last else "null")

asyncio.run(main())
"""
IN_A_LAB = pytest.mark.skipif(why_not() != "", reason=f"no lab here: {why_not()}")


def last_hop(machine: Machine, target: str) -> list[object] | None:
    """[address, TTL] of the last that answered on the way from this machine; None where nobody did."""
    done = subprocess.run(
        machine.command([sys.executable, "-c", PROGRAM, target]),
        capture_output=True, text=True, check=False, timeout=20, env=HERE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[object] | None = json.loads(done.stdout)
    return found


@IN_A_LAB
def test_the_last_router_before_a_block_is_named() -> None:
    with network(7) as net:
        at = net.addresses
        net.firewall.rule("through", "udp dport 8443 drop")
        assert last_hop(net.caller, at.public) == [at.firewall, 3]
        net.nat.rule("through", "udp dport 8443 drop")
        assert last_hop(net.caller, at.public) == [at.home, 1], "a router counts a packet down before it filters it"


@IN_A_LAB
def test_ipv6_has_hops_too_and_the_far_end_itself_is_none() -> None:
    with network(7) as net:
        net.caller.ip("addr add fd00:1::2/64 dev eth0 nodad\nroute add default via fd00:1::1\n")
        net.nat.ip("addr add fd00:1::1/64 dev inside nodad\naddr add fd00:2::2/64 dev outside nodad\n")
        net.router.ip("addr add fd00:2::1/64 dev access nodad\nroute add fd00:1::/64 via fd00:2::2\n")
        subprocess.run(net.nat.command(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"]), check=True)
        assert last_hop(net.caller, "fd00:2::1") == ["fd00:1::1", 1]


@pytest.mark.usefixtures("short_silence")
@pytest.mark.parametrize("way", list(Way))
async def test_on_loopback_nobody_is_asked(way: Way) -> None:
    async with media_host() as stand_in, box_before(stand_in, drop(way)) as box:
        host = paired(stand_in.ready, box.port)
        watch = host.hop_watch()
        await host.echo(host.opener(Transport.UDP), (200,) * 6, [watch])
        assert watch.last is None and box.seen[Way.OUT, PacketKind.STUN] == 6


async def test_an_answer_of_the_far_end_is_no_hop_and_burns_no_core() -> None:
    async with media_host() as stand_in:
        assert stand_in.ready is not None
        told: list[int] = []
        channel = hops._RisingTtl(("127.0.0.1", stand_in.ready.media_port), lambda ttl, _: told.append(ttl))
        channel.send(b"anybody?")
        await asyncio.sleep(0.05)
        await channel.close()
        assert told == []


def test_it_ends_before_the_silence_is_decided_and_stays_below_a_hundred_packets_a_second() -> None:
    began_s = stun.PROBE_SCHEDULE_S[echo.WITNESSES_AFTER]
    assert began_s + hops.ROUNDS * (hops.TTL_MAX * hops.PACE_S + hops.ROUND_S) < stun.PROBE_DECIDED_S
    # Two echoes at their pace, or the probes of a silence, of which two kinds run at once.
    assert 1 / hops.PACE_S + 2 * len(stun.PROBE_SCHEDULE_S) < 100


def test_what_a_check_says_that_it_sends_holds_all_of_it() -> None:
    one_for_the_way_back = 1
    assert 2 * len(stun.PROBE_SCHEDULE_S) + hops.PACKETS_MAX + one_for_the_way_back == ports.UDP_PACKETS_MAX
