"""What stands around the media host: NAT that gives its port another number, load balancers and proxies that answer in
its name, a second host beside it, a setting that hands out something else. Each is named with whose it is, by one
caller as far as one can know, and by several together."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.lab.coturn import coturn
from tests.lab.namespaces import why_not
from tests.lab.network import Behind, Machine, Network, draw_seed, network
from tests.lab.standing import running
from tests.lab.test_two_hosts import CALLERS, MEDIA_HOST, SERVERS, SETTINGS, UNDECIDED, Said, one, said
from tests.lab.two_hosts import COMMAND, EVERY_SCENARIO, HERE, Vantage, checking, diagnosed, merging, serving

pytestmark = [
    pytest.mark.skipif(why_not() != "", reason=f"no lab here: {why_not()}"),
    pytest.mark.skipif(shutil.which("turnserver") is None, reason="no lab here: coturn is not installed"),
]

SEED = draw_seed()
STUN_PORT, TRAP_PORT = 3478, 9
REWRITTEN, MADE_UP = "media.port-rewritten", "nat.port-not-preserved"
STALLED, REJECTED = "media.tcp-stalled", "media.tcp-rejected"
WRONG, PORT_BLOCKED = "advertise.wrong-address", "client.port-blocked"
EARLIER = "add chain ip lab earlier { type nat hook prerouting priority -110; }\n"
SOONER = "add chain ip lab sooner { type nat hook postrouting priority 90; }\n"
ANNOUNCED = "th dport {port} ct original proto-dst {port}"
"""Those to the public port as it is announced, behind the NAT."""
SITE = """
mode = "rtcd"
users = "hybrid"
[media]
hosts = ["{public}"]
udp_port = {port}
tcp_port = {port}
nat = [{{ public = "{public}", private = "{server}" }}]
"""
OVERRIDE = 'host_override = "{public}"\n'
STUN = '[stun]\nservers = ["stun:{outside}:3478"]\n'

Rules = tuple[tuple[str, str, str], ...]


def forwarded(*protocols: str) -> Rules:
    """The firewall leads {outer} to the media port for these, and what comes from outside to {port} itself nowhere."""
    rules: list[tuple[str, str, str]] = []
    for protocol in protocols:
        here = f'iifname "outside" ip daddr {{public}} {protocol} dport {{outer}}'
        rules.append(("firewall", "earlier", f"{here} dnat to {{server}}:{{port}}"))
        rules.append(("firewall", "through", f'iifname "outside" meta l4proto {protocol} {ANNOUNCED} drop'))
    return tuple(rules)


def seen_by(port: str) -> Rules:
    """As what STUN servers see the media port."""
    return (
        ("firewall", "sooner", f'oifname "outside" ip saddr {{server}} udp sport {{port}} snat to {{public}}:{port}'),
    )


@dataclass(frozen=True)
class Around:
    """What is broken, and what is said of it."""

    rules: Rules
    alone: tuple[Said, ...]
    """What the caller behind NAT may say by itself."""
    merged: Said
    """What is said with the outside caller's report too."""
    lost: str = ""
    """The way that is named too, where it matters."""
    site: str = SITE + OVERRIDE
    """Of the media host."""
    callers_site: str = ""
    """A site file that callers have."""
    outer: tuple[str, ...] = ()
    """Who has the link with the public port: "caller", "outside"."""
    both_links: bool = False
    """These have the link as it was printed too."""
    serve: tuple[str, ...] = ()
    """More options of `serve`."""
    mute: str = ""
    """The machine on which something takes every TCP connection, at TRAP_PORT."""


ONE_VANTAGE = one(REWRITTEN, UNDECIDED)


def rewritten(*outer: str, both_links: bool = False, callers_site: str = "", alone: Said = ONE_VANTAGE) -> Around:
    """Both protocols are led from another port."""
    return Around(
        forwarded("udp", "tcp"), (alone,), one(REWRITTEN, SETTINGS), lost="both",
        outer=outer, both_links=both_links, callers_site=callers_site,
    )  # fmt: skip


