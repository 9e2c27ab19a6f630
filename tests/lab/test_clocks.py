"""Whose clock is wrong, between machines of which one has another date: a caller's, the media host's, the TURN
server's. (The site's: test_site.)"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.lab import shifted_clock
from tests.lab.conftest import Environment
from tests.lab.namespaces import why_not
from tests.lab.network import draw_seed, network
from tests.lab.shifted_clock import Shifted
from tests.lab.standing import (
    HTTPS_PORT,
    SECRET,
    TURN_PORT,
    WITH_SECRET,
    credentials,
    standing_site,
    standing_turn,
    trusted,
)
from tests.lab.test_two_hosts import MEDIA_HOST, Said, one, said
from tests.lab.two_hosts import EVERY_SCENARIO, checking, diagnosed, merging, serving
from tests.servers import turn_servers

NO_LAB = why_not() or turn_servers.why_not() or shifted_clock.why_not()
pytestmark = [
    pytest.mark.skipif(NO_LAB != "", reason=f"no lab here: {NO_LAB}"),
    pytest.mark.skipif(not EVERY_SCENARIO, reason="minutes: only where CALLS_DOCTOR_LAB=all asks for every scenario"),
]

SEED = draw_seed()
CALLERS_MACHINE, TURN_HOST, UNDECIDED = "caller-machine", "turn-host", "undecided"
SKEWED = "clock.skewed"
HOUR_S, DAY_S = 3600, 86_400
TIMED = ("--as", "media", "--as", "turn")
"""The stand-in hands out TURN credentials that carry a time."""


@pytest.fixture(autouse=True)
def _seed() -> None:
    print(f"CALLS_DOCTOR_LAB_SEED={SEED}")  # noqa: T201 -- shown where a test fails: the lab can be drawn again


@dataclass(frozen=True)
class Wrong:
    """A caller's clock, and what is said of it by himself and with another."""

    ahead_s: int
    alone: Said
    merged: Said
    site: bool = False
    served: tuple[str, ...] = TIMED


OWN = one(SKEWED, CALLERS_MACHINE)
CALLERS = {
    # Two clocks that differ tell that one is wrong, and not which.
    "two hours behind, nobody else to ask": Wrong(-2 * HOUR_S, one(SKEWED, UNDECIDED), OWN),
    "two hours behind": Wrong(-2 * HOUR_S, OWN, OWN, site=True),
    "two hours ahead": Wrong(2 * HOUR_S, OWN, OWN, site=True),
    "two hours ahead, and nothing is timed": Wrong(2 * HOUR_S, said(), said(), site=True, served=("--as", "media")),
    "so far ahead that the site's certificate seems over": Wrong(
        100 * DAY_S, OWN, OWN, site=True, served=("--as", "media")
    ),
    "so far behind that the site's certificate seems of the future": Wrong(
        -10_000 * DAY_S, OWN, OWN, site=True, served=("--as", "media")
    ),
}


@pytest.mark.parametrize("name", CALLERS)
def test_a_callers_own_clock_is_told_from_the_servers(name: str, tmp_path: Path, authority: trustme.CA) -> None:
    wrong = CALLERS[name]
    with network(SEED) as net, contextlib.ExitStack() as stack:
        public = net.addresses.public
        words: tuple[str, ...] = ()
        if wrong.site:
            pem = trusted()(authority, public)
            stack.enter_context(standing_site(net.server, HTTPS_PORT, {}, tmp_path, pem))
            words = ("--mattermost", f"https://{public}")
        stand = stack.enter_context(serving(net, tmp_path, ["--host", public, *wrong.served]))
        link, caller = stand.link_to(public), Shifted(net.caller, wrong.ahead_s, tmp_path)
        alone, _ = checking(tmp_path, [(caller, link, words), (net.outside, link, words)])
        merged = merging(tmp_path, ["caller", "outside"])
    assert diagnosed(alone) == wrong.alone
    assert diagnosed(merged) == wrong.merged


def test_the_media_hosts_clock_is_told_where_two_callers_agree(tmp_path: Path) -> None:
    with network(SEED) as net:
        public, server = net.addresses.public, net.server
        net.server = Shifted(server, -2 * HOUR_S, tmp_path)
        with serving(net, tmp_path, ["--host", public, *TIMED]) as stand:
            link = stand.link_to(public)
            alone, _ = checking(tmp_path, [(net.caller, link, ()), (net.outside, link, ())])
        net.server = server
        merged = merging(tmp_path, ["caller", "outside"])
    assert diagnosed(alone) == one(SKEWED, UNDECIDED)
    assert diagnosed(merged) == one(SKEWED, MEDIA_HOST)


def test_a_turn_server_whose_clock_is_ahead_is_told_from_another_secret_where_that_is_at_hand(
    tmp_path: Path, environment: Environment
) -> None:
    """It takes good credentials for expired, and says of neither more than 401."""
    credentials(environment)
    with network(SEED) as net:
        public = net.addresses.public
        server = Shifted(net.server, DAY_S, tmp_path)
        turn = ("--turn", f"turn:{public}:{TURN_PORT}")
        with (
            standing_turn(net, WITH_SECRET, tmp_path, on=server),
            serving(net, tmp_path, ["--host", public]) as stand,
        ):
            link = stand.link_to(public)
            callers = [(net.caller, link, turn), (net.outside, link, turn)]
            alone, _ = checking(tmp_path, callers)
            by_callers = merging(tmp_path, ["caller", "outside"])
            environment("CALLS_DOCTOR_TURN_SECRET", SECRET)
            checking(tmp_path, [(net.inside, link, (*turn, "--from", "mattermost"))])
            with_secret = merging(tmp_path, ["caller", "outside", "inside"])
    for report in (alone, by_callers):
        (found,) = report["diagnosis"]
        assert (found["cause"], found["confidence"]) == ("turn.secret-mismatch", "likely"), "one secret fits, it may be"
    assert diagnosed(with_secret) == one(SKEWED, TURN_HOST)
