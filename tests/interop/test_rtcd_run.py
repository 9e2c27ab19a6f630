"""`calls-doctor check --from mattermost --rtcd-url …` against rtcd itself: by credentials, as a client of its own, over
TLS, at two addresses of one name; and what it leaves behind, also where it is interrupted or killed: nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any  # a report is JSON

import pytest

from calls_doctor import run
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.report import Report
from calls_doctor.model.site import Phase
from calls_doctor.net import resolver
from calls_doctor.run import Request
from calls_doctor.standin.launch import Options
from calls_doctor.standin.server import StandIn
from calls_doctor.wire import rtcd_http
from tests.cli.command_line import calls_doctor, started
from tests.servers import certificates
from tests.servers.plain_sockets import eventually
from tests.servers.process_state import state
from tests.servers.rtcd_server import HOST, RtcdServer, rtcd_server, why_not

pytestmark = pytest.mark.skipif(why_not() != "", reason=f"no rtcd here: {why_not()}")
OTHER_HOST, NAME, ADMIN = "127.0.0.2", "rtcd.example.com", "admins-own-secret"
OF_RTCD = ("api.rtcd-version", "api.rtcd-open-registration", "api.rtcd-auth", "tls.rtcd", "config.versions")
OPEN_WITH_ADMIN = {"RTCD_API_SECURITY_ALLOWSELFREGISTRATION": "true"}


class Heard(list[str]):
    """What the reader of the progress was told."""

    def planned(self, ids: list[str]) -> None: ...

    def started(self, check: str) -> None: ...

    def finished(self, result: CheckResult) -> None: ...

    def said(self, text: str) -> None:
        self.append(text)


async def checked(
    url: str, notes: Path, heard: Heard | None = None, environment: Mapping[str, str] | None = None
) -> Report:
    request = Request(vantage="mattermost", rtcd_url=url, only=("port.api-tcp", "api", "tls", "config"))
    return await run.check(
        request, {"XDG_STATE_HOME": str(notes), **(environment or {})}, Heard() if heard is None else heard
    )


def statuses(report: Report) -> dict[str, Status]:
    return {one.id: one.status for one in report.checks}


def credentials(server: RtcdServer) -> dict[str, str]:
    return {
        "CALLS_DOCTOR_RTCD_CLIENT_ID": server.client_id,
        "CALLS_DOCTOR_RTCD_AUTH_KEY": server.auth_key,
    }


def is_registered(server: RtcdServer, client_id: str) -> bool:
    """As rtcd's admin finds out: by unregistering it."""
    headers = {"Authorization": rtcd_http.basic("", ADMIN)}
    asked = urllib.request.Request(f"{server.url}/unregister", rtcd_http.client_body(client_id), headers, method="POST")
    try:
        urllib.request.urlopen(asked).close()
    except urllib.error.HTTPError as error:
        with error:
            assert b"not found" in error.read()
        return False
    return True


@pytest.fixture
async def open_rtcd() -> AsyncIterator[RtcdServer]:
    """It registers strangers, and has an admin who sees what they leave."""
    async with rtcd_server(OPEN_WITH_ADMIN, ADMIN) as server:
        yield server


async def test_by_credentials_all_passes_and_the_phase_is_post(tmp_path: Path) -> None:
    async with rtcd_server(admin=ADMIN) as server:
        report = await checked(server.url, tmp_path, environment=credentials(server))
    assert {statuses(report)[one] for one in OF_RTCD} == {Status.PASS} and report.diagnosis == []
    assert (report.phase, report.verdict, report.versions) == (Phase.POST, "ok", {"rtcd": "unnamed"})
    assert report.settings is not None and server.auth_key not in repr(report)
    assert not tmp_path.joinpath("calls-doctor").exists(), "nothing was to be undone"


async def test_the_stand_in_gives_the_same_checks_fields_and_verdicts(tmp_path: Path) -> None:
    async with rtcd_server(admin=ADMIN) as server:
        of_rtcd = await checked(server.url, tmp_path, environment=credentials(server))
    async with StandIn(Options(without=frozenset({"media", "stun", "turn"}))) as stand_in:
        assert stand_in.ready is not None
        keys = stand_in.ready.pairing.keys
        pair = {
            "CALLS_DOCTOR_RTCD_CLIENT_ID": keys.api_client_id,
            "CALLS_DOCTOR_RTCD_AUTH_KEY": keys.api_auth_key.reveal(),
        }
        of_stand_in = await checked(f"http://{HOST}:{stand_in.ready.api_port}", tmp_path, environment=pair)
    both = [{one.id: (one.status, fields(one.evidence)) for one in report.checks} for report in (of_rtcd, of_stand_in)]
    assert both[0] == both[1] and of_rtcd.verdict == of_stand_in.verdict == "ok"
    assert (of_rtcd.phase, of_stand_in.phase) == (Phase.POST, Phase.PRE)


def fields(evidence: Any) -> Any:
    """The names in it, at every depth."""
    if isinstance(evidence, dict):
        return {name: fields(one) for name, one in evidence.items()}
    return [fields(one) for one in evidence] if isinstance(evidence, list) else type(evidence).__name__


async def test_without_credentials_a_client_of_its_own_goes_in_and_is_gone(
    open_rtcd: RtcdServer, tmp_path: Path
) -> None:
    heard = Heard()
    report = await checked(open_rtcd.url, tmp_path, heard)
    assert {statuses(report)[one] for one in OF_RTCD} == {Status.PASS} and report.verdict == "ok"
    (said,) = heard
    client_id = f"calls-doctor-{report.run_id}"
    assert client_id in said and open_rtcd.url in said
    assert not await asyncio.to_thread(is_registered, open_rtcd, client_id)
    assert await asyncio.to_thread(left_in, tmp_path) == []


