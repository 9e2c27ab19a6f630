"""A site between the same machines: what is wrong with it is named at the far end of a network, by two callers who are
merged, and by whoever is alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any  # the knobs of a site are JSON

import pytest
import trustme

from tests.lab import standing
from tests.lab.namespaces import why_not
from tests.lab.network import Network, draw_seed, network
from tests.lab.standing import HTTP_PORT, HTTPS_PORT, Certify, both, standing_site, trusted
from tests.lab.test_two_hosts import CALLERS, SERVERS, UNDECIDED, Said, one, said
from tests.lab.two_hosts import EVERY_SCENARIO, diagnosed, serving

NO_LAB = why_not()
pytestmark = pytest.mark.skipif(NO_LAB != "", reason=f"no lab here: {NO_LAB}")

SEED = draw_seed()
MATTERMOST = "mattermost-host"
DAY_S = 86_400
OF_THE_SITES = 'iifname "inside" tcp dport {port} drop'
"""At the caller's own NAT."""


@dataclass(frozen=True)
class Broken:
    """What is wrong with the site, and what is said of it by one caller and by two."""

    merged: Said
    alone: Said | None = None
    """None: the same."""
    how: dict[str, Any] = field(default_factory=dict)
    """The knobs of `site_servers.Site`."""
    certify: Certify | None = field(default_factory=trusted)
    """Its certificate; None: no TLS."""
    rule: tuple[str, str] = ("", "")
    """Of nft: a machine, and what it does with what passes."""
    timed: bool = False
    """The callers are given TURN credentials that carry a time."""
    stands: bool = True
    """False: nothing listens there."""


UNREACHABLE, WEBSOCKET, INVALID = "mattermost.unreachable", "mattermost.websocket-blocked", "tls.invalid"
SHUT_BY_A_CALLER = one(UNREACHABLE, CALLERS)
SITES = {
    "well": Broken(said()),
    "well, without TLS": Broken(said(), certify=None),
    "the certificate has expired": Broken(one("tls.expired", MATTERMOST), certify=trusted(days=-3)),
    "the certificate is for another name": Broken(one(INVALID, MATTERMOST), certify=standing.for_another_name),
    "nobody knows its authority": Broken(one(INVALID, MATTERMOST), certify=standing.by_an_unknown_authority),
    "the certificate is signed by itself": Broken(one(INVALID, MATTERMOST), certify=standing.by_itself),
    "the certificate comes without its chain": Broken(one(INVALID, MATTERMOST), certify=standing.without_its_chain),
    # The stand-in's machine agrees with the callers', so it is the site's clock that is wrong.
    "its clock is two hours behind, and TURN is timed": Broken(
        one("clock.skewed", MATTERMOST), how={"ahead_s": -7200}, timed=True
    ),
    "its clock is two hours ahead, and nothing is timed": Broken(said(), how={"ahead_s": 7200}),
    "its clock is behind by more than its certificate is over": Broken(
        said(("tls.expired", MATTERMOST), ("clock.skewed", MATTERMOST)),
        how={"ahead_s": -10 * DAY_S},
        certify=trusted(days=-3),
        timed=True,
    ),
    "the upgrade is stripped": Broken(one(WEBSOCKET, SERVERS), how={"strips": True}),
    "the upgrade is stripped, without TLS": Broken(one(WEBSOCKET, SERVERS), how={"strips": True}, certify=None),
    "the upgrade is forbidden": Broken(one(WEBSOCKET, SERVERS), how={"upgrade_status": 403}),
    "a proxy hides the Host": Broken(one(WEBSOCKET, SERVERS), how={"hides_host": True}),
    "a proxy hangs up on what is silent": Broken(one(WEBSOCKET, SERVERS), how={"hangs_up_after_s": 1.5}),
    "a proxy hangs up on what is silent, without TLS": Broken(
        one(WEBSOCKET, SERVERS), how={"hangs_up_after_s": 1.5}, certify=None
    ),
    "what was silent for a while is heard no more": Broken(one(WEBSOCKET, SERVERS), how={"pongs": 1}),
    "bad gateway": Broken(one(UNREACHABLE, MATTERMOST), how={"status": 502}),
    "it hangs": Broken(one(UNREACHABLE, MATTERMOST), how={"hangs": True}),
    "it hangs, without TLS": Broken(one(UNREACHABLE, MATTERMOST), how={"hangs": True}, certify=None),
    "nothing listens there": Broken(one(UNREACHABLE, MATTERMOST), one(UNREACHABLE, UNDECIDED), stands=False),
    "443 dropped": Broken(
        one(UNREACHABLE, SERVERS), one(UNREACHABLE, UNDECIDED), rule=("firewall", f"tcp dport {HTTPS_PORT} drop")
    ),
    "8065 dropped, without TLS": Broken(
        one(UNREACHABLE, SERVERS),
        one(UNREACHABLE, UNDECIDED),
        certify=None,
        rule=("firewall", f"tcp dport {HTTP_PORT} drop"),
    ),
    "443 dropped at the caller": Broken(
        SHUT_BY_A_CALLER, one(UNREACHABLE, UNDECIDED), rule=("nat", OF_THE_SITES.format(port=HTTPS_PORT))
    ),
    "8065 dropped at the caller, without TLS": Broken(
        SHUT_BY_A_CALLER,
        one(UNREACHABLE, UNDECIDED),
        certify=None,
        rule=("nat", OF_THE_SITES.format(port=HTTP_PORT)),
    ),
}  # fmt: skip
AT_EVERY_STOP = ("its clock is two hours behind, and TURN is timed",)


