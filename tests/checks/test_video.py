"""A screen shared through rtcd: at which rate it is sent, and what its loss, its silence and its failure come to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any  # rows of evidence are JSON

import pytest

from calls_doctor.model.check import Status
from calls_doctor.net import pace, rtcd_video
from calls_doctor.net.call import CallOutcome
from calls_doctor.net.peer import CallFailed
from calls_doctor.net.rtcd_call import RtcdOutcome
from checks import video
from tests.checks.test_instances import given
from tests.servers.rtcd_or_stand_in import SERVERS, served
from tests.servers.rtcd_server import HOST

TARGET = "192.0.2.1:8443/udp"


@pytest.mark.parametrize("of", SERVERS)
@pytest.mark.parametrize("asked", [True, False], ids=["asked", "unasked"])
async def test_all_of_it_is_sent_for_who_asks(of: str, asked: bool) -> None:
    async with served(of) as server:
        before = given(server, HOST)
        finding = await video.video_probe(replace(before, asked_for=frozenset({video.VIDEO} if asked else ())))
    assert finding.status is Status.PASS, finding
    evidence, rate = finding.evidence, 167 if asked else 40
    assert evidence["packets_per_s"] == rate and evidence["received"] == evidence["sent"]
    assert ("--only media.video" in finding.summary) is not asked
    assert finding.target == f"{HOST}:{server.media_port}/udp" and evidence["signalling"]["sessions"] == 2
    assert before.near_books


def test_unasked_it_keeps_the_promise_of_every_run() -> None:
    window_bytes = rtcd_video.PACKETS_PER_S * pace.WINDOW_S * (rtcd_video.PACKET_BYTES + pace.HEADERS_BYTES)
    assert window_bytes <= pace.STREAMS_BYTES_MAX
    full_bits_per_s = 8 * rtcd_video.FULL_PACKETS_PER_S * 1200
    assert full_bits_per_s == pytest.approx(1.6e6, rel=0.01)


async def test_of_several_keys_none_is_tried() -> None:
    async with served("stand-in") as server:
        made = given(server, HOST)
        made.registration.let_in = None
        finding = await video.video_probe(made)
    assert finding.status is Status.SKIP and finding.evidence == {"nothing_to_do": True}


def outcome(screen: dict[str, Any], failure: CallFailed | None = None) -> RtcdOutcome:
    counted = {"sent": 100, "received": 100, "packets_per_s": 40, "packet_bytes": 1228, "key_frames_wanted": 1}
    counted["carried_bits_per_s"] = 384_000
    return RtcdOutcome(
        call=CallOutcome(near=[], far=None, failure=failure, rtts_s=[], warning=None),
        signalling={"api": "answers"} if failure else {"screen": counted | screen},
    )


@pytest.mark.parametrize(
    ("screen", "status", "said"),
    [
        ({}, Status.PASS, "100 of 100 RTP packets of a screen came through rtcd: 0.4 Mbit/s sent, 0.38 carried"),
        ({"carried_bits_per_s": None}, Status.PASS, "0.4 Mbit/s sent; one that moves takes 1.6"),
        ({"received": 99}, Status.PASS, "99 of 100"),
        ({"received": 98}, Status.WARN, "it will freeze"),
        ({"received": 60}, Status.FAIL, "60 of 100"),
        ({"sent": 0, "received": 0}, Status.FAIL, "0 of 0"),
        ({"key_frames_wanted": 0}, Status.WARN, "asks for a whole picture"),
    ],
)
def test_what_its_loss_comes_to(screen: dict[str, int], status: Status, said: str) -> None:
    finding = video.judged(outcome(screen), TARGET, is_caller=False)
    assert finding.status is status and said in finding.summary


@pytest.mark.parametrize(
    ("stage", "is_caller", "status"),
    [("media", False, Status.FAIL), ("ice", True, Status.FAIL), ("ice", False, Status.UNKNOWN)],
)
def test_a_screen_that_does_not_come_is_black(stage: str, is_caller: bool, status: Status) -> None:
    failed = outcome({}, CallFailed(stage, "nothing came"))
    finding = video.judged(failed, TARGET, is_caller=is_caller)
    assert (finding.status, finding.evidence["stage"], finding.evidence["detail"]) == (status, stage, "nothing came")
