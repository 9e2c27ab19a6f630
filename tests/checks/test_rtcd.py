"""api.rtcd-* against rtcd's API as captured, against rtcd itself where RTCD_BIN names it, against the stand-in's and
broken ones: each is named, with its cause."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from msgspec import structs

from calls_doctor.diagnosis.cause import Evidence
from calls_doctor.diagnosis.causes import CAUSES
from calls_doctor.diagnosis.cover import diagnose
from calls_doctor.model.check import CheckResult, Finding, Status
from calls_doctor.model.credentials import Credentials, RtcdClient, Secret
from calls_doctor.model.facts import Facts
from calls_doctor.model.report import Diagnosis
from calls_doctor.model.site import Phase, Site
from calls_doctor.net import resolver, rtcd_registration
from calls_doctor.net.key_pace import Pace
from calls_doctor.net.paired import PairedHost
from calls_doctor.net.rtcd_registration import RtcdRegistration
from calls_doctor.saved.registrations import RegistrationFiles
from calls_doctor.spec import no_registration
from calls_doctor.standin.api import ApiServer
from calls_doctor.standin.launch import Options
from calls_doctor.standin.server import StandIn
from calls_doctor.wire import rtcd, rtcd_version
from calls_doctor.wire.rtcd_signal import Sender
from checks import api
from checks import rtcd as checks_rtcd
from tests.servers import media_host, rtcd_server
from tests.servers.api_servers import VERSION, accepting_api, scripted_api
from tests.servers.media_host import context, paired
from tests.servers.registering_api import registering_api
from tests.servers.scripted_tcp import HOST, http_answer

API_ONLY = Options(without=frozenset({"media", "stun", "turn"}))
STAND_IN_VERSION = VERSION.replace(b"v1.2.6", rtcd_version.STAND_IN_PREFIX.encode() + b"0")
ID, KEY, OTHER_KEY, ADMIN = "mattermost-1", "k" * 32, "o" * 32, "admins-own-secret"
NO_RTCD = rtcd_server.why_not()
TOLD = Facts(
    local_addresses=[HOST], public_addresses=[HOST], media_port=8443, announced=[], needs_stun=False, stun=[],
    control_port=0,
)  # fmt: skip
"""What a stand-in says that knows the link."""


@dataclass(frozen=True)
class Found:
    """What the checks of one API came to."""

    by_id: dict[str, Finding]
    diagnosis: list[Diagnosis]
    let_in: RtcdClient | None

    @property
    def auth(self) -> Finding:
        return self.by_id["api.rtcd-auth"]

    @property
    def open(self) -> Finding:
        return self.by_id["api.rtcd-open-registration"]

    @property
    def causes(self) -> list[str]:
        return [one.cause for one in self.diagnosis]

    @property
    def words(self) -> tuple[Status, str, str]:
        """Of api.rtcd-auth."""
        return self.auth.status, self.auth.evidence["stage"], self.auth.evidence["trouble"]


def given(client_id: str = ID, key: str = KEY) -> Credentials:
    return Credentials(rtcd_client_id=client_id, rtcd_auth_key=Secret(key))


async def found(
    url: str,
    credentials: Credentials | None = None,
    host: PairedHost | None = None,
    facts: Facts | None = None,
    registration: RtcdRegistration | None = None,
) -> Found:
    """As a run makes them, one after the other; with `facts` the link is known at the media port."""
    registration = registration or no_registration()
    asks = replace(
        context(host, facts=facts, credentials=credentials),
        site=Site(phase=Phase.PRE, rtcd_url=url), registration=registration,
    )  # fmt: skip
    results: dict[str, CheckResult] = {}
    findings: dict[str, Finding] = {}
    for check, probe in (
        ("port.api-tcp", api.api_tcp_probe),
        ("api.rtcd-version", checks_rtcd.version_probe),
        ("api.rtcd-open-registration", checks_rtcd.open_registration_probe),
        ("api.rtcd-auth", checks_rtcd.auth_probe),
    ):
        findings[check] = await probe(replace(asks, results=results))
        made = media_host.result(check, findings[check])
        results[check] = structs.replace(made, target=findings[check].target, vantage="mattermost")
    assert KEY not in repr(findings) and OTHER_KEY not in repr(findings) and ADMIN not in repr(findings)
    diagnosis = diagnose(Evidence(Phase.PRE, list(results.values())), CAUSES)
    return Found(findings, diagnosis, registration.let_in)


@dataclass(frozen=True)
class Rtcd:
    """One that is asked."""

    url: str


@asynccontextmanager
async def captured_rtcd(*, admin: str = "", registers: bool = True) -> AsyncIterator[Rtcd]:
    async with registering_api() as server:
        server.known[ID], server.admin, server.registers = KEY, admin, registers
        yield Rtcd(server.url)


@asynccontextmanager
async def rtcd_itself(*, admin: str = "", registers: bool = True) -> AsyncIterator[Rtcd]:
    if NO_RTCD:
        pytest.skip(f"no rtcd here: {NO_RTCD}")
    settings = {"RTCD_API_SECURITY_ALLOWSELFREGISTRATION": str(registers).lower()}
    async with rtcd_server.rtcd_server(settings, admin, client=(ID, KEY)) as server:
        yield Rtcd(server.url)


AnRtcd = Callable[..., AbstractAsyncContextManager[Rtcd]]
both = pytest.mark.parametrize("an_rtcd", [captured_rtcd, rtcd_itself], ids=["captured", "itself"])


@pytest.fixture
async def host() -> AsyncIterator[PairedHost]:
    """A link's stand-in; its own API is not the one that is tested."""
    async with StandIn(API_ONLY) as stand_in:
        yield paired(stand_in.ready)


