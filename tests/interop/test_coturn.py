"""The TURN checks and the diagnosis against coturn as Debian ships it: healthy over UDP, TCP and TLS, and broken in
each way that a setting of coturn can break it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import trustme

from calls_doctor.diagnosis.cause import Evidence
from calls_doctor.diagnosis.causes import CAUSES
from calls_doctor.diagnosis.cover import diagnose
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.credentials import Credentials, Secret, TurnCredentials
from calls_doctor.model.site import MediaAddress, Phase, ServerUri, Site
from calls_doctor.net import relay, turn_client
from calls_doctor.net.paired import PairedHost
from calls_doctor.spec import Context
from calls_doctor.wire.turn import rest_credentials
from checks import CHECKS, turn
from tests.servers.media_host import media_host, paired
from tests.servers.middlebox import HOST
from tests.servers.turn_servers import PASSWORD, SECRET, USER, coturn, why_not

pytestmark = pytest.mark.skipif(why_not() != "", reason=f"no coturn here: {why_not()}")

TURN_CHECKS = ("turn.challenge", "turn.allocate", "turn.permission", "turn.relay-range")
PASSWORD_CREDENTIALS = Credentials(turn=TurnCredentials(USER, Secret(PASSWORD)))
Ports = Callable[[], int]


async def checked(
    uris: tuple[ServerUri, ...], credentials: Credentials = PASSWORD_CREDENTIALS, host: PairedHost | None = None
) -> tuple[Mapping[str, CheckResult], list[str]]:
    """The results of the TURN checks as the runner would have them, and the causes that are named."""
    media = (MediaAddress(host=HOST),) if host else ()
    site = Site(phase=Phase.PRE, turn=uris, media=media)
    results: dict[str, CheckResult] = {}
    specs = {spec.id: spec for spec in CHECKS}
    for name in TURN_CHECKS:
        spec = specs[name]
        needed = [results.get(need) for need in spec.needs if need.startswith("turn.")]
        if any(need is None or need.status in (Status.FAIL, Status.SKIP) for need in needed):
            continue
        context = Context(
            site=site,
            credentials=credentials,
            results=results,
            paired=host,
            facts=None,
            media_time_s=0.3,
            thorough=False,
        )
        finding = await spec.probe(context)
        results[name] = CheckResult(
            id=name, title=spec.title, category="turn", status=finding.status, vantage="client",
            target=finding.target, summary=finding.summary, evidence=finding.evidence,
        )  # fmt: skip
    return results, [one.cause for one in diagnose(Evidence(Phase.PRE, list(results.values())), CAUSES)]


def statuses(results: Mapping[str, CheckResult]) -> dict[str, str]:
    return {name: str(result.status) for name, result in results.items()}


async def test_healthy_over_udp_tcp_and_tls(tmp_path: Path, free_port: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    certificate = (tmp_path / "cert.pem", tmp_path / "key.pem")
    async with coturn(tmp_path, (free_port(), free_port()), certificate=certificate) as server:
        results, causes = await checked(tuple(server.uri(transport) for transport in ("udp", "tcp", "tls")))
        assert statuses(results) == dict.fromkeys(TURN_CHECKS, "pass")
        assert causes == []
        rows = results["turn.allocate"].evidence["servers"]
        assert [row["transport"] for row in rows] == ["udp", "tcp", "tls"] and all(row["ok"] for row in rows)
        assert results["turn.relay-range"].evidence["arrived"] == 2 * turn.DATAGRAMS
        # one after the other through each transport too: data goes through every one of them
        for transport in ("tcp", "tls"):
            alone, _ = await checked((server.uri(transport),))
            assert statuses(alone) == dict.fromkeys(TURN_CHECKS, "pass")


async def test_the_media_host_is_reached_through_it(tmp_path: Path, free_port: Ports) -> None:
    async with coturn(tmp_path, (free_port(), free_port())) as server, media_host() as stand_in:
        host = paired(stand_in.ready)
        for transport in ("udp", "tcp"):
            results, causes = await checked((server.uri(transport),), host=host)
            assert statuses(results) == dict.fromkeys(TURN_CHECKS, "pass")
            assert results["turn.relay-range"].evidence["carried"] == turn.RELAY_PORTS_SAMPLED
            assert causes == []


async def test_the_shared_secret(tmp_path: Path, free_port: Ports) -> None:
    async with coturn(tmp_path, (free_port(), free_port()), secret=True) as server:
        results, causes = await checked((server.uri(),), Credentials(turn_secret=Secret(SECRET)))
        assert statuses(results) == dict.fromkeys(TURN_CHECKS, "pass") and causes == []
        results, causes = await checked((server.uri(),), Credentials(turn_secret=Secret("another")))
        assert statuses(results)["turn.allocate"] == "fail" and causes == ["turn.secret-mismatch"]
        expired = rest_credentials(Secret(SECRET), int(time.time()) - 3600, "alice")
        results, causes = await checked((server.uri(),), Credentials(turn=expired))
        assert statuses(results)["turn.allocate"] == "fail" and causes == ["turn.credentials-expired"]


async def test_a_wrong_password(tmp_path: Path, free_port: Ports) -> None:
    async with coturn(tmp_path, (free_port(), free_port())) as server:
        wrong = Credentials(turn=TurnCredentials(USER, Secret("queen")))
        results, causes = await checked((server.uri(), server.uri("tcp")), wrong)
        assert statuses(results)["turn.allocate"] == "fail" and causes == ["turn.secret-mismatch"]


async def test_a_denied_peer(tmp_path: Path, free_port: Ports) -> None:
    async with (
        coturn(tmp_path, (free_port(), free_port()), f"denied-peer-ip={HOST}") as server,
        media_host() as stand_in,
    ):
        results, causes = await checked((server.uri(),), host=paired(stand_in.ready))
        assert statuses(results)["turn.permission"] == "fail" and causes == ["turn.peer-denied"]
        # without a media host to name, a server that denies its own range has done nothing wrong
        results, causes = await checked((server.uri(),))
        assert statuses(results)["turn.permission"] == "unknown" and causes == []


async def test_a_quota(tmp_path: Path, free_port: Ports) -> None:
    async with coturn(tmp_path, (free_port(), free_port()), "user-quota=1") as server:
        uri = server.uri()
        for _ in range(2):  # each run gives back what it took, and does not take its own for somebody else's
            results, causes = await checked((uri,))
            assert statuses(results)["turn.allocate"] == statuses(results)["turn.permission"] == "pass"
            assert causes == []
        credentials = TurnCredentials(USER, Secret(PASSWORD))
        await asyncio.sleep(relay.FREED_AFTER_S)
        async with await turn_client.allocate(uri, (HOST, uri.port), credentials, timeout_s=2):
            results, causes = await checked((uri,))
            assert statuses(results)["turn.allocate"] == "fail" and causes == ["turn.quota"]


async def test_an_open_relay(tmp_path: Path, free_port: Ports) -> None:
    async with coturn(tmp_path, (free_port(), free_port()), auth=False) as server:
        results, causes = await checked((server.uri(),))
        assert statuses(results)["turn.challenge"] == "fail" and causes == ["turn.unauthenticated"]


async def test_one_that_hangs_and_one_that_is_down(tmp_path: Path, free_port: Ports) -> None:
    async with coturn(tmp_path, (free_port(), free_port())) as server:
        uris = server.uri(), server.uri("tcp")
        server.stop()
        results, causes = await checked(uris)
        assert statuses(results)["turn.challenge"] == "fail" and causes == ["turn.blocked"]
    results, causes = await checked(uris)
    assert statuses(results)["turn.challenge"] == "fail" and causes == ["turn.not-running"]


async def test_tls_on_the_plain_port_and_an_untrusted_certificate(tmp_path: Path, free_port: Ports) -> None:
    issued = trustme.CA().issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    certificate = (tmp_path / "cert.pem", tmp_path / "key.pem")
    async with coturn(tmp_path, (free_port(), free_port()), certificate=certificate) as server:
        _, causes = await checked((server.uri("tls"),))
        assert causes == ["turn.tls-invalid"]
        plain_on_tls = ServerUri(scheme="turn", host=HOST, port=server.tls_port, transport="tcp")
        results, _ = await checked((plain_on_tls,))
        assert statuses(results)["turn.challenge"] in ("pass", "fail")  # coturn serves both on either port
