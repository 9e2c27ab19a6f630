"""media.* against a real stand-in on 127.0.0.1: each stage is broken for real, and the finding must say which, and in
which direction packets were lost."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from calls_doctor.model.check import Evidence, Finding, Status
from calls_doctor.model.credentials import Credentials, RtcdClient, Secret, TurnCredentials
from calls_doctor.model.flow import Role
from calls_doctor.model.site import MediaAddress, Phase, ServerUri, Site
from calls_doctor.net import aiortc_peer, call, documents_client, rtcd_member
from calls_doctor.net.paired import PairedHost
from calls_doctor.net.peer import CallFailed
from calls_doctor.net.relay import Relays
from calls_doctor.spec import Context
from calls_doctor.standin.launch import Options, Ready, StandInProcess
from calls_doctor.standin.server import StandIn
from calls_doctor.wire import stun
from calls_doctor.wire.direct import Link
from calls_doctor.wire.framing import PacketKind, packet_kind
from checks import media
from tests.servers.media_host import MEDIA_ONLY, behind, context, media_host, paired, result
from tests.servers.middlebox import HOST, Middlebox, Rule, Tcp, Way, dead_after, delay, drop, lose, reorder
from tests.servers.plain_sockets import PlainUdp
from tests.servers.scripted_rtcd import Script, scripted_rtcd

Probe = Callable[[Context], Awaitable[Finding]]
CALLS: dict[str, Probe] = {"self": media.self_probe, "udp": media.call_udp_probe, "tcp": media.call_tcp_probe}
PACKETS = 15
"""Of each session in 0.3 s."""


@pytest.fixture
def books_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A far end whose books do not come in a fifth of a second has none."""
    monkeypatch.setattr(documents_client, "SILENCE_S", 0.2)
    monkeypatch.setattr(documents_client, "SCHEDULE_S", (0.0, 0.1))


def counts(evidence: Evidence, way: str) -> tuple[int, int]:
    return evidence[way]["sent"], evidence[way]["received"]


@pytest.mark.parametrize(("name", "sessions"), [("self", 1), ("udp", 2), ("tcp", 2)])
async def test_a_call_carries_every_packet_both_ways(name: str, sessions: int) -> None:
    async with media_host() as stand_in:
        given = context(paired(stand_in.ready))
        began_s = time.monotonic()
        finding = await CALLS[name](given)
        took_s = time.monotonic() - began_s
    evidence, sent = finding.evidence, sessions * PACKETS
    assert finding.status is Status.PASS and "connected in" in finding.summary
    assert counts(evidence, "to_far") == counts(evidence, "from_far") == (sent, sent)
    assert evidence["to_far"]["loss_ratio"] == evidence["from_far"]["loss_ratio"] == 0.0
    assert 0 < evidence["from_far"]["jitter_s"] < 0.1 and evidence["rtt_p50_s"] < 0.1
    assert list(evidence["timeline"]) == ["stun_s", "ice_s", "dtls_s", "rtp_s"]
    assert evidence["near"]["rtp_out"] == evidence["far"]["rtp_in"] == sent
    slowest = min(evidence[way]["carried_bits_per_s"] for way in ("to_far", "from_far"))
    assert finding.summary.endswith(f"; {slowest / 1000:.0f} kbit/s carried each way") is (slowest >= 100_000)
    assert sessions == 1 or slowest > 80_000  # two voices are 125 kbit/s, on a machine that is not late itself
    assert took_s < 0.3 + 0.4  # what connecting, draining and both ends' books cost
    assert [books.sent_rtp for books in given.near_books] == [PACKETS] * sessions


async def test_what_one_session_says_the_other_hears() -> None:
    async with media_host() as stand_in:
        given = context(paired(stand_in.ready))
        await media.call_udp_probe(given)
        far = {one.session: one for one in stand_in.books().sessions}
    one, other = given.near_books
    # Each session receives exactly one stream, and at the far end each sent one and received one.
    assert [len(books.streams) for books in (one, other)] == [1, 1]
    assert one.streams[0].ssrc != other.streams[0].ssrc
    assert [len(far[books.session].streams) for books in (one, other)] == [1, 1]