async def test_over_tls_with_a_private_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = certificates.authority(tmp_path).trusted(monkeypatch)
    issued = own.ca.issue_cert(HOST)
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    settings = {
        "RTCD_API_HTTP_TLS_ENABLE": "true",
        "RTCD_API_HTTP_TLS_CERTFILE": str(tmp_path / "both.pem"),
        "RTCD_API_HTTP_TLS_CERTKEY": str(tmp_path / "both.pem"),
    }
    async with rtcd_server(settings) as server:
        report = await checked(server.url, tmp_path, environment=credentials(server))
        assert {statuses(report)[one] for one in OF_RTCD} == {Status.PASS} and report.verdict == "ok"
        plainly = await checked(server.url.replace("https", "http"), tmp_path, environment=credentials(server))
        monkeypatch.delenv("SSL_CERT_FILE")
        untrusted = await checked(server.url, tmp_path, environment=credentials(server))
    for one in (plainly, untrusted):
        assert [found.cause for found in one.diagnosis] == ["tls.invalid"]


async def test_two_of_them_behind_one_name_are_each_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def both(_host: str) -> list[str]:
        return [HOST, OTHER_HOST]

    monkeypatch.setattr(resolver, "resolve", both)
    async with (
        rtcd_server(OPEN_WITH_ADMIN, ADMIN) as one,
        rtcd_server(OPEN_WITH_ADMIN, ADMIN, api=(OTHER_HOST, one.api_port)) as other,
    ):
        report = await checked(f"http://{NAME}:{one.api_port}", tmp_path)
        client_id = f"calls-doctor-{report.run_id}"
        for server in (one, other):
            assert not await asyncio.to_thread(is_registered, server, client_id)
    auth = next(check for check in report.checks if check.id == "api.rtcd-auth")
    assert auth.status is Status.PASS and [row["ok"] for row in auth.evidence["addresses"]] == [True, True]
    assert report.verdict == "ok"


def left_in(notes: Path) -> list[str]:
    """Notes of what must be undone."""
    return [path.name for path in (notes / "calls-doctor" / "registrations").glob("*")]


def registering(server: RtcdServer, notes: Path) -> tuple[subprocess.Popen[str], str]:
    """A run that has just registered, and as whom."""
    process = started(["check", "--from", "mattermost", "--rtcd-url", server.url], {"XDG_STATE_HOME": str(notes)})
    assert process.stderr is not None
    while "registering" not in (line := process.stderr.readline()):
        assert line, "it ends without a word of it"
    client_id = next(word for word in line.split() if word.startswith("calls-doctor-"))
    return process, client_id


async def test_ctrl_c_leaves_no_client(open_rtcd: RtcdServer, tmp_path: Path) -> None:
    process, client_id = await asyncio.to_thread(registering, open_rtcd, tmp_path)
    await asyncio.sleep(0.3)  # it has gone in
    process.send_signal(signal.SIGINT)
    out, _ = await asyncio.to_thread(process.communicate, timeout=10)
    assert process.returncode == 130 and "Cut short" in out
    assert not await asyncio.to_thread(is_registered, open_rtcd, client_id)
    assert await asyncio.to_thread(left_in, tmp_path) == []


async def test_what_a_killed_run_has_left_goes_with_the_next(open_rtcd: RtcdServer, tmp_path: Path) -> None:
    process, client_id = await asyncio.to_thread(registering, open_rtcd, tmp_path)
    await asyncio.sleep(0.3)
    process.kill()
    await asyncio.to_thread(process.communicate, timeout=10)
    assert await asyncio.to_thread(left_in, tmp_path) == [f"{client_id}.json"]
    told = await asyncio.to_thread(
        calls_doctor, "check", "--from", "mattermost", "--rtcd-url", open_rtcd.url, "--no-register", "--format", "json",
        more={"XDG_STATE_HOME": str(tmp_path)},
    )  # fmt: skip
    assert f"{client_id} is no longer registered" in told.stderr
    rows: dict[str, Any] = {row["id"]: row for row in json.loads(told.stdout)["checks"]}
    assert rows["api.rtcd-auth"]["status"] == "skip" and "--no-register" in rows["api.rtcd-auth"]["summary"]
    assert not await asyncio.to_thread(is_registered, open_rtcd, client_id)
    assert await asyncio.to_thread(left_in, tmp_path) == []


def is_open(server: RtcdServer) -> bool:
    """Its threads end one after the other, and the last of them closes the port."""
    with socket.socket() as tried:
        return tried.connect_ex((server.host, server.api_port)) == 0


@pytest.mark.parametrize(
    ("what", "cause"), [(signal.SIGKILL, "api.refused"), (signal.SIGSTOP, "api.no-answer")], ids=["killed", "hung"]
)
async def test_one_that_ends_or_hangs_is_named_within_five_seconds(
    what: signal.Signals, cause: str, tmp_path: Path
) -> None:
    async with rtcd_server() as server:
        os.kill(server.pid, what)
        await eventually(lambda: state(server.pid) == "T" or not is_open(server))
        began_s = asyncio.get_running_loop().time()
        report = await checked(server.url, tmp_path, environment=credentials(server))
        assert asyncio.get_running_loop().time() - began_s < 5.0
    assert [one.cause for one in report.diagnosis] == [cause] and report.phase is Phase.UNDETERMINED
