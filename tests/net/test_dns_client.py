"""One question to one server on 127.0.0.1: every way in which it may answer, or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from calls_doctor.net import dns_client
from calls_doctor.net.dns_client import DnsAnswer, Outcome, ask
from tests.servers.dns_servers import HOST, DnsServer, dns_server

NAME = "rtc.example.com"


async def asked(server: DnsServer, kind: str = "A", name: str = NAME, limit_s: float = 2.0) -> DnsAnswer:
    async with dns_server(server):
        return await ask((HOST, server.port), name, kind, limit_s)


@pytest.mark.parametrize(
    ("says", "kind", "outcome"),
    [
        (["192.0.2.1"], "A", Outcome.FOUND),
        (["192.0.2.1"], "AAAA", Outcome.NO_DATA),
        ("nxdomain", "A", Outcome.NXDOMAIN),
        ("servfail", "A", Outcome.SERVFAIL),
        ("refused", "A", Outcome.REFUSED),
        ("notimp", "A", Outcome.REFUSED),
        (["-> other.example.com"], "A", Outcome.NO_DATA),
        (["-> other.example.com", "-> rtc.example.com"], "A", Outcome.SERVFAIL),
    ],
)
async def test_what_a_server_says_is_told_apart(says: Sequence[str] | str, kind: str, outcome: Outcome) -> None:
    assert (await asked(DnsServer({NAME: says}), kind)).outcome is outcome


async def test_addresses_come_with_the_end_of_their_chain_and_how_long_they_may_be_kept() -> None:
    found = await asked(DnsServer({NAME: ["-> edge.example.net", "192.0.2.1", "192.0.2.2"]}))
    assert set(found.addresses) == {"192.0.2.1", "192.0.2.2"}
    assert (found.canonical, found.ttl_s) == ("edge.example.net", 60)


async def test_silence_is_one_after_its_limit() -> None:
    found = await asked(DnsServer({NAME: "silent"}), limit_s=0.2)
    assert found.outcome is Outcome.SILENT and 0.2 <= found.took_s < 1.0


async def test_a_datagram_that_is_lost_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_client, "ASKED_AGAIN_S", (0.1, 0.3))
    server = DnsServer({NAME: "silent"})
    async with dns_server(server):
        asking = asyncio.create_task(ask((HOST, server.port), NAME, "A", 2.0))
        await asyncio.sleep(0.05)
        server.says = {NAME: ["192.0.2.1"]}
        assert (await asking).outcome is Outcome.FOUND
    assert len(server.asked) == 2


async def test_a_closed_port_is_unreachable_at_once(free_port: Callable[[], int]) -> None:
    found = await ask((HOST, free_port()), NAME, "A", 5.0)
    assert found.outcome is Outcome.UNREACHABLE and found.took_s < 1.0


async def test_what_does_not_fit_is_asked_for_over_tcp() -> None:
    server = DnsServer({NAME: ["192.0.2.1"]}, does_not_fit=True)
    assert (await asked(server)).addresses == ("192.0.2.1",)
    assert [way for *_, way in server.asked] == ["udp", "tcp"]


@pytest.mark.parametrize("junk", [b"\0", b"\xff" * 700, bytes(12)])
async def test_what_is_no_answer_is_passed_over(junk: bytes) -> None:
    assert (await asked(DnsServer({NAME: ["192.0.2.1"]}, junk=junk))).outcome is Outcome.FOUND


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".example.com", ("x" * 63 + ".") * 5])
async def test_what_dns_cannot_hold_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="no DNS name"):
        await ask((HOST, 9), name, "A", 1.0)
