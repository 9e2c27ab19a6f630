"""A site and a TURN server between the same machines: what is wrong with them is named at the far end of a network, by
two callers who are merged, and by whoever is alone."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any  # a report is JSON

import pytest
import trustme

from calls_doctor.model.credentials import Secret
from calls_doctor.wire.turn import rest_credentials
from tests.interop.test_coturn import issued
from tests.lab import two_hosts
from tests.lab.namespaces import why_not
from tests.lab.network import Machine, Network, draw_seed, network
from tests.lab.test_two_hosts import SERVERS, UNDECIDED, Said, one, said
from tests.lab.two_hosts import EVERY_SCENARIO, HERE, checking, diagnosed, merging, serving
from tests.servers import turn_servers

NO_LAB = why_not() or turn_servers.why_not()
pytestmark = pytest.mark.skipif(NO_LAB != "", reason=f"no lab here: {NO_LAB}")

SEED = draw_seed()
HTTPS_PORT, HTTP_PORT, TURN_PORT, TURNS_PORT = 443, 8065, 3478, 5349
MATTERMOST, TURN_SETTINGS, TURN_HOST = "mattermost-host", "turn-settings", "turn-host"
SECRET = "a secret of the lab's"
UP_S = 10.0
DAY_S = 86_400


@dataclass(frozen=True)
class Broken:
    """What is wrong with the site, and what is said of it by one caller and by two."""

    merged: Said
    alone: Said | None = None
    """None: the same."""
    how: dict[str, Any] = field(default_factory=dict)
    """The knobs of `site_servers.Site`."""
    days: float | None = 60
    """How long its certificate lasts yet; None: no TLS."""
    rule: str = ""
    """Of nft, at the servers' firewall."""
    timed: bool = False
    """The callers are given TURN credentials that carry a time."""


UNREACHABLE, WEBSOCKET = "mattermost.unreachable", "mattermost.websocket-blocked"
SITES = {
    "well": Broken(said()),
    "well, without TLS": Broken(said(), days=None),
    "the certificate has expired": Broken(one("tls.expired", MATTERMOST), days=-3),
    # The stand-in's machine agrees with the callers', so it is the site's clock that is wrong.
    "its clock is two hours behind, and TURN is timed": Broken(
        one("clock.skewed", MATTERMOST), how={"ahead_s": -7200}, timed=True
    ),
    "its clock is two hours ahead, and nothing is timed": Broken(said(), how={"ahead_s": 7200}),
    "its clock is behind by more than its certificate is over": Broken(
        said(("tls.expired", MATTERMOST), ("clock.skewed", MATTERMOST)),
        how={"ahead_s": -10 * DAY_S},
        days=-3,
        timed=True,
    ),
    "the upgrade is stripped": Broken(one(WEBSOCKET, SERVERS), how={"strips": True}),
    "the upgrade is stripped, without TLS": Broken(one(WEBSOCKET, SERVERS), how={"strips": True}, days=None),
    "a proxy hides the Host": Broken(one(WEBSOCKET, SERVERS), how={"hides_host": True}),
    "a proxy hangs up on what is silent": Broken(one(WEBSOCKET, SERVERS), how={"hangs_up_after_s": 1.5}),
    "bad gateway": Broken(one(UNREACHABLE, MATTERMOST), how={"status": 502}),
    "it hangs": Broken(one(UNREACHABLE, MATTERMOST), how={"hangs": True}),
    "443 dropped": Broken(
        one(UNREACHABLE, SERVERS), one(UNREACHABLE, UNDECIDED), rule=f"tcp dport {HTTPS_PORT} drop"
    ),
}  # fmt: skip
AT_EVERY_STOP = ("its clock is two hours behind, and TURN is timed",)


@pytest.fixture(autouse=True)
def _seed() -> None:
    print(f"CALLS_DOCTOR_LAB_SEED={SEED}")  # noqa: T201 -- shown where a test fails: the lab can be drawn again


