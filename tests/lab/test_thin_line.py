"""A line that carries each probe by itself, and not all of them at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.namespaces import why_not
from tests.lab.network import draw_seed, network
from tests.lab.two_hosts import checking, diagnosed, serving

pytestmark = pytest.mark.skipif(why_not() != "", reason=f"no lab here: {why_not()}")


def test_a_thin_line_that_carries_a_call_has_no_cause(tmp_path: Path) -> None:
    """256 kbit/s each way; the two echoes ask for 466."""
    with network(draw_seed()) as net:
        for machine, port in ((net.nat, "outside"), (net.router, "access")):
            machine.shape(port, "tbf rate 256kbit burst 1600 limit 4000")
        with serving(net, tmp_path, ["--host", net.addresses.public]) as stand:
            (report,) = checking(tmp_path, [(net.caller, stand.link_to(net.addresses.public), ())])
    assert diagnosed(report) == frozenset()
    (found,) = [check for check in report["checks"] if check["id"] == "port.rtc-udp-echo"]
    assert (found["status"], found["evidence"]["repeated_alone"]) == ("pass", True)
