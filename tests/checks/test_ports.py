"""The echo of port.* against a real stand-in on 127.0.0.1, broken in every way that evidence tells apart."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable

import pytest

from calls_doctor.model.check import Status
from calls_doctor.model.site import MediaAddress, Phase, Site
from calls_doctor.net import documents_client
from calls_doctor.net import paired as paired_module
from calls_doctor.net import room as room_retry
from calls_doctor.net.paired import PairedHost
from calls_doctor.sfu import sfu
from calls_doctor.spec import Context
from calls_doctor.standin.launch import StandInProcess
from calls_doctor.wire.framing import PacketKind
from checks import ports
from tests.servers.media_host import (
    MEDIA_ONLY,
    behind,
    box_before,
    context,
    media_host,
    paired,
    stranger,
    stranger_link,
)
from tests.servers.middlebox import HOST, Rule, Tcp, Way, delay, drop, lose, thin

UDP, TCP = ports.rtc_udp_echo_probe, ports.rtc_tcp_echo_probe


@pytest.fixture
def quick(short_silence: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - a fixture asks so
    """A tenth of every silence; test_paired holds the real ones."""
    monkeypatch.setattr(documents_client, "SCHEDULE_S", (0.0, 0.05))
    monkeypatch.setattr(documents_client, "SILENCE_S", 0.1)


async def test_a_healthy_port_passes_over_udp_and_tcp() -> None:
    async with media_host() as stand_in:
        given = context(paired(stand_in.ready))
        for probe in (UDP, TCP):
            finding = await probe(given)
            evidence = finding.evidence
            assert finding.status is Status.PASS and finding.summary.startswith("24 of 24 probes came back")
            assert (evidence["sent"], evidence["returned"], evidence["arrived"]) == (24, 24, 24)
            assert 0 < evidence["rtt_p50_s"] <= evidence["rtt_p95_s"] < 0.1
            assert evidence["mapped"][0] == HOST and "trouble" not in evidence


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("way", "arrived", "said"),
    [(Way.OUT, 0, "the requests are lost"), (Way.BACK, 6, "the replies are lost")],
    ids=["out", "back"],
)
async def test_silence_over_udp_is_told_with_its_direction(way: Way, arrived: int, said: str) -> None:
    async with behind(drop(way)) as host:
        finding = await UDP(context(host))
    evidence = finding.evidence
    assert finding.status is Status.FAIL and said in finding.summary
    assert (evidence["sent"], evidence["returned"], evidence["arrived"]) == (6, 0, arrived)
    assert evidence["trouble"] == "silent" and len(evidence["far_end_saw"]) == (1 if arrived else 0)


@pytest.mark.usefixtures("quick")
async def test_silence_both_ways_cannot_be_told_apart() -> None:
    async with behind(drop(), tcp=Tcp.MUTE) as host:
        udp, tcp = await UDP(context(host)), await TCP(context(host))
    assert (udp.status, udp.evidence["trouble"], udp.evidence["arrived"]) == (Status.FAIL, "silent", None)
    assert (tcp.status, tcp.evidence["trouble"], tcp.evidence["sent"]) == (Status.FAIL, "silent", 1)


async def test_total_silence_is_named_within_three_seconds_books_and_all() -> None:
    """Both at once, as the runner has it: neither waits for books where the other hears nothing either."""
    async with behind(drop(), tcp=Tcp.MUTE) as host:
        given = context(host)
        began_s = time.monotonic()
        udp, tcp = await asyncio.gather(UDP(given), TCP(given))
        assert time.monotonic() - began_s < 3.0
    assert udp.evidence["arrived"] is None and tcp.evidence["arrived"] is None


async def test_closed_ports_are_refused_and_nothing_is_said_to_have_arrived(free_port: Callable[[], int]) -> None:
    async with media_host() as stand_in:
        given = context(paired(stand_in.ready, free_port()))
        udp, tcp = await UDP(given), await TCP(given)
    for finding, sent in ((udp, 1), (tcp, 0)):
        evidence = finding.evidence
        assert (finding.status, evidence["trouble"], evidence["sent"]) == (Status.FAIL, "refused", sent)
        assert evidence["arrived"] is None and "was refused" in finding.summary
    assert "ICMP 3/3 from 127.0.0.1" in udp.summary
    assert udp.evidence["icmp"] == {"type": 3, "code": 3, "sender": HOST}
    assert "icmp" not in tcp.evidence, "a reset is no ICMP error"


async def test_udp_alone_that_is_closed_has_books_over_tcp(free_port: Callable[[], int]) -> None:
    async with media_host() as stand_in:
        assert stand_in.ready is not None
        address = MediaAddress(host=HOST, udp_port=free_port(), tcp_port=stand_in.ready.media_port)
        finding = await UDP(context(PairedHost(stand_in.ready.pairing, address)))
    assert (finding.status, finding.evidence["trouble"], finding.evidence["arrived"]) == (Status.FAIL, "refused", 0)


@pytest.mark.usefixtures("quick")
async def test_a_listener_that_never_answers_the_handshake_is_silent_and_was_sent_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paired_module, "TCP_CONNECT_S", 0.1)
    async with media_host() as stand_in:
        assert stand_in.ready is not None
        with socket.socket() as listener, socket.socket() as one, socket.socket() as other:
            listener.bind((HOST, 0))
            listener.listen(0)
            for waiting in (one, other):  # Linux drops a SYN for which the queue has no room
                waiting.setblocking(False)
                waiting.connect_ex(listener.getsockname())
            address = MediaAddress(host=HOST, udp_port=stand_in.ready.media_port, tcp_port=listener.getsockname()[1])
            finding = await TCP(context(PairedHost(stand_in.ready.pairing, address)))
    evidence = finding.evidence
    assert (finding.status, evidence["trouble"], evidence["sent"]) == (Status.FAIL, "silent", 0)
    assert evidence["arrived"] is None


@pytest.mark.usefixtures("quick")
async def test_a_mute_tcp_port_is_told_from_one_that_never_connects() -> None:
    async with behind(tcp=Tcp.MUTE) as host:
        finding = await TCP(context(host))
    evidence = finding.evidence
    assert (finding.status, evidence["trouble"], evidence["sent"]) == (Status.FAIL, "silent", 1)
    assert evidence["arrived"] == 0  # the books came over UDP


@pytest.mark.parametrize(
    ("hop", "own", "media", "expected"),
    [
        ("203.0.113.1", "192.0.2.7", "203.0.113.20", True),
        ("203.0.113.20", "10.0.1.7", "203.0.113.20", True),
        ("198.51.100.20", "10.0.1.7", "203.0.113.20", True),
        ("192.0.2.1", "192.0.2.7", "203.0.113.20", False),
        ("10.0.1.1", "10.0.1.7", "203.0.113.20", False),
        ("10.0.1.1", "172.16.0.7", "203.0.113.20", False),
        ("10.0.1.1", "172.16.0.7", "10.0.2.20", True),
        ("10.0.1.1", "10.0.1.7", "10.0.2.20", False),
        ("2001:db8::1", "192.0.2.7", "203.0.113.20", False),
    ],
    ids=["in a named network", "the media host's own", "mapped to it", "elsewhere", "the caller's own router",
         "private, perhaps of somebody between", "a private network throughout", "the caller is in it too", "IPv6"],
)  # fmt: skip
def test_a_hop_is_the_servers_where_that_is_sure(hop: str, own: str, media: str, expected: bool) -> None:
    site = Site(mattermost_networks=("203.0.113.0/28", "10.0.1.0/24"), nat=(("198.51.100.20", "10.0.1.20"),))
    assert ports._is_the_servers(hop, site, media, own) is expected


async def test_a_tcp_connection_that_is_cut_midway_is_cut() -> None:
    async with behind(cut_after_bytes=2000) as host:
        finding = await TCP(context(host))
    assert (finding.status, finding.evidence["trouble"]) == (Status.FAIL, "cut")
    assert 0 < finding.evidence["returned"] < 24


async def test_tcp_is_a_fallback_outside_the_self_test() -> None:
    async with behind(tcp=Tcp.CLOSED) as host:
        finding = await TCP(context(host, phase=Phase.PRE))
    assert (finding.status, finding.evidence["trouble"]) == (Status.WARN, "refused")


@pytest.mark.usefixtures("quick")
async def test_a_wrong_key_is_silence_over_udp_and_a_cut_over_tcp() -> None:
    async with media_host() as stand_in:
        given = context(stranger(stand_in.ready))
        udp, tcp = await UDP(given), await TCP(given)
    assert (udp.status, udp.evidence["trouble"]) == (Status.FAIL, "silent")
    assert (tcp.status, tcp.evidence["trouble"], tcp.evidence["sent"]) == (Status.FAIL, "cut", 1)


@pytest.mark.usefixtures("quick")
async def test_a_link_of_another_run_is_unauthorised_and_no_finding_about_the_network() -> None:
    async with media_host() as stand_in:
        given = context(stranger(stand_in.ready), phase=Phase.PRE)
        udp, tcp = await asyncio.gather(UDP(given), TCP(given))
    for finding in (udp, tcp):
        assert (finding.status, finding.evidence["trouble"]) == (Status.UNKNOWN, "unauthorised")
        assert "does not know this link" in finding.summary


@pytest.mark.usefixtures("quick")
async def test_over_udp_alone_a_link_of_another_run_is_silence() -> None:
    async with media_host() as stand_in:
        assert stand_in.ready is not None
        link = stranger_link(stand_in.ready)
        host = PairedHost(link, MediaAddress(host=HOST, udp_port=link.port, tcp_port=0))
        given = context(host, phase=Phase.PRE)
        finding = await UDP(given)
    assert (finding.status, finding.evidence["trouble"]) == (Status.FAIL, "silent")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("rules", [(), (drop(Way.BACK, PacketKind.STUN),)], ids=["answers", "loses its answers"])
async def test_a_connection_that_is_cut_beside_udp_that_answers_is_no_wrong_key(rules: tuple[Rule, ...]) -> None:
    """With the right key, UDP or the relay prove that the link is known: then something on the path cuts TCP."""
    async with behind(*rules, tcp=Tcp.CUT) as host:
        given = context(host, phase=Phase.PRE)
        udp, tcp = await asyncio.gather(UDP(given), TCP(given))
    if rules:  # one cut connection and silence, which nobody can tell from a key that is not known
        assert {udp.evidence["trouble"], tcp.evidence["trouble"]} == {"unauthorised"}
    else:
        assert (udp.status, tcp.status, tcp.evidence["trouble"]) == (Status.PASS, Status.WARN, "cut")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("here", "tcp", "word", "status"),
    [
        ("198.51.100.7", None, "other-network", Status.UNKNOWN),
        ("198.51.100.7", Tcp.MUTE, "silent", Status.FAIL),  # a connection was made: it is reached from here
        ("127.9.9.9", None, "silent", Status.FAIL),  # one network may be routed to from its other parts
    ],
)
async def test_a_private_link_used_from_another_network_is_said_to_be_that(
    here: str, tcp: Tcp | None, word: str, status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paired_module, "local_addresses", lambda: [here])
    async with media_host() as stand_in, box_before(stand_in, drop(), tcp=tcp or Tcp.CLOSED) as box:
        host = paired(stand_in.ready, box.port, tcp_port=box.port if tcp else 0)
        finding = await UDP(context(host, phase=Phase.PRE))
    assert (finding.status, finding.evidence["trouble"]) == (status, word)
    assert ("give `serve --host` the public one" in finding.summary) is (word == "other-network")


@pytest.mark.parametrize(("ratio", "status"), [(0.12, Status.WARN), (0.6, Status.FAIL)])
@pytest.mark.usefixtures("quick")
async def test_loss_is_a_warning_and_much_loss_a_failure(ratio: float, status: Status) -> None:
    async with behind(lose(ratio, Way.BACK, PacketKind.STUN, seed=3)) as host:
        finding = await UDP(context(host))
    evidence = finding.evidence
    assert finding.status is status and 0 < evidence["returned"] < 24
    assert evidence["arrived"] == evidence["sent"] == 24  # so the replies are what was lost


async def test_what_a_link_is_too_thin_for_at_full_speed_is_repeated_alone_and_that_counts() -> None:
    """Twice what an echo alone needs, both ways together; on loopback the first is far faster than on a network."""
    async with behind(thin(400_000, 4_000)) as host:
        udp, tcp = await asyncio.gather(*(probe(context(host)) for probe in (UDP, TCP)))
    assert udp.status is tcp.status is Status.PASS
    assert udp.evidence["repeated_alone"] and udp.evidence["returned_before"] < 20
    assert udp.evidence["returned"] == udp.evidence["arrived"] == 24
    assert "repeated_alone" not in tcp.evidence


async def test_of_a_link_too_thin_for_the_faster_echo_the_slower_one_tells_what_it_carries() -> None:
    async with behind(thin(64_000, 3_000)) as host:
        finding = await UDP(context(host))
    evidence = finding.evidence
    assert evidence["returned_before"] < ports.RATE_PROBES_MIN <= evidence["returned"] < 20
    assert 20_000 < evidence["rate_bits_per_s"] < 64_000


@pytest.mark.parametrize("rules", [(), (drop(),)], ids=["all", "nothing"])
@pytest.mark.usefixtures("quick")
async def test_where_all_or_nothing_comes_back_nothing_is_repeated(rules: tuple[Rule, ...]) -> None:
    async with behind(*rules) as host:
        finding = await UDP(context(host))
    assert "repeated_alone" not in finding.evidence


async def test_a_slow_path_passes_with_its_round_trip() -> None:
    async with behind(delay(0.05)) as host:
        finding = await UDP(context(host))
    assert finding.status is Status.PASS and finding.evidence["rtt_p50_s"] >= 0.1


async def test_a_stand_in_without_room_is_asked_again_and_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_retry, "ROOM_WAIT_S", 0.1)
    room = sfu.SESSIONS_MAX
    async with media_host() as stand_in:
        monkeypatch.setattr(sfu, "SESSIONS_MAX", 0)
        asyncio.get_running_loop().call_later(0.05, monkeypatch.setattr, sfu, "SESSIONS_MAX", room)
        finding = await UDP(context(paired(stand_in.ready)))
        assert (finding.status, finding.evidence["returned"]) == (Status.PASS, 24)
        monkeypatch.setattr(sfu, "SESSIONS_MAX", 0)
        monkeypatch.setattr(room_retry, "ROOM_WAIT_S", 0.0)
        finding = await UDP(context(paired(stand_in.ready)))
    assert finding.status is Status.UNKNOWN and finding.evidence["code"] == 508


async def test_an_echo_that_there_is_no_room_to_repeat_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a lossy path has shown must not be forgotten since others fill the stand-in meanwhile."""
    monkeypatch.setattr(room_retry, "ROOM_WAIT_S", 0.0)
    async with behind(lose(0.3)) as host:
        asyncio.get_running_loop().call_later(0.2, monkeypatch.setattr, sfu, "SESSIONS_MAX", 0)
        finding = await UDP(context(host))
    assert 0 < finding.evidence["returned"] < finding.evidence["sent"] == 24
    assert "repeated_alone" not in finding.evidence


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("what", "udp", "tcp"), [(signal.SIGKILL, "refused", "refused"), (signal.SIGSTOP, "silent", "silent")]
)
async def test_a_stand_in_that_is_dead_or_frozen(what: signal.Signals, udp: str, tcp: str) -> None:
    process = StandInProcess(MEDIA_ONLY)
    async with process as ready:
        given = context(paired(ready))
        assert (await UDP(given)).status is Status.PASS
        os.kill(process.pid, what)
        try:
            words = [(await probe(given)).evidence["trouble"] for probe in (UDP, TCP)]
        finally:
            if what is signal.SIGSTOP:
                os.kill(process.pid, signal.SIGCONT)
    assert words == [udp, tcp]


@pytest.mark.usefixtures("quick")
async def test_without_a_stand_in_a_closed_port_is_closed_and_silence_or_an_open_one_is_undecided(
    free_port: Callable[[], int],
) -> None:
    def given(port: int) -> Context:
        return context(None, site=Site(media=(MediaAddress(host=HOST, udp_port=port, tcp_port=port),)))

    closed = given(free_port())
    udp, tcp = await UDP(closed), await TCP(closed)
    assert (udp.status, udp.evidence["trouble"]) == (Status.FAIL, "refused")
    assert (tcp.status, tcp.evidence["trouble"]) == (Status.WARN, "refused"), "alone it is a lost fallback"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtcd, socket.create_server((HOST, 0)) as server:
        rtcd.bind((HOST, 0))
        silent, opened = await UDP(given(rtcd.getsockname()[1])), await TCP(given(server.getsockname()[1]))
    assert (silent.status, silent.evidence["trouble"]) == (Status.UNKNOWN, "silent")
    assert "calls-doctor serve" in silent.summary
    assert opened.status is Status.UNKNOWN
