"""What stands on the media host's machine beside the stand-in: a Mattermost site, a coturn, and their certificates."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any  # knobs and reports are JSON

import trustme

from calls_doctor.model.credentials import Secret
from calls_doctor.wire.turn import rest_credentials
from tests.lab.network import Machine, Network
from tests.lab.two_hosts import HERE, READY_S, checking, merging

HTTPS_PORT, HTTP_PORT, API_PORT, TURN_PORT, TURNS_PORT = 443, 8065, 8045, 3478, 5349
SECRET = "a secret of the lab's"
WITH_SECRET = (f"static-auth-secret={SECRET}", "use-auth-secret")
Certify = Callable[[trustme.CA, str], bytes]
"""Who vouches for whom: a key and its certificates, as a server is given them, for a host."""


def trusted(days: float = 60) -> Certify:
    """By the authority that callers trust, for so many days yet."""
    return lambda authority, host: _pem(authority.issue_cert(host, not_after=datetime.now(UTC) + timedelta(days=days)))


def for_another_name(authority: trustme.CA, _host: str) -> bytes:
    """Trusted, and somebody else's."""
    return _pem(authority.issue_cert("other.example.com"))


def by_an_unknown_authority(_authority: trustme.CA, host: str) -> bytes:
    """What one who inspects TLS shows, too."""
    return _pem(trustme.CA().issue_cert(host))


def by_itself(_authority: trustme.CA, _host: str) -> bytes:
    """Self-signed."""
    own = trustme.CA()
    return own.private_key_pem.bytes() + own.cert_pem.bytes()


def without_its_chain(authority: trustme.CA, host: str) -> bytes:
    """What lies between it and the authority is not served."""
    made = authority.create_child_ca().issue_cert(host)
    return made.private_key_pem.bytes() + made.cert_chain_pems[0].bytes()


def _pem(made: trustme.LeafCert) -> bytes:
    return made.private_key_pem.bytes() + b"".join(one.bytes() for one in made.cert_chain_pems)


def authority_of_the_lab(folder: Path, environment: Callable[[str, str], None]) -> trustme.CA:
    """A private authority that the machines trust: `environment` sets a variable for what runs on them."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(folder / "ca.pem"))
    environment("SSL_CERT_FILE", str(folder / "ca.pem"))
    return made


@contextlib.contextmanager
def running(machine: Machine, words: Sequence[str], log: Path) -> Iterator[None]:
    """A program on a machine, once it has said its first line."""
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
def standing_site(machine: Machine, port: int, how: dict[str, Any], folder: Path, pem: bytes = b"") -> Iterator[None]:
    """A site with these knobs of `site_servers.Site`, over TLS where it is given a certificate."""
    words = [sys.executable, "-m", "tests.lab.site_host", str(port), json.dumps(how)]
    if pem:
        (folder / f"site-{port}.pem").write_bytes(pem)
        words.append(str(folder / f"site-{port}.pem"))
    with running(machine, words, folder / f"site-{port}.err"):
        yield


@contextlib.contextmanager
def standing_turn(
    net: Network, lines: Sequence[str], folder: Path, pem: bytes = b"", on: Machine | None = None
) -> Iterator[None]:
    """A coturn with these lines, on the media host's machine (as `on` has that), to which it relays too."""
    machine, public = on or net.server, net.addresses.public
    every = [
        f"listening-ip={public}", f"relay-ip={public}", f"listening-port={TURN_PORT}",
        f"tls-listening-port={TURNS_PORT}",
        "min-port=50000", "max-port=50999", "realm=lab.test", "no-cli", "no-dtls", "fingerprint", f"userdb={folder}/db",
        f"pidfile={folder}/pid", "log-file=stdout", "verbose", *lines,
    ]  # fmt: skip
    if pem:
        (folder / "turn.pem").write_bytes(pem)
        every += [f"cert={folder}/turn.pem", f"pkey={folder}/turn.pem"]
    else:
        every.append("no-tls")
    (folder / "turnserver.conf").write_text("\n".join(every) + "\n")
    with running(machine, ["turnserver", "-c", str(folder / "turnserver.conf")], folder / "turn.err"):
        until = time.monotonic() + READY_S
        while f":{TURN_PORT} " not in _listening(machine):
            assert time.monotonic() < until, "coturn does not listen"
            time.sleep(0.05)
        yield


def _listening(machine: Machine) -> str:
    words = machine.command(["ss", "-lnu"])
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=5).stdout


def credentials(environment: Callable[[str, str], None], valid_s: int = 4 * 3600, secret: str = SECRET) -> None:
    """What a Mattermost with this secret would hand out: in the environment of what runs on the machines."""
    made = rest_credentials(Secret(secret), int(time.time()) + valid_s, "lab")
    environment("CALLS_DOCTOR_TURN_USERNAME", made.username)
    environment("CALLS_DOCTOR_TURN_CREDENTIAL", made.password.reveal())


def both(net: Network, link: str, folder: Path, *words: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The reports of the caller behind NAT and of it and the one outside together."""
    alone, _ = checking(folder, [(net.caller, link, words), (net.outside, link, words)])
    return alone, merging(folder, ["caller", "outside"])