@pytest.fixture(autouse=True)
def _no_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtcd_registration, "Pace", lambda: Pace(0.0))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for one in (api, checks_rtcd):
        monkeypatch.setattr(one, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(api, "TLS_TRY_S", 0.05)


@both
async def test_the_right_pair_goes_in_by_key_and_by_token(an_rtcd: AnRtcd) -> None:
    async with an_rtcd() as server:
        what = await found(server.url, given())
    assert what.auth.status is Status.PASS and "a wrong key is refused" in what.auth.summary and what.causes == []
    evidence = what.auth.evidence
    assert (evidence["client"], evidence["login"], evidence["token"]) == ("given", "ok", "ok")
    assert what.let_in is not None and what.let_in.client_id == ID
    assert evidence["calls"] == "ok"
    assert evidence["refuses_wrong_key"] is True and 0 < evidence["hello_s"] < 2
    assert [row["cpu_load_ratio"] is not None for row in what.by_id["api.rtcd-version"].evidence["addresses"]] == [True]


@both
@pytest.mark.parametrize(
    ("client_id", "key", "login", "word", "step"),
    [
        ("nobody", KEY, "unknown-client", "was lost", "rtcd does not know this client"),
        (ID, OTHER_KEY, "wrong-key", "`already registered`", "rtcd knows this client by another key"),
        (ID, "short", "wrong-key", "keys have 32 to 72 bytes", "rtcd knows this client by another key"),
    ],
)
async def test_a_pair_that_is_wrong_is_named_for_what_is_wrong(
    an_rtcd: AnRtcd, client_id: str, key: str, login: str, word: str, step: str
) -> None:
    async with an_rtcd(admin=ADMIN, registers=False) as server:
        what = await found(server.url, given(client_id, key))
    assert what.words == (Status.FAIL, "websocket", "unauthorized") and what.causes == ["api.unauthorized"]
    assert what.auth.evidence["login"] == login and word in what.auth.summary
    assert what.diagnosis[0].remedy.steps[0].startswith(step)


@both
async def test_a_client_that_rtcd_does_not_know_is_no_trouble_where_it_registers_whoever_asks(
    an_rtcd: AnRtcd,
) -> None:
    async with an_rtcd() as server:
        new = await found(server.url, given("nobody", KEY))
        known = await found(server.url, given(ID, OTHER_KEY))
    assert new.auth.status is Status.WARN and "takes the plugin when that starts" in new.auth.summary
    assert (new.auth.evidence["login"], new.causes) == ("unknown-client", [])
    assert known.auth.status is Status.FAIL and known.causes == ["api.unauthorized"]


@both
async def test_the_admins_secret_as_a_key_opens_what_no_join_goes_through(an_rtcd: AnRtcd) -> None:
    async with an_rtcd(admin=ADMIN, registers=False) as server:
        what = await found(server.url, given("anybody", ADMIN))
    assert what.words == (Status.FAIL, "websocket", "admin-secret") and what.causes == ["api.unauthorized"]
    assert "rtcd's admin" in what.diagnosis[0].remedy.steps[0] and what.auth.evidence["calls"] == "wrong-credentials"


@both
@pytest.mark.parametrize(("admin", "registers"), [("", True), (ADMIN, False)])
async def test_whether_strangers_are_registered(an_rtcd: AnRtcd, admin: str, registers: bool) -> None:
    async with an_rtcd(admin=admin, registers=registers) as server:
        what = await found(server.url)
    (row,) = what.open.evidence["addresses"]
    assert (row["registers"], row["word"]) == (registers, "" if registers else "no-authorization")
    assert row["has_admin"] is (None if registers else True)
    assert what.open.status is Status.PASS and what.causes == []
    assert (
        "whoever reaches this API" if registers else "strangers are not registered, and an admin"
    ) in what.open.summary


@both
async def test_where_strangers_are_registered_the_run_is_one_and_goes_again(an_rtcd: AnRtcd, tmp_path: Path) -> None:
    said: list[str] = []
    async with an_rtcd() as server:
        mine = RtcdRegistration("calls-doctor-test", RegistrationFiles(tmp_path), said.append)
        async with mine:
            what = await found(server.url, registration=mine)
        assert what.auth.status is Status.PASS and what.auth.evidence["client"] == "registered"
        assert mine.client is not None
        after = await found(server.url, given(mine.client.client_id, mine.client.auth_key.reveal()))
    assert after.auth.evidence["login"] == "unknown-client" and len(said) == 1


async def test_where_it_is_forbidden_or_shut_nobody_goes_in(tmp_path: Path) -> None:
    async with captured_rtcd() as server:
        forbids = RtcdRegistration("x", RegistrationFiles(tmp_path), print, why_not="--no-register forbids it")
        what = await found(server.url, registration=forbids)
    assert what.auth.status is Status.SKIP and "--no-register" in what.auth.summary and what.causes == []
    async with captured_rtcd(registers=False) as server:
        what = await found(server.url)
    assert what.auth.status is Status.SKIP and "CALLS_DOCTOR_RTCD_CLIENT_ID" in what.auth.summary
    assert what.auth.evidence["refuses_wrong_key"] is True


async def test_a_header_that_is_taken_away_is_no_wrong_key() -> None:
    async with registering_api() as server:
        server.known[ID], server.opens = KEY, False
        what = await found(server.url, given())
    assert what.words == (Status.FAIL, "websocket", "header-lost") and what.causes == ["api.websocket-blocked"]


async def test_strangers_at_a_public_address_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    async with registering_api() as server:
        row = {"address": "203.0.113.20", "version": "v1.2.6"}
        monkeypatch.setattr(checks_rtcd, "_registers", lambda _url, host: _open(host))
        given_results = {
            "port.api-tcp": media_host.result("port.api-tcp", Finding(status=Status.PASS, summary="", evidence=row))
        }
        asks = replace(context(None, results=given_results), site=Site(rtcd_url=server.url))
        finding = await checks_rtcd.open_registration_probe(asks)
    assert finding.status is Status.WARN and finding.evidence["at_public_address"] is True


async def _open(host: str) -> dict[str, object]:
    return {"address": host, "registers": True, "word": "", "detail": "", "has_admin": None}


async def test_a_register_that_answers_otherwise_tells_nothing() -> None:
    for answer in (http_answer(502, b"<html>"), http_answer(200, b"welcome")):
        async with scripted_api(
            {"/version": http_answer(200, VERSION), "/register": answer, "/ws": http_answer(200)}
        ) as server:
            asks = replace(context(None), site=Site(rtcd_url=server.url("")))
            told = await api.api_tcp_probe(asks)
            results = {"port.api-tcp": media_host.result("port.api-tcp", told)}
            finding = await checks_rtcd.open_registration_probe(replace(asks, results=results))
        assert finding.status is Status.UNKNOWN and "was not told" in finding.summary


async def test_the_stand_in_greets_its_link_and_refuses_a_wrong_key() -> None:
    async with StandIn(API_ONLY) as stand_in:
        assert stand_in.ready is not None
        what = await found(f"http://{HOST}:{stand_in.ready.api_port}", host=paired(stand_in.ready))
    assert what.auth.status is Status.PASS and what.causes == []
    evidence = what.auth.evidence
    assert (evidence["client"], evidence["login"], evidence["token"]) == ("link", "ok", "ok")
    assert evidence["calls"] == "ok"
    assert what.open.status is Status.PASS and "strangers are not registered" in what.open.summary


async def test_a_stand_in_knows_its_link_whatever_credentials_are_given_for_rtcd() -> None:
    async with StandIn(API_ONLY) as stand_in:
        assert stand_in.ready is not None
        what = await found(f"http://{HOST}:{stand_in.ready.api_port}", given(), paired(stand_in.ready))
    assert what.auth.status is Status.PASS and what.auth.evidence["client"] == "link" and what.causes == []


async def test_another_key_is_unauthorized_where_the_link_is_known_to_be_of_a_stand_in_that_runs(
    host: PairedHost,
) -> None:
    async with StandIn(API_ONLY) as other:
        assert other.ready is not None
        what = await found(f"http://{HOST}:{other.ready.api_port}", host=host, facts=TOLD)
    assert what.words == (Status.FAIL, "websocket", "unauthorized") and what.causes == ["api.unauthorized"]
    assert host.api_auth_key.reveal() not in repr(what)


async def test_a_link_that_nothing_knows_is_another_runs_and_no_fault_of_any_key(host: PairedHost) -> None:
    async with StandIn(API_ONLY) as other:
        assert other.ready is not None
        what = await found(f"http://{HOST}:{other.ready.api_port}", given(), host)
    assert what.words == (Status.UNKNOWN, "websocket", "unauthorised") and what.causes == []
    assert "does not know this link" in what.auth.summary


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("version", [VERSION, STAND_IN_VERSION], ids=["rtcd", "stand-in"])
@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (http_answer(400, b"Bad Request"), "status-400"),
        (http_answer(426), "status-426"),
        (http_answer(502), "status-502"),
        (b"", "cut"),
        (None, "silent"),
        (b"nonsense", "not-websocket"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "not-websocket"),
    ],
)
async def test_http_works_and_the_upgrade_does_not_whoever_asks(
    host: PairedHost, version: bytes, answer: bytes | None, word: str
) -> None:
    register = http_answer(404, b"404 page not found\n")
    answers = {"/version": http_answer(200, version), "/ws": answer, "/register": register, "/system": register}
    async with scripted_api(answers) as server:
        what = await found(server.url(""), host=host)
    assert what.words == (Status.FAIL, "websocket", word) and what.causes == ["api.websocket-blocked"]
    assert what.auth.summary.startswith("/version answers, ")


