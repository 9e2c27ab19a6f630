"""rtcd's API as a Mattermost node in the servers' network finds it, and as callers must not: what answers on 8045, or
does not, is named with whose it is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.lab import standing
from tests.lab.namespaces import why_not
from tests.lab.network import Network, draw_seed, network
from tests.lab.standing import API_PORT, standing_site, trusted
from tests.lab.test_two_hosts import MEDIA_HOST, SERVERS, Said, one, said
from tests.lab.two_hosts import EVERY_SCENARIO, checking, diagnosed, merging, serving

pytestmark = [
    pytest.mark.skipif(why_not() != "", reason=f"no lab here: {why_not()}"),
    pytest.mark.skipif(not EVERY_SCENARIO, reason="minutes: only where CALLS_DOCTOR_LAB=all asks for every scenario"),
]

SEED = draw_seed()
NOTHING = contextlib.nullcontext()
MATTERMOST_SETTINGS = "mattermost-settings"
Stands = Callable[[Network, Path, trustme.CA], contextlib.AbstractContextManager[object]]
"""What listens on 8045 of the media host's machine."""


def a_site(**how: object) -> Stands:
    """Something that speaks HTTP."""
    return lambda net, folder, _authority: standing_site(net.server, API_PORT, how, folder)


def over_tls(certify: standing.Certify) -> Stands:
    """The same, over TLS."""
    return lambda net, folder, authority: standing_site(
        net.server, API_PORT, {}, folder, certify(authority, net.addresses.public)
    )


@contextlib.contextmanager
def another_run(net: Network, folder: Path, _authority: trustme.CA) -> Iterator[None]:
    """rtcd's API with other credentials: a stand-in that knows another key."""
    (folder / "other").mkdir()
    with serving(net, folder / "other", ["--host", net.addresses.public, "--as", "api"]):
        yield


def none(_net: Network, _folder: Path, _authority: trustme.CA) -> contextlib.AbstractContextManager[object]:
    """Nothing listens there."""
    return NOTHING


@dataclass(frozen=True)
class Found:
    """What a node and two callers together say of it."""

    merged: Said
    stands: Stands | None = None
    """None: the stand-in's own."""
    rule: str = ""
    """Of nft, at the servers' firewall, before its others."""
    url: str = "http://{public}:8045"


APIS = {
    "well": Found(said()),
    "nothing listens": Found(one("api.refused", MEDIA_HOST), none),
    "dropped": Found(one("api.blocked", SERVERS), rule="tcp dport 8045 drop"),
    "answers dropped": Found(one("api.blocked", SERVERS), rule="tcp sport 8045 drop"),
    "it hangs": Found(one("api.no-answer", MEDIA_HOST), a_site(hangs=True)),
    "another service": Found(one("api.wrong-service", MEDIA_HOST), a_site()),
    "bad gateway": Found(one("api.bad-gateway", MEDIA_HOST), a_site(status=502)),
    "other credentials": Found(one("api.unauthorized", MATTERMOST_SETTINGS), another_run),
    "it speaks TLS, and the URL does not": Found(one("tls.invalid", MEDIA_HOST), over_tls(trusted())),
    "the URL says https, and it does not speak TLS": Found(
        one("tls.invalid", MEDIA_HOST), url="https://{public}:8045"
    ),
    "nobody knows its authority": Found(
        one("tls.invalid", MEDIA_HOST),
        over_tls(standing.by_an_unknown_authority),
        url="https://{public}:8045",
    ),
    "its certificate has expired": Found(
        one("tls.expired", MEDIA_HOST), over_tls(trusted(days=-3)), url="https://{public}:8045"
    ),
    "open to callers": Found(one("api.exposed", SERVERS), rule="tcp dport 8045 accept"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _seed() -> None:
    print(f"CALLS_DOCTOR_LAB_SEED={SEED}")  # noqa: T201 -- shown where a test fails: the lab can be drawn again


@pytest.mark.parametrize("name", APIS)
def test_what_a_node_finds_at_the_api_is_named_and_nothing_else(
    name: str, tmp_path: Path, authority: trustme.CA
) -> None:
    found = APIS[name]
    with network(SEED) as net:
        if found.rule:
            net.firewall.nft(f"insert rule ip lab through {found.rule}\n")
        public = net.addresses.public
        served = ["--as", "media"] if found.stands else ["--as", "media", "--as", "api"]
        api = ("--rtcd-url", found.url.format(public=public), "--mode", "rtcd")
        with (
            serving(net, tmp_path, ["--host", public, *served]) as stand,
            found.stands(net, tmp_path, authority) if found.stands else NOTHING,
        ):
            link = stand.link_to(public)
            callers = [(one, link, api) for one in (net.caller, net.outside)]
            checking(tmp_path, [*callers, (net.inside, link, (*api, "--from", "mattermost"))])
        merged = merging(tmp_path, ["caller", "outside", "inside"])
    assert diagnosed(merged) == found.merged
