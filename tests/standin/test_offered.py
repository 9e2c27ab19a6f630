"""Where a call of rtcd's protocol is told to be reached, over sites that are made up and addresses that are given."""

from __future__ import annotations

from calls_doctor.model.site import Site
from calls_doctor.standin.offered import offered


def test_calls_are_told_to_be_reached_at_what_is_announced_by_the_overriding_port() -> None:
    site = Site(host_override="203.0.113.7", host_port_override=30443)
    told = offered(site, ["10.0.0.2"], 8443, [], {})
    assert [(one.transport, one.address, one.port) for one in told.trickled] == [
        ("udp", "203.0.113.7", 30443), ("tcp", "203.0.113.7", 30443),
    ]  # fmt: skip
    assert {one.port for one in told.candidates} == {8443}
    assert [one.address for one in offered(Site(), ["127.0.0.1"], 8443, [], {}).candidates] == ["127.0.0.1"] * 2
    lost = offered(Site(host_override="nowhere.example"), ["10.0.0.2"], 8443, [], {})
    assert lost.candidates == lost.trickled == ()