@pytest.mark.parametrize("name", ["self", "udp"])
@pytest.mark.parametrize(
    ("way", "lost", "other"),
    [(Way.OUT, "to_far", "from_far"), (Way.BACK, "from_far", "to_far")],
    ids=["out", "back"],
)
async def test_media_that_is_dropped_one_way_fails_and_the_direction_is_named(
    name: str, way: Way, lost: str, other: str
) -> None:
    async with behind(drop(way, PacketKind.RTP)) as host:
        finding = await CALLS[name](context(host))
    evidence = finding.evidence
    assert (finding.status, evidence["stage"]) == (Status.FAIL, "media")
    assert evidence[lost]["received"] == 0 and evidence[lost]["loss_ratio"] == 1.0
    assert evidence[other].get("loss_ratio", 0.0) == 0.0
    assert f"0 of {evidence[lost]['sent']} RTP packets arrived {'to' if way is Way.OUT else 'from'} the far end" in (
        finding.summary
    )


async def test_a_call_that_loses_a_fifth_is_a_warning_with_the_direction() -> None:
    async with behind(lose(0.2, Way.OUT, PacketKind.RTP)) as host:
        finding = await media.call_udp_probe(context(host, media_time_s=1.0))
    evidence = finding.evidence
    assert (finding.status, evidence["stage"]) == (Status.WARN, "media")
    assert 0.1 < evidence["to_far"]["loss_ratio"] < 0.3 and evidence["from_far"]["loss_ratio"] == 0.0


@pytest.mark.parametrize(
    ("phase", "status", "sessions"), [(Phase.PRE, Status.PASS, 4), (Phase.SELF_TEST, Status.WARN, 2)]
)
async def test_a_call_that_loses_some_is_repeated_alone_and_that_counts(
    phase: Phase, status: Status, sessions: int
) -> None:
    async with behind(drop(Way.OUT, PacketKind.RTP, first=5)) as host:
        given = context(host, phase=phase)
        finding = await media.call_udp_probe(given)
    assert finding.status is status and len(given.near_books) == sessions
    assert finding.evidence.get("repeated_alone", False) is (phase is Phase.PRE)


async def test_a_call_that_loses_half_has_failed() -> None:
    async with behind(lose(0.5, Way.BACK, PacketKind.RTP)) as host:
        finding = await media.call_udp_probe(context(host))
    assert finding.status is Status.FAIL and finding.evidence["from_far"]["loss_ratio"] > 0.3


async def test_delay_and_reordering_are_counted_and_fail_nothing() -> None:
    rules = reorder(5, 0.05, Way.BACK, PacketKind.RTP), delay(0.02)
    async with behind(*rules) as host:
        finding = await media.call_udp_probe(context(host))
    evidence = finding.evidence
    assert finding.status is Status.PASS
    assert evidence["from_far"]["reordered_ratio"] > 0.05 and evidence["to_far"]["reordered_ratio"] == 0.0
    assert evidence["from_far"]["jitter_s"] > evidence["to_far"]["jitter_s"]
    assert evidence["rtt_p50_s"] > 0.04


