"""port.api-tcp against the stand-in's API and broken ones on 127.0.0.1: each is named, with its cause."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import trustme

from calls_doctor.diagnosis.cause import Evidence
from calls_doctor.diagnosis.causes import CAUSES
from calls_doctor.diagnosis.cover import diagnose
from calls_doctor.model.check import CheckResult, Finding, Status
from calls_doctor.model.site import Phase, Site
from calls_doctor.net import resolver
from calls_doctor.net.paired import PairedHost
from calls_doctor.standin.api import ApiServer
from calls_doctor.standin.launch import Options, StandInProcess
from calls_doctor.standin.server import StandIn
from calls_doctor.wire import rtcd_version
from checks import api
from tests.servers import certificates
from tests.servers.api_servers import VERSION
from tests.servers.media_host import context, paired
from tests.servers.plain_sockets import eventually
from tests.servers.process_state import GONE_OR_STOPPED, state
from tests.servers.scripted_tcp import HOST, answering, http_answer
from tests.servers.turn_servers import tcp_listener

API_ONLY = Options(without=frozenset({"media", "stun", "turn"}))


async def found(url: str, host: PairedHost | None = None) -> tuple[Finding, list[str]]:
    """The finding, and the causes that are named for it."""
    given = replace(context(host, phase=Phase.PRE), site=Site(phase=Phase.PRE, rtcd_url=url))
    finding = await api.api_tcp_probe(given)
    result = CheckResult(
        id="port.api-tcp", title="", category="port", status=finding.status, vantage="mattermost",
        target=finding.target, summary=finding.summary, evidence=finding.evidence,
    )  # fmt: skip
    msgspec.json.encode(result)
    return finding, [one.cause for one in diagnose(Evidence(Phase.PRE, [result]), CAUSES)]


@pytest.fixture
async def host() -> AsyncIterator[PairedHost]:
    """A link's stand-in; its own API is not the one that is tested."""
    async with StandIn(API_ONLY) as stand_in:
        yield paired(stand_in.ready)


def words(finding: Finding) -> tuple[Status, str, str]:
    return finding.status, finding.evidence["stage"], finding.evidence["trouble"]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(api, "TLS_TRY_S", 0.05)


async def test_the_stand_ins_api_passes() -> None:
    async with StandIn(API_ONLY) as stand_in:
        assert stand_in.ready is not None
        finding, causes = await found(f"http://{HOST}:{stand_in.ready.api_port}", paired(stand_in.ready))
    assert finding.status is Status.PASS and finding.summary.startswith("a stand-in answers") and causes == []
    evidence = finding.evidence
    assert (evidence["http_status"], evidence["address"]) == (200, HOST) and 0 < evidence["connect_s"] < 1
    assert evidence["version"].startswith(rtcd_version.STAND_IN_PREFIX)


async def test_without_a_link_the_version_is_enough() -> None:
    async with answering(http_answer(200, VERSION)) as api:
        finding, causes = await found(api.url(""))
    assert (finding.status, finding.evidence["version"], causes) == (Status.PASS, "v1.2.6", [])
    async with answering(http_answer(200, VERSION.replace(b"v1.2.6", b""))) as api:
        finding, _ = await found(api.url(""))
    assert finding.status is Status.PASS and "unnamed" in finding.summary


async def test_a_closed_port_is_refused(free_port: Callable[[], int]) -> None:
    finding, causes = await found(f"http://{HOST}:{free_port()}")
    assert words(finding) == (Status.FAIL, "connect", "refused") and causes == ["api.refused"]


@pytest.mark.usefixtures("quick")
async def test_a_port_that_never_answers_is_blocked() -> None:
    with socket.socket() as listener, socket.socket() as one, socket.socket() as other:
        listener.bind((HOST, 0))
        listener.listen(0)
        for waiting in (one, other):  # Linux drops a SYN for which the queue has no room
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        finding, causes = await found(f"http://{HOST}:{listener.getsockname()[1]}")
    assert words(finding) == (Status.FAIL, "connect", "silent") and causes == ["api.blocked"]


@pytest.mark.usefixtures("quick")
async def test_one_that_hangs_after_the_connection_and_one_that_cuts_it() -> None:
    async with tcp_listener(hangs=True) as port:
        finding, causes = await found(f"http://{HOST}:{port}")
    assert words(finding) == (Status.FAIL, "http", "silent") and causes == ["api.no-answer"]
    async with tcp_listener() as port:
        finding, causes = await found(f"http://{HOST}:{port}")
    assert words(finding) == (Status.FAIL, "http", "cut") and causes == ["api.no-answer"]
    async with answering(http_answer(200, VERSION)[:-10]) as api:
        finding, causes = await found(api.url(""))
    assert words(finding) == (Status.FAIL, "http", "cut") and causes == ["api.no-answer"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("answer", "word", "cause"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not-http", "api.wrong-service"),
        (http_answer(200, b"<html>It works!</html>"), "status-200", "api.wrong-service"),
        (http_answer(200, b'{"version":"10.5"}'), "status-200", "api.wrong-service"),
        (http_answer(301, b"", "Location: https://mm.example.com/"), "status-301", "api.wrong-service"),
        (http_answer(404, b"404 page not found\n"), "status-404", "api.wrong-service"),
        (http_answer(401), "status-401", "api.wrong-service"),
        (http_answer(502, b"<html>"), "status-502", "api.bad-gateway"),
        (http_answer(503), "status-503", "api.bad-gateway"),
    ],
)
async def test_something_else_answers(answer: bytes, word: str, cause: str) -> None:
    async with answering(answer) as api:
        finding, causes = await found(api.url(""))
    assert words(finding) == (Status.FAIL, "http", word) and causes == [cause]


