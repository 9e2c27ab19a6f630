"""quality.path: the arithmetic against the contract's thresholds, and real calls through a path that loses, delays and
reorders."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from calls_doctor.model.check import Evidence, Finding, Status
from calls_doctor.model.site import Phase
from calls_doctor.net import call
from calls_doctor.net.paired import PairedHost
from calls_doctor.spec import Context
from calls_doctor.wire.framing import PacketKind
from checks import media, ports, quality
from tests.checks.test_media import relayed as relayed_call
from tests.servers.media_host import behind, context, result
from tests.servers.middlebox import Rule, Way, delay, drop, lose, reorder

SECOND = 50
"""Packets of one voice."""


def row(sent: int = 300, received: int = 300, *, jitter_s: float = 0.001, reordered: int = 0) -> Evidence:
    return {
        "sent": sent,
        "received": received,
        "loss_ratio": 1 - received / sent,
        "reordered_ratio": reordered / sent,
        "jitter_s": jitter_s,
    }


def given(
    to_far: Evidence | None = None,
    from_far: Evidence | None = None,
    *,
    rtt_s: float = 0.02,
    phase: Phase = Phase.SELF_TEST,
    far: bool = True,
) -> Context:
    """The call and the echo that the check reads; in the self-test nothing is measured again."""
    counted: Evidence = {
        "to_far": to_far or row(),
        "from_far": from_far or row(),
        "there_and_back": from_far or row(),
        "far": {} if far else None,
    }
    echo: Evidence = {"rtt_p50_s": rtt_s, "rtt_p95_s": rtt_s}
    findings = {"media.call-udp": counted, "port.rtc-udp-echo": echo}
    results = {
        check: result(check, Finding(status=Status.PASS, summary="", evidence=evidence))
        for check, evidence in findings.items()
    }
    return context(None, results=results, media_time_s=3.0, phase=phase)


@pytest.mark.parametrize(
    ("lost", "sent", "over"),
    [
        (0, 300, False),
        (10, 300, False),  # 3.3 %, which chance makes of 2 % too often
        (13, 300, True),
        (1, 15, False),
        (5, 15, True),
        (17, 600, False),
        (24, 1200, False),
        (40, 1200, True),
        (0, 0, False),
        (300, 300, True),
    ],
)
def test_loss_counts_where_its_lower_bound_is_over_two_percent(lost: int, sent: int, over: bool) -> None:
    assert (quality.lower_bound_99(lost, sent) > quality.LOSS_LIMIT_RATIO) is over


@pytest.mark.parametrize(
    ("to_far", "from_far", "rtt_s", "faults"),
    [
        (row(), row(), 0.249, []),
        (row(), row(), 0.251, [("latency", "")]),
        (row(received=280), row(), 0.02, [("loss", "to_far")]),
        (row(), row(received=280), 0.02, [("loss", "from_far")]),
        (row(jitter_s=0.026), row(), 0.02, [("jitter", "to_far")]),
        (row(jitter_s=0.024), row(), 0.02, []),
        (row(), row(reordered=7), 0.02, [("reordering", "from_far")]),
        (row(), row(reordered=6), 0.02, []),
        (row(30, 30, jitter_s=0.1, reordered=10), row(), 0.02, []),  # too few to judge
        (row(received=200), row(received=200, jitter_s=0.05), 0.3,
         [("loss", "to_far"), ("loss", "from_far"), ("jitter", "from_far"), ("latency", "")]),
    ],
)  # fmt: skip
async def test_each_threshold_is_held_per_direction(
    to_far: Evidence, from_far: Evidence, rtt_s: float, faults: list[tuple[str, str]]
) -> None:
    finding = await quality.path_probe(given(to_far, from_far, rtt_s=rtt_s))
    assert [(one["what"], one["direction"]) for one in finding.evidence["faults"]] == faults
    assert finding.status is (Status.WARN if faults else Status.PASS)


async def test_where_the_far_ends_books_are_missing_the_way_there_and_back_is_judged_as_one() -> None:
    nothing_known = {"sent": 300, "received": None}
    finding = await quality.path_probe(given(nothing_known, row(received=270), far=False))
    assert finding.evidence["faults"] == [{"what": "loss", "direction": "there_and_back"}]
    assert "through the far end" in finding.summary


async def test_how_a_voice_would_be_rated_stands_beside_each_direction() -> None:
    """Half the round trip, 26.5 ms of codec and 40 ms of buffer; 5 % lost at Bpl 10 cost 95 / 3 of R (G.107)."""
    finding = await quality.path_probe(given(row(received=285), row(), rtt_s=0.1))
    to_far, from_far = finding.evidence["to_far"], finding.evidence["from_far"]
    assert to_far["mouth_to_ear_s"] == from_far["mouth_to_ear_s"] == 0.1165
    assert to_far["r_factor"] == pytest.approx(from_far["r_factor"] - 95 / 3, abs=0.11)
    assert (to_far["mos"], from_far["mos"]) == (3.03, 4.35)
    assert finding.evidence["voice_assumed"]["bpl"] == 10
    assert finding.summary.endswith("; a voice would rate MOS 3.0 of 4.5 to the far end")


async def test_a_poor_rating_alone_is_no_warning() -> None:
    """3 % of 300 may be 2 % by chance, and each other value is just within its threshold."""
    finding = await quality.path_probe(given(row(received=291, jitter_s=0.0249), row(), rtt_s=0.249))
    assert finding.status is Status.PASS and finding.evidence["to_far"]["mos"] < 3.1
    assert "a voice would rate MOS 3.0 of 4.5 to the far end" in finding.summary


async def test_the_way_there_and_back_is_rated_with_the_whole_round_trip() -> None:
    finding = await quality.path_probe(given({"sent": 300, "received": None}, row(), rtt_s=0.1, far=False))
    assert finding.evidence["there_and_back"]["mouth_to_ear_s"] == 0.1665
    assert finding.summary.endswith("through the far end")


async def _measured(host: PairedHost, media_time_s: float, phase: Phase = Phase.SELF_TEST) -> Finding:
    """The three checks as the runner makes them."""
    before = context(host, media_time_s=media_time_s, phase=phase)
    findings = {
        "port.rtc-udp-echo": await ports.rtc_udp_echo_probe(before),
        "media.call-udp": await media.call_udp_probe(before),
    }
    results = {check: result(check, finding) for check, finding in findings.items()}
    return await quality.path_probe(context(host, results=results, media_time_s=media_time_s, phase=phase))


@pytest.mark.parametrize("need", ["port.rtc-udp-echo", "media.call-udp"])
async def test_a_call_that_could_not_be_decided_leaves_nothing_to_judge(need: str) -> None:
    undecided = given()
    unknown = result(need, Finding(status=Status.UNKNOWN, summary=""))
    undecided = replace(undecided, results={**undecided.results, need: unknown})
    finding = await quality.path_probe(undecided)
    assert finding.status is Status.UNKNOWN and need in finding.summary


def shut(relayed: Evidence | None = None, fastest_s: float = 0.0) -> Context:
    """UDP 8443 is silent: a call through a relay, and an echo over TCP, may be there."""
    silent = Finding(status=Status.FAIL, summary="")
    skipped = Finding(status=Status.SKIP, summary="", blocked_by="port.rtc-udp-echo")
    times: Evidence = {"rtt_min_s": fastest_s, "rtt_p50_s": fastest_s, "rtt_p95_s": fastest_s}
    findings = (
        {"port.rtc-udp-echo": silent, "media.call-udp": skipped}
        | ({"port.rtc-tcp-echo": Finding(status=Status.PASS, summary="", evidence=times)} if fastest_s else {})
        | ({"media.call-relay": Finding(status=Status.WARN, summary="", evidence=relayed)} if relayed else {})
    )
    return context(None, results={check: result(check, one) for check, one in findings.items()}, media_time_s=3.0)


def through(stage: str = "media", transport: str = "udp", **more: object) -> Evidence:
    ways = {"to_far": row(received=230), "from_far": row(), "far": {}, "rtts": 12}
    return {"stage": stage, "relay_transport": transport, "rtt_p50_s": 0.02, "rtt_p95_s": 0.02, **ways, **more}


async def test_where_udp_is_shut_the_call_through_the_relay_is_judged() -> None:
    finding = await quality.path_probe(shut(through()))
    assert finding.evidence["faults"] == [{"what": "loss", "direction": "to_far"}]
    assert finding.evidence["by"] == "media.call-relay" and "through the relay" in finding.summary


@pytest.mark.parametrize(("relayed", "fastest_s"), [
    (None, 0.0), (through(stage="ice"), 0.02), (through(transport="tcp"), 0.2),
], ids=["nothing", "a relay that failed", "a stream"])  # fmt: skip
async def test_what_loses_nothing_visibly_tells_nothing_of_loss(relayed: Evidence | None, fastest_s: float) -> None:
    finding = await quality.path_probe(shut(relayed, fastest_s))
    assert (finding.status, finding.blocked_by) == (Status.SKIP, "port.rtc-udp-echo")


async def test_where_the_call_over_udp_lost_its_stream_it_tells_and_no_other_call_does() -> None:
    """Its probes pass: a limit on packets, say, is no path that loses some of all."""
    lost = Finding(status=Status.FAIL, summary="", evidence={"stage": "media"})
    before = shut(through())
    before = replace(before, results={**before.results, "media.call-udp": result("media.call-udp", lost)})
    finding = await quality.path_probe(before)
    assert (finding.status, finding.blocked_by, finding.evidence) == (Status.SKIP, "media.call-udp", {})


async def test_over_tcp_the_fastest_round_trip_tells_of_the_path() -> None:
    finding = await quality.path_probe(shut(fastest_s=0.3))
    assert finding.evidence["faults"] == [{"what": "latency", "direction": ""}]
    assert (finding.status, finding.evidence["by"]) == (Status.WARN, "port.rtc-tcp-echo")


async def test_a_value_near_its_threshold_is_measured_again_through_the_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "LONGER_S", 0.2)
    async with relayed_call() as (_, given_relay):
        near = shut(through(to_far=row(received=295))).results
        again = replace(given_relay, results={**given_relay.results, **near}, media_time_s=0.1)
        finding = await quality.path_probe(replace(again, site=structs.replace(again.site, phase=Phase.PRE)))
    assert (finding.status, finding.evidence["window_s"]) == (Status.PASS, 0.2)
    assert finding.evidence["to_far"]["sent"] == 2 * 0.2 * SECOND


async def test_a_healthy_path_passes_with_its_figures() -> None:
    async with behind() as host:
        finding = await _measured(host, 0.3)
    assert finding.status is Status.PASS and finding.summary.startswith("0 of 60 packets lost, round trip ")
    assert finding.evidence["window_s"] == 0.3


@pytest.mark.parametrize(
    ("rule", "fault", "direction"),
    [
        (lose(0.2, Way.BACK, PacketKind.RTP), "loss", "from_far"),
        (delay(0.0, spread_s=0.15, way=Way.OUT, kind=PacketKind.RTP), "jitter", "to_far"),
        (reorder(10, 0.05, Way.OUT, PacketKind.RTP), "reordering", "to_far"),
        (delay(0.13, kind=PacketKind.STUN), "latency", ""),
    ],
    ids=["loss", "jitter", "reordering", "latency"],
)
async def test_a_path_that_is_bad_is_seen_to_be_so(
    rule: Rule, fault: str, direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call, "PACKETS_PER_S", 4 * SECOND)  # the same packets in less time
    async with behind(rule) as host:
        finding = await _measured(host, 0.4)
    assert finding.evidence["to_far"]["sent"] >= quality.WINDOW_PACKETS
    assert finding.status is Status.WARN
    assert (fault, direction) in [(one["what"], one["direction"]) for one in finding.evidence["faults"]]


async def test_a_value_near_its_threshold_is_measured_again_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "LONGER_S", 0.5)
    monkeypatch.setattr(quality, "RTTS_MIN", 1)
    async with behind(delay(0.07)) as host:  # 140 ms there and back: over half of 250
        finding = await _measured(host, 0.1, Phase.PRE)
    evidence = finding.evidence
    assert finding.status is Status.PASS and evidence["window_s"] == 0.5
    assert evidence["to_far"]["sent"] == SECOND and 0.14 <= evidence["rtt_p95_s"] < 0.25


async def test_the_longer_measurement_has_the_path_to_itself_or_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "LONGER_S", 0.2)
    monkeypatch.setattr(quality, "ALONE_WAIT_S", 0.1)
    async with behind() as host:
        before = given(row(received=295), phase=Phase.PRE)
        near = context(host, results=before.results, media_time_s=0.1, phase=Phase.PRE)
        async with host.path_lock.shared():  # as a call over TCP does
            beside = await quality.path_probe(near)
        alone = await quality.path_probe(near)
    assert (beside.evidence["window_s"], alone.evidence["window_s"]) == (0.1, 0.2)


async def test_a_second_measurement_that_fails_leaves_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "CONNECT_S", 0.2)
    async with behind(drop(Way.OUT, PacketKind.DTLS)) as host:
        before = given(row(received=295), phase=Phase.PRE)
        finding = await quality.path_probe(context(host, results=before.results, media_time_s=3.0, phase=Phase.PRE))
    assert finding.status is Status.PASS and finding.evidence["window_s"] == 3.0
    assert finding.summary.startswith("5 of 600 packets lost")
