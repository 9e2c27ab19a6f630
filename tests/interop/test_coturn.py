"""The TURN checks, a call and the diagnosis against coturn as Debian ships it: healthy over UDP, TCP and TLS, and
broken in each way that a setting of coturn can break it."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import trustme

from calls_doctor.model.check import Status
from calls_doctor.model.credentials import Credentials, Secret, TurnCredentials
from calls_doctor.model.site import Phase, ServerUri
from calls_doctor.net import relay, stun_client, turn_client, turn_clock
from calls_doctor.net.clock import Reading
from calls_doctor.net.filtering import filtering_tests
from calls_doctor.net.relay import Relays
from calls_doctor.wire.filtering import Change, Outcome
from calls_doctor.wire.turn import rest_credentials
from checks import media, tls
from checks import relay as relay_checks
from tests.servers import turn_checks
from tests.servers.media_host import context, media_host, paired
from tests.servers.middlebox import HOST
from tests.servers.turn_checks import Checked, checked
from tests.servers.turn_servers import PASSWORD, SECRET, USER, coturn, why_not
from tests.servers.two_addresses import OTHER_HOST

pytestmark = pytest.mark.skipif(why_not() != "", reason=f"no coturn here: {why_not()}")

ALL_PASS = dict.fromkeys(("challenge", "allocate", "permission", "relay-range"), "pass")
TRANSPORTS = ("udp", "tcp", "tls")
Ports = Callable[[], int]
Certificate = tuple[Path, Path]


def issued(folder: Path, authority: trustme.CA, name: str, expires: datetime.datetime | None = None) -> Certificate:
    """A certificate for this name and its key, as files."""
    made = authority.issue_cert(name, not_after=expires)
    made.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    made.private_key_pem.write_to_path(str(folder / "key.pem"))
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A private authority that this machine trusts, as an administrator would have it: by SSL_CERT_FILE."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return made


async def test_healthy_over_udp_tcp_and_tls(tmp_path: Path, free_port: Ports, authority: trustme.CA) -> None:
    certificate = issued(tmp_path, authority, "localhost")
    async with coturn(tmp_path, (free_port(), free_port()), certificate=certificate) as server:
        together = await checked(*(server.uri(transport) for transport in TRANSPORTS))
        assert together.statuses == ALL_PASS and together.causes == []
        assert [(row["transport"], row["ok"]) for row in together.rows("allocate")] == [
            (one, True) for one in TRANSPORTS
        ]
        assert str(together.rows("challenge")[0]["software"]).startswith("Coturn-")
        for transport in TRANSPORTS:  # data goes through each of them by itself
            alone = await checked(server.uri(transport))
            assert alone.statuses == ALL_PASS and alone.causes == []
            assert alone.results["turn.relay-range"].evidence["arrived"] == 2 * relay_checks.DATAGRAMS


async def test_a_call_goes_through_it(tmp_path: Path, free_port: Ports, authority: trustme.CA) -> None:
    certificate = issued(tmp_path, authority, "localhost")
    async with (
        coturn(tmp_path, (free_port(), free_port()), certificate=certificate) as server,
        media_host() as stand_in,
    ):
        host = paired(stand_in.ready)
        for transport in TRANSPORTS:
            uri = server.uri(transport)
            found = await checked(uri, host=host)
            assert found.statuses == ALL_PASS and found.causes == []
            assert found.results["turn.relay-range"].evidence["carried"] == relay_checks.RELAY_PORTS_SAMPLED
            relays = Relays()
            given = context(host, results=found.results, turn=(uri,), credentials=turn_checks.GIVEN, relays=relays)
            call = await media.call_relay_probe(given)
            await relays.close()
            assert call.status is Status.PASS, call.summary


async def test_the_shared_secret(tmp_path: Path, free_port: Ports) -> None:
    async with coturn(tmp_path, (free_port(), free_port()), secret=True) as server:
        for credentials, causes in (
            (Credentials(turn_secret=Secret(SECRET)), []),
            (Credentials(turn_secret=Secret("another")), ["turn.secret-mismatch"]),
            (
                Credentials(turn=rest_credentials(Secret(SECRET), int(time.time()) - 60, USER)),
                ["turn.credentials-expired"],
            ),
        ):
            found = await checked(server.uri(), credentials=credentials)
            assert found.statuses["allocate"] == ("fail" if causes else "pass") and found.causes == causes


async def test_a_wrong_password(tmp_path: Path, free_port: Ports) -> None:
    async with coturn(tmp_path, (free_port(), free_port())) as server:
        wrong = Credentials(turn=TurnCredentials(USER, Secret("queen")))
        found = await checked(server.uri(), server.uri("tcp"), credentials=wrong)
        assert found.statuses["allocate"] == "fail" and found.causes == ["turn.secret-mismatch"]


async def test_a_denied_peer(tmp_path: Path, free_port: Ports) -> None:
    async with (
        coturn(tmp_path, (free_port(), free_port()), f"denied-peer-ip={HOST}") as server,
        media_host() as stand_in,
    ):
        found = await checked(server.uri(), host=paired(stand_in.ready))
        assert found.statuses["permission"] == "fail" and found.causes == ["turn.peer-denied"]
        # without a media host to name, a server that denies its own range has done nothing wrong
        found = await checked(server.uri())
        assert found.statuses == ALL_PASS | {"permission": "unknown", "relay-range": "unknown"} and found.causes == []


async def test_a_quota(tmp_path: Path, free_port: Ports) -> None:
    async with coturn(tmp_path, (free_port(), free_port()), "user-quota=1") as server:
        # a run gives back what it took, and does not take its own for somebody else's
        found = await checked(server.uri(), only=turn_checks.CHECKS[:3])
        assert found.statuses == {"challenge": "pass", "allocate": "pass", "permission": "pass"} and found.causes == []
        relays = Relays()
        async with relays.lent(server.uri(), turn_checks.GIVEN):
            found = await checked(server.uri())
            assert found.statuses["allocate"] == "fail" and found.causes == ["turn.quota"]
        await relays.close()


async def test_an_open_relay(tmp_path: Path, free_port: Ports) -> None:
    async with coturn(tmp_path, (free_port(), free_port()), auth=False) as server:
        found = await checked(server.uri(), server.uri("tcp"))
        assert found.statuses["challenge"] == "fail" and found.causes == ["turn.unauthenticated"]


async def test_a_nonce_that_is_stale_at_every_turn_is_no_trouble(tmp_path: Path, free_port: Ports) -> None:
    """coturn changes it every second, so the second request of a conversation meets 438."""
    async with coturn(tmp_path, (free_port(), free_port()), "stale-nonce=1") as server:
        uri, credentials = server.uri(), TurnCredentials(USER, Secret(PASSWORD))
        async with await turn_client.allocate(uri, (HOST, uri.port), credentials, timeout_s=2) as allocation:
            await asyncio.sleep(2.1)  # coturn counts whole seconds, and tells nobody
            await allocation.permit([HOST])
        log = (tmp_path / "log").read_text()
        assert "Stale nonce" in log and "CREATE_PERMISSION processed, success" in log


async def test_one_that_hangs_and_one_that_is_down(tmp_path: Path, free_port: Ports) -> None:
    async with coturn(tmp_path, (free_port(), free_port())) as server:
        uris = server.uri(), server.uri("tcp")
        server.stop()
        began = time.monotonic()
        found = await checked(*uris)
        assert time.monotonic() - began < 3.0
        assert found.statuses == {"challenge": "fail"} and found.causes == ["turn.blocked"]
        assert [row["trouble"] for row in found.rows("challenge")] == ["silent", "silent"]
    found = await checked(*uris)
    assert found.statuses == {"challenge": "fail"} and found.causes == ["turn.not-running"]


async def test_it_answers_from_its_other_address_on_request(tmp_path: Path, free_port: Ports) -> None:
    async with coturn(tmp_path, (free_port(), free_port()), second_ip=OTHER_HOST) as server:
        offered = await stun_client.binding((HOST, server.port))
        assert offered.other == (OTHER_HOST, server.tls_port)
        found = await filtering_tests((HOST, server.port), offered.other)
        assert [(test.change, test.outcome, test.answered_from) for test in found] == [
            (Change.ADDRESS_AND_PORT, Outcome.ARRIVED, offered.other),
            (Change.PORT, Outcome.ARRIVED, (HOST, offered.other[1])),
        ]
    async with coturn(tmp_path, (free_port(), free_port())) as server:
        assert (await stun_client.binding((HOST, server.port))).other is None
        found = await filtering_tests((HOST, server.port), (OTHER_HOST, server.tls_port))
        assert {test.outcome for test in found} == {Outcome.REFUSED}


def a_tls_failure(found: Checked) -> str:
    """What is said, where TLS is the matter."""
    assert found.statuses == {"challenge": "fail"} and found.causes == ["turn.tls-invalid"]
    return found.results["turn.challenge"].summary


async def test_a_certificate_that_is_not_to_be_trusted_says_why(
    tmp_path: Path, free_port: Ports, authority: trustme.CA
) -> None:
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    for issuer, name, expires, reason in (
        (authority, "localhost", yesterday, "expired"),
        (authority, "turn.example.com", None, "Hostname mismatch"),
        (trustme.CA(), "localhost", None, "unable to get local issuer"),
    ):
        certificate = issued(tmp_path, issuer, name, expires)
        async with coturn(tmp_path, (free_port(), free_port()), certificate=certificate) as server:
            assert reason in a_tls_failure(await checked(server.uri("tls")))


async def test_what_its_certificate_says(tmp_path: Path, free_port: Ports, authority: trustme.CA) -> None:
    for days, status in ((90, Status.PASS), (5, Status.WARN), (-1, Status.FAIL)):
        expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
        certificate = issued(tmp_path, authority, "localhost", expires)
        async with coturn(tmp_path, (free_port(), free_port()), certificate=certificate) as server:
            finding = await tls.turn_probe(context(None, turn=(server.uri("tls"),)))
        assert finding.status is status
        (row,) = finding.evidence["servers"]
        assert (row["names"], row["fault"]) == (["localhost"], "expired" if days < 0 else "")
        assert row["days_left"] == pytest.approx(days, abs=0.1)


async def test_its_clock_by_its_secret(tmp_path: Path, free_port: Ports) -> None:
    async with coturn(tmp_path, (free_port(), free_port()), "user-quota=1", secret=True) as server:
        for transport in ("udp", "tcp"):
            uri = server.uri(transport)
            assert await turn_clock.of_turn(uri, (HOST, uri.port), Secret(SECRET), 2.0) == Reading(0.0, 30.0)
            assert await turn_clock.of_turn(uri, (HOST, uri.port), Secret("another"), 2.0) is None


async def test_plain_turn_where_the_uri_says_tls(
    tmp_path: Path, free_port: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "TIMEOUT_S", 1.0)
    async with coturn(tmp_path, (free_port(), free_port())) as server:
        plain = msgspec.structs.replace(server.uri("tls"), port=server.port)
        assert "speaks TURN without TLS" in a_tls_failure(await checked(plain))


async def test_it_speaks_both_on_either_port(tmp_path: Path, free_port: Ports, authority: trustme.CA) -> None:
    """So the wrong port is no trouble with coturn, unlike with others."""
    certificate = issued(tmp_path, authority, "localhost")
    async with coturn(tmp_path, (free_port(), free_port()), certificate=certificate) as server:
        swapped = (
            ServerUri(scheme="turn", host=HOST, port=server.tls_port, transport="tcp"),
            msgspec.structs.replace(server.uri("tls"), port=server.port),
        )
        found = await checked(*swapped, phase=Phase.SELF_TEST)
        assert found.statuses == ALL_PASS and found.causes == []
