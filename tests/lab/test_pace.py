"""How long a run takes and how much it sends, in a network that is healthy, slow, thin, or silent."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from calls_doctor.net.pace import BYTES_MAX
from tests.lab.capture import busiest, capturing, most_bytes, without_media
from tests.lab.coturn import coturn
from tests.lab.namespaces import why_not
from tests.lab.network import Network, draw_seed, network
from tests.lab.two_hosts import HERE, checking, serving

pytestmark = pytest.mark.skipif(why_not() != "", reason=f"no lab here: {why_not()}")

SEED = draw_seed()
SILENCE_LIMIT_S = 3.5
"""From the first probe to the end of the process, where nothing is answered (2.55 s decide a silence)."""
EVERYTHING = "ip daddr {server} drop"


@pytest.fixture(autouse=True)
def _seed() -> None:
    print(f"CALLS_DOCTOR_LAB_SEED={SEED}")  # noqa: T201 -- shown where a test fails: the lab can be drawn again


@pytest.mark.parametrize("servers", [True], ids=["the media host and the STUN and TURN servers named"])
def test_no_silence_is_waited_out_twice(servers: bool, tmp_path: Path) -> None:
    with network(SEED) as net:
        public = net.addresses.public
        net.firewall.rule("through", EVERYTHING.format(server=net.addresses.server))
        named = ("--stun", f"stun:{public}:3478", "--turn", f"turn:{public}:3478") if servers else ()
        with serving(net, tmp_path, ["--host", public]) as stand, capturing(net.caller, tmp_path) as packets:
            (report,) = checking(tmp_path, [(net.caller, stand.link_to(public), named)])
            ended_at_s = time.time()
    took = {one["id"]: one["duration_s"] for one in report["checks"]}
    assert ended_at_s - min(packet.at_s for packet in packets) <= SILENCE_LIMIT_S, took
    assert not [one for one in report["checks"] if one["status"] == "error"]


PACKETS_MAX = 100
"""In any second to one host, media aside."""


COTURN = """
listening-port=3479
lt-cred-mech
fingerprint
realm=lab.test
user=caller:secret
listening-ip={server}
relay-ip={server}
allow-loopback-peers
"""


@contextlib.contextmanager
def relaying(net: Network, directory: Path) -> Iterator[tuple[str, ...]]:
    """coturn on the media host too, and the words that name it."""
    server = net.addresses.server
    with coturn(net.server, directory, COTURN.format(server=server), [f"{server}:3479"]):
        yield ("--turn", f"turn:{net.addresses.public}:3479")


@pytest.mark.parametrize("rule", ["", EVERYTHING], ids=["healthy", "all dropped"])
def test_no_host_is_sent_more_than_a_hundred_packets_in_a_second_nor_more_bytes_than_its_budget(
    rule: str, tmp_path: Path
) -> None:
    with network(SEED) as net:
        public = net.addresses.public
        if rule:
            net.firewall.rule("through", rule.format(server=net.addresses.server))
        stands = ("--host", public, "--as", "media", "--as", "api", "--as", "turn")
        with serving(net, tmp_path, stands) as stand, capturing(net.caller, tmp_path) as packets:
            checking(tmp_path, [(net.caller, stand.link_to(public), ("--stun", f"stun:{public}:3478"))])
    assert max(most_bytes(packets).values()) <= BYTES_MAX
    counted = busiest(without_media(packets))
    kinds = {
        host: Counter((one.transport, one.port, bool(one.payload)) for one in sent) for host, sent in counted.items()
    }
    assert max(len(sent) for sent in counted.values()) <= PACKETS_MAX, kinds


@pytest.mark.skipif(shutil.which("turnserver") is None, reason="no lab here: coturn is not installed")
def test_nor_is_one_that_relays_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HERE, "CALLS_DOCTOR_TURN_USERNAME", "caller")
    monkeypatch.setitem(HERE, "CALLS_DOCTOR_TURN_CREDENTIAL", "secret")
    with network(SEED) as net:
        public = net.addresses.public
        with (
            serving(net, tmp_path, ("--host", public)) as stand,
            relaying(net, tmp_path) as turn,
            capturing(net.caller, tmp_path) as packets,
        ):
            (report,) = checking(tmp_path, [(net.caller, stand.link_to(public), turn)])
    assert next(one["status"] for one in report["checks"] if one["id"] == "media.call-relay") == "pass"
    assert max(most_bytes(packets).values()) <= BYTES_MAX
    counted = busiest(without_media(packets))
    kinds = {
        host: Counter((one.transport, one.port, bool(one.payload)) for one in sent) for host, sent in counted.items()
    }
    assert max(len(sent) for sent in counted.values()) <= PACKETS_MAX, kinds
