"""What the lab has recorded, diagnosed again: several faults at once, by all vantages and by fewer."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from calls_doctor.diagnosis.cause import Evidence
from calls_doctor.diagnosis.causes import CAUSES
from calls_doctor.diagnosis.cover import diagnose
from calls_doctor.model.check import CheckResult
from calls_doctor.model.report import Confidence, Vantage
from calls_doctor.model.site import Mode, Phase

FIVE = Path(__file__).parents[1] / "data" / "diagnosis" / "five-faults.jsonl"
NAMED = {
    "media.udp-blocked-inbound": "server-network",
    "turn.secret-mismatch": "turn-settings",
    "dns.stale-record": "dns-zone",
    "mattermost.websocket-blocked": "server-network",
    "turn.relay-blocked": "server-network",
}


def recorded(*vantages: str) -> Evidence:
    """What was found from these vantages."""
    head, *lines = FIVE.read_text().splitlines()
    about = json.loads(head)
    places = [msgspec.convert(one, Vantage) for one in about["vantages"]]
    results = [msgspec.json.decode(line, type=CheckResult) for line in lines]
    return Evidence(
        Phase(about["phase"]), [r for r in results if r.vantage in vantages],
        {one.id: one for one in places if one.id in vantages}, Mode(about["mode"]),
    )  # fmt: skip


def test_five_faults_at_once_are_all_named_with_whose_they_are_and_nothing_else() -> None:
    found = diagnose(recorded("caller", "outside", "server"), CAUSES)
    assert {one.cause: str(one.party) for one in found} == NAMED
    unsure = {one.cause for one in found if one.confidence is not Confidence.CERTAIN}
    assert unsure == {"turn.secret-mismatch"}, "its server's clock was read by nobody: it may be ahead"


@pytest.mark.parametrize("vantages", [("caller", "outside"), ("caller",), ("outside",)])
def test_callers_alone_may_take_the_relays_silence_for_the_media_ports(vantages: tuple[str, ...]) -> None:
    """Only who is behind the firewall with both sees that the relay fails where UDP is let through."""
    assert {one.cause for one in diagnose(recorded(*vantages), CAUSES)} == NAMED.keys() - {"turn.relay-blocked"}
