"""What a machine does to itself: its own firewall, its limits, the proxy that Mattermost was told of. Whose it is is
told by who looked at the machine itself."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.lab.namespaces import why_not
from tests.lab.network import Machine, draw_seed, network
from tests.lab.test_two_hosts import MEDIA_HOST, SERVERS, Said, one, said
from tests.lab.two_hosts import EVERY_SCENARIO, checking, diagnosed, merging, serving

pytestmark = [
    pytest.mark.skipif(why_not() != "", reason=f"no lab here: {why_not()}"),
    pytest.mark.skipif(not EVERY_SCENARIO, reason="minutes: only where CALLS_DOCTOR_LAB=all asks for every scenario"),
]

SEED = draw_seed()
MATTERMOST_HOST = "mattermost-host"
OWN_RULES = {
    "udp in": ("in", "udp dport 8443 drop", "media.udp-blocked-inbound"),
    "udp out": ("out", "udp sport 8443 drop", "media.udp-blocked-return"),
    "tcp out": ("out", "tcp sport 8443 drop", "media.tcp-blocked"),
    "tcp in": ("in", "tcp dport 8443 drop", "media.tcp-blocked"),
    "both in": ("in", "th dport 8443 drop", "media.blocked"),
}


@pytest.fixture(autouse=True)
def _seed() -> None:
    print(f"CALLS_DOCTOR_LAB_SEED={SEED}")  # noqa: T201 -- shown where a test fails: the lab can be drawn again


@pytest.mark.parametrize("what", OWN_RULES)
def test_a_rule_of_the_media_hosts_own_is_the_media_hosts_to_mend(what: str, tmp_path: Path) -> None:
    chain, rule, cause = OWN_RULES[what]
    with network(SEED) as net:
        net.server.rule("in", 'iifname "lo" accept')
        net.server.rule(chain, rule)
        public = net.addresses.public
        with serving(net, tmp_path, ["--host", public, "--as", "media"]) as stand:
            link = stand.link_to(public)
            host = (net.server, link, ("--from", "media", "--mode", "rtcd"))
            checking(tmp_path, [(net.caller, link, ()), (net.outside, link, ()), host])
        merged = merging(tmp_path, ["caller", "outside", "server"])
    assert diagnosed(merged) == one(cause, MEDIA_HOST)


def test_a_rule_of_the_media_hosts_own_that_lets_callers_in_leaves_it_to_the_network(tmp_path: Path) -> None:
    with network(SEED) as net:
        net.server.rule("in", "udp dport 8443 accept")
        net.firewall.rule("through", "udp dport 8443 drop")
        public = net.addresses.public
        with serving(net, tmp_path, ["--host", public, "--as", "media"]) as stand:
            link = stand.link_to(public)
            host = (net.server, link, ("--from", "media", "--mode", "rtcd"))
            checking(tmp_path, [(net.caller, link, ()), (net.outside, link, ()), host])
        merged = merging(tmp_path, ["caller", "outside", "server"])
    assert diagnosed(merged) == one("media.udp-blocked-inbound", SERVERS)


NO_PROXY: dict[str, tuple[dict[str, str], Said]] = {
    "rtcd is not spared": ({}, one("host.proxy-environment", MATTERMOST_HOST)),
    "rtcd is spared": ({"NO_PROXY": "{public}"}, said()),
}


@pytest.mark.parametrize("name", NO_PROXY)
def test_a_proxy_that_mattermost_was_started_with_is_named_at_its_node(name: str, tmp_path: Path) -> None:
    """In a process namespace of its own, so that no other test takes it for Mattermost."""
    more, expected = NO_PROXY[name]
    shutil.copy("/bin/sleep", tmp_path / "mattermost")
    with network(SEED) as net:
        public = net.addresses.public
        told = {"HTTP_PROXY": "http://proxy.example.com:3128", **{k: v.format(public=public) for k, v in more.items()}}
        with serving(net, tmp_path, ["--host", public, "--as", "media", "--as", "api"]) as stand:
            link = stand.link_to(public)
            node = (_Beside(net.inside, tmp_path, told), link, ("--from", "mattermost", "--mode", "rtcd", "--rtcd-url",
                    f"http://{public}:8045"))  # fmt: skip
            (report,) = checking(tmp_path, [node])
    assert diagnosed(report) == expected


class _Beside(Machine):
    """The same machine, on which a program called `mattermost` runs with these variables."""

    def __init__(self, machine: Machine, folder: Path, variables: dict[str, str]) -> None:
        super().__init__(machine.name)
        self.namespace, self._folder, self._variables = machine.namespace, folder, variables

    def command(self, words: Sequence[str]) -> list[str]:
        told = " ".join(f"{name}={value}" for name, value in self._variables.items())
        script = f'{told} {self._folder}/mattermost 60 & "$@"'
        return super().command(["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script, "sh", *words])