CASES = {
    "the port is another, as the link says": rewritten("caller", "outside"),
    "the port is another, and both links are given": rewritten("caller", "outside", both_links=True),
    "the port is another, as the callers' site file says": rewritten(
        callers_site=SITE + OVERRIDE + "host_port_override = {outer}\n"
    ),
    "the port is another, which one of two callers knows": rewritten(
        "outside", alone=one("media.blocked", UNDECIDED)
    ),
    "the port is another for UDP alone, as STUN tells": Around(
        (*forwarded("udp"), *seen_by("{outer}")),
        (one(REWRITTEN, UNDECIDED),),
        one(REWRITTEN, SETTINGS),
        site=SITE + OVERRIDE + STUN,
    ),
    "the port is another, and announced as that": Around(
        forwarded("udp", "tcp"), (said(),), said(), site=SITE + OVERRIDE + "host_port_override = {outer}\n"
    ),
    "the port that is announced is another, and 8443 leads there": Around(
        (), (one(REWRITTEN, UNDECIDED),), one(REWRITTEN, SETTINGS),
        site=SITE + OVERRIDE + "host_port_override = {outer}\n", callers_site=SITE + OVERRIDE,
    ),
    "a NAT makes up a port for STUN, and nothing else is announced": Around(
        seen_by("40000-49000 fully-random"), (one(MADE_UP, SETTINGS),), one(MADE_UP, SETTINGS), site=SITE + STUN
    ),
    "a NAT makes up a port for STUN, and an override tells better": Around(
        seen_by("40000-49000 fully-random"), (said(),), said(), site=SITE + OVERRIDE + STUN
    ),
    "the override leads elsewhere, and callers have the same site file": Around(
        (), (one(WRONG, SETTINGS),), one(WRONG, SETTINGS),
        site=SITE + 'host_override = "{firewall}"\n', callers_site=SITE + 'host_override = "{firewall}"\n',
    ),
    "another way out is seen by STUN": Around(
        (("firewall", "sooner", 'oifname "outside" ip saddr {server} udp dport 3478 snat to {firewall}'),),
        (one(WRONG, SETTINGS),), one(WRONG, SETTINGS), site=SITE + STUN,
    ),
    "a load balancer takes TCP and has no backend": Around(
        (("firewall", "earlier", 'iifname "outside" ip daddr {public} tcp dport {port} redirect to :{trap}'),),
        (one(STALLED, UNDECIDED),), one(STALLED, SERVERS), mute="firewall",
    ),
    "a middlebox at the caller resets TCP to the media port": Around(
        (("nat", "through", "tcp dport {port} reject with tcp reset"),),
        (one(REJECTED, UNDECIDED),), one(PORT_BLOCKED, CALLERS),
    ),
    "a proxy at the caller takes all TCP": Around(
        (("nat", "earlier", 'iifname "inside" ip daddr {public} meta l4proto tcp redirect to :{trap}'),),
        (one("client.proxied", UNDECIDED),), one("client.proxied", CALLERS), mute="nat",
    ),
    "udp is limited to so many packets a second at the caller": Around(
        (("nat", "through", "udp dport {port} limit rate over 40/second drop"),),
        (one("media.udp-rate-limited", UNDECIDED),), one("media.udp-rate-limited", CALLERS),
        lost="request",
    ),
    "answers leave from another port": Around(
        (("firewall", "late", 'oifname "outside" ip saddr {public} udp sport {port} udp sport set {outer}'),),
        (one("media.udp-blocked-return", UNDECIDED), one("media.reply-address-changed", MEDIA_HOST)),
        one("media.reply-address-changed", MEDIA_HOST), lost="reply",
    ),
    "all UDP is rejected at the caller": Around(
        (("nat", "through", 'iifname "inside" meta l4proto udp reject'),),
        (one("client.udp-blocked", UNDECIDED),), one("client.udp-blocked", CALLERS),
        callers_site=SITE + OVERRIDE + STUN,
    ),
    "the caller's network lets nothing out but TCP 443": Around(
        (("nat", "through", 'iifname "inside" tcp dport 443 accept'), ("nat", "through", 'iifname "inside" drop')),
        (one("client.only-443", UNDECIDED),), one("client.only-443", CALLERS),
        callers_site=SITE + OVERRIDE + STUN + '[turn]\nservers = ["turn:{public}:443?transport=tcp"]\n',
        serve=("--as", "media", "--as", "turn", "--turn-port", "443"),
    ),
}  # fmt: skip
AT_EVERY_STOP = ("the port is another, and both links are given",)


@pytest.fixture(autouse=True)
def _seed() -> None:
    print(f"CALLS_DOCTOR_LAB_SEED={SEED}")  # noqa: T201 -- shown where a test fails: the lab can be drawn again


