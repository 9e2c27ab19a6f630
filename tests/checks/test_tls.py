"""tls.site, tls.turn and tls.rtcd against real servers: each fault of a certificate, and a clock
that is to blame for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from calls_doctor.model.certificate import TlsFault
from calls_doctor.model.check import CheckResult, Finding, Status
from calls_doctor.model.site import Phase, ServerUri
from calls_doctor.model.site import Site as TestedSite
from checks import clocks, tls
from tests.diagnosis import findings
from tests.servers import certificates
from tests.servers.certificates import NAME, Authority
from tests.servers.media_host import context
from tests.servers.scripted_tcp import HOST
from tests.servers.site_servers import Site, site
from tests.servers.turn_servers import tcp_listener

DAY_S = 86_400.0
FAULTS = [one for one in TlsFault if one is not TlsFault.UNTRUSTED]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    return certificates.authority(tmp_path).trusted(monkeypatch)


def as_result(check: str, finding: Finding) -> CheckResult:
    result = CheckResult(
        id=check, title="", category=check.split(".")[0], status=finding.status, vantage="client",
        target=finding.target, summary=finding.summary, evidence=finding.evidence,
    )  # fmt: skip
    msgspec.json.encode(result)
    return result


async def looked_at(url: str) -> Finding:
    given = replace(context(None), site=TestedSite(phase=Phase.UNDETERMINED, mattermost_url=url))
    return await tls.site_probe(given)


async def told(url: str) -> tuple[Finding, list[str]]:
    finding = await looked_at(url)
    return finding, findings.causes(as_result("tls.site", finding))


async def test_a_certificate_that_is_trusted(own: Authority) -> None:
    async with site(Site(), own.context()) as server:
        finding, causes = await told(f"https://{NAME}:{server.port}")
        assert server.requests == []
    assert (finding.status, causes) == (Status.PASS, [])
    evidence = finding.evidence
    assert (evidence["fault"], evidence["protocol"], evidence["names"]) == ("", "TLSv1.3", [NAME])
    assert evidence["days_left"] == pytest.approx(90, abs=0.1) and "90 days left" in finding.summary
    assert 0 < evidence["handshake_s"] < 2 and "trustme" in evidence["issuer"]


@pytest.mark.parametrize(
    ("life_days", "left_days", "status"),
    [(120, 20, Status.WARN), (120, 22, Status.PASS), (6, 3, Status.PASS), (6, 1, Status.WARN), (30, 11, Status.PASS)],
)
async def test_one_that_soon_expires(own: Authority, life_days: float, left_days: float, status: Status) -> None:
    began = datetime.now(UTC) + timedelta(days=left_days - life_days)
    async with site(Site(), own.context(not_before=began, days=left_days)) as server:
        finding, causes = await told(f"https://{NAME}:{server.port}")
    assert (finding.status, causes) == (status, [])


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_is_told_apart(fault: TlsFault, own: Authority, tmp_path: Path) -> None:
    async with site(Site(), certificates.faulty(fault, own, tmp_path)) as server:
        finding, causes = await told(f"https://{NAME}:{server.port}")
    assert finding.status is Status.FAIL and "not to be trusted" in finding.summary
    evidence = finding.evidence
    assert (evidence["stage"], evidence["trouble"], evidence["fault"]) == ("tls", fault, fault)
    assert evidence["asked_unix_s"] == pytest.approx(time.time(), abs=5)
    assert {"subject", "issuer", "not_before_unix_s", "not_after_unix_s", "chain_length", "days_left"} <= set(evidence)
    assert causes == ["tls.expired" if fault is TlsFault.EXPIRED else "tls.invalid"]


async def test_a_port_that_speaks_no_tls_and_one_that_is_closed(own: Authority, free_port: Callable[[], int]) -> None:
    assert own
    async with tcp_listener(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        finding, causes = await told(f"https://{NAME}:{port}")
    assert (finding.evidence["stage"], finding.evidence["trouble"]) == ("tls", "not-tls") and causes == ["tls.invalid"]
    finding, causes = await told(f"https://{HOST}:{free_port()}")
    assert (finding.status, finding.evidence["trouble"]) == (Status.FAIL, "refused")
    assert causes == ["mattermost.unreachable"]


async def test_silence(own: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    assert own
    monkeypatch.setattr(tls, "TIMEOUT_S", 0.2)
    async with site(Site(hangs=True)) as server:  # it waits for a request, and never says anything of TLS
        finding, causes = await told(f"https://{NAME}:{server.port}")
    assert (finding.status, finding.evidence["trouble"]) == (Status.FAIL, "silent")
    assert causes == ["mattermost.unreachable"]


async def test_a_name_without_an_address_is_for_the_checks_of_names() -> None:
    finding, causes = await told("https://nobody.invalid")
    assert (finding.status, finding.evidence["trouble"], causes) == (Status.UNKNOWN, "unresolved", [])


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://mm.example.com", Status.WARN),
        ("http://192.0.2.7:8065", Status.WARN),
        ("http://localhost:8065", Status.PASS),
        ("http://chat.localhost", Status.PASS),
        ("http://127.0.0.1:8065", Status.PASS),
        ("http://[::1]:8065", Status.PASS),
    ],
)
async def test_a_site_without_tls_gets_no_microphone(url: str, status: Status) -> None:
    """Nothing is sent: the URL says it."""
    finding, causes = await told(url)
    assert (finding.status, causes) == (status, [])


# --- a clock that is to blame ---


@pytest.mark.parametrize(
    ("fault", "ahead_days", "cause"),
    [
        (TlsFault.EXPIRED, 0, "tls.expired"),
        (TlsFault.EXPIRED, -10, "clock.skewed"),
        (TlsFault.EXPIRED, 10, "tls.expired"),
        (TlsFault.NOT_YET_VALID, 0, "tls.invalid"),
        (TlsFault.NOT_YET_VALID, 10, "clock.skewed"),
        (TlsFault.NOT_YET_VALID, -10, "tls.invalid"),
    ],
)
async def test_a_certificate_is_not_to_blame_where_a_clock_is(
    fault: TlsFault, ahead_days: int, cause: str, own: Authority, tmp_path: Path
) -> None:
    """The site's Date is as far from this machine's clock as a caller's wrong clock would be from the site's."""
    async with site(Site(ahead_s=ahead_days * DAY_S), certificates.faulty(fault, own, tmp_path)) as server:
        given = replace(context(None), site=TestedSite(mattermost_url=f"https://{NAME}:{server.port}"))
        results = [
            as_result("tls.site", await tls.site_probe(given)),
            as_result("clocks.skew", await clocks.skew_probe(given)),
        ]
    assert findings.causes(*results) == [cause]


# --- TURN over TLS ---


async def turn_looked_at(*ports: int) -> tuple[Finding, list[str]]:
    uris = tuple(ServerUri(scheme="turns", host=NAME, port=port, transport="tls") for port in ports)
    finding = await tls.turn_probe(replace(context(None), site=TestedSite(phase=Phase.UNDETERMINED, turn=uris)))
    return finding, findings.causes(as_result("tls.turn", finding))


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_of_a_turn_servers(fault: TlsFault, own: Authority, tmp_path: Path) -> None:
    async with site(Site(), certificates.faulty(fault, own, tmp_path)) as bad, site(Site(), own.context()) as good:
        finding, causes = await turn_looked_at(bad.port)
        assert (finding.status, causes) == (Status.FAIL, ["turn.tls-invalid"])
        (row,) = finding.evidence["servers"]
        assert (row["ok"], row["trouble"], row["fault"], row["names"] != []) == (False, "tls", fault, True)
        finding, causes = await turn_looked_at(good.port, bad.port)
    assert (finding.status, causes) == (Status.WARN, ["turn.tls-invalid"])


async def test_turn_servers_that_are_trusted_and_that_nobody_reaches(
    own: Authority, free_port: Callable[[], int]
) -> None:
    async with site(Site(), own.context()) as good:
        finding, causes = await turn_looked_at(good.port)
        assert (finding.status, causes) == (Status.PASS, [])
        finding, causes = await turn_looked_at(good.port, free_port())
        assert (finding.status, causes) == (Status.PASS, []), "who listens is judged elsewhere"
    finding, causes = await turn_looked_at(free_port())
    assert (finding.status, causes) == (Status.UNKNOWN, [])
    assert finding.evidence["not_asked"][0]["trouble"] == "refused"


async def test_without_turns_there_is_nothing_to_look_at() -> None:
    plain = (ServerUri(scheme="turn", host=NAME, port=3478),)
    finding = await tls.turn_probe(replace(context(None), site=TestedSite(turn=plain)))
    assert finding.status is Status.SKIP and finding.evidence == {"nothing_to_do": True}
    spec = next(one for one in tls.CHECKS if one.id == "tls.turn")
    assert "turns:" in spec.nothing_to_do(TestedSite(turn=plain)) and "--turn" in spec.nothing_to_do(TestedSite())
    assert spec.nothing_to_do(TestedSite(paired=True)) == ""


async def test_a_site_whose_name_has_no_address_is_left_to_the_checks_of_names() -> None:
    names = [{"name": NAME, "addresses": []}]
    known = CheckResult(
        id="dns.site", title="", category="dns", status=Status.FAIL, vantage="client", evidence={"names": names}
    )
    given = context(None, site=TestedSite(mattermost_url=f"https://{NAME}"), results={known.id: known})
    finding = await tls.site_probe(given)
    assert (finding.status, finding.blocked_by) == (Status.SKIP, "dns.site")


async def test_a_turn_server_whose_name_has_no_address_is_left_to_the_checks_of_names() -> None:
    uris = (ServerUri(scheme="turns", host="nobody.invalid", port=5349, transport="tls"),)
    given = context(None, site=TestedSite(phase=Phase.UNDETERMINED, turn=uris))
    assert (await tls.turn_probe(given)).status is Status.UNKNOWN
    looked_up = CheckResult(id="dns.media-names", title="", category="dns", status=Status.FAIL, vantage="client")
    finding = await tls.turn_probe(replace(given, results={looked_up.id: looked_up}))
    assert (finding.status, finding.blocked_by) == (Status.SKIP, "dns.media-names")


async def looked_at_rtcd(url: str, hosts: Sequence[str] = (HOST,)) -> tuple[Finding, list[str]]:
    """tls.rtcd at these addresses, where port.api-tcp passed."""
    rows = [{"address": host, "version": "v1.2.6"} for host in hosts]
    passed = Finding(status=Status.PASS, summary="", evidence={"addresses": rows})
    given = context(None, results={"port.api-tcp": as_result("port.api-tcp", passed)})
    finding = await tls.rtcd_probe(replace(given, site=TestedSite(phase=Phase.UNDETERMINED, rtcd_url=url)))
    return finding, findings.causes(as_result("tls.rtcd", finding))


async def test_rtcds_api_over_tls_with_a_private_authority(own: Authority) -> None:
    async with site(Site(), own.context()) as server:
        finding, causes = await looked_at_rtcd(f"https://{NAME}:{server.port}")
        assert server.requests == []
    assert (finding.status, causes) == (Status.PASS, []) and "is trusted" in finding.summary
    assert 0 <= finding.evidence["addresses"][0]["tls_s"] < 1
    async with site(Site(), own.context(days=5)) as server:
        finding, causes = await looked_at_rtcd(f"https://{NAME}:{server.port}")
    assert (finding.status, causes) == (Status.WARN, [])


async def test_rtcds_api_without_tls_is_for_the_servers_own_network() -> None:
    finding, causes = await looked_at_rtcd("http://rtcd.example.com:8045")
    assert (finding.status, finding.evidence, causes) == (Status.PASS, {"tls": False}, [])


async def test_a_handshake_with_rtcd_that_takes_longer_than_the_plugin_waits(
    own: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "PLUGIN_WAITS_S", 1e-9)
    async with site(Site(), own.context()) as server:
        finding, causes = await looked_at_rtcd(f"https://{NAME}:{server.port}")
    assert (finding.status, finding.evidence["stage"], causes) == (Status.FAIL, "slow", ["tls.invalid"])


async def test_one_address_of_rtcds_api_that_shows_another_certificate(own: Authority, tmp_path: Path) -> None:
    async with site(Site(), certificates.faulty(TlsFault.WRONG_NAME, own, tmp_path)) as server:
        finding, causes = await looked_at_rtcd(f"https://{NAME}:{server.port}")
    assert (finding.status, finding.evidence["stage"], causes) == (Status.FAIL, "tls", ["tls.invalid"])


async def test_an_address_of_rtcds_api_that_is_gone_meanwhile_is_undecided(free_port: Callable[[], int]) -> None:
    finding, causes = await looked_at_rtcd(f"https://{NAME}:{free_port()}")
    assert (finding.status, causes) == (Status.UNKNOWN, [])
