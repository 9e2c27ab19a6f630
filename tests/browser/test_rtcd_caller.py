"""Two sessions of Chromium, unmodified, in a call of rtcd's protocol at the stand-in: its ICE, DTLS server, SCTP and
renegotiation, signalled over 8045's WebSocket as the Calls plugin does."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from calls_doctor.wire import direct
from tests.browser import chromium
from tests.browser.rtcd_caller import PACKETS_LEAST
from tests.lab import namespaces
from tests.lab.network import network
from tests.lab.two_hosts import EVERY_SCENARIO, HERE, serving

WHY_NOT = namespaces.why_not() or chromium.why_not()
pytestmark = pytest.mark.skipif(WHY_NOT != "", reason=f"no browser here: {WHY_NOT}")
LIMIT_S = 20.0
SEED = secrets.randbelow(10_000)


LONG = pytest.mark.skipif(not EVERY_SCENARIO, reason="minutes: only where CALLS_DOCTOR_LAB=all asks for every scenario")


@pytest.mark.parametrize("protocol", ["udp", pytest.param("tcp", marks=LONG)])
def test_two_of_its_sessions_hear_each_other(tmp_path: Path, protocol: str) -> None:
    with network(SEED) as net, serving(net, tmp_path, ["--host", net.addresses.public]) as stand:
        net.firewall.nft("insert rule ip lab through tcp dport 8045 accept\n")  # the caller is a Mattermost node, too
        keys = direct.parse_link(stand.links[0]).keys
        words = [f"http://{net.addresses.public}:8045", keys.api_client_id, keys.api_auth_key.reveal(), protocol]
        command = net.caller.command([sys.executable, "-m", "tests.browser.rtcd_caller", *words])
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S, env=HERE)
    assert done.returncode == 0, done.stderr
    for said in json.loads(done.stdout):
        assert (said["connection"], said["dtls"], said["protocol"]) == ("connected", "server", protocol)
        assert said["received"] >= PACKETS_LEAST and said["lost"] == 0 and said["energy"] > 0
        assert (said["locked"], said["offers"], said["maps"], said["pongs"]) == (1, 1, 1, 1)
