"""quality.mtu: real probes through a path on which large datagrams vanish, and what is made of their sizes."""

from __future__ import annotations

import asyncio
import sys

import pytest

from calls_doctor.model.check import Finding, Status
from calls_doctor.model.site import Phase
from calls_doctor.net import documents_client, paired, payload_size
from calls_doctor.net import room as room_retry
from calls_doctor.sfu import sfu
from checks import mtu, ports
from tests.servers.media_host import behind, context, media_host, result, stranger
from tests.servers.middlebox import Rule, Way, lose

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps datagrams whole for a program")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mtu, "AGAIN_AFTER_S", 0.0)
    monkeypatch.setattr(payload_size, "ROUND_S", 0.1)


def vanish(over_bytes: int, way: Way, first: int | None = None) -> Rule:
    """Loses datagrams whose payload is larger, one way; with `first` only so many of them."""
    left = first

    def rule(going: Way, data: bytes) -> list[float] | None:
        nonlocal left
        if going is not way or len(data) <= over_bytes or left == 0:
            return None
        left = None if left is None else left - 1
        return []

    return rule


async def test_a_path_that_carries_all_sizes_passes() -> None:
    async with behind() as host:
        found = await mtu.mtu_probe(context(host, phase=Phase.PRE))
    assert found.status is Status.PASS
    assert found.evidence["payload_max_bytes"] == found.evidence["payload_max_to_far_bytes"] == max(mtu.SIZES_BYTES)
    assert found.evidence["tried_max_bytes"] == max(mtu.SIZES_BYTES)
    assert found.evidence["stage"] == ""


async def test_a_line_that_is_too_thin_for_a_call_is_not_asked() -> None:
    """What is lost in its queue says nothing of sizes."""
    async with behind() as host:
        for rate_bits_per_s, status in ((64_000, Status.SKIP), (124_000, Status.PASS)):
            echo = Finding(status=Status.WARN, summary="", evidence={"rate_bits_per_s": rate_bits_per_s})
            given = context(host, phase=Phase.PRE, results={"port.rtc-udp-echo": result("port.rtc-udp-echo", echo)})
            found = await mtu.mtu_probe(given)
            assert (found.status, found.blocked_by) == (status, "port.rtc-udp-echo" if status is Status.SKIP else "")


async def test_a_stand_in_that_is_full_for_a_moment_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_retry, "ROOM_WAIT_S", 0.2)
    room = sfu.SESSIONS_MAX
    async with behind(vanish(1260, Way.OUT)) as host:
        monkeypatch.setattr(sfu, "SESSIONS_MAX", 0)
        asyncio.get_running_loop().call_later(0.1, monkeypatch.setattr, sfu, "SESSIONS_MAX", room)
        found = await mtu.mtu_probe(context(host, phase=Phase.PRE))
        assert (found.status, found.evidence["payload_max_bytes"]) == (Status.WARN, 1252)
        monkeypatch.setattr(sfu, "SESSIONS_MAX", 0)
        monkeypatch.setattr(room_retry, "ROOM_WAIT_S", 0.0)
        found = await mtu.mtu_probe(context(host, phase=Phase.PRE))
    assert found.status is Status.UNKNOWN and "508" in found.summary


@pytest.mark.parametrize(
    ("over_bytes", "way", "status", "largest", "there", "lost"),
    [
        (1300, Way.OUT, Status.PASS, 1280, 1280, None),
        (1260, Way.OUT, Status.WARN, 1252, 1252, "request"),
        (1260, Way.BACK, Status.WARN, 1252, 1472, "reply"),
        (1190, Way.OUT, Status.WARN, 1172, 1172, "request"),
        (990, Way.BACK, Status.FAIL, 600, 1472, "reply"),
    ],
)
async def test_where_large_ones_vanish_the_size_and_the_direction_are_named(
    over_bytes: int, way: Way, status: Status, largest: int, there: int, lost: str | None
) -> None:
    async with behind(vanish(over_bytes, way)) as host:
        found = await mtu.mtu_probe(context(host, phase=Phase.PRE))
    assert found.status is status, found.summary
    assert found.evidence["payload_max_bytes"] == largest
    assert found.evidence["payload_max_to_far_bytes"] == there
    assert found.evidence["lost"] == lost
    assert found.evidence["stage"] == ("" if status is Status.PASS else "black-hole")
    assert found.evidence["icmp"] is False