@pytest.mark.parametrize(
    ("rule", "out", "back"),
    [(drop(Way.OUT, PacketKind.DTLS), 0, 0), (drop(Way.BACK, PacketKind.DTLS), 2, 2)],
    ids=["out", "back"],
)
async def test_dtls_that_is_dropped_is_named_with_both_ends_counts(
    rule: Rule, out: int, back: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if back:  # one way holds the real limit, the other a short one
        monkeypatch.setattr(call, "CONNECT_S", 0.3)
    async with behind(rule) as host:
        began_s = time.monotonic()
        finding = await media.call_udp_probe(context(host))
    assert time.monotonic() - began_s < 3.0
    evidence = finding.evidence
    assert (finding.status, evidence["stage"]) == (Status.FAIL, "dtls")
    assert evidence["near"]["dtls_out"] >= 2 and evidence["near"]["dtls_in"] == 0
    assert (evidence["far"]["dtls_in"], evidence["far"]["dtls_out"]) == (out, back)
    assert evidence["near"]["stun_in"] >= 2 and finding.summary.startswith("fails at dtls: ")
    assert "trouble" not in evidence


async def test_a_far_end_that_falls_silent_in_dtls_is_named_within_three_seconds() -> None:
    async with behind(dead_after(1), tcp=Tcp.CLOSED) as host:  # so that its books cannot be had either
        began_s = time.monotonic()
        finding = await media.call_udp_probe(context(host))
    assert time.monotonic() - began_s < 3.0
    evidence = finding.evidence
    assert (finding.status, evidence["stage"], evidence["trouble"]) == (Status.FAIL, "dtls", "silent")
    assert evidence["near"]["dtls_in"] <= 1 and evidence["far"] is None


@pytest.mark.parametrize("way", Way)
async def test_checks_that_are_dropped_are_named_within_three_seconds(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    tcp = Tcp.PASS if way is Way.BACK else Tcp.CLOSED
    if way is Way.OUT:  # the other holds the real limit
        monkeypatch.setattr(call, "CONNECT_S", 0.4)
    async with behind(drop(way), tcp=tcp) as host:
        began_s = time.monotonic()
        finding = await media.call_udp_probe(context(host))
    assert time.monotonic() - began_s < 3.0
    evidence = finding.evidence
    assert (finding.status, evidence["stage"]) == (Status.FAIL, "ice")
    assert evidence["near"]["stun_in"] == 0
    if way is Way.BACK:  # the books come over TCP, and say that the requests arrived
        assert evidence["near"]["stun_out"] == evidence["far"]["stun_in"] == evidence["far"]["stun_out"] == 12
    else:
        assert evidence["near"]["stun_out"] >= 8, "four from each session; a busy machine that is late sends a fifth"
        assert evidence["far"] is None


async def test_a_stand_in_without_media_is_refused_at_once(free_port: Callable[[], int]) -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready, free_port())
        for probe in CALLS.values():
            began_s = time.monotonic()
            finding = await probe(context(host))
            assert time.monotonic() - began_s < 0.5
            assert (finding.status, finding.evidence["stage"]) == (Status.FAIL, "ice")
            assert finding.evidence["trouble"] == "refused"


@pytest.mark.usefixtures("books_given_up_soon")
@pytest.mark.parametrize("name", ["udp", "tcp"])
async def test_another_certificate_than_the_links_is_named_and_is_no_blocked_handshake(name: str) -> None:
    async with media_host() as stand_in:
        assert stand_in.ready is not None
        right = stand_in.ready.pairing
        wrong = Link(right.address, right.port, right.keys, bytes(32))
        host = PairedHost(wrong, MediaAddress(host=right.address, udp_port=right.port, tcp_port=right.port))
        finding = await CALLS[name](context(host, phase=Phase.PRE))
    assert (finding.status, finding.evidence["trouble"]) == (Status.UNKNOWN, "other-certificate")
    assert "not the one that the link names" in finding.summary


async def test_far_books_that_cannot_be_had_leave_what_went_there_and_back() -> None:
    def no_pages(_way: Way, data: bytes) -> list[float] | None:
        return [] if len(data) >= 1200 else None

    async with behind(no_pages, tcp=Tcp.CLOSED) as host:
        finding = await media.call_udp_probe(context(host))
    evidence = finding.evidence
    assert finding.status is Status.PASS and evidence["far"] is None
    assert evidence["to_far"]["received"] is None and evidence["from_far"]["sent"] is None
    assert counts(evidence, "there_and_back") == (2 * PACKETS, 2 * PACKETS)
    async with behind(no_pages, drop(Way.BACK, PacketKind.RTP), tcp=Tcp.CLOSED) as host:
        finding = await media.call_udp_probe(context(host))
    assert (finding.status, finding.evidence["stage"]) == (Status.FAIL, "media")
    assert finding.evidence["from_far"]["received"] == 0


@asynccontextmanager
async def far_process() -> AsyncIterator[tuple[StandInProcess, Ready]]:
    process = StandInProcess(MEDIA_ONLY)
    async with process as ready:
        yield process, ready


async def killed_in_the_middle(
    process: StandInProcess, what: signal.Signals, probe: Probe, given: Context
) -> tuple[Finding, float]:
    """Sends the signal in the middle of the call's media; the finding, and how long it took from then."""
    running = asyncio.ensure_future(probe(given))
    await asyncio.sleep(given.media_time_s / 2)
    os.kill(process.pid, what)
    began_s = time.monotonic()
    return await running, time.monotonic() - began_s


@pytest.mark.parametrize(("name", "word"), [("udp", "refused"), ("tcp", "cut")])
async def test_a_far_end_that_is_killed_in_the_middle_is_named_at_once(name: str, word: str) -> None:
    async with far_process() as (process, ready):
        given = context(paired(ready), media_time_s=1.0)
        finding, took_s = await killed_in_the_middle(process, signal.SIGKILL, CALLS[name], given)
    evidence = finding.evidence
    assert (finding.status, evidence["stage"], evidence["trouble"]) == (Status.FAIL, "media", word)
    assert evidence["far"] is None and evidence["from_far"]["received"] > 5
    assert took_s < 1.0


@pytest.mark.usefixtures("books_given_up_soon")
async def test_a_far_end_that_freezes_in_the_middle_is_seen_by_what_does_not_come() -> None:
    async with far_process() as (process, ready):
        given = context(paired(ready), media_time_s=0.6)
        try:
            finding, took_s = await killed_in_the_middle(process, signal.SIGSTOP, media.call_udp_probe, given)
        finally:
            os.kill(process.pid, signal.SIGCONT)
    evidence = finding.evidence
    assert (finding.status, evidence["stage"], evidence["far"]) == (Status.FAIL, "media", None)
    assert 0.3 < evidence["there_and_back"]["loss_ratio"] < 0.8
    assert took_s < 3.0


def dies_at(process: StandInProcess, kind: PacketKind, number: int) -> Rule:
    """The far end is killed the moment the caller's packet of this kind and number is on its way."""
    seen = 0

    def rule(way: Way, packet: bytes) -> Sequence[float] | None:
        nonlocal seen
        if way is Way.OUT and packet_kind(packet) is kind:
            seen += 1
            if seen == number:
                os.kill(process.pid, signal.SIGKILL)
        return None

    return rule


@pytest.mark.parametrize(
    ("kind", "number", "stage"),
    [(PacketKind.STUN, 1, "ice"), (PacketKind.DTLS, 1, "dtls"), (PacketKind.RTP, 2, "media")],
    ids=["in ICE", "after ICE", "in the media"],
)
async def test_a_far_end_that_dies_and_is_heard_no_more_is_named_with_its_stage(
    kind: PacketKind, number: int, stage: str
) -> None:
    """Behind a NAT nobody says that its port is closed now."""
    async with (
        far_process() as (process, ready),
        Middlebox((HOST, ready.media_port), dies_at(process, kind, number)) as box,
    ):
        began_s = time.monotonic()
        finding = await media.call_udp_probe(context(paired(ready, box.port), media_time_s=0.3))
        took_s = time.monotonic() - began_s
    assert (finding.status, finding.evidence["stage"]) == (Status.FAIL, stage)
    assert took_s < 3.5


async def test_a_tcp_port_that_accepts_and_stays_mute_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "CONNECT_S", 0.4)
    async with behind(tcp=Tcp.MUTE) as host:
        finding = await media.call_tcp_probe(context(host))
    assert (finding.status, finding.evidence["stage"]) == (Status.FAIL, "ice")
    assert "trouble" not in finding.evidence and finding.target.endswith("/tcp")