def filled(net: Network, text: str) -> str:
    """With this network's addresses and ports."""
    at = net.addresses
    return text.format(
        public=at.public, server=at.server, outside=at.outside, firewall=at.firewall, port=at.port, outer=at.port + 1,
        trap=TRAP_PORT,
    )  # fmt: skip


def broken(net: Network, rules: Rules) -> None:
    for machine in (net.firewall, net.nat):
        machine.nft(EARLIER + SOONER + "add chain ip lab late { type filter hook postrouting priority 200; }\n")
    for name, chain, rule in rules:
        getattr(net, name).rule(chain, filled(net, rule))


@contextlib.contextmanager
def standing(net: Network, case: Around, folder: Path) -> Iterator[None]:
    """What runs beside the media host: a STUN server outside, whatever answers in its name."""
    at = net.addresses
    with contextlib.ExitStack() as stack:
        if STUN in case.site + case.callers_site:
            lines = f"listening-ip={at.outside}\nlistening-port={STUN_PORT}\nstun-only\nno-auth\nno-tcp\n"
            stack.enter_context(coturn(net.outside, folder, lines, [f"{at.outside}:{STUN_PORT}"]))
        if case.mute:
            words = [sys.executable, "-m", "tests.lab.mute_listener", str(TRAP_PORT)]
            stack.enter_context(running(getattr(net, case.mute), words, folder / "mute.err"))
        yield


def words_of(net: Network, case: Around, machine: Machine, link: str, folder: Path) -> Vantage:
    """How this caller is given the media host."""
    words: list[str] = []
    if case.callers_site:
        site = folder / "callers.toml"
        site.write_text(filled(net, case.callers_site))
        words += ["--site", str(site)]
    if machine.name not in case.outer:
        return machine, link, words
    at = net.addresses
    outer = link.replace(f":{at.port}", f":{at.port + 1}", 1)
    return machine, outer, [*words, *(["--peer", link] if case.both_links else [])]


