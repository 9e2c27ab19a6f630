"""quality.bandwidth: what two directions come to, and the whole check against a real stand-in."""

from __future__ import annotations

import pytest

from calls_doctor.model.check import Status
from calls_doctor.model.site import Phase
from calls_doctor.net import bandwidth as measuring
from calls_doctor.net.bandwidth import UNKNOWN, Bandwidth, Way
from calls_doctor.net.peer import CallFailed
from checks import bandwidth
from tests.servers.media_host import context, media_host, paired

OFFERED = measuring.OFFERED_BITS_PER_S


def way(carried_bits_per_s: int | None, offered_bits_per_s: int | None = OFFERED, received: int = 600) -> Way:
    return Way(
        sent=624, received=received, offered_bits_per_s=offered_bits_per_s, carried_bits_per_s=carried_bits_per_s
    )


ENOUGH, THIN = way(2_600_000), way(900_000)


@pytest.mark.parametrize(
    ("found", "status", "said"),
    [
        (Bandwidth(to_far=ENOUGH, from_far=ENOUGH), Status.PASS,
         "2.60 Mbit/s carried to the far end, 2.60 Mbit/s carried from the far end"),
        (Bandwidth(to_far=THIN, from_far=ENOUGH), Status.WARN,
         "900 kbit/s carried to the far end, 2.60 Mbit/s carried from the far end; a shared screen takes 2.5 Mbit/s"),
        (Bandwidth(to_far=ENOUGH, from_far=THIN), Status.WARN, "900 kbit/s carried from the far end"),
        (Bandwidth(to_far=way(None, received=2), from_far=ENOUGH), Status.WARN, "2 of 624 packets arrived to the far"),
        # What could not be sent is not the path's.
        (Bandwidth(to_far=way(1_200_000, 1_300_000), from_far=ENOUGH), Status.UNKNOWN,
         "1.20 Mbit/s carried to the far end (of no more than 1.30 Mbit/s that could be sent)"),
        (Bandwidth(to_far=ENOUGH, from_far=way(800_000, 800_000), held_back=70), Status.UNKNOWN,
         "70 packets were over the stand-in's limit for a session"),
        (Bandwidth(to_far=THIN, from_far=way(800_000, 800_000)), Status.WARN, "(of no more than 800 kbit/s"),
        # Books that could not be had.
        (Bandwidth(to_far=UNKNOWN, from_far=way(2_600_000, None)), Status.UNKNOWN,
         "what was carried to the far end is not known, 2.60 Mbit/s carried from"),
        (Bandwidth(to_far=UNKNOWN, from_far=way(900_000, None)), Status.UNKNOWN, "900 kbit/s carried from the far end"),
        (Bandwidth(to_far=THIN, failure=CallFailed("dtls", "no end")), Status.WARN,
         "the measuring call fails at dtls: no end"),
        (Bandwidth(failure=CallFailed("ice", "silent")), Status.UNKNOWN, "fails at ice: silent"),
    ],
)  # fmt: skip
def test_too_thin_is_only_what_was_asked_for_enough(found: Bandwidth, status: Status, said: str) -> None:
    judged, summary = bandwidth.judged(found)
    assert (judged, said in summary) == (status, True), summary


async def test_a_healthy_path_passes_with_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "WINDOW_S", 0.3)
    monkeypatch.setattr(bandwidth, "SCREEN_BITS_PER_S", 1_000_000)  # a third of a second is short on a busy machine
    async with media_host() as stand_in:
        given = context(paired(stand_in.ready), phase=Phase.PRE)
        finding = await bandwidth.bandwidth_probe(given)
    assert finding.status is Status.PASS and finding.target.endswith("/udp")
    assert all(finding.evidence[way]["carried_bits_per_s"] > 1_000_000 for way in ("to_far", "from_far"))
    assert len(given.near_books) == 2 + measuring.HEARERS


async def test_a_path_that_stays_busy_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth, "WAIT_S", 0.02)
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        async with host.path_lock.shared():
            finding = await bandwidth.bandwidth_probe(context(host, phase=Phase.PRE))
    assert finding.status is Status.UNKNOWN and "nothing was measured" in finding.summary