async def test_a_name_without_an_address_blames_no_port() -> None:
    finding, causes = await found("http://nobody.invalid:8045")
    assert words(finding) == (Status.FAIL, "connect", "unresolved") and causes == []
    assert "nobody.invalid" in finding.summary


@pytest.mark.parametrize("answer", [http_answer(400), b"SSH-2.0\r\n"])
@pytest.mark.usefixtures("quick")
async def test_a_plain_port_that_refuses_plain_http_is_not_taken_for_tls(answer: bytes) -> None:
    async with answering(answer) as api:
        finding, causes = await found(api.url(""))
    assert finding.evidence["trouble"] in ("status-400", "not-http") and causes == ["api.wrong-service"]


async def test_https_to_a_plain_port_and_http_to_one_that_speaks_tls() -> None:
    async with StandIn(API_ONLY) as stand_in:
        assert stand_in.ready is not None
        finding, causes = await found(f"https://{HOST}:{stand_in.ready.api_port}")
    assert words(finding) == (Status.FAIL, "connect", "tls") and causes == ["tls.invalid"]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert(HOST).configure_cert(context)
    async with answering(http_answer(200, VERSION), tls=context) as api:
        finding, causes = await found(api.url(""))
        assert words(finding) == (Status.FAIL, "http", "wants-tls") and causes == ["tls.invalid"]
        finding, causes = await found(api.url("", scheme="https"))
        assert words(finding) == (Status.FAIL, "connect", "tls") and causes == ["tls.invalid"]
        assert "not to be trusted" in finding.summary


async def test_a_certificate_that_has_expired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = certificates.authority(tmp_path).trusted(monkeypatch)
    async with answering(http_answer(200, VERSION), tls=own.context(HOST, days=-3)) as api:
        finding, causes = await found(api.url("", scheme="https"))
    assert words(finding) == (Status.FAIL, "connect", "tls") and causes == ["tls.expired"]
    assert (finding.evidence["fault"], finding.evidence["names"]) == ("expired", [HOST])
    assert finding.evidence["not_after_unix_s"] < finding.evidence["asked_unix_s"]


async def test_https_with_a_certificate_for_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def here(_host: str) -> list[str]:
        return [HOST]

    monkeypatch.setattr(resolver, "resolve", here)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("rtcd.example.com").configure_cert(context)
    async with answering(http_answer(200, VERSION), tls=context) as api:
        finding, causes = await found(f"https://rtcd.example.com:{api.port}")
        assert finding.status is Status.PASS and causes == []
        finding, causes = await found(f"https://other.example.com:{api.port}")
        assert words(finding) == (Status.FAIL, "connect", "tls") and causes == ["tls.invalid"]


OTHER_HOST = "127.0.0.2"


@pytest.fixture
def two_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name has two addresses."""

    async def both(_host: str) -> list[str]:
        return [HOST, OTHER_HOST]

    monkeypatch.setattr(resolver, "resolve", both)


@pytest.mark.usefixtures("two_addresses")
async def test_each_address_of_the_name_is_asked_by_itself(host: PairedHost) -> None:
    def listening(*hosts: str) -> ApiServer:
        return ApiServer(hosts, client_id=host.api_client_id, auth_key=host.api_auth_key)

    async with listening(HOST, OTHER_HOST) as api:
        finding, causes = await found(f"http://rtcd.example.com:{api.port}", host)
        assert finding.status is Status.PASS and causes == [] and "2 of 2 addresses" in finding.summary
        assert [(row["address"], row["ok"]) for row in finding.evidence["addresses"]] == [
            (HOST, True), (OTHER_HOST, True),
        ]  # fmt: skip
    async with listening(HOST) as api:
        finding, causes = await found(f"http://rtcd.example.com:{api.port}", host)
    assert words(finding) == (Status.FAIL, "connect", "refused") and causes == ["api.refused"]
    assert finding.summary.startswith(f"{OTHER_HOST}: ") and "1 of 2 addresses" in finding.summary
    assert [(row["ok"], row["trouble"]) for row in finding.evidence["addresses"]] == [(True, None), (False, "refused")]


@pytest.mark.parametrize(
    ("what", "stage", "word", "cause"),
    [
        (signal.SIGKILL, "connect", "refused", "api.refused"),
        (signal.SIGSTOP, "http", "silent", "api.no-answer"),
    ],
)
async def test_one_that_is_killed_or_stopped_is_named_within_three_seconds(
    what: signal.Signals, stage: str, word: str, cause: str
) -> None:
    process = StandInProcess(API_ONLY)
    async with process as ready:
        url = f"http://{HOST}:{ready.api_port}"
        assert (await found(url, paired(ready)))[0].status is Status.PASS
        os.kill(process.pid, what)
        await eventually(lambda: state(process.pid) in GONE_OR_STOPPED)
        began_s = time.monotonic()
        try:
            finding, causes = await found(url, paired(ready))
        finally:
            if what is signal.SIGSTOP:
                os.kill(process.pid, signal.SIGCONT)
        assert time.monotonic() - began_s < 3.0
    assert words(finding) == (Status.FAIL, stage, word) and causes == [cause]