@pytest.mark.parametrize("name", CASES if EVERY_SCENARIO else AT_EVERY_STOP)
def test_what_stands_around_the_media_host_is_named_and_nothing_else(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    with network(SEED, behind=Behind.MAPPED) as net, standing(net, case, tmp_path):
        broken(net, case.rules)
        at = net.addresses
        arguments = ["--host", at.public, "--media-port", str(at.port), *case.serve]
        with serving(net, tmp_path, arguments, filled(net, case.site)) as stand:
            link = stand.link_to(at.public)
            vantages = [words_of(net, case, machine, link, tmp_path) for machine in (net.caller, net.outside)]
            alone, _ = checking(tmp_path, vantages)
        merged = merging(tmp_path, ["caller", "outside"])
    assert diagnosed(alone) in case.alone
    assert diagnosed(merged) == case.merged
    if case.lost:
        assert {each["flow"]["lost"] for each in merged["diagnosis"]} == {case.lost}


NODES = {
    "dropped": 'iifname "outside" ip daddr {server} drop',
    "refused": 'iifname "outside" ip daddr {server} th dport {port} reject',
}


@pytest.mark.skipif(not EVERY_SCENARIO, reason="minutes: only where CALLS_DOCTOR_LAB=all asks for every scenario")
@pytest.mark.parametrize("how", NODES)
def test_one_media_host_of_two_that_callers_do_not_reach_though_servers_do(how: str, tmp_path: Path) -> None:
    """The other stands on the outside machine, which has a public address of its own."""
    with network(SEED, behind=Behind.MAPPED) as net:
        at = net.addresses
        net.firewall.rule("through", filled(net, NODES[how]))
        other = served_by(net, net.outside)
        port = ["--media-port", str(at.port)]
        (tmp_path / "other").mkdir()
        with (
            serving(net, tmp_path, ["--host", at.public, *port], filled(net, SITE + OVERRIDE)) as stand,
            serving(other, tmp_path / "other", ["--host", at.outside, "--as", "media", *port]) as second,
        ):
            link, beside = stand.link_to(at.public), ("--peer", second.link_to(at.outside))
            node = (net.inside, link, (*beside, "--from", "mattermost"))
            alone, _ = checking(tmp_path, [(net.caller, link, beside), node])
        merged = merging(tmp_path, ["caller", "inside"])
    parties = {UNDECIDED} if how == "dropped" else {UNDECIDED, MEDIA_HOST}
    assert diagnosed(alone) in [one("media.node-unreachable", each) for each in parties]
    assert diagnosed(merged) == one("media.node-unreachable", UNDECIDED), "one caller alone"
    assert {each["host"] for each in merged["diagnosis"]} == {f"{at.public}:{at.port}"}


def served_by(net: Network, machine: Machine) -> Network:
    """The same network, in which this machine serves."""
    return replace(net, server=machine)


@pytest.mark.skipif(not EVERY_SCENARIO, reason="minutes: only where CALLS_DOCTOR_LAB=all asks for every scenario")
@pytest.mark.parametrize("override", [False, True])
def test_two_ways_out_that_stun_servers_see_matter_where_no_override_tells(override: bool, tmp_path: Path) -> None:
    """One name of two addresses or two names: rtcd asks whichever comes first."""
    with network(SEED, behind=Behind.MAPPED) as net:
        at = net.addresses
        second = str(ipaddress.ip_interface(f"{at.outside}/27").network[20])
        net.outside.ip(f"addr add {second}/27 dev eth0\n")
        other_way = f'oifname "outside" ip daddr {second} udp dport {STUN_PORT} snat to {at.firewall}'
        broken(net, (("firewall", "sooner", other_way),))
        site = filled(net, SITE + (OVERRIDE if override else ""))
        lines = "".join(f"listening-ip={one}\n" for one in (at.outside, second))
        lines += f"listening-port={STUN_PORT}\nstun-only\nno-auth\nno-tcp\n"
        names = [f"stun:{one}:{STUN_PORT}" for one in (at.outside, second)]
        with (
            coturn(net.outside, tmp_path, lines, [f"{second}:{STUN_PORT}"]),
            serving(net, tmp_path, ["--host", at.public, "--media-port", str(at.port)], site) as stand,
        ):
            words = ["--site", str(tmp_path / "site.toml"), *(word for name in names for word in ("--stun", name))]
            (report,) = checking(tmp_path, [(net.server, stand.link_to(at.public), [*words, "--from", "media"])])
    assert diagnosed(report) == (said() if override else one("stun.wrong-answer", SERVERS))


@pytest.mark.skipif(not EVERY_SCENARIO, reason="minutes: only where CALLS_DOCTOR_LAB=all asks for every scenario")
@pytest.mark.parametrize("vantage", ["media", "mattermost"])
def test_a_media_port_that_another_program_owns_is_named_at_that_machine(vantage: str, tmp_path: Path) -> None:
    """`serve` refuses, with the owner, and who checks there has it as the cause; callers without a link, who find one
    protocol opened and the other refused, accuse no firewall."""
    with network(SEED, behind=Behind.MAPPED) as net:
        at = net.addresses
        site = tmp_path / "site.toml"
        site.write_text(filled(net, SITE + OVERRIDE).replace('"rtcd"', '"integrated"'))
        words = [sys.executable, "-m", "tests.lab.mute_listener", str(at.port)]
        with running(net.server, words, tmp_path / "mute.err"):
            done = _run(net.server, ["serve", "--site", str(site)], tmp_path)
            assert done.returncode == 2 and f"TCP {at.port}" in done.stderr and "belongs to" in done.stderr
            here = ("--from", vantage, "--phase", "pre")
            for machine, options in ((net.server, here), (net.caller, ()), (net.outside, ())):
                report = str(tmp_path / f"{machine.name}.json")
                words = ["check", "--site", str(site), "--label", machine.name, *options, "-o", report]
                _run(machine, words, tmp_path)
    whose = {"media": MEDIA_HOST, "mattermost": "mattermost-host"}[vantage]
    merged = merging(tmp_path, ["server", "caller", "outside"])
    assert diagnosed(json.loads((tmp_path / "server.json").read_text())) == one("media.port-taken", whose)
    assert diagnosed(json.loads((tmp_path / "caller.json").read_text())) in (
        said(),
        one("media.not-running", UNDECIDED),
    )
    assert diagnosed(merged) == one("media.port-taken", whose)


def _run(machine: Machine, words: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        machine.command([*COMMAND, *words]), capture_output=True, text=True, check=False, timeout=25, cwd=folder,
        env=HERE,
    )  # fmt: skip
