"""The site: addresses and servers as they are written back, and that it holds no secret."""

from __future__ import annotations

import msgspec
import pytest

from calls_doctor.model.flow import Role, Transport
from calls_doctor.model.site import MediaAddress, Mode, Phase, ServerUri, Setting, Site
from calls_doctor.spec import CheckSpec
from checks import CHECKS


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        (ServerUri(scheme="stun", host="a", port=3478), "stun:a:3478"),
        (ServerUri(scheme="stuns", host="a", port=5349, transport="tls"), "stuns:a:5349"),
        (ServerUri(scheme="stun", host="2001:db8::1", port=1), "stun:[2001:db8::1]:1"),
        (ServerUri(scheme="turn", host="a", port=3478), "turn:a:3478?transport=udp"),
        (ServerUri(scheme="turn", host="a", port=3478, transport="tcp"), "turn:a:3478?transport=tcp"),
        (ServerUri(scheme="turns", host="a", port=443, transport="tls"), "turns:a:443?transport=tcp"),
    ],
)
def test_a_server_is_written_as_its_rfc_writes_it(uri: ServerUri, text: str) -> None:
    assert str(uri) == text


def test_the_contracts_words() -> None:
    assert [*Mode] == ["integrated", "rtcd", "ha-clustered", "ha-handler", "ha-rtcd", "kubernetes"]
    assert [*Phase] == ["self-test", "pre", "post", "undetermined", "offline"]


def test_what_nobody_said() -> None:
    site = Site()
    assert (site.mode, site.vantage, site.phase) == (None, Role.CLIENT, Phase.UNDETERMINED)
    assert (site.media, site.stun, site.turn, site.rtcd_url, site.settings) == ((), (), (), "", {})
    assert MediaAddress(host="a") == MediaAddress(host="a", udp_port=8443, tcp_port=8443)


def test_a_site_has_no_place_for_a_secret() -> None:
    """Credentials travel beside it; whoever adds a field here thinks of the report, which shows them all."""
    assert set(Site.__struct_fields__) == {
        "mode", "vantage", "vantage_reason", "phase", "users", "paired", "media", "media_beside_links", "media_names",
        "host_override", "host_port_override", "nat", "client_networks", "mattermost_networks", "mattermost_url",
        "rtcd_url", "stun", "turn", "credential_minutes", "relay_ports", "settings",
    }  # fmt: skip


@pytest.mark.parametrize("value", ["a", 1, 1.5, True, ["a", "b"], None])
def test_a_setting_is_json(value: object) -> None:
    setting = msgspec.convert({"value": value, "origin": "--stun"}, Setting)
    assert msgspec.json.decode(msgspec.json.encode(setting), type=Setting) == setting


def test_an_ipv6_address_stands_in_brackets_before_a_port() -> None:
    six = MediaAddress(host="2001:db8::20", udp_port=8443, tcp_port=443)
    assert six.target(Transport.UDP) == "[2001:db8::20]:8443/udp"
    assert six.target(Transport.TCP) == "[2001:db8::20]:443/tcp"
    assert MediaAddress(host="rtc.example.com").target(Transport.UDP) == "rtc.example.com:8443/udp"


@pytest.mark.parametrize("spec", CHECKS, ids=lambda spec: spec.id)
def test_every_target_that_is_listed_can_be_read_back(spec: CheckSpec) -> None:
    site = Site(phase=Phase.PRE, media=(MediaAddress(host="2001:db8::20"),))
    assert not any("2001:db8::20" in one and "[2001:db8::20]" not in one for one in spec.targets(site))


@pytest.mark.parametrize(
    ("hosts", "paired", "over_loopback"),
    [
        (["127.0.0.1"], True, True),
        (["127.0.0.1", "::1"], True, True),
        (["127.0.0.1", "192.0.2.1"], True, False),
        (["localhost"], True, False),
        (["127.0.0.1"], False, False),
        ([], True, False),
    ],
)
def test_a_trial_on_one_machine_is_told_from_a_network(hosts: list[str], paired: bool, over_loopback: bool) -> None:
    site = Site(paired=paired, media=tuple(MediaAddress(host=host) for host in hosts))
    assert site.over_loopback is over_loopback