@pytest.mark.parametrize(("after_bytes", "stage"), [(0, "ice"), (200, "dtls"), (1500, "media")])
async def test_a_tcp_connection_that_is_cut_is_named_with_its_stage(after_bytes: int, stage: str) -> None:
    async with behind(cut_after_bytes=after_bytes) as host:
        finding = await media.call_tcp_probe(context(host))
    evidence = finding.evidence
    assert (finding.status, evidence["stage"], evidence["trouble"]) == (Status.FAIL, stage, "cut")


async def test_tcp_is_a_fallback_outside_the_self_test() -> None:
    async with behind(tcp=Tcp.CUT) as host:
        finding = await media.call_tcp_probe(context(host, phase=Phase.PRE))
    assert (finding.status, finding.evidence["stage"]) == (Status.WARN, "ice")


@asynccontextmanager
async def relayed(**options: object) -> AsyncIterator[tuple[StandIn, Context]]:
    async with StandIn(Options(without=frozenset({"api", "stun"}), **options)) as stand_in:  # type: ignore[arg-type]  # any field
        ready = stand_in.ready
        assert ready is not None
        uri = ServerUri(scheme="turn", host=HOST, port=ready.turn_port)
        row = {"uri": str(uri), "ok": True}
        allocated = Finding(status=Status.PASS, summary="", evidence={"servers": [row]})
        relays = Relays()
        try:
            yield (
                stand_in,
                context(
                    paired(ready),
                    results={"turn.allocate": result("turn.allocate", allocated)},
                    turn=(uri,),
                    credentials=Credentials(turn=TurnCredentials(ready.turn_username, Secret(ready.turn_password))),
                    relays=relays,
                ),
            )
        finally:
            await relays.close()


