"""A line that carries each probe by itself, and not all of them at once; and lines that carry no call at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any  # a report is JSON

import pytest

from tests.lab.namespaces import why_not
from tests.lab.network import draw_seed, network
from tests.lab.two_hosts import EVERY_SCENARIO, checking, diagnosed, serving

pytestmark = pytest.mark.skipif(why_not() != "", reason=f"no lab here: {why_not()}")


def _checked(discipline: str, directory: Path) -> dict[str, Any]:
    """The report of a caller whose line is so thin each way."""
    with network(draw_seed()) as net:
        for machine, port in ((net.nat, "outside"), (net.router, "access")):
            machine.shape(port, discipline)
        with serving(net, directory, ["--host", net.addresses.public]) as stand:
            (report,) = checking(directory, [(net.caller, stand.link_to(net.addresses.public), ())])
    return report


def test_a_thin_line_that_carries_a_call_has_no_cause(tmp_path: Path) -> None:
    """256 kbit/s each way; the two echoes ask for 466."""
    report = _checked("tbf rate 256kbit burst 1600 limit 4000", tmp_path)
    assert diagnosed(report) == frozenset()
    (found,) = [check for check in report["checks"] if check["id"] == "port.rtc-udp-echo"]
    assert (found["status"], found["evidence"]["repeated_alone"]) == ("pass", True)
    (called,) = [check for check in report["checks"] if check["id"] == "media.call-udp"]
    assert called["summary"].endswith(" kbit/s carried each way")
    assert all(called["evidence"][way]["carried_bits_per_s"] > 100_000 for way in ("to_far", "from_far"))


@pytest.mark.skipif(not EVERY_SCENARIO, reason="minutes: only where CALLS_DOCTOR_LAB=all asks for every scenario")
def test_what_a_shared_screen_takes_is_measured_each_way_by_itself_on_request(tmp_path: Path) -> None:
    """1 Mbit/s from the caller and 4 to them, as DSL has."""
    with network(draw_seed()) as net:
        net.nat.shape("outside", "tbf rate 1mbit burst 1600 limit 30000")
        net.router.shape("access", "tbf rate 4mbit burst 1600 limit 30000")
        with serving(net, tmp_path, ["--host", net.addresses.public]) as stand:
            link = stand.link_to(net.addresses.public)
            (report,) = checking(tmp_path, [(net.caller, link, ("--only", "quality.bandwidth"))])
    (found,) = [check for check in report["checks"] if check["id"] == "quality.bandwidth"]
    carried = {way: found["evidence"][way]["carried_bits_per_s"] for way in ("to_far", "from_far")}
    assert (found["status"], report["diagnosis"], report["verdict"]) == ("warn", [], "warnings")
    assert 850_000 < carried["to_far"] < 1_000_000 and carried["from_far"] > 2_500_000
    assert found["summary"].endswith("; a shared screen takes 2.5 Mbit/s") and report["duration_s"] < 12


@pytest.mark.skipif(not EVERY_SCENARIO, reason="minutes: only where CALLS_DOCTOR_LAB=all asks for every scenario")
@pytest.mark.parametrize(("rate", "queue_bytes"), [("64kbit", 4000), ("64kbit", 2000), ("48kbit", 2000)])
def test_a_line_too_thin_for_a_call_is_said_to_be_thin_and_not_lossy(
    rate: str, queue_bytes: int, tmp_path: Path
) -> None:
    report = _checked(f"tbf rate {rate} burst 1600 limit {queue_bytes}", tmp_path)
    assert {cause for cause, _ in diagnosed(report)} == {"path.bandwidth"}