@pytest.fixture(autouse=True)
def _seed() -> None:
    print(f"CALLS_DOCTOR_LAB_SEED={SEED}")  # noqa: T201 -- shown where a test fails: the lab can be drawn again


@contextlib.contextmanager
def _standing(net: Network, broken: Broken, folder: Path, authority: trustme.CA) -> Iterator[str]:
    """The site on the media host's machine: its URL."""
    public, pem = net.addresses.public, b""
    port, url = HTTP_PORT, f"http://{public}:{HTTP_PORT}"
    if broken.certify is not None:
        port, url, pem = HTTPS_PORT, f"https://{public}", broken.certify(authority, public)
    stands = standing_site(net.server, port, broken.how, folder, pem) if broken.stands else contextlib.nullcontext()
    with stands:
        yield url


@pytest.mark.parametrize("name", SITES if EVERY_SCENARIO else AT_EVERY_STOP)
def test_what_is_wrong_with_the_site_is_named_and_nothing_else(
    name: str, tmp_path: Path, authority: trustme.CA
) -> None:
    broken = SITES[name]
    served = ["--as", "media", "--as", "turn"] if broken.timed else []
    with network(SEED) as net:
        machine, rule = broken.rule
        if machine:
            getattr(net, machine).rule("through", rule)
        public = net.addresses.public
        with (
            _standing(net, broken, tmp_path, authority) as url,
            serving(net, tmp_path, ["--host", public, *served]) as stand,
        ):
            alone, merged = both(net, stand.link_to(public), tmp_path, "--mattermost", url)
    assert diagnosed(alone) == (broken.merged if broken.alone is None else broken.alone)
    assert diagnosed(merged) == broken.merged


@pytest.mark.skipif(not EVERY_SCENARIO, reason="minutes: only where CALLS_DOCTOR_LAB=all asks for every scenario")
def test_a_certificate_that_one_network_alone_is_shown_is_not_surely_the_sites(
    tmp_path: Path, authority: trustme.CA
) -> None:
    """Somebody on the caller's way inspects TLS."""
    with network(SEED) as net:
        at = net.addresses
        net.nat.rule("before", f'iifname "inside" tcp dport {HTTPS_PORT} dnat to {at.outside}')
        shown = standing.by_an_unknown_authority(authority, at.public)
        with (
            standing_site(net.server, HTTPS_PORT, {}, tmp_path, trusted()(authority, at.public)),
            standing_site(net.outside.known_as("inspector"), HTTPS_PORT, {}, tmp_path, shown),
            serving(net, tmp_path, ["--host", at.public]) as stand,
        ):
            _, merged = both(net, stand.link_to(at.public), tmp_path, "--mattermost", f"https://{at.public}")
    assert diagnosed(merged) == one(INVALID, UNDECIDED)