@contextlib.contextmanager
def running(machine: Machine, words: Sequence[str], log: Path) -> Iterator[None]:
    """A program on a machine, once it has said its first line, or `log` is not looked at (it says none)."""
    with log.open("w") as errors:
        process = subprocess.Popen(machine.command(words), stdout=subprocess.PIPE, stderr=errors, env=HERE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline(), log.read_text()
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextlib.contextmanager
def standing_site(net: Network, broken: Broken, folder: Path, authority: trustme.CA) -> Iterator[str]:
    """A site on the media host's machine: its URL."""
    port = HTTP_PORT if broken.days is None else HTTPS_PORT
    words = [sys.executable, "-m", "tests.lab.site_host", str(port), json.dumps(broken.how)]
    if broken.days is not None:
        expires = datetime.now(UTC) + timedelta(days=broken.days)
        certificate, key = issued(folder, authority, net.addresses.public, expires)
        (folder / "site.pem").write_bytes(key.read_bytes() + certificate.read_bytes())
        words.append(str(folder / "site.pem"))
    with running(net.server, words, folder / "site.err"):
        scheme, shown = ("http", f":{HTTP_PORT}") if broken.days is None else ("https", "")
        yield f"{scheme}://{net.addresses.public}{shown}"


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A private authority that the callers' machines trust."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setitem(two_hosts.HERE, "SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return made


def both(net: Network, link: str, folder: Path, *words: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The reports of the caller behind NAT and of it and the one outside together."""
    alone, _ = checking(folder, [(net.caller, link, words), (net.outside, link, words)])
    return alone, merging(folder, ["caller", "outside"])


@pytest.mark.parametrize("name", SITES if EVERY_SCENARIO else AT_EVERY_STOP)
def test_what_is_wrong_with_the_site_is_named_and_nothing_else(
    name: str, tmp_path: Path, authority: trustme.CA
) -> None:
    broken = SITES[name]
    served = ["--as", "media", "--as", "turn"] if broken.timed else []
    with network(SEED) as net:
        if broken.rule:
            net.firewall.rule("through", broken.rule)
        public = net.addresses.public
        with (
            standing_site(net, broken, tmp_path, authority) as url,
            serving(net, tmp_path, ["--host", public, *served]) as stand,
        ):
            alone, merged = both(net, stand.link_to(public), tmp_path, "--mattermost", url)
    assert diagnosed(alone) == (broken.merged if broken.alone is None else broken.alone)
    assert diagnosed(merged) == broken.merged


@dataclass(frozen=True)
class Turn:
    """A coturn on the media host's machine, and what is said of it by one caller and by two."""

    merged: Said
    lines: tuple[str, ...] = (f"static-auth-secret={SECRET}", "use-auth-secret")
    certificate_for: str = ""
    """A name, where the callers ask for TLS."""
    held: int = 0
    """How many relays somebody else holds."""


TURNS = {
    "well": Turn(said()),
    "well over TLS": Turn(said(), certificate_for="{public}"),
    "quota": Turn(one("turn.quota", TURN_SETTINGS), (*Turn(said()).lines, "total-quota=2"), held=2),
    "unauthenticated": Turn(one("turn.unauthenticated", TURN_SETTINGS), ("no-auth",)),
    "tls-invalid": Turn(one("turn.tls-invalid", TURN_HOST), certificate_for="turn.example.com"),
}


@pytest.mark.parametrize("name", TURNS if EVERY_SCENARIO else ["unauthenticated"])
def test_what_is_wrong_with_turn_is_named_and_nothing_else(
    name: str, tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = TURNS[name]
    made = rest_credentials(Secret(SECRET), int(time.time()) + 4 * 3600, "lab")
    monkeypatch.setitem(two_hosts.HERE, "CALLS_DOCTOR_TURN_USERNAME", made.username)
    monkeypatch.setitem(two_hosts.HERE, "CALLS_DOCTOR_TURN_CREDENTIAL", made.password.reveal())
    with network(SEED) as net, contextlib.ExitStack() as stack:
        public = net.addresses.public
        uri = f"turn:{public}:{TURN_PORT}"
        stack.enter_context(coturn(net, turn, tmp_path, authority))
        if turn.certificate_for:
            uri = f"turns:{public}:{TURNS_PORT}"
        if turn.held:
            words = [sys.executable, "-m", "tests.lab.turn_holder", public, str(turn.held)]
            stack.enter_context(running(net.outside, words, tmp_path / "holder.err"))
        stand = stack.enter_context(serving(net, tmp_path, ["--host", public]))
        alone, merged = both(net, stand.link_to(public), tmp_path, "--turn", uri)
    assert diagnosed(alone) == turn.merged
    assert diagnosed(merged) == turn.merged


@contextlib.contextmanager
def coturn(net: Network, turn: Turn, folder: Path, authority: trustme.CA) -> Iterator[None]:
    """One with these lines, on the media host's machine; it relays to that machine too."""
    public = net.addresses.public
    lines = [
        f"listening-ip={public}", f"relay-ip={public}", f"listening-port={TURN_PORT}",
        f"tls-listening-port={TURNS_PORT}",
        "min-port=50000", "max-port=50999", "realm=lab.test", "no-cli", "no-dtls", "fingerprint", f"userdb={folder}/db",
        f"pidfile={folder}/pid", "log-file=stdout", "verbose", *turn.lines,
    ]  # fmt: skip
    if turn.certificate_for:
        certificate, key = issued(folder, authority, turn.certificate_for.format(public=public))
        lines += [f"cert={certificate}", f"pkey={key}"]
    else:
        lines.append("no-tls")
    (folder / "turnserver.conf").write_text("\n".join(lines) + "\n")
    with running(net.server, ["turnserver", "-c", str(folder / "turnserver.conf")], folder / "turn.err"):
        until = time.monotonic() + UP_S
        while f":{TURN_PORT} " not in _listening(net.server):
            assert time.monotonic() < until, "coturn does not listen"
            time.sleep(0.05)
        yield


def _listening(machine: Machine) -> str:
    words = machine.command(["ss", "-lnu"])
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=5).stdout
