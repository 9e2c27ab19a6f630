"""turn.* against the stand-in's server and servers whose lines the test writes: each refusal is a row of evidence, and
the diagnosis makes one cause of it. What coturn does is in tests/interop/test_coturn.py."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import pytest
import trustme

from calls_doctor.model.credentials import Credentials, Secret, TurnCredentials
from calls_doctor.model.site import Phase, ServerUri
from calls_doctor.net import relay
from calls_doctor.net.turn_client import Allocation, allocate
from calls_doctor.wire import stun
from calls_doctor.wire.stun import ErrorCode, Message, MessageClass, Method
from calls_doctor.wire.turn import rest_credentials
from calls_doctor.wire.turn_requests import Limits
from calls_doctor.wire.turn_server import Faults
from checks import relay as relay_checks
from checks import turn
from tests.servers.media_host import media_host, paired
from tests.servers.middlebox import HOST
from tests.servers.plain_sockets import PlainUdp
from tests.servers.turn_checks import ALL_PASS, OTHER_HOST, PASSWORD, SECRET, USER, Checked, checked, server, uri
from tests.servers.turn_script import ALLOCATED
from tests.servers.turn_servers import server_tls, tcp_listener

Ports = Callable[[], int]
GOOD = TurnCredentials(USER, Secret(PASSWORD))


@asynccontextmanager
async def scripted(answer: Callable[[Message], Message | None]) -> AsyncIterator[ServerUri]:
    """A server over UDP that answers each request as it is told."""
    async with PlainUdp() as sock:

        async def serve() -> None:
            while True:
                data, client = await asyncio.get_running_loop().sock_recvfrom(sock._sock, 2048)
                if said := answer(stun.parse(data)):
                    await sock.send(said.encode(), client)

        serving = asyncio.create_task(serve())
        yield uri(sock.address[1])
        serving.cancel()
        await asyncio.wait([serving])


def refusing(code: int, attributes: stun.Attributes = ()) -> Callable[[Message], Message]:
    def answer(request: Message) -> Message:
        said: stun.Attributes = [(stun.ERROR_CODE, ErrorCode(code, "because")), *attributes]
        return Message(request.method, MessageClass.ERROR, request.transaction_id, said)

    return answer


def trouble(found: Checked) -> list[object]:
    return [row["trouble"] for row in found.rows("challenge")]


# Healthy


async def test_a_relay_port_that_firewalls_are_not_asked_to_open_is_a_warning_and_no_cause() -> None:
    async with server() as turn_server:
        found = await checked(uri(turn_server.port), relay_ports=(1024, 2048), only=("turn.challenge", "turn.allocate"))
    assert found.statuses == {"challenge": "pass", "allocate": "warn"} and found.causes == []
    assert "1024-2048" in found.results["turn.allocate"].summary


async def test_over_udp_and_tcp_everything_passes_and_nothing_is_left_behind() -> None:
    async with server() as turn_server:
        began = time.monotonic()
        found = await checked(uri(turn_server.port), uri(turn_server.port, "tcp"))
        assert time.monotonic() - began < relay_checks.EXCHANGE_S, "what has come is not waited for"
        assert found.statuses == ALL_PASS and found.causes == []
        assert turn_server.allocations == 0
    challenge, allocate = found.rows("challenge"), found.rows("allocate")
    assert [(row["code"], row["realm"], row["has_nonce"]) for row in challenge] == [(401, "calls-doctor", True)] * 2
    assert [row["transport"] for row in allocate] == ["udp", "tcp"]
    assert all(row["lifetime_s"] == 600 and row["relayed"][0] == HOST for row in allocate)  # type: ignore[index]  # JSON
    assert [row["peer"] for row in found.rows("permission")] == [HOST], "one server, asked once"
    evidence = found.results["turn.relay-range"].evidence
    assert (evidence["between"], evidence["sent"], evidence["arrived"]) == ("two allocations", 20, 20)


# The listener


@pytest.mark.usefixtures("short_silence")
async def test_a_closed_port_a_mute_one_and_a_name_that_is_none(free_port: Ports) -> None:
    found = await checked(uri(free_port()), uri(free_port(), "tcp"))
    assert trouble(found) == ["refused"] * 2 and found.causes == ["turn.not-running"]
    assert found.statuses == {"challenge": "fail"}
    found = await checked(uri(3478, host="nobody.invalid"))
    assert trouble(found) == ["unresolved"] and "nobody.invalid" in found.results["turn.challenge"].summary
    async with server() as turn_server:
        turn_server.faults = Faults(mute=True)
        began = time.monotonic()
        found = await checked(uri(turn_server.port), uri(turn_server.port, "tcp"))
        assert time.monotonic() - began < stun.PROBE_DECIDED_S + 0.45
    assert trouble(found) == ["silent"] * 2 and found.causes == ["turn.blocked"]


async def test_what_is_no_turn_server() -> None:
    async with tcp_listener(b"SSH-2.0-OpenSSH_9.2\r\n") as port:
        found = await checked(uri(port, "tcp"))
        assert trouble(found) == ["not-turn"] and found.causes == ["turn.wrong-service"]
        found = await checked(uri(port, "tls"))
        assert trouble(found) == ["tls"] and found.causes == ["turn.tls-invalid"]
    async with tcp_listener(b"\x15\x03\x03\x00\x02\x02\x0a") as port:  # an alert: it speaks TLS
        found = await checked(uri(port, "tcp"))
        assert trouble(found) == ["tls"] and found.causes == ["turn.tls-invalid"]
    async with tcp_listener() as port:  # it hangs up
        found = await checked(uri(port, "tcp"))
        assert trouble(found) == ["cut"] and found.causes == ["turn.wrong-service"]


async def test_tls_on_the_plain_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "TIMEOUT_S", 0.4)
    async with tcp_listener(tls=server_tls(trustme.CA(), "localhost")) as port:
        found = await checked(uri(port, "tcp"))
    assert trouble(found) == ["tls"] and found.causes == ["turn.tls-invalid"]
    assert "the port speaks TLS" in found.results["turn.challenge"].summary


@pytest.mark.parametrize(
    ("answer", "word", "cause"),
    [
        (refusing(401), "odd-answer", "turn.wrong-service"),  # no realm, no nonce
        (refusing(401, [(stun.REALM, "r")]), "odd-answer", "turn.wrong-service"),
        (refusing(400), "odd-answer", "turn.wrong-service"),  # a server of STUN alone
        (refusing(300, [(stun.ALTERNATE_SERVER, ("192.0.2.9", 3478))]), "refused-request", "turn.not-allocating"),
    ],
)
async def test_a_challenge_that_is_none(answer: Callable[[Message], Message], word: str, cause: str) -> None:
    async with scripted(answer) as where:
        found = await checked(where)
    assert trouble(found) == [word] and found.causes == [cause]


async def test_an_open_relay_gets_its_allocation_back_and_fails_even_beside_one_that_asks() -> None:
    asked: list[tuple[int, int | None]] = []

    def gives(request: Message) -> Message:
        asked.append((request.method, request.get(stun.LIFETIME)))
        attributes = ALLOCATED if request.method == Method.ALLOCATE else [(stun.LIFETIME, 0)]
        return Message(request.method, MessageClass.SUCCESS, request.transaction_id, attributes)

    async with scripted(gives) as where, server() as turn_server:
        found = await checked(where, uri(turn_server.port), only=["turn.challenge"])
    assert found.statuses == {"challenge": "fail"} and found.causes == ["turn.unauthenticated"]
    assert "gave a relay to nobody in particular" in found.results["turn.challenge"].summary
    assert asked == [(Method.ALLOCATE, None), (Method.REFRESH, 0)]


async def test_one_of_two_servers_is_enough_for_calls_but_not_for_the_self_test(free_port: Ports) -> None:
    closed = uri(free_port())
    async with server(OTHER_HOST) as turn_server:
        open_one = uri(turn_server.port, host=OTHER_HOST)
        found = await checked(closed, open_one)
        assert found.statuses == ALL_PASS | {"challenge": "warn"} and found.causes == ["turn.not-running"]
        assert [row["uri"] for row in found.rows("allocate")] == [str(open_one)]
        found = await checked(closed, open_one, phase=Phase.SELF_TEST)
        assert found.statuses == {"challenge": "fail"}


# Credentials


async def test_without_credentials_the_rest_is_left_out() -> None:
    async with server() as turn_server:
        found = await checked(uri(turn_server.port), credentials=Credentials())
    assert found.statuses == {"challenge": "pass", "allocate": "skip"}
    assert "CALLS_DOCTOR_TURN_SECRET" in found.results["turn.allocate"].summary


async def test_wrong_expired_and_merely_numeric_user_names_are_told_apart() -> None:
    async with server() as turn_server:
        where = uri(turn_server.port)
        assert (await checked(where, credentials=Credentials(turn_secret=SECRET))).statuses == ALL_PASS
        for credentials, cause in (
            (Credentials(turn_secret=Secret("south")), "turn.secret-mismatch"),
            (Credentials(turn=TurnCredentials(USER, Secret("queen"))), "turn.secret-mismatch"),
            (Credentials(turn=TurnCredentials("1001", Secret("queen"))), "turn.secret-mismatch"),
            (Credentials(turn=rest_credentials(SECRET, int(time.time()) - 60, USER)), "turn.credentials-expired"),
        ):
            found = await checked(where, credentials=credentials)
            assert found.statuses == {"challenge": "pass", "allocate": "fail"} and found.causes == [cause]
            (row,) = found.rows("allocate")
            assert (row["trouble"], row["code"]) == ("refused-request", 401)
            assert all(secret not in str(found) for secret in ("north", "south", "queen"))


@pytest.mark.parametrize(
    ("username", "expired_s"),
    [
        ("1700000000:alice", 50.0),
        ("1700000000", 50.0),
        ("1700000050:alice", None),
        ("1800000000:alice", None),
        ("alice", None),
        ("", None),
        ("1001", None),
        ("1700000000x:alice", None),
        ("١٧٠٠٠٠٠٠٠٠:alice", None),
        ("9" * 400, None),
    ],
)
def test_the_expiry_in_a_user_name(username: str, expired_s: float | None) -> None:
    life = relay.life_of(TurnCredentials(username, Secret("")), 1_700_000_050.0)
    assert life["expired_s"] == expired_s
    assert (life["expires_in_s"] or 0.0) < 0 or expired_s is None


async def test_a_quota_of_one_is_enough_for_a_run_and_one_that_others_use_up_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay, "FREED_AFTER_S", 0.01)
    async with server(limits=Limits(allocations_per_user=1)) as turn_server:
        uris = uri(turn_server.port), uri(turn_server.port, "tcp")
        found = await checked(*uris)
        assert found.statuses == ALL_PASS | {"relay-range": "unknown"} and found.causes == []
        async with await allocate(uris[0], (HOST, turn_server.port), GOOD, timeout_s=2.0):
            found = await checked(*uris)
        assert found.statuses["allocate"] == "fail" and found.causes == ["turn.quota"]
        assert [row["code"] for row in found.rows("allocate")] == [486, 486]


@pytest.mark.parametrize(
    ("code", "cause"), [(403, "turn.not-allocating"), (437, "turn.not-allocating"), (508, "turn.quota")]
)
async def test_other_refusals_of_a_relay(code: int, cause: str) -> None:
    async with server() as turn_server:
        turn_server.faults = Faults(refuse={Method.ALLOCATE: code})
        found = await checked(uri(turn_server.port))
    assert found.statuses["allocate"] == "fail" and found.causes == [cause]


@pytest.mark.parametrize(("relayed", "at", "private"), [
    ("10.0.0.1", "198.51.100.1", True), ("198.51.100.1", "198.51.100.1", False), ("10.0.0.1", "10.0.0.1", False),
])  # fmt: skip
def test_a_private_relay_address_matters_where_the_server_is_public(relayed: str, at: str, private: bool) -> None:
    allocation = SimpleNamespace(relayed=(relayed, 50000), server=(at, 3478), lifetime_s=600, software=None, rtt_s=0.1)
    assert turn._allocated(cast(Allocation, allocation))["relayed_private"] is private


# Peers


async def test_a_denied_media_host_is_a_failure_and_the_relays_own_range_decides_nothing() -> None:
    async with server(may_relay=lambda _: False) as turn_server:
        found = await checked(uri(turn_server.port), media=["203.0.113.9"])
        assert found.statuses["permission"] == "fail" and found.causes == ["turn.peer-denied"]
        (row,) = found.rows("permission")
        assert (row["peer"], row["code"]) == ("203.0.113.9", 403)
        found = await checked(uri(turn_server.port))
        assert (found.statuses["permission"], found.statuses["relay-range"]) == ("unknown", "unknown")
        assert found.causes == []


async def test_every_server_is_asked_and_one_that_allows_is_enough() -> None:
    async with server(may_relay=lambda _: False) as strict, server(OTHER_HOST) as lenient, media_host() as stand_in:
        uris = uri(strict.port), uri(strict.port, "tcp"), uri(lenient.port, host=OTHER_HOST)
        found = await checked(*uris, host=paired(stand_in.ready))
        assert found.statuses == ALL_PASS | {"permission": "warn"} and found.causes == ["turn.peer-denied"]
        assert [(row["uri"], row["ok"]) for row in found.rows("permission")] == [
            (str(uris[0]), False), (str(uris[2]), True),
        ]  # fmt: skip
        assert found.results["turn.relay-range"].target == str(uris[2]), "data goes where it may"
        both = await checked(*uris, host=paired(stand_in.ready), phase=Phase.SELF_TEST)
        assert both.statuses["permission"] == "fail"


async def test_every_address_of_the_media_host_that_the_relay_can_reach_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in (HOST, "2001:db8::9", "203.0.113.9")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    async with server() as turn_server:
        tried = await checked(uri(turn_server.port), media=["media.example.com"])
    assert [(row["peer"], row["ok"]) for row in tried.rows("permission")] == [(HOST, True), ("203.0.113.9", False)]
    assert tried.statuses["permission"] == "fail" and "203.0.113.9" in tried.results["turn.permission"].summary


async def test_a_media_host_without_an_address_is_no_fault_of_the_server() -> None:
    async with server() as turn_server:
        found = await checked(uri(turn_server.port), media=["nobody.invalid"])
    assert found.statuses["permission"] == "unknown" and found.causes == []