async def test_a_relayed_call_goes_through_two_allocations() -> None:
    async with relayed() as (stand_in, given):
        finding = await media.call_relay_probe(given)
        relays = {path.remote for one in stand_in.books().sessions for path in one.paths if one.sent_rtp}
    assert finding.status is Status.PASS, finding
    assert counts(finding.evidence, "to_far") == counts(finding.evidence, "from_far") == (2 * PACKETS, 2 * PACKETS)
    assert len(relays) == 2
    assert {path.transport for books in given.near_books for path in books.paths} == {"relay"}


async def test_a_relay_that_denies_the_media_host_fails_at_permit() -> None:
    async with relayed() as (stand_in, given):
        assert stand_in.ready is not None
        elsewhere = PairedHost(stand_in.ready.pairing, MediaAddress(host="127.0.0.9"))
        finding = await media.call_relay_probe(context(
            elsewhere, results=given.results, turn=given.site.turn, credentials=given.credentials, relays=given.relays
        ))  # fmt: skip
    assert (finding.status, finding.evidence["stage"], finding.evidence["code"]) == (Status.FAIL, "permit", 403)


async def test_a_relay_with_a_wrong_password_fails_at_allocate() -> None:
    async with relayed() as (_, given):
        wrong = Credentials(turn=TurnCredentials("calls-doctor", Secret("wrong")))
        finding = await media.call_relay_probe(context(
            given.paired, results=given.results, turn=given.site.turn, credentials=wrong, phase=Phase.PRE,
            relays=given.relays,
        ))  # fmt: skip
    assert (finding.status, finding.evidence["stage"]) == (Status.WARN, "allocate")
    assert finding.evidence["code"] == 401


async def test_thorough_has_an_independent_stack_make_the_call_too() -> None:
    async with media_host() as stand_in:
        finding = await media.call_udp_probe(context(paired(stand_in.ready), thorough=True))
    second = finding.evidence["second_stack"]
    assert finding.status is Status.PASS and second["connected"]
    assert second["received"] == second["sent"] > 5 and f"aiortc: {second['sent']} of" in finding.summary


async def test_a_second_stack_that_cannot_call_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_aioice(_way: Way, data: bytes) -> list[float] | None:
        """Loses the checks of aioice, whose own user name fragment has four characters."""
        if packet_kind(data) is not PacketKind.STUN:
            return None
        username = stun.parse(data).get(stun.USERNAME) or ""
        return [] if len(username.partition(":")[2]) == 4 else None

    monkeypatch.setattr(aiortc_peer, "CONNECT_S", 0.5)
    async with behind(no_aioice) as host:
        finding = await media.call_udp_probe(context(host, thorough=True))
    assert finding.status is Status.WARN and finding.evidence["second_stack"]["received"] == 0