async def test_an_api_that_takes_any_key_is_not_rtcd(host: PairedHost) -> None:
    hello = rtcd.encode(rtcd.Hello(host.api_client_id, "c"), Sender.SERVER)
    async with accepting_api(hello, version=STAND_IN_VERSION) as server:
        what = await found(server.url(""), host=host)
    assert what.words == (Status.FAIL, "websocket", "open") and what.causes == ["api.wrong-service"]
    assert what.auth.evidence["refuses_wrong_key"] is False


OTHER_HOST = "127.0.0.2"


@pytest.fixture
def two_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name has two addresses."""

    async def both_of_them(_host: str) -> list[str]:
        return [HOST, OTHER_HOST]

    monkeypatch.setattr(resolver, "resolve", both_of_them)


@pytest.mark.usefixtures("two_addresses")
async def test_each_address_of_the_name_is_entered_by_itself(host: PairedHost) -> None:
    async with ApiServer((HOST, OTHER_HOST), client_id=host.api_client_id, auth_key=host.api_auth_key) as server:
        what = await found(f"http://rtcd.example.com:{server.port}", host=host)
    assert what.auth.status is Status.PASS and "all 2 addresses" in what.auth.summary
    assert [(row["address"], row["ok"]) for row in what.auth.evidence["addresses"]] == [
        (HOST, True), (OTHER_HOST, True),
    ]  # fmt: skip
    assert what.by_id["api.rtcd-version"].status is Status.PASS


async def test_several_versions_behind_one_name_are_a_warning() -> None:
    rows = [{"address": HOST, "version": "v1.2.6"}, {"address": OTHER_HOST, "version": ""}]
    told = Finding(status=Status.PASS, summary="", evidence={"addresses": rows})
    async with registering_api() as server:
        asks = context(None, results={"port.api-tcp": media_host.result("port.api-tcp", told)})
        finding = await checks_rtcd.version_probe(replace(asks, site=Site(rtcd_url=server.url)))
    assert finding.status is Status.WARN and "127.0.0.2: unnamed" in finding.summary
