"""The port table says what Mattermost's deployment document says, and each row names a firewall row that exists."""

from __future__ import annotations

import pytest

from calls_doctor.model.site import Mode
from calls_doctor.modes import FIREWALL_ROWS, MODES, Need, PortFlow

PLUGIN_MODES = {Mode.INTEGRATED, Mode.HA_CLUSTERED, Mode.HA_HANDLER}


def flows(mode: Mode) -> set[tuple[str, str, str, int]]:
    return {(flow.from_, flow.to, flow.protocol, flow.port) for flow in MODES[mode].flows}


def flow(mode: Mode, protocol: str, port: int) -> PortFlow:
    return next(one for one in MODES[mode].flows if (one.protocol, one.port) == (protocol, port))


def test_all_six_modes_are_there() -> None:
    assert set(MODES) == set(Mode)
    assert len(Mode) == 6


@pytest.mark.parametrize("mode", list(Mode))
def test_every_mode_has_the_documents_ports(mode: Mode) -> None:
    """ "Network requirements": 443/tcp, 8443/udp (and tcp), 3478/udp, and 8045/tcp where rtcd carries media."""
    assert {
        ("client", "mattermost", "tcp", 443), ("client", "media", "udp", 8443), ("client", "media", "tcp", 8443),
        ("media", "stun", "udp", 3478),
    } <= flows(mode)  # fmt: skip
    api = ("mattermost", "media", "tcp", 8045)
    assert (api in flows(mode)) is (mode not in PLUGIN_MODES)


@pytest.mark.parametrize("mode", list(Mode))
def test_media_over_udp_is_required_its_fallback_is_not_and_turn_depends(mode: Mode) -> None:
    assert flow(mode, "udp", 8443).need is Need.REQUIRED
    assert flow(mode, "tcp", 8443).need is Need.OPTIONAL
    assert flow(mode, "udp", 3478).need is Need.CONDITIONAL


@pytest.mark.parametrize("mode", list(Mode))
def test_media_ends_where_the_mode_says(mode: Mode) -> None:
    assert flow(mode, "udp", 8443).firewall_row == ("FW-11" if mode in PLUGIN_MODES else "FW-12")


@pytest.mark.parametrize("mode", list(Mode))
def test_every_row_of_the_table_asks_for_a_firewall_row_that_names_its_port(mode: Mode) -> None:
    for one in MODES[mode].flows:
        assert f"{one.protocol.upper()} {one.port}" in FIREWALL_ROWS[one.firewall_row]
