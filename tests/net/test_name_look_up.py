"""A name as this machine gets it, with what its resolvers say beside it: real servers on 127.0.0.1, and a system of a
test's own making before them."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from calls_doctor.net import name_look_up, resolver
from calls_doctor.net.dns_client import Outcome
from calls_doctor.net.name_look_up import NameSeen, look_at
from calls_doctor.net.name_service import NameService
from tests.servers.dns_servers import DnsServer, dns_server

NAME, ADDRESS = "rtc.example.com", "192.0.2.1"
WELL = {NAME: [ADDRESS]}


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> dict[str, Sequence[str] | float | int]:
    """What the system says of a name: its addresses, after how many seconds, or the error of getaddrinfo."""
    answers: dict[str, Sequence[str] | float | int] = {"addresses": (), "after_s": 0.0, "error": socket.EAI_NONAME}

    def getaddrinfo(*_: object, **__: object) -> list[tuple[object, ...]]:
        time.sleep(float(str(answers["after_s"])))
        found = answers["addresses"]
        if not found:
            raise socket.gaierror(answers["error"], "made up")
        assert isinstance(found, Sequence)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 0)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return answers


@contextlib.asynccontextmanager
async def resolvers(monkeypatch: pytest.MonkeyPatch, *servers: DnsServer) -> AsyncIterator[NameService]:
    """Each on an address of its own, all on one port."""
    addresses = [f"127.0.0.{2 + n}" for n in range(len(servers))]
    async with contextlib.AsyncExitStack() as stack:
        port = 0
        for server, address in zip(servers, addresses, strict=True):
            await stack.enter_async_context(dns_server(server, address, port))
            port = server.port
        monkeypatch.setattr(name_look_up, "DNS_PORT", port)
        yield NameService(tuple(addresses))


Made = dict[str, Sequence[str] | float | int]


async def seen(monkeypatch: pytest.MonkeyPatch, *servers: DnsServer) -> NameSeen:
    async with resolvers(monkeypatch, *servers) as service:
        return await look_at(NAME, service)


async def test_a_name_that_is_well(system: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    system["addresses"] = [ADDRESS]
    found = await seen(monkeypatch, DnsServer(WELL))
    assert (found.trouble, found.system.addresses) == ("", (ADDRESS,))
    (one,) = found.resolvers
    assert (one.outcome, one.addresses, one.ttl_s, one.answers_root) == (Outcome.FOUND, (ADDRESS,), 60, None)


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize(
    ("first", "second", "trouble"),
    [
        ("nxdomain", None, "nxdomain"),
        ([], None, "nxdomain"),
        ("servfail", None, "servfail"),
        ("refused", None, "servfail"),
        ("silent", None, "timeout"),
        ("nxdomain", [ADDRESS], "nxdomain"),
        ("servfail", "nxdomain", "nxdomain"),
        ("servfail", "silent", "servfail"),
        ("silent", [ADDRESS], "timeout"),
        ([ADDRESS], None, "unresolved"),
    ],
)
async def test_why_the_system_has_no_address(
    first: Sequence[str] | str, second: Sequence[str] | str | None, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(resolver, "TIMEOUT_S", 0.4)
    says = [first] if second is None else [first, second]
    found = await seen(monkeypatch, *(DnsServer({NAME: one}) for one in says))
    assert found.trouble == trouble


async def test_slow_is_what_takes_more_than_two_seconds(system: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_look_up, "SLOW_S", 0.1)
    system.update(addresses=[ADDRESS], after_s=0.2)
    assert (await seen(monkeypatch, DnsServer(WELL, late_s=0.2))).trouble == "slow"


async def test_of_two_resolvers_the_silent_one_makes_it_late(system: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_look_up, "SLOW_S", 0.1)
    monkeypatch.setattr(resolver, "TIMEOUT_S", 0.5)
    system.update(addresses=[ADDRESS], after_s=0.2)
    assert (await seen(monkeypatch, DnsServer({NAME: "silent"}), DnsServer(WELL))).trouble == "timeout"


async def test_a_name_of_the_hosts_file_waits_for_no_resolver(system: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    system["addresses"] = [ADDRESS]
    async with resolvers(monkeypatch, DnsServer({"*": "silent"})) as service:
        began = time.monotonic()
        found = await look_at(NAME, NameService(service.servers, hosts={NAME: (ADDRESS,)}))
    assert time.monotonic() - began < 2 * name_look_up.BESIDE_S
    assert (found.trouble, found.in_hosts_file) == ("", (ADDRESS,))


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize(("root", "answers"), [("silent", False), ([], True)])
async def test_a_resolver_that_is_silent_on_every_question_is_told_from_one_that_fails_on_a_zone(
    root: Sequence[str] | str, answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "TIMEOUT_S", 0.6)
    monkeypatch.setattr(name_look_up, "ROOT_AFTER_S", 0.1)
    monkeypatch.setattr(name_look_up, "ROOT_S", 0.1)
    (one,) = (await seen(monkeypatch, DnsServer({NAME: "silent", "": root, "@": root, ".": root}))).resolvers
    assert (one.outcome, one.answers_root) == (Outcome.SILENT, answers)


async def test_of_a_resolver_that_is_silent_still_when_the_system_has_its_answer_the_root_tells(
    system: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system has asked before, for another check, and the second resolver after that."""
    system.update(addresses=[ADDRESS], after_s=0.3)
    monkeypatch.setattr(name_look_up, "BESIDE_S", 0.05)
    for root, answers in (("silent", False), ([], True)):
        monkeypatch.setattr(name_look_up, "ROOT_AFTER_S", 0.1)
        monkeypatch.setattr(name_look_up, "ROOT_S", 0.1)
        silent = DnsServer({NAME: "silent", "": root, "@": root, ".": root})
        first, _second = (await seen(monkeypatch, silent, DnsServer(WELL))).resolvers
        assert (first.outcome, first.answers_root) == (Outcome.SILENT, answers)


async def test_a_search_domain_is_tried_behind_a_short_name(system: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    system["addresses"] = [ADDRESS]
    server = DnsServer({"rtc.example.com": [ADDRESS]})
    async with resolvers(monkeypatch, server) as service:
        found = await look_at("rtc", NameService(service.servers, search=("other.example", "example.com")))
    assert found.resolvers[0].outcome is Outcome.FOUND
    assert {name for name, *_ in server.asked} == {"rtc.other.example", "rtc.example.com"}


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize("name", ["printer.local", NAME])
async def test_who_does_not_ask_dns_is_not_asked_for_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of mDNS, and a machine whose nsswitch.conf leaves DNS out."""
    server = DnsServer(WELL)
    async with resolvers(monkeypatch, server) as service:
        sources = ("files",) if name == NAME else ()
        found = await look_at(name, NameService(service.servers, sources=sources))
    assert (server.asked, found.resolvers, found.trouble) == ([], (), "nxdomain")


async def test_without_a_resolver_the_systems_word_counts(system: Made) -> None:
    system["error"] = socket.EAI_AGAIN
    assert (await look_at(NAME, NameService())).trouble == "unresolved"
