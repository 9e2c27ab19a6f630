"""nat.idle: what flows that were silent come to."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from calls_doctor.model.check import Evidence, Status
from calls_doctor.model.flow import Transport
from calls_doctor.model.site import Phase
from calls_doctor.net import binding_lifetime
from calls_doctor.net.binding_lifetime import SILENCES_S, SilentFlow, Survival
from checks import idle
from tests.servers.media_host import box_before, context, media_host, paired, stranger

WORDS: Mapping[str, bool | None] = {"r": True, "f": False, "-": None}


def flows(letters: str) -> list[Survival]:
    """One letter for each silence, the shortest first: remembered, forgotten, told nothing."""
    return [
        Survival(SilentFlow(silent_s), WORDS[letter], "" if letter in "rf" else "lost")
        for silent_s, letter in zip(SILENCES_S, letters, strict=True)
    ]


@pytest.mark.parametrize(
    ("letters", "status", "words"),
    [
        ("rrrrr", Status.PASS, "silent for 25 s is still remembered"),
        ("----r", Status.PASS, "silent for 25 s is still remembered"),
        ("fffff", Status.FAIL, "forgotten within 4 s, before"),
        ("rffff", Status.FAIL, "forgotten after 4 s and within 6 s, before"),
        ("f---f", Status.FAIL, "forgotten within 4 s, before"),
        ("-f-f-", Status.FAIL, "forgotten within 6 s, before"),
        ("rrfff", Status.WARN, "forgotten after 6 s and within 10 s; calls refresh"),
        ("rrrff", Status.WARN, "forgotten after 10 s and within 15 s; calls refresh"),
        ("rrrrf", Status.WARN, "forgotten after 15 s and within 25 s; calls refresh"),
        ("r-fff", Status.WARN, "forgotten after 4 s and within 10 s; calls refresh"),
        ("rf---", Status.UNKNOWN, "by one flow alone"),
        ("rfrrr", Status.UNKNOWN, "silent for 6 s a flow was forgotten, for 25 s another was not: that is no timeout"),
        ("ffffr", Status.UNKNOWN, "that is no timeout"),
        ("rrr--", Status.UNKNOWN, "silent for 10 s is remembered, longer silences told nothing: lost"),
        ("-----", Status.UNKNOWN, "the silences told nothing: lost"),
    ],
)
def test_what_is_made_of_them(letters: str, status: Status, words: str) -> None:
    found, summary = idle.judged(flows(letters))
    assert (found, words in summary) == (status, True), summary


def test_the_threshold_is_one_of_the_silences() -> None:
    assert idle.REFRESHED_S in SILENCES_S


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of everything; what is within 0.6 s is then the threshold."""
    monkeypatch.setattr(binding_lifetime, "TRAFFIC_S", 0.3)
    monkeypatch.setattr(binding_lifetime, "TRAFFIC_EVERY_S", 0.05)
    monkeypatch.setattr(binding_lifetime, "ASK_EVERY_S", 0.02)
    monkeypatch.setattr(binding_lifetime, "LATE_S", 0.2)
    monkeypatch.setattr(idle, "REFRESHED_S", 0.6)
    monkeypatch.setattr(binding_lifetime, "SILENCES_S", tuple(one / 10 for one in SILENCES_S))


async def checked(forgets_after_s: float) -> tuple[Status, Evidence]:
    async with media_host() as stand_in, box_before(stand_in, forgets_after_s=forgets_after_s) as box:
        found = await idle.idle_probe(context(paired(stand_in.ready, box.port), phase=Phase.PRE, thorough=True))
        assert found.target == f"127.0.0.1:{box.port}/udp"
    return found.status, found.evidence


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("forgets_after_s", "status", "remembered_s", "forgotten_s"),
    [(0.2, Status.FAIL, None, 0.4), (1.25, Status.WARN, 1.0, 1.5), (1e6, Status.PASS, 2.5, None)],
)
async def test_flows_through_a_middlebox_that_forgets(
    forgets_after_s: float, status: Status, remembered_s: float | None, forgotten_s: float | None
) -> None:
    found, evidence = await checked(forgets_after_s)
    assert found is status
    assert (evidence["remembered_s"], evidence["forgotten_s"]) == (remembered_s, forgotten_s)
    rows = evidence["flows"]
    assert [row["silent_s"] for row in rows] == [0.4, 0.6, 1.0, 1.5, 2.5]
    assert [row["remembered"] for row in rows] == [row["mapped_before"] == row["mapped_after"] for row in rows]
    assert {len(row["mapped_before"]) for row in rows} == {2}


async def test_a_link_of_another_run_leaves_nothing_to_find() -> None:
    async with media_host() as stand_in:
        host = stranger(stand_in.ready)
        await host.echo_once(Transport.TCP)
        found = await idle.idle_probe(context(host, phase=Phase.PRE, thorough=True))
    assert (found.status, found.blocked_by) == (Status.SKIP, "port.rtc-udp-echo")