async def test_a_limit_that_was_there_once_only_is_none() -> None:
    """The path of the first measurement, three rounds of it, loses what the second brings."""
    large = sum(size > 1100 for size in mtu.SIZES_BYTES)
    async with behind(vanish(1100, Way.OUT, first=3 * large)) as host:
        found = await mtu.mtu_probe(context(host, phase=Phase.PRE))
    assert found.status is Status.PASS, found.summary


async def test_a_limit_that_could_not_be_measured_again_alone_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look beside something else, as a call, might find what that does to the path."""
    monkeypatch.setattr(paired, "ALONE_WAIT_S", 0.1)
    async with behind(vanish(1190, Way.OUT)) as host, host.path_lock.shared():
        found = await mtu.mtu_probe(context(host, phase=Phase.PRE))
    assert (found.status, found.evidence["payload_max_bytes"]) == (Status.UNKNOWN, 1172)
    assert found.summary.endswith("the path was never free to measure that again alone")


@pytest.mark.usefixtures("short_silence")
async def test_behind_a_link_of_another_run_there_is_nothing_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents_client, "SILENCE_S", 0.1)
    async with media_host() as stand_in:
        given = context(stranger(stand_in.ready), phase=Phase.PRE)
        await asyncio.gather(ports.rtc_udp_echo_probe(given), ports.rtc_tcp_echo_probe(given))
        found = await mtu.mtu_probe(given)
    assert (found.status, found.blocked_by) == (Status.SKIP, "port.rtc-udp-echo")


async def test_loss_is_not_taken_for_a_limit() -> None:
    async with behind(lose(0.2, Way.OUT), lose(0.2, Way.BACK, seed=2)) as host:
        found = await mtu.mtu_probe(context(host, phase=Phase.PRE))
    assert found.status is Status.PASS, found.summary


async def test_where_nothing_comes_back_no_size_is_judged() -> None:
    async with behind(vanish(100, Way.BACK)) as host:
        found = await mtu.mtu_probe(context(host, phase=Phase.PRE))
    assert found.status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("largest", "there", "icmp", "stage", "lost"),
    [
        (1280, 1280, False, "", None),
        (1252, 1252, True, "", None),  # somebody says so: senders make their packets smaller
        (1252, 1252, False, "black-hole", "request"),
        (1252, None, False, "black-hole", None),
        (1172, 1172, True, "small", "request"),
        (1172, 1472, True, "black-hole", "reply"),  # what was said is about the way there
    ],
)
def test_what_is_made_of_the_sizes(largest: int, there: int | None, icmp: bool, stage: str, lost: str | None) -> None:
    evidence = {"payload_max_bytes": largest, "payload_max_to_far_bytes": there, "icmp": icmp}
    assert mtu._judged(evidence) == {"stage": stage, "lost": lost}


def ports_that_returned(*sizes: tuple[int, ...]) -> Finding:
    """turn.relay-range whose ports each brought back these sizes."""
    rows = [{"returned": len(one), "returned_bytes": list(one), "sent_bytes": [200, 1200, 1272]} for one in sizes]
    return Finding(status=Status.PASS, summary="", target="turn", evidence={"ports": rows})


@pytest.mark.parametrize(("relayed", "status", "largest_bytes"), [
    ([(200, 1200, 1272)] + 3 * [(200,)], Status.PASS, 1272), (4 * [(200, 1200)], Status.WARN, 1200),
    (4 * [(200,)] + 4 * [()], Status.WARN, 200),
    (6 * [(200,)] + 2 * [(200, 1200)], Status.SKIP, 1200), (3 * [(200,)], Status.SKIP, None), ([], Status.SKIP, None),
])  # fmt: skip
async def test_where_udp_is_shut_the_sizes_that_passed_a_relay_tell(
    relayed: list[tuple[int, ...]], status: Status, largest_bytes: int | None
) -> None:
    silent = {"port.rtc-udp-echo": result("port.rtc-udp-echo", Finding(status=Status.FAIL, summary=""))}
    results = silent | {mtu.RELAY: result(mtu.RELAY, ports_that_returned(*relayed))}
    finding = await mtu.relay_mtu_probe(context(None, results=results, phase=Phase.PRE))
    assert (finding.status, finding.evidence.get("payload_max_bytes")) == (status, largest_bytes)


async def test_where_udp_is_open_the_straight_way_tells() -> None:
    echo = {"port.rtc-udp-echo": result("port.rtc-udp-echo", Finding(status=Status.PASS, summary=""))}
    results = echo | {mtu.RELAY: result(mtu.RELAY, ports_that_returned(*4 * [(200,)]))}
    assert (await mtu.relay_mtu_probe(context(None, results=results, phase=Phase.PRE))).status is Status.SKIP
