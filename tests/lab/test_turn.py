"""A coturn between the same machines: what is wrong with it is named by one caller and by two."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.lab import standing
from tests.lab.conftest import Environment
from tests.lab.namespaces import why_not
from tests.lab.network import draw_seed, network
from tests.lab.standing import TURN_PORT, TURNS_PORT, WITH_SECRET, Certify, both, credentials, running, standing_turn
from tests.lab.test_two_hosts import Said, one, said
from tests.lab.two_hosts import EVERY_SCENARIO, diagnosed, serving
from tests.servers import turn_servers

NO_LAB = why_not() or turn_servers.why_not()
pytestmark = pytest.mark.skipif(NO_LAB != "", reason=f"no lab here: {NO_LAB}")

SEED = draw_seed()
TURN_SETTINGS, TURN_HOST = "turn-settings", "turn-host"


@dataclass(frozen=True)
class Turn:
    """A coturn on the media host's machine, and what is said of it by one caller and by two."""

    merged: Said
    lines: tuple[str, ...] = WITH_SECRET
    certify: Certify | None = None
    """Where the callers ask for TLS."""
    held: int = 0
    """How many relays somebody else holds."""
    uri: str = ""
    """As callers are given it, where that is wrong."""
    valid_s: int = 4 * 3600
    secret: str = standing.SECRET
    """What the callers' credentials are made from."""


INVALID = one("turn.tls-invalid", TURN_HOST)
TURNS = {
    "well": Turn(said()),
    "well over TLS": Turn(said(), certify=standing.trusted()),
    "quota": Turn(one("turn.quota", TURN_SETTINGS), (*WITH_SECRET, "total-quota=2"), held=2),
    "its relay ports are used up": Turn(
        one("turn.quota", TURN_SETTINGS), (*WITH_SECRET, "min-port=50000", "max-port=50001"), held=2
    ),
    "unauthenticated": Turn(one("turn.unauthenticated", TURN_SETTINGS), ("no-auth",)),
    "another secret": Turn(one("turn.secret-mismatch", TURN_SETTINGS), secret="another secret"),
    "expired": Turn(one("turn.credentials-expired", TURN_SETTINGS), valid_s=-60),
    "the media host is denied": Turn(
        one("turn.peer-denied", TURN_SETTINGS), (*WITH_SECRET, "denied-peer-ip=0.0.0.0-255.255.255.255")
    ),
    "relays over TCP alone": Turn(one("turn.not-allocating", TURN_HOST), (*WITH_SECRET, "no-udp-relay")),
    "the certificate is for another name": Turn(INVALID, certify=standing.for_another_name),
    "nobody knows its authority": Turn(INVALID, certify=standing.by_an_unknown_authority),
    "the certificate is signed by itself": Turn(INVALID, certify=standing.by_itself),
    "the certificate comes without its chain": Turn(INVALID, certify=standing.without_its_chain),
    "the certificate has expired": Turn(INVALID, certify=standing.trusted(days=-3)),
    "TLS is asked for where there is none": Turn(INVALID, uri=f"turns:{{public}}:{TURN_PORT}"),
}
AT_EVERY_STOP = ("unauthenticated",)


@pytest.fixture(autouse=True)
def _seed() -> None:
    print(f"CALLS_DOCTOR_LAB_SEED={SEED}")  # noqa: T201 -- shown where a test fails: the lab can be drawn again


@pytest.mark.parametrize("name", TURNS if EVERY_SCENARIO else AT_EVERY_STOP)
def test_what_is_wrong_with_turn_is_named_and_nothing_else(
    name: str, tmp_path: Path, authority: trustme.CA, environment: Environment
) -> None:
    turn = TURNS[name]
    credentials(environment)
    with network(SEED) as net, contextlib.ExitStack() as stack:
        public = net.addresses.public
        pem = turn.certify(authority, public) if turn.certify is not None else b""
        uri = f"turns:{public}:{TURNS_PORT}" if pem else f"turn:{public}:{TURN_PORT}"
        stack.enter_context(standing_turn(net, turn.lines, tmp_path, pem))
        if turn.held:
            words = [sys.executable, "-m", "tests.lab.turn_holder", public, str(turn.held)]
            stack.enter_context(running(net.outside, words, tmp_path / "holder.err"))
        credentials(environment, turn.valid_s, turn.secret)
        stand = stack.enter_context(serving(net, tmp_path, ["--host", public]))
        asked = turn.uri.format(public=public) or uri
        alone, merged = both(net, stand.link_to(public), tmp_path, "--turn", asked)
    assert diagnosed(alone) == turn.merged
    assert diagnosed(merged) == turn.merged