async def test_a_call_over_tcp_waits_out_no_silence_that_the_echo_has_waited_out() -> None:
    silent = Finding(status=Status.WARN, summary="", evidence={"sent": 0, "returned": 0, "trouble": "silent"})
    async with media_host() as stand_in:
        echo = result("port.rtc-tcp-echo", silent)
        given = context(paired(stand_in.ready), results={echo.id: echo})
        finding = await media.call_tcp_probe(given)
    assert (finding.status, finding.blocked_by) == (Status.SKIP, "port.rtc-tcp-echo")


def at_rtcd(url: str, vantage: Role) -> Context:
    """What a check is given where rtcd's API at this URL has let the run in."""
    evidence: Evidence = {"address": HOST, "version": ""}
    api = result("port.api-tcp", Finding(status=Status.PASS, summary="it answers", evidence=evidence))
    site = Site(phase=Phase.UNDETERMINED, vantage=vantage, rtcd_url=url)
    given = context(None, results={api.id: api}, site=site)
    given.registration.let_in = RtcdClient("x", Secret("y"))
    return given


@pytest.mark.parametrize(
    ("vantage", "status"), [(Role.MATTERMOST, Status.UNKNOWN), (Role.CLIENT, Status.FAIL)], ids=str
)
async def test_a_media_port_of_rtcds_that_is_silent_is_undecided_where_no_caller_is(
    vantage: Role, status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CONNECT_S", "MORE_CANDIDATES_S"):
        monkeypatch.setattr(rtcd_member, name, 0.1)
    async with PlainUdp() as mute:
        port = mute.address[1]
        candidate = f"candidate:1 1 udp 2130706431 {HOST} {port} typ host"
        async with scripted_rtcd(Script(candidates=(candidate,))) as server:
            finding = await media.rtcd_udp_probe(at_rtcd(server.access.url, vantage))
    evidence = finding.evidence
    assert (finding.status, evidence["stage"], evidence["lost"]) == (status, "ice", None)
    assert finding.target == f"{HOST}:{port}/udp" and evidence["signalling"]["api"] == "answers"
    assert ("callers do not come from here" in finding.summary) is (status is Status.UNKNOWN)


def test_where_rtcds_own_checks_arrive_what_is_sent_to_it_is_lost() -> None:
    outcome = call.CallOutcome(
        near=[], far=None, failure=CallFailed("ice", "no check was answered"), rtts_s=[], warning=None
    )
    finding = media._of_rtcd(Role.MATTERMOST, outcome, {"near": {"stun_in": 2}}, "target")
    assert (finding.status, finding.evidence["lost"]) == (Status.FAIL, "request")
    assert "rtcd's own checks arrive here" in finding.summary


async def test_a_call_through_rtcd_over_tcp_is_a_fallback(free_port: Callable[[], int]) -> None:
    candidate = f"candidate:1 1 tcp 1671430143 {HOST} {free_port()} typ host tcptype passive"
    async with scripted_rtcd(Script(candidates=(candidate,))) as server:
        finding = await media.rtcd_tcp_probe(at_rtcd(server.access.url, Role.CLIENT))
    assert (finding.status, finding.evidence["trouble"]) == (Status.WARN, "refused")
    assert finding.target == candidate.split()[4] + ":" + candidate.split()[5] + "/tcp"


async def test_calls_through_rtcd_come_one_after_the_other() -> None:
    async with scripted_rtcd(Script(candidates=())) as server:
        given = at_rtcd(server.access.url, Role.CLIENT)
        async with given.rtcd_path.shared():
            probing = asyncio.create_task(media.rtcd_udp_probe(given))
            await asyncio.sleep(0.1)
            assert server.joined == []
        finding = await probing
    assert finding.evidence["stage"] == "candidates" and len(server.joined) == 2


def test_a_call_that_rtcd_opened_the_way_for_is_no_all_clear() -> None:
    told: Evidence = {"signalling": {"called_first": True}}
    for status, comes_to in ((Status.PASS, Status.WARN), (Status.FAIL, Status.FAIL)):
        finding = media._open_to_all(Finding(status=status, summary="connected", evidence=told))
        assert finding.status is comes_to and "callers behind NAT" in finding.summary
    plain = Finding(status=Status.PASS, summary="connected", evidence={"signalling": {}})
    assert media._open_to_all(plain) is plain
